"""What the network takes from any backbone."""

from collections.abc import Callable
from typing import Any
from typing import NamedTuple
from typing import Protocol

from afn_keras.backend import keras

Channels = Callable[[int], int]
"""Scales a number of channels by the network's width."""


class Front(NamedTuple):
    """Features of the part of a backbone before the attention.

    Args:
        features: (B, h, w, F); the landmark branch leaves here, and the
            attention gates them.
        skips: features at twice, four times, ... their size, which the
            landmark branch adds after each upsampling; () if it adds none.
    """

    features: Any
    skips: tuple[Any, ...] = ()


class Backbone(Protocol):
    """A classification network, cut where the paper's landmark branch leaves.

    Args:
        name: as `build_afn` and recipes name it.
        prefixes: what the names of its layers begin with.
        branch_channels: channels of the landmark branch's stages, each
            (convolutions, upsampled).
        squeezes: poolings of the attention branch.
        hidden: units of the hidden layer of each head; 0 for none.
        scales: whether `width` can be other than 1.
        normalizes: whether the branches have batch normalization, as the
            backbone has; what they see is not scaled then.
    """

    name: str
    prefixes: tuple[str, ...]
    branch_channels: tuple[tuple[int, int], ...]
    squeezes: int
    hidden: int
    scales: bool
    normalizes: bool

    def front(self, image: Any, channels: Channels) -> Front:
        """Returns the features of images, RGB 0..255, (B, H, W, 3)."""

    def rear(self, attended: Any, channels: Channels) -> Any:
        """Returns what the heads see of the attended features."""

    def load_weights(self, model: keras.Model, weights: str) -> str:
        """Copies pretrained weights into a model's layers by name.

        Args:
            model: what `build_afn` returns, with width 1.
            weights: "imagenet" or a file.

        Returns:
            What was loaded, in one line.

        Raises:
            InputError: if the weights cannot be had or do not fit.
        """
