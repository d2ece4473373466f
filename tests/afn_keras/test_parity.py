"""Compares the network with a forward pass in NumPy.

Nothing here calls Keras but to read weights: convolutions are sums over their
taps, transposed ones scatter what a convolution of stride 2 would gather.
"""

import numpy as np
import pytest

from afn_keras.backend.versions import keras
from afn_keras.network import build_afn
from afn_keras.outputs import MapsModel

MEAN_RGB = np.array([123.68, 116.779, 103.939])


def conv(x, kernel, bias=0.0, stride=1):
    """Convolves (H, W, C) with (k, k, C, D), padded to the same size."""
    size = kernel.shape[0]
    # Stride 1: as much before as behind; 4x4 of stride 2: one on each side.
    before = (size - stride) // 2
    height, width = x.shape[0] // stride, x.shape[1] // stride
    padded = np.pad(x, ((before, size), (before, size), (0, 0)))
    result = np.zeros((height, width, kernel.shape[3]))
    for i in range(size):
        for j in range(size):
            rows = padded[i : i + stride * height : stride]
            result += rows[:, j : j + stride * width : stride] @ kernel[i, j]
    return result + bias


def conv_transposed(x, kernel, bias=0.0):
    """Applies a transposed convolution of (4, 4, D, C), stride 2: (2H, 2W, D).

    Every input pixel adds its kernel around its place in the output.
    """
    height, width, _ = x.shape
    result = np.zeros((2 * height + 2, 2 * width + 2, kernel.shape[2]))
    for i in range(4):
        for j in range(4):
            rows = result[i : i + 2 * height : 2]
            rows[:, j : j + 2 * width : 2] += x @ kernel[i, j].T
    return result[1:-1, 1:-1] + bias


def pool(x):
    height, width, count = x.shape
    return x.reshape(height // 2, 2, width // 2, 2, count).max((1, 3))


def downsample(x):
    """Downsamples by 8, bilinear: averages the middle four pixels."""
    height, width, count = x.shape
    blocks = x.reshape(height // 8, 8, width // 8, 8, count)
    return blocks[:, 3:5, :, 3:5].mean((1, 3))


def relu(x):
    return np.maximum(x, 0)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


class Network:
    """The paper's Fig. 1, from weights by layer name."""

    def __init__(self, model):
        self.weights = {
            layer.name: [array.astype("float64") for array in weights]
            for layer in model.layers
            if (weights := layer.get_weights())
        }

    def conv(self, x, name, stride=1):
        return conv(x, *self.weights[name], stride=stride)

    def up(self, x, name):
        return conv_transposed(x, *self.weights[name])

    def norm(self, x, name):
        gamma, beta, mean, variance = self.weights[f"attention_{name}_norm"]
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    def dense(self, x, name):
        kernel, bias = self.weights[name]
        return x @ kernel + bias

    def block(self, x, number, convs):
        for k in range(1, convs + 1):
            x = relu(self.conv(x, f"block{number}_conv{k}"))
        return x

    def __call__(self, image, attention, upsampling):
        x = (image - MEAN_RGB)[..., ::-1]
        x = pool(self.block(x, 1, 2))
        x = pool(self.block(x, 2, 2))
        x = pool(self.block(x, 3, 3))
        features = self.block(x, 4, 3)
        heatmaps = self.heatmaps(features, upsampling)
        result = {"heatmaps": heatmaps}
        if attention == "paper":
            # Downsampled, then the maximum over landmarks.
            small = downsample(heatmaps) if upsampling else heatmaps
            where = small.max(-1, keepdims=True)
            result["attention"] = self.attention(features, where)
            features = (0.5 + result["attention"]) * features
        elif attention == "released":
            where = heatmaps.max(-1, keepdims=True)
            where = downsample(where) if upsampling else where
            result["attention"] = self.u_net(features, where)
            features = (1 + result["attention"]) * features
        x = pool(self.block(pool(features), 5, 3)).reshape(-1)
        for head in ("category", "attributes"):
            hidden = relu(self.dense(x, f"{head}_hidden"))
            result[head] = self.dense(hidden, head)
        return result

    def heatmaps(self, features, upsampling):
        x = relu(self.conv(features, "landmark_conv1x1"))
        for stage in (1, 2, 3):
            for k in (1, 2):
                x = relu(self.conv(x, f"landmark{stage}_conv{k}"))
            if upsampling:
                x = relu(self.up(x, f"landmark{stage}_upsample"))
        return self.conv(x, "heatmaps")

    def attention(self, features, where):
        x = np.concatenate([features, where], -1)
        x = relu(self.conv(x, "attention_conv1x1"))
        x = pool(relu(self.conv(x, "attention_conv1")))
        x = pool(relu(self.conv(x, "attention_conv2")))
        x = relu(self.up(x, "attention_upsample1"))
        return 1 / (1 + np.exp(-self.up(x, "attention")))

    def u_net(self, features, where):
        x = np.concatenate([where, features], -1)
        outer = self.conv(x, "attention_conv1x1")
        middle = self.conv(leaky(outer), "attention_down1", stride=2)
        middle = self.norm(middle, "down1")
        inner = self.conv(leaky(middle), "attention_down2", stride=2)
        inner = self.norm(inner, "down2")
        x = relu(self.conv(leaky(inner), "attention_inner1"))
        x = self.norm(self.conv(x, "attention_inner2"), "inner2")
        x = relu(np.concatenate([inner, x], -1))
        x = self.norm(self.up(x, "attention_up1"), "up1")
        x = relu(np.concatenate([middle, x], -1))
        x = self.norm(self.up(x, "attention_up2"), "up2")
        x = relu(np.concatenate([outer, x], -1))
        return np.tanh(self.conv(x, "attention"))


def randomize(model, random):
    """Weights, biases and statistics of the size that keeps signals alive."""
    for layer in model.layers:
        arrays = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            arrays = [random.uniform(0.5, 1.5, a.shape) for a in arrays]
        elif arrays:
            inputs = arrays[0].size / arrays[0].shape[-1]
            if isinstance(layer, keras.layers.Conv2DTranspose):
                inputs = 4 * arrays[0].shape[-1]
            if layer.name == "block1_conv1":
                inputs *= 100**2  # Pixels are some hundred.
            arrays = [
                random.normal(0, np.sqrt(2 / inputs), arrays[0].shape),
                *(random.normal(0, 0.1, a.shape) for a in arrays[1:]),
            ]
        layer.set_weights(arrays)


@pytest.mark.parametrize("upsampling", [True, False])
@pytest.mark.parametrize("attention", ["paper", "released", "none"])
def test_network_is_what_numpy_makes_of_it(attention, upsampling):
    random = np.random.default_rng(1)
    model = build_afn(
        num_categories=4,
        num_attributes=6,
        image_size=64,
        width=0.06,
        attention=attention,
        upsampling=upsampling,
    )
    randomize(model, random)
    images = random.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    outputs = {**model(images), **MapsModel(model)(images)}
    network = Network(model)
    for index, image in enumerate(images.astype("float64")):
        expected = network(image, attention, upsampling)
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            # Neither dead nor beyond all bounds, so that it proves something.
            assert 1e-3 < value.std() < 1e3, name
            difference = np.abs(np.array(outputs[name][index]) - value).max()
            assert difference <= 1e-5 * max(1, np.abs(value).max()), name


def test_convolution_by_hand():
    x = np.arange(1.0, 10).reshape(3, 3, 1)
    kernel = np.zeros((3, 3, 1, 1))
    kernel[0, 1] = 1  # What is above,
    kernel[1, 2] = 10  # and ten times what is at the right.
    expected = [[20, 30, 0], [51, 62, 3], [84, 95, 6]]
    np.testing.assert_array_equal(conv(x, kernel)[..., 0], expected)


def test_transposed_convolution_by_hand():
    x = np.array([[[1.0], [10.0]]])
    kernel = np.arange(16.0).reshape(4, 4, 1, 1)
    # Pixel k adds rows 1 and 2 of the kernel, from column 2k - 1 on.
    expected = [
        [5, 6 + 40, 7 + 50, 60],
        [9, 10 + 80, 11 + 90, 100],
    ]
    np.testing.assert_array_equal(conv_transposed(x, kernel)[..., 0], expected)
