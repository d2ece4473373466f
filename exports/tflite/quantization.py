"""Quantizes weights and activations to 8 bits, calibrated on images."""

import warnings

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from pipelines.errors import InputError


def quantize_int8(content: bytes, network: str, images: np.ndarray) -> bytes:
    """Quantizes the network in a TFLite file, but not the postprocessing.

    Decoding heatmaps stays in float32. In 8 bits, points would be on a grid of
    1/256 of the image, and the curvature that the sub-pixel step divides by
    would be 0, at which the runtime stops.

    Args:
        content: a float32 TFLite file whose signature `serving_default` takes
            `image` in uint8.
        network: name of the network's layers in the graph.
        images: (N, S, S, 3) uint8 RGB, network inputs. The extremes of their
            activations become the quantization ranges.

    Returns:
        The TFLite file, in 8 bits.

    Raises:
        InputError: if the extra is not installed.
    """
    try:
        from ai_edge_quantizer import quantizer
        from ai_edge_quantizer.calibrator import Calibrator
        from ai_edge_quantizer.qtyping import TFLOperationName
        from ai_edge_quantizer.recipe_manager import RecipeManager
        from ai_edge_quantizer.utils.qsv_utils import min_max_update
    except ImportError as error:
        raise InputError(
            f"--formats tflite_int8: needs the package {error.name}; "
            "pip install 'afn-keras[int8]'"
        ) from error
    quantized = quantizer.Quantizer(content)
    # Keras may append a number to names of layers.
    quantized.add_static_config(
        rf".*/{network}(_\d+)?/.*", TFLOperationName.ALL_SUPPORTED, 8, 8
    )
    recipe = RecipeManager()
    recipe.load_quantization_recipe(quantized.get_quantization_recipe())
    with warnings.catch_warnings():
        # It warns about the memory for all tensors, which calibration needs.
        warnings.simplefilter("ignore", UserWarning)
        # Not Quantizer.calibrate: its moving average clips strong peaks.
        calibrator = Calibrator(
            content, num_threads=2, qsv_update_func=min_max_update
        )
        calibrator.calibrate(
            {"serving_default": [{"image": image[None]} for image in images]},
            recipe,
        )
        result = quantized.quantize(
            calibrator.get_model_qsvs(),
            enable_progress_bar=False,
            enable_progress_report=False,
        )
    return _with_pixel_scale(result.quantized_model)


def _with_pixel_scale(content: bytes) -> bytes:
    """Sets scale 1 and zero point 0 for the uint8 input of a TFLite file.

    The quantizer uses CAST for the input, which has no scale: readers of the
    file would find 0 and divide by it. DEQUANTIZE computes the same.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    graph = model.subgraphs[0]
    (image,) = graph.inputs
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [1.0], [0]
    graph.tensors[image].quantization = quantization
    codes = [code.builtinCode for code in model.operatorCodes]
    for operator in graph.operators:
        if image in operator.inputs:
            operator.opcodeIndex = codes.index(
                schema.BuiltinOperator.DEQUANTIZE
            )
            operator.builtinOptionsType = schema.BuiltinOptions.NONE
            operator.builtinOptions = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
