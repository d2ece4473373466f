"""Writes the ONNX file."""

import os
import warnings
from pathlib import Path

from afn_keras.backend import keras
from afn_keras.backend import require_keras_3
from afn_keras.loading import TrainedModel
from afn_keras.outputs import PredictionModel
from afn_keras.runs import CARD
from afn_keras.training_data import FILE_NAME as TRAINING_DATA
from afn_keras.training_data import TrainingData
from pipelines.errors import InputError
from pipelines.folders import check_new
from pipelines.vocabulary import FILE_NAME as VOCABULARY
from pipelines.vocabulary import Vocabulary


def export_onnx(trained: TrainedModel, path: Path) -> None:
    """Writes a float32 ONNX file with labels and model card in its metadata.

    It takes `image`, (B, S, S, 3) float32 RGB 0..255, and has the outputs of
    the TFLite file; see `export_tflite`.

    Args:
        trained: a model from `load_model`.
        path: the file to write, ending in .onnx.

    Raises:
        InputError: if the file exists, the extra is not installed, or Keras
            is 2.15.
    """
    require_keras_3(f"{path}: ONNX")
    path = Path(path)
    check_new(path)
    try:
        import onnx
        import onnxruntime  # noqa: F401  Verifies the file afterwards.
        import tf2onnx  # noqa: F401  Used by Keras.
    except ImportError as error:
        raise without_extra(path, error) from error
    model = PredictionModel(trained.model, trained.decoding)
    side = trained.image_size
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.partial.onnx")
    try:
        with warnings.catch_warnings():
            # The converter uses deprecated names of NumPy.
            warnings.simplefilter("ignore", FutureWarning)
            model.export(
                aside,
                format="onnx",
                verbose=False,
                input_signature=[
                    keras.InputSpec(
                        shape=(None, side, side, 3),
                        dtype="float32",
                        name="image",
                    )
                ],
            )
        content = onnx.load(aside)
        content.metadata_props.add(
            key=VOCABULARY, value=trained.vocabulary.to_json()
        )
        if trained.data:
            content.metadata_props.add(
                key=TRAINING_DATA, value=trained.data.to_json()
            )
        if trained.card:
            content.metadata_props.add(key=CARD, value=trained.card)
        onnx.save(content, aside)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def read_labels(metadata: dict[str, str]) -> Vocabulary:
    """Reads the labels in the metadata of an ONNX file.

    Raises:
        ValueError, KeyError, TypeError: if there are none.
    """
    return Vocabulary.from_json(metadata[VOCABULARY])


def read_training_data(metadata: dict[str, str]) -> TrainingData | None:
    """Reads the training data in an ONNX file's metadata; None if missing.

    Raises:
        ValueError, KeyError, TypeError: if it is damaged.
    """
    text = metadata.get(TRAINING_DATA)
    return TrainingData.from_json(text) if text else None


def without_extra(path: Path, error: ImportError) -> InputError:
    """Returns the error for a missing package of the extra."""
    return InputError(
        f"{path}: ONNX needs the package {error.name}; "
        "pip install 'afn-keras[onnx]'"
    )
