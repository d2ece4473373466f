"""Opens whatever answers for images: a run, or any artifact of one."""

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

Answers = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An exported artifact, opened: it answers as the network it came from.

    Args:
        name: of the artifact, for tables.
        vocabulary: the labels inside it.
        image_size: side of the square input in pixels.
        answer: takes images, (B, S, S, 3) float32 RGB 0..255, and gives what
            `AnsweringModel` gives.
        maps: takes the same and gives what `MapsModel` gives; nothing where
            the artifact has no maps.
        data: what the network was trained on; None if that is not known.
        answer_encoded: of an artifact that decodes images itself, see
            `Answering`.
    """

    name: str
    vocabulary: Vocabulary
    image_size: int
    answer: Callable[[np.ndarray], Answers]
    maps: Callable[[np.ndarray], Answers] = lambda images: {}
    data: TrainingData | None = None
    answer_encoded: Callable[[np.ndarray, np.ndarray], Answers] | None = None


def open_model(path: Path) -> TrainedModel | Artifact:
    """Opens a run, a `.keras` file or an artifact of `afn-export`.

    Args:
        path: a run's folder; a file ending in .keras, .tflite or .onnx; a
            SavedModel's folder, or the folder of its versions, of which the
            highest is opened.

    Raises:
        InputError: if it is none of these, or another project's.
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
        # Bound here, or the variables go when `loaded` goes.
        signature = loaded.signatures["tensor"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise _foreign(folder, "SavedModel") from error
    _, inputs = signature.structured_input_signature

    def answer(images: np.ndarray, _loaded: object = loaded) -> Answers:
        answers = signature(image=tf.constant(images, tf.float32))
        return {name: value.numpy() for name, value in answers.items()}

    def maps(images: np.ndarray) -> Answers:
        see = loaded.signatures["maps"]
        # It takes files. Of the size of its input they are shown as they are.
        pixels = np.rint(np.clip(images, 0, 255)).astype(np.uint8)
        files = [tf.io.encode_png(image) for image in pixels]
        answers = see(image_bytes=tf.stack(files))
        return {
            name: value.numpy()
            for name, value in answers.items()
            if name != "valid"
        }

    def answer_encoded(encoded: np.ndarray, boxes: np.ndarray) -> Answers:
        answers = loaded.signatures["raw"](
            image_bytes=tf.constant(encoded), boxes=tf.constant(boxes)
        )
        answers = {name: value.numpy() for name, value in answers.items()}
        valid = answers.pop("valid")
        if not valid.all():
            raise InputError(
                f"{folder}: does not decode {(~valid).sum()} of "
                f"{len(valid)} images of the data"
            )
        return answers

    artifact = Artifact(
        f"{folder.parent.name}/{folder.name}",
        vocabulary,
        inputs["image"].shape[1],
        answer,
        data=data,
    )
    if "maps" in loaded.signatures:
        artifact = dataclasses.replace(artifact, maps=maps)
    # Of version 0.1.0 they have no such signature.
    if "raw" in loaded.signatures:
        artifact = dataclasses.replace(artifact, answer_encoded=answer_encoded)
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

    def answer(images: np.ndarray) -> Answers:
        if details["dtype"] == np.uint8:
            images = np.rint(np.clip(images, 0, 255)).astype(np.uint8)
        answers = [runner(image=image[None]) for image in images]
        return {
            name: np.concatenate([single[name] for single in answers])
            for name in answers[0]
        }

    side = int(details["shape"][1])
    return Artifact(path.name, vocabulary, side, answer, data=data)


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
        # They have no base class of their own.
        states.Fail,
        states.InvalidArgument,
        states.InvalidGraph,
        states.InvalidProtobuf,
        states.NotImplemented,
    ) as error:
        raise _foreign(path, "ONNX file") from error
    names = [output.name for output in session.get_outputs()]

    def answer(images: np.ndarray) -> Answers:
        values = session.run(names, {"image": images.astype(np.float32)})
        return dict(zip(names, values, strict=True))

    side = session.get_inputs()[0].shape[1]
    return Artifact(path.name, vocabulary, side, answer, data=data)


def _foreign(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: is no {what} that afn-export wrote, with its labels inside"
    )
