"""Writes the TFLite file that a phone runs."""

import os
import tempfile
from pathlib import Path

import tensorflow as tf

from afn_keras.answers import answering
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
    model = answering(trained.model)
    side = trained.image_size

    # Through a SavedModel of one fixed signature: from concrete functions the
    # converter drops a Keras model's variables and answers NaN.
    module = tf.Module()
    module.variables_of_model = list(model.weights)
    module.answer = tf.function(
        lambda image: model(image, training=False),
        input_signature=[tf.TensorSpec([1, side, side, 3], name="image")],
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(
            module, folder, signatures={"serving_default": module.answer}
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        content = converter.convert()
    path.parent.mkdir(parents=True, exist_ok=True)
    trained.vocabulary.save(path.parent)
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(content)
    os.replace(aside, path)
    return path
