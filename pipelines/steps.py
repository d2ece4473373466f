"""Steps: small functions from examples, a dict, to examples.

Every tensor of the dict has the same leading dimensions: none for a single
example, one for a batch. Steps work on the last dimensions alone, so the same
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
    """For each image, in order, the chance that all steps draw on.

    A step takes numbers of its own, so that switching one off changes no
    other; and what an image gets depends on the seed and its place alone, not
    on the batch it lands in or the thread that works on it.

    Returns:
        An endless dataset of (N,) float32 in -1..1.
    """
    count = sum(_NUMBERS.values())

    def block(number: tf.Tensor) -> tf.Tensor:
        # In blocks, since a call for each image would take a tenth as long
        # as decoding it. A batch may span them.
        return tf.random.stateless_uniform(
            [_BLOCK, count],
            tf.stack([tf.cast(seed, tf.int64), number]),
            -1.0,
            1.0,
        )

    return tf.data.Dataset.counter().map(block).unbatch()


def chance(example: Example, name: str) -> tf.Tensor:
    """One step's share of the example's `chance`: (..., n) in -1..1."""
    names = list(_NUMBERS)
    before = sum(_NUMBERS[other] for other in names[: names.index(name)])
    return example["chance"][..., before : before + _NUMBERS[name]]
