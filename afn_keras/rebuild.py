"""Rebuilds networks from `.keras` files without running code from them.

The configuration of the layers gives the arguments of `build_afn`, and the
weights are read as arrays. Keras 3 and Keras 2.15 describe layers differently
but store weights alike, so each opens the other's files.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afn_keras.backbones import LITE_VARIANTS
from afn_keras.backbones import EfficientNetLite
from afn_keras.backend import keras
from afn_keras.backend import precision
from afn_keras.network import build_afn

# Channels at width 1 of the layers that determine the width.
_CHANNELS = {
    "block1_conv1": 64,
    "block2_conv1": 128,
    "block3_conv1": 256,
    "block4_conv1": 512,
    "block5_conv1": 512,
    "attention_conv1x1": 32,
    "attention_conv2": 28,
    "attention_upsample1": 128,
    "category_hidden": 1024,
    "attributes_hidden": 1024,
}


_WEIGHTS = "model.weights.h5"

# Compression ratio; weights are random numbers, which hardly compress.
_LARGEST_PACKING = 50
# Values in an image's heatmaps: the weights do not limit the image's size.
_LARGEST_HEATMAPS = 2**28


UNREADABLE = (
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors of reading a file that is damaged or of another project."""


def keras_version(file: Path) -> str:
    """Returns the version of Keras that wrote a `.keras` file.

    Raises:
        UNREADABLE: if it is not such a file.
    """
    with zipfile.ZipFile(file) as archive:
        return str(json.loads(archive.read("metadata.json"))["keras_version"])


def rebuild_network(file: Path) -> keras.Model:
    """Rebuilds the network in a `.keras` file, in float32.

    Args:
        file: a file written by any supported version of Keras.

    Raises:
        UNREADABLE, TypeError: if it is not such a file, or `build_afn` cannot
            build its network.
    """
    with zipfile.ZipFile(file) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
        packed = sum(item.compress_size for item in archive.infolist())
        config = json.loads(archive.read("config.json"))["config"]
    if sum(sizes.values()) > _LARGEST_PACKING * packed:
        raise ValueError("it unpacks to far more than its size")
    layers = {layer["config"]["name"]: layer for layer in config["layers"]}
    arguments = _arguments(layers)
    _check_size(arguments, sizes[_WEIGHTS])
    with precision("float32"):
        network = build_afn(**arguments)
    mine = [layer.name for layer in network.layers if layer.weights]
    # Weights are stored in the order of the layers.
    if mine != [name for name in layers if name in set(mine)]:
        raise ValueError("its layers are not those of build_afn")
    network.load_weights(str(file))
    return network


def _check_size(arguments: Mapping[str, Any], stored: int) -> None:
    """Raises ValueError for sizes that do not match the stored weights.

    Otherwise, a small file could make `build_afn` allocate any memory.
    """

    def channels(count: int) -> int:
        return max(1, round(count * arguments["width"]))

    for name in (
        "image_size",
        "num_categories",
        "num_attributes",
        "num_landmarks",
    ):
        value = arguments[name]
        if not isinstance(value, int) or not 0 <= value < 2**31:
            raise ValueError(f"{name} is {value!r}")
    count = 16 * arguments["num_landmarks"]
    for labels in (arguments["num_categories"], arguments["num_attributes"]):
        if arguments["backbone"] != "vgg16":
            count += 1280 * labels
        elif labels:
            pooled = (arguments["image_size"] // 32) ** 2 * channels(512)
            count += channels(1024) * (pooled + labels)
    if arguments["backbone"] == "vgg16":
        count += 9 * channels(512) ** 2
    if 4 * count > stored:
        raise ValueError("it holds fewer weights than its layers have")
    size = arguments["image_size"]
    if size**2 * max(16, arguments["num_landmarks"]) > _LARGEST_HEATMAPS:
        raise ValueError(f"image_size is {size}")


def _arguments(layers: Mapping[str, Any]) -> dict[str, Any]:
    def number(layer: str, *fields: str) -> Any:
        """Returns the first of these fields in the layer; 0 without a layer."""
        if layer not in layers:
            return 0
        config = layers[layer]["config"]
        found = [config[field] for field in fields if field in config]
        if not found:
            raise ValueError(f"{layer} has no {' or '.join(fields)}")
        return found[0]

    attention = "none"
    if "attention" in layers:
        released = "attention_inner2" in layers
        attention = "released" if released else "paper"
    backbone = _backbone(layers)
    return {
        "backbone": backbone,
        "num_categories": number("category", "units"),
        "num_attributes": number("attributes", "units"),
        "num_landmarks": number("heatmaps", "filters"),
        "image_size": number("image", "batch_shape", "batch_input_shape")[1],
        "width": _width(
            {name: number(name, "filters", "units") for name in _CHANNELS}
        )
        if backbone == "vgg16"
        else 1.0,
        "dropout": number("category_dropout1", "rate")
        or number("attributes_dropout1", "rate"),
        "attention": attention,
        "upsampling": "landmark1_upsample" in layers
        or "heatmaps" not in layers,
    }


def _backbone(layers: Mapping[str, Any]) -> str:
    """Returns the backbone that has these blocks, by number and width."""
    if "stem_conv" not in layers:
        return "vgg16"
    for name in LITE_VARIANTS:
        blocks, channels = [], []
        for number, stage in enumerate(EfficientNetLite(name).stages, 1):
            blocks += [f"block{number}{x}" for x in "abcdefgh"[: stage.blocks]]
            channels.append(stage.channels)
        theirs = [
            layer.removesuffix("_dwconv")
            for layer in layers
            if layer.endswith("_dwconv")
        ]
        if theirs == blocks and channels == [
            layers[f"block{number}a_project_conv"]["config"]["filters"]
            for number in range(1, len(channels) + 1)
        ]:
            return name
    raise ValueError("its layers are of no backbone that build_afn has")


def _width(channels: Mapping[str, int]) -> float:
    """Returns a width that gives these channels; 0 is a missing layer.

    Each count is rounded, so it allows a range of widths.
    """
    lowest, highest = 0.0, math.inf
    for name, count in channels.items():
        if count:
            # There is always at least one channel, however small the width.
            if count > 1:
                lowest = max(lowest, (count - 0.5) / _CHANNELS[name])
            highest = min(highest, (count + 0.5) / _CHANNELS[name])
    if not lowest <= highest < math.inf:
        raise ValueError("its layers have no common width")
    return (lowest + highest) / 2
