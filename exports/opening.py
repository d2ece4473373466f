"""Opens a run or any artifact of one."""

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from afn_keras.loading import TrainedModel
from afn_keras.loading import load_model
from afn_keras.runs import MODEL
from afn_keras.runs import check_exists
from afn_keras.training_data import TrainingData
from exports.onnx import read_labels as read_onnx_labels
from exports.onnx import read_training_data as read_onnx_data
from exports.onnx import without_extra
from exports.saved_model import EXTRA
from exports.saved_model import loadable
from exports.saved_model import versions
from exports.tflite import read_labels as read_tflite_labels
from exports.tflite import read_training_data as read_tflite_data
from pipelines.errors import InputError
from pipelines.parallel import available_cores
from pipelines.vocabulary import Vocabulary

Outputs = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An open artifact, an `ImageModel` like the network it came from.

    Args:
        name: name of the artifact, for tables.
        vocabulary: the labels inside it.
        image_size: side of the square input in pixels.
        predict_images: takes images, (B, S, S, 3) float32 RGB 0..255, and
            returns the outputs of `PredictionModel`.
        maps: takes the same and returns the outputs of `MapsModel`; empty if
            the artifact has no maps.
        data: the data the network was trained on; None if unknown.
        predict_encoded: see `ImageModel`; None unless the artifact decodes
            images.
    """

    name: str
    vocabulary: Vocabulary
    image_size: int
    predict_images: Callable[[np.ndarray], Outputs]
    maps: Callable[[np.ndarray], Outputs] = lambda images: {}
    data: TrainingData | None = None
    predict_encoded: Callable[[np.ndarray, np.ndarray], Outputs] | None = None


def open_model(path: Path) -> TrainedModel | Artifact:
    """Opens a run, a `.keras` file or an artifact of `afn-export`.

    Args:
        path: a run's folder; a file ending in .keras, .tflite or .onnx; a
            SavedModel's folder, or the folder of its versions, of which the
            highest is opened.

    Raises:
        InputError: if it is none of these, or of another project.
    """
    path = Path(path)
    check_exists(path)
    if path.suffix == ".tflite":
        return _open_tflite(path)
    if path.suffix == ".onnx":
        return _open_onnx(path)
    if path.is_dir() and not (path / MODEL).exists():
        version = path
        if versions(path):
            version = path / str(versions(path)[-1])
        if (version / "saved_model.pb").is_file():
            return _open_saved_model(version)
    return load_model(path)


def _open_saved_model(folder: Path) -> Artifact:
    import tensorflow as tf

    vocabulary = Vocabulary.load(folder / EXTRA)
    data = TrainingData.load(folder / EXTRA)
    try:
        with loadable(folder) as place:
            loaded = tf.saved_model.load(str(place))
        # The function does not keep the variables alive; `loaded` does.
        signature = loaded.signatures["tensor"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise _foreign(folder, "SavedModel") from error
    _, inputs = signature.structured_input_signature

    def predict_images(images: np.ndarray, _loaded: object = loaded) -> Outputs:
        outputs = signature(image=tf.constant(images, tf.float32))
        return {name: value.numpy() for name, value in outputs.items()}

    def maps(images: np.ndarray) -> Outputs:
        # The signature takes files; images of the size of the network's input
        # are not resampled.
        pixels = np.rint(np.clip(images, 0, 255)).astype(np.uint8)
        files = [tf.io.encode_png(image) for image in pixels]
        outputs = loaded.signatures["maps"](image_bytes=tf.stack(files))
        return {
            name: value.numpy()
            for name, value in outputs.items()
            if name != "valid"
        }

    def predict_encoded(encoded: np.ndarray, boxes: np.ndarray) -> Outputs:
        outputs = loaded.signatures["raw"](
            image_bytes=tf.constant(encoded), boxes=tf.constant(boxes)
        )
        outputs = {name: value.numpy() for name, value in outputs.items()}
        valid = outputs.pop("valid")
        if not valid.all():
            raise InputError(
                f"{folder}: does not decode {(~valid).sum()} of "
                f"{len(valid)} images of the data"
            )
        return outputs

    artifact = Artifact(
        f"{folder.parent.name}/{folder.name}",
        vocabulary,
        inputs["image"].shape[1],
        predict_images,
        data=data,
    )
    if "maps" in loaded.signatures:
        artifact = dataclasses.replace(artifact, maps=maps)
    # SavedModels of version 0.1.0 have no such signature.
    if "raw" in loaded.signatures:
        artifact = dataclasses.replace(
            artifact, predict_encoded=predict_encoded
        )
    return artifact


def _open_tflite(path: Path) -> Artifact:
    from ai_edge_litert.interpreter import Interpreter

    try:
        vocabulary = read_tflite_labels(path)
        data = read_tflite_data(path)
        interpreter = Interpreter(str(path), num_threads=available_cores())
        runner = interpreter.get_signature_runner("serving_default")
        details = runner.get_input_details()["image"]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        zipfile.BadZipFile,
    ) as error:
        raise _foreign(path, "TFLite file") from error

    def predict_images(images: np.ndarray) -> Outputs:
        if details["dtype"] == np.uint8:
            images = np.rint(np.clip(images, 0, 255)).astype(np.uint8)
        outputs = [runner(image=image[None]) for image in images]
        return {
            name: np.concatenate([single[name] for single in outputs])
            for name in outputs[0]
        }

    side = int(details["shape"][1])
    return Artifact(path.name, vocabulary, side, predict_images, data=data)


def _open_onnx(path: Path) -> Artifact:
    try:
        import onnxruntime
    except ImportError as error:
        raise without_extra(path, error) from error
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    try:
        session = onnxruntime.InferenceSession(
            path, providers=["CPUExecutionProvider"]
        )
        metadata = session.get_modelmeta().custom_metadata_map
        vocabulary = read_onnx_labels(metadata)
        data = read_onnx_data(metadata)
    except (
        ValueError,
        KeyError,
        TypeError,
        # ONNX Runtime's errors have no common base class.
        states.Fail,
        states.InvalidArgument,
        states.InvalidGraph,
        states.InvalidProtobuf,
        states.NotImplemented,
    ) as error:
        raise _foreign(path, "ONNX file") from error
    names = [output.name for output in session.get_outputs()]

    def predict_images(images: np.ndarray) -> Outputs:
        values = session.run(names, {"image": images.astype(np.float32)})
        return dict(zip(names, values, strict=True))

    side = session.get_inputs()[0].shape[1]
    return Artifact(path.name, vocabulary, side, predict_images, data=data)


def _foreign(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: not a valid {what} from afn-export, with its labels inside"
    )
