"""All that a network answered on a split beside the truth, image by image."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from afn_keras.prediction import PRESENT
from pipelines.vocabulary import Vocabulary


@dataclasses.dataclass
class Outcomes:
    """Collects batches for what a mean does not tell.

    Args:
        vocabulary: names of the labels.

    Examples:
        >>> outcomes = Outcomes(records.vocabulary)
        >>> evaluate(model, records, "val", watch=outcomes.add)
        >>> outcomes.distances.shape
        (250, 8)
    """

    vocabulary: Vocabulary

    def __post_init__(self) -> None:
        self._batches: list[tuple[dict, dict]] = []

    def add(
        self, targets: dict[str, np.ndarray], answers: dict[str, np.ndarray]
    ) -> None:
        """Adds a batch, as `evaluate` hands it to its `watch`."""
        targets = dict(targets)
        if "attributes" in targets:
            # A thousand of them for each of 40,000 images.
            targets["attributes"] = targets["attributes"].astype(np.int8)
        self._batches.append((targets, answers))

    @functools.cached_property
    def distances(self) -> np.ndarray:
        """(N, L) from landmark to truth in units of the box's sides.

        NaN where it does not count.
        """
        truth, points = self._all(0, "heatmaps"), self._all(1, "landmarks")
        distances = np.linalg.norm(points - truth[..., :2], axis=-1)
        return np.where(truth[..., 2] > 0, distances, np.nan)

    @functools.cached_property
    def landmarks(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, L, 3) truth as `load_split` gives it, (N, L, 2) answers."""
        return self._all(0, "heatmaps"), self._all(1, "landmarks")

    @functools.cached_property
    def landmark_scores(self) -> np.ndarray:
        """(N, L) heights of the landmarks' peaks in 0..1."""
        return self._all(1, "landmark_scores")

    @functools.cached_property
    def category(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) truth, -1 unknown, and (N, C) probabilities."""
        return self._all(0, "category").astype(int), self._all(1, "category")

    @functools.cached_property
    def attributes(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, A) truth, 1, 0 or -1 unknown, and (N, A) probabilities."""
        return self._all(0, "attributes"), self._all(1, "attributes")

    def _all(self, which: int, name: str) -> np.ndarray:
        return np.concatenate([batch[which][name] for batch in self._batches])


class AttributeScore(NamedTuple):
    """How well one attribute is told, over the images where it is known.

    Attributes:
        name: of the attribute.
        group: of the attribute.
        images: images that have it.
        known: images where it is known.
        average_precision: area under precision over recall, 0..1.
        precision: of those said to have it, the share that has; None if none
            is said to.
        recall: of those that have it, the share that is said to.
        calibration_error: mean distance of probability from frequency.
    """

    name: str
    group: str
    images: int
    known: int
    average_precision: float
    precision: float | None
    recall: float
    calibration_error: float


def attribute_scores(outcomes: Outcomes) -> list[AttributeScore]:
    """Scores of each attribute that some image has, the most frequent first.

    An attribute is said to be there from a probability of one half on.
    """
    truth, scores = outcomes.attributes
    vocabulary = outcomes.vocabulary
    found = []
    for column, (name, group) in enumerate(
        zip(vocabulary.attributes, vocabulary.attribute_groups, strict=True)
    ):
        known = truth[:, column] >= 0
        has, score = truth[known, column] == 1, scores[known, column]
        if not has.any():
            continue
        said = score >= PRESENT
        right = int((said & has).sum())
        found.append(
            AttributeScore(
                name,
                group,
                int(has.sum()),
                int(known.sum()),
                float(average_precision_score(has, score)),
                right / int(said.sum()) if said.any() else None,
                right / int(has.sum()),
                calibration_error(has, score),
            )
        )
    return sorted(found, key=lambda score: -score.images)


BINS = 10
"""Parts of 0..1 in which probabilities are compared with frequencies."""


def calibration(
    right: np.ndarray, score: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often what is said with some probability is so.

    Args:
        right: (N,) bool, whether it is so.
        score: (N,) probability with which it is said.

    Returns:
        (BINS,) each of images, mean probability and frequency; the last two
        NaN where there is no image.
    """
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, score, BINS) / count
        so = np.bincount(place, right, BINS) / count
    return count, said, so


def calibration_error(right: np.ndarray, score: np.ndarray) -> float:
    """Expected calibration error: mean |probability - frequency|, 0..1.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, with
    ten bins.
    """
    count, said, so = calibration(right, score)
    return float(np.nansum(count * np.abs(said - so)) / count.sum())
