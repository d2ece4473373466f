"""Converts labels of one vocabulary to another, by name."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipelines.annotations import UNKNOWN
from pipelines.steps import Example
from pipelines.steps import Step
from pipelines.vocabulary import Vocabulary


def relabel(given: Vocabulary, wanted: Vocabulary) -> Step:
    """Moves labels to the places of their names in another vocabulary.

    Labels that only `wanted` has are unknown, those that only `given` has are
    dropped.

    Args:
        given: vocabulary of the labels from `parse_record`.
        wanted: vocabulary of the result.
    """
    landmarks = _places(given.landmarks, wanted.landmarks)
    attributes = _places(given.attributes, wanted.attributes)
    place = {name: index for index, name in enumerate(wanted.categories)}
    categories = [place.get(name, UNKNOWN) for name in given.categories]
    # The first entry is for the unknown category, -1.
    categories = np.array([UNKNOWN, *categories])

    def step(example: Example) -> Example:
        return example | {
            "landmarks": _take(example["landmarks"], landmarks, -2, 0),
            "visibility": _take(example["visibility"], landmarks, -1, UNKNOWN),
            "visible": _take(example["visible"], landmarks, -1, False),
            "category": tf.gather(categories, example["category"] + 1),
            "attributes": _take(example["attributes"], attributes, -1, UNKNOWN),
        }

    return step


def _places(names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Returns indices of wanted names; `len(names)` for a name not there."""
    place = {name: index for index, name in enumerate(names)}
    return np.array([place.get(name, len(names)) for name in wanted], int)


def _take(
    values: tf.Tensor, places: np.ndarray, axis: int, unknown: int | bool
) -> tf.Tensor:
    """Takes values at places along an axis; `unknown` after the last one."""
    room = np.zeros((values.shape.rank, 2), int)
    room[axis, 1] = 1
    fill = tf.constant(unknown, values.dtype)
    return tf.gather(
        tf.pad(values, room, constant_values=fill), places, axis=axis
    )
