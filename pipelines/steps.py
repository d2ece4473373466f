"""Defines steps, small functions from a dict of tensors to another one.

All tensors of the dict have the same leading dimensions: none for a single
example, one for a batch. Steps use only the last dimensions, so the same
function serves both.
"""

from collections.abc import Callable

import tensorflow as tf

Example = dict[str, tf.Tensor]
Step = Callable[[Example], Example]

_NUMBERS = {
    "jitter": 4,
    "shift": 2,
    "scale": 1,
    "rotation": 1,
    "flip": 1,
    "color": 2,
    "erasing": 8,
}
_BLOCK = 256


def chances(seed: int | tf.Tensor) -> tf.data.Dataset:
    """Returns random numbers for the steps of each image, in order.

    Each step takes its own numbers, so switching one off changes no other. The
    numbers of an image depend only on the seed and its place, not on its batch
    or thread.

    Returns:
        An endless dataset of (N,) float32 in -1..1.
    """
    count = sum(_NUMBERS.values())

    def block(number: tf.Tensor) -> tf.Tensor:
        # In blocks, since a call per image would take a tenth of the time of
        # decoding it. A batch may span blocks.
        return tf.random.stateless_uniform(
            [_BLOCK, count],
            tf.stack([tf.cast(seed, tf.int64), number]),
            -1.0,
            1.0,
        )

    return tf.data.Dataset.counter().map(block).unbatch()


def chance(example: Example, name: str) -> tf.Tensor:
    """Returns a step's share of the example's `chance`: (..., n) in -1..1."""
    names = list(_NUMBERS)
    before = sum(_NUMBERS[other] for other in names[: names.index(name)])
    return example["chance"][..., before : before + _NUMBERS[name]]
