"""Writes the TFLite files."""

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from afn_keras.backend import tensorflow_variables
from afn_keras.loading import TrainedModel
from afn_keras.outputs import PredictionModel
from afn_keras.runs import CARD
from afn_keras.training_data import FILE_NAME as TRAINING_DATA
from afn_keras.training_data import TrainingData
from exports.tflite.quantization import quantize_int8
from pipelines.folders import check_new
from pipelines.vocabulary import FILE_NAME as VOCABULARY
from pipelines.vocabulary import Vocabulary

KINDS = ("float32", "float16", "dynamic", "int8")


def export_tflite(
    trained: TrainedModel,
    path: Path,
    kind: str = "float32",
    calibration: np.ndarray | None = None,
) -> None:
    """Writes a TFLite file with its labels and model card packed in.

    Its signature `serving_default` takes `image`, (1, S, S, 3) RGB 0..255,
    float32 or, for int8, uint8 of scale 1 and zero point 0: the garment's box
    resized to S x S. It returns in float32 `landmarks` (1, L, 2) x, y in 0..1
    of the image, `landmark_scores` (1, L), and the probabilities `category`
    (1, C) and `attributes` (1, A). `read_labels` reads the labels.

    Args:
        trained: a model from `load_model`.
        path: the file to write, ending in .tflite.
        kind: "float32"; "float16", weights in half the bytes, computed in
            float32 or float16; "dynamic", weights in a quarter of the bytes,
            activations quantized at run time; "int8", the whole network in
            8 bits.
        calibration: (N, S, S, 3) float32 RGB 0..255, for int8 only: training
            images that determine the ranges of the activations.

    Raises:
        InputError: if the file exists.
    """
    path = Path(path)
    check_new(path)
    model = PredictionModel(trained.model, trained.decoding)
    side = trained.image_size

    # Through a SavedModel: from concrete functions, the converter loses the
    # variables of a Keras model, and the file outputs NaN.
    saved = tf.Module()
    saved.weights = tensorflow_variables(model)
    kind_of_pixels = tf.uint8 if kind == "int8" else tf.float32
    image = tf.TensorSpec([1, side, side, 3], kind_of_pixels, name="image")
    saved.predict = tf.function(
        lambda image: model(tf.cast(image, tf.float32), training=False),
        input_signature=[image],
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(
            saved, folder, signatures={"serving_default": saved.predict}
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if kind in ("float16", "dynamic"):
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    if kind == "int8":
        images = np.rint(np.clip(calibration, 0, 255)).astype(np.uint8)
        content = quantize_int8(content, trained.model.name, images)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    try:
        aside.write_bytes(content)
        # Like TFLite's metadata: a zip archive after the model, which the
        # interpreter ignores.
        with zipfile.ZipFile(aside, "a") as archive:
            archive.writestr(VOCABULARY, trained.vocabulary.to_json())
            if trained.data:
                archive.writestr(TRAINING_DATA, trained.data.to_json())
            if trained.card:
                archive.writestr(CARD, trained.card)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def read_labels(path: Path) -> Vocabulary:
    """Reads the labels in a TFLite file.

    Raises:
        ValueError, KeyError, TypeError, zipfile.BadZipFile: if there are none.
    """
    with zipfile.ZipFile(path) as archive:
        return Vocabulary.from_json(archive.read(VOCABULARY).decode())


def read_training_data(path: Path) -> TrainingData | None:
    """Reads the training data in a TFLite file; returns None if missing.

    Raises:
        ValueError, KeyError, TypeError, zipfile.BadZipFile: if it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        if TRAINING_DATA not in archive.namelist():
            return None
        return TrainingData.from_json(archive.read(TRAINING_DATA).decode())
