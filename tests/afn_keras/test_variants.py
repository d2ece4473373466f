"""Networks other than the paper's are exported as it is."""

import numpy as np
import pytest
import tensorflow as tf

from afn_keras import build_afn
from afn_keras.loading import TrainedModel
from exports.saved_model.write import export_saved_model
from exports.tflite.write import export_tflite
from exports.verification import BOUND
from exports.verification import verify
from pipelines.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def images(run):
    return sorted((run / "samples").glob("*.jpg"))


@pytest.mark.parametrize(
    ("settings", "decoding"),
    [
        ({"attention": "released"}, "argmax"),
        ({"attention": "none"}, "subpixel"),
        ({"upsampling": False}, "subpixel"),
    ],
)
def test_artifacts_answer_as_the_network(
    settings, decoding, run, images, tmp_path
):
    vocabulary = Vocabulary.load(run)
    model = build_afn(vocabulary, image_size=64, width=0.05, **settings)
    trained = TrainedModel("variant", model, vocabulary, decoding)
    export_saved_model(trained, tmp_path / "1", images[0].read_bytes())
    export_tflite(trained, tmp_path / "afn.tflite")
    for path in (tmp_path / "1", tmp_path / "afn.tflite"):
        assert verify(trained, path, images).difference < BOUND
    maps = tf.saved_model.load(str(tmp_path / "1")).signatures["maps"](
        tf.constant([images[0].read_bytes()])
    )
    assert ("attention" in maps) == (settings.get("attention") != "none")
    side = 64 if settings.get("upsampling", True) else 8
    assert maps["heatmaps"].shape == (1, side, side, 8)


def test_network_without_any_map_has_no_signature_for_it(images, tmp_path):
    vocabulary = Vocabulary(categories=("Jeans", "Tee"))
    model = build_afn(vocabulary, image_size=32, width=0.05, attention="none")
    trained = TrainedModel("alone", model, vocabulary)
    export_saved_model(trained, tmp_path / "1", images[0].read_bytes())
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    assert set(loaded.signatures) == {
        "serving_default",
        "boxes",
        "tensor",
        "raw",
    }


def test_points_of_argmax_are_centers_of_pixels(run):
    vocabulary = Vocabulary.load(run)
    model = build_afn(vocabulary, image_size=32, width=0.05)
    trained = TrainedModel("argmax", model, vocabulary, "argmax")
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    points = trained.predict_images(images)["landmarks"] * 32 - 0.5
    np.testing.assert_allclose(points, points.round(), atol=1e-4)
