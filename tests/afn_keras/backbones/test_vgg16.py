"""VGG16's weights: from a file, and where they cannot be downloaded."""

import numpy as np
import pytest

from afn_keras.backbones.vgg16 import VGG16
from afn_keras.backend import keras
from afn_keras.network import build_afn
from pipelines.errors import InputError


def test_backbone_comes_from_a_file_by_name(tmp_path):
    vgg16 = keras.applications.VGG16(include_top=False, weights=None)
    path = tmp_path / "vgg16.weights.h5"
    vgg16.save_weights(path)
    model = build_afn(num_categories=2, num_attributes=0, image_size=32)
    VGG16().load_weights(model, str(path))
    for layer in vgg16.layers:
        if layer.weights:
            mine = model.get_layer(layer.name)
            assert np.array_equal(mine.kernel, layer.kernel)
            assert np.array_equal(mine.bias, layer.bias)

    small = build_afn(num_categories=2, num_attributes=0, width=0.5)
    with pytest.raises(InputError, match="need width=1"):
        VGG16().load_weights(small, str(path))
    path.write_text("no weights")
    with pytest.raises(InputError, match="holds no weights of VGG16"):
        VGG16().load_weights(model, str(path))
    with pytest.raises(InputError, match="no such file"):
        VGG16().load_weights(model, str(tmp_path / "none.h5"))


def test_no_connection_says_where_to_put_the_file(monkeypatch, tmp_path):
    # An address that refuses at once, as on a machine without a network.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if hasattr(keras, "config"):
        # It has read that variable already.
        monkeypatch.setattr(keras.config, "_KERAS_DIR", str(tmp_path), False)
    model = build_afn(num_categories=2, num_attributes=0, image_size=32)
    with pytest.raises(InputError, match=r"put vgg16_weights.*\.keras/models"):
        VGG16().load_weights(model, "imagenet")
