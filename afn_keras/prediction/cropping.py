"""Crops a garment out of an image, to the size of the network's input."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipelines.errors import InputError
from pipelines.images import inspect_image
from pipelines.images import read_image
from pipelines.images import resample_array
from pipelines.images import show

Box = tuple[float, float, float, float]


class Crop(NamedTuple):
    """A crop of an image, as input of the network.

    Attributes:
        image: (S, S, 3) float32 RGB 0..255.
        box: x1, y1, x2, y2 in pixels of the upright image.
        size: width and height of the upright image in pixels.
    """

    image: np.ndarray
    box: Box
    size: tuple[int, int]


def crop(image: str | Path, image_size: int, box: Box | None = None) -> Crop:
    """Reads an image and crops a garment.

    Args:
        image: path of the file.
        image_size: side of the network's input in pixels.
        box: x1, y1, x2, y2 in pixels; the whole image if left out.

    Raises:
        InputError: if it is not an image, or the box is outside it.
    """
    encoded = read_image(Path(image))
    return crop_encoded(encoded, str(image), image_size, box)


def crop_encoded(
    encoded: bytes, name: str, image_size: int, box: Box | None = None
) -> Crop:
    """Crops a garment out of an encoded image.

    Args:
        encoded: the file's bytes.
        name: name of the image in messages.
        image_size: side of the network's input in pixels.
        box: x1, y1, x2, y2 in pixels; the whole image if left out.

    Raises:
        InputError: if it is not an image, or the box is outside it.
    """
    file = inspect_image(encoded, name)
    width, height = file.width, file.height
    if box is None:
        box = (0.0, 0.0, float(width), float(height))
    x1, y1, x2, y2 = map(float, box)
    shown = f"{name}: the box {x1:g} {y1:g} {x2:g} {y2:g}"
    if not (max(x1, 0) < min(x2, width) and max(y1, 0) < min(y2, height)):
        raise InputError(
            f"{shown} shows nothing of its {width} x {height} pixels"
        )
    # This also bounds the memory that drawing takes: nine times the image.
    if not (
        min(x1 + width, y1 + height) >= 0
        and x2 <= 2 * width
        and y2 <= 2 * height
    ):
        raise InputError(
            f"{shown} leaves its {width} x {height} pixels by more than they "
            "are wide or high"
        )
    box = (x1, y1, x2, y2)
    if file.jpeg is None:
        image = resample_array(file.pixels, box, image_size)
    else:
        image = _compiled_show(image_size)(
            tf.constant(file.jpeg),
            tf.constant(file.orientation),
            tf.constant([width, height]),
            tf.constant(box),
        ).numpy()
    return Crop(image, box, (width, height))


@functools.cache
def _compiled_show(image_size: int) -> Callable[..., tf.Tensor]:
    """Compiles `show` as one graph, for one size of the network's input.

    Eager operations would wait for Python's lock, which other threads hold.
    It is traced here: TensorFlow counts a call that waits for another thread's
    trace as one more trace, and warns about too many.
    """

    @tf.function(
        input_signature=[
            tf.TensorSpec([], tf.string),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([4], tf.float32),
        ]
    )
    def shown(
        encoded: tf.Tensor,
        orientation: tf.Tensor,
        size: tf.Tensor,
        window: tf.Tensor,
    ) -> tf.Tensor:
        return show(encoded, orientation, size, window, image_size)

    return shown.get_concrete_function()
