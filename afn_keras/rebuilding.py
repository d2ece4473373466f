"""Networks from `.keras` files of the other Keras.

Keras 3 and Keras 2.15 describe layers differently and store their weights
alike. So what a file says of the layers is read for the arguments of
`build_afn`, as numbers and names: nothing that it brings along is run.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afn_keras.backend import keras
from afn_keras.network import build_afn

# Channels at width 1 of layers that tell the width.
_CHANNELS = {
    "block1_conv1": 64,
    "block2_conv1": 128,
    "block3_conv1": 256,
    "block5_conv1": 512,
    "attention_conv1x1": 32,
    "attention_conv2": 28,
    "attention_upsample1": 128,
    "category_hidden": 1024,
    "attributes_hidden": 1024,
}


UNREADABLE = (
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a file raises that is damaged, or another project's."""


def keras_version(file: Path) -> str:
    """The version of Keras that wrote a `.keras` file.

    Raises:
        UNREADABLE: if it is no such file.
    """
    with zipfile.ZipFile(file) as archive:
        return str(json.loads(archive.read("metadata.json"))["keras_version"])


def rebuild_network(file: Path) -> keras.Model:
    """Builds the network in a `.keras` file anew, in float32.

    Args:
        file: written by any Keras that this project runs on.

    Raises:
        UNREADABLE, TypeError: if it is no such file, or its network is none
            that `build_afn` makes.
    """
    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read("config.json"))["config"]
    layers = {layer["config"]["name"]: layer for layer in config["layers"]}
    network = build_afn(**_arguments(layers))
    mine = [layer.name for layer in network.layers if layer.weights]
    # Weights are stored by the order of layers.
    if mine != [name for name in layers if name in set(mine)]:
        raise ValueError("its layers are not those of build_afn")
    network.load_weights(str(file))
    return network


def _arguments(layers: Mapping[str, Any]) -> dict[str, Any]:
    def number(layer: str, *fields: str) -> Any:
        """The first of these fields that the layer has; 0 without a layer."""
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
    return {
        "num_categories": number("category", "units"),
        "num_attributes": number("attributes", "units"),
        "num_landmarks": number("heatmaps", "filters"),
        "image_size": number("image", "batch_shape", "batch_input_shape")[1],
        "width": _width(
            {name: number(name, "filters", "units") for name in _CHANNELS}
        ),
        "dropout": number("category_dropout1", "rate")
        or number("attributes_dropout1", "rate"),
        "attention": attention,
        "upsampling": "landmark1_upsample" in layers
        or "heatmaps" not in layers,
    }


def _width(channels: Mapping[str, int]) -> float:
    """A width that gives these channels, of layers that are there.

    Each count is rounded, so it leaves a range of widths.
    """
    lowest, highest = 0.0, math.inf
    for name, count in channels.items():
        if count:
            # No width is too small for the one channel that there is always.
            if count > 1:
                lowest = max(lowest, (count - 0.5) / _CHANNELS[name])
            highest = min(highest, (count + 0.5) / _CHANNELS[name])
    if not lowest <= highest < math.inf:
        raise ValueError("its layers are of no width that build_afn has")
    return (lowest + highest) / 2
