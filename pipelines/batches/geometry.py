"""Which part of an image is shown, and where the landmarks come to lie.

All of it is one matrix an image, `matrix` (..., 2, 3): it takes fractions
of the image shown, (u, v, 1), to pixels of the image. Steps only change
the matrix. The image is resampled with it once, and the landmarks go
through the same matrix, so the two cannot drift apart.
"""

import numpy as np
import tensorflow as tf

from pipelines.steps import Example
from pipelines.steps import Step
from pipelines.steps import chance
from pipelines.vocabulary import Vocabulary


def show_box(example: Example) -> Example:
    """Shows the garment's box, without keeping its aspect."""
    window = example["window"]
    start, end = window[..., :2], window[..., 2:]
    linear = tf.linalg.diag(end - start)
    return example | {"matrix": tf.concat([linear, start[..., None]], -1)}


def jitter(amount: float) -> Step:
    """Moves each side of the box on its own, as a detector's boxes are off.

    Args:
        amount: in units of the box; below 0.5, or it could turn inside out.
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
    """Scales width and height of the window alike, about its center."""

    def step(example: Example) -> Example:
        side = 1 + amount * chance(example, "scale")
        sides = tf.concat([side, side], -1)
        return _reframe(example, (1 - sides) / 2, sides)

    return step


def rotate(degrees: float) -> Step:
    """Turns the window about its center, by up to so many degrees.

    It turns in the image's pixels, so a right angle stays one there,
    whatever the aspect of the box.
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
    """Mirrors every second image, and says so in `mirrored`."""
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
    """Turns `landmarks` from pixels to fractions of the image shown.

    In a mirrored image each left landmark is the right one of its pair, and
    not known where there is none.
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
    """Shows a part of what was shown, in fractions of it."""
    linear, offset = example["matrix"][..., :2], example["matrix"][..., 2:]
    offset += linear @ start[..., None]
    linear *= sides[..., None, :]
    return example | {"matrix": tf.concat([linear, offset], -1)}
