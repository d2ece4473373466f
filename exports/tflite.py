"""Writes the TFLite file that a phone runs."""

import os
import tempfile
from pathlib import Path

import tensorflow as tf

from afn_keras.answers import AnsweringModel
from afn_keras.backend import keras
from afn_keras.runs import TrainedModel
from pipelines.writing import check_new


def export_tflite(trained: TrainedModel, path: Path) -> Path:
    """Writes a float32 TFLite file and `vocabulary.json` beside it.

    Its signature `serving_default` takes `image`, (1, S, S, 3) float32 RGB
    0..255, the garment's box resized to S x S; it answers `landmarks`
    (1, L, 2) x, y in 0..1 of the image, `landmark_scores` (1, L), and the
    probabilities `category` (1, C) and `attributes` (1, A).

    Args:
        trained: what `load_model` returned.
        path: the file to write, ending in .tflite.

    Raises:
        InputError: if the file exists.
    """
    path = Path(path)
    check_new(path)
    model = AnsweringModel(trained.model)
    side = trained.image_size

    # Through a SavedModel: from concrete functions the converter loses the
    # variables of a Keras model, and the file answers NaN.
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        lambda image: model(image, training=False),
        [tf.TensorSpec([1, side, side, 3], tf.float32, name="image")],
    )
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        content = converter.convert()
    path.parent.mkdir(parents=True, exist_ok=True)
    trained.vocabulary.save(path.parent)
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(content)
    os.replace(aside, path)
    return path
