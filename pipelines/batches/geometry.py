"""Chooses the part of an image to show, and transforms landmarks to it.

Each image has one `matrix` (..., 2, 3), which maps fractions of the image
shown, (u, v, 1), to pixels of the image. Steps only change the matrix. The
image is resampled with it once, and landmarks go through the same matrix, so
the two always agree.
"""

import numpy as np
import tensorflow as tf

from pipelines.steps import Example
from pipelines.steps import Step
from pipelines.steps import chance
from pipelines.vocabulary import Vocabulary


def show_box(example: Example) -> Example:
    """Shows the garment's box, without keeping its aspect ratio."""
    window = example["window"]
    start, end = window[..., :2], window[..., 2:]
    linear = tf.linalg.diag(end - start)
    return example | {"matrix": tf.concat([linear, start[..., None]], -1)}


def jitter(amount: float) -> Step:
    """Moves each side of the box independently, like a detector's errors.

    Args:
        amount: in units of the box; below 0.5, or sides could cross.
    """

    def step(example: Example) -> Example:
        moves = amount * chance(example, "jitter")
        start, end = moves[..., :2], 1 + moves[..., 2:]
        return _reframe(example, start, end - start)

    return step


def shift(amount: float) -> Step:
    """Moves the window by up to `amount` of its sides."""

    def step(example: Example) -> Example:
        start = amount * chance(example, "shift")
        return _reframe(example, start, tf.ones_like(start))

    return step


def scale(amount: float) -> Step:
    """Scales width and height of the window equally, about its center."""

    def step(example: Example) -> Example:
        side = 1 + amount * chance(example, "scale")
        sides = tf.concat([side, side], -1)
        return _reframe(example, (1 - sides) / 2, sides)

    return step


def rotate(degrees: float) -> Step:
    """Turns the window about its center, by up to `degrees`.

    It turns in pixels of the image, so right angles stay right angles there,
    whatever the aspect ratio of the box.
    """

    def step(example: Example) -> Example:
        angle = chance(example, "rotation") * degrees * (3.14159265 / 180)
        cosine, sine = tf.cos(angle), tf.sin(angle)
        rotation = tf.stack(
            [
                tf.concat([cosine, -sine], -1),
                tf.concat([sine, cosine], -1),
            ],
            -2,
        )
        linear, offset = example["matrix"][..., :2], example["matrix"][..., 2:]
        middle = tf.fill([2, 1], 0.5)
        turned = rotation @ linear
        offset += linear @ middle - turned @ middle
        return example | {"matrix": tf.concat([turned, offset], -1)}

    return step


def mirror(example: Example) -> Example:
    """Mirrors every second image, and adds `mirrored` (...) bool."""
    mirrored = chance(example, "flip") < 0
    start = tf.cast(mirrored, tf.float32)
    upright = tf.zeros_like(start)
    example = _reframe(
        example,
        tf.concat([start, upright], -1),
        tf.concat([1 - 2 * start, 1 - upright], -1),
    )
    return example | {"mirrored": mirrored[..., 0]}


def place_landmarks(vocabulary: Vocabulary) -> Step:
    """Converts `landmarks` from pixels to fractions of the image shown.

    In a mirrored image, each left landmark is the right one of its pair, and
    does not count if the vocabulary has no such pair.
    """
    order = np.array(vocabulary.flipped_landmarks(), np.int32)
    paired, flipped = order >= 0, np.maximum(order, 0)

    def step(example: Example) -> Example:
        linear, offset = example["matrix"][..., :2], example["matrix"][..., 2]
        pixels = example["landmarks"] - offset[..., None, :]
        points = tf.linalg.matmul(
            pixels, tf.linalg.inv(linear), transpose_b=True
        )
        visible = example["visible"]
        if "mirrored" in example:
            mirrored = example["mirrored"][..., None]
            visible = tf.where(
                mirrored, tf.gather(visible, flipped, axis=-1) & paired, visible
            )
            points = tf.where(
                mirrored[..., None],
                tf.gather(points, flipped, axis=-2),
                points,
            )
        return example | {"landmarks": points, "visible": visible}

    return step


def _reframe(example: Example, start: tf.Tensor, sides: tf.Tensor) -> Example:
    """Shows a part of the current window, given in fractions of it."""
    linear, offset = example["matrix"][..., :2], example["matrix"][..., 2:]
    offset += linear @ start[..., None]
    linear *= sides[..., None, :]
    return example | {"matrix": tf.concat([linear, offset], -1)}
