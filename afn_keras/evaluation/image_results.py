"""Collects the truth and the predictions of each image of a split."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from afn_keras.prediction import PRESENT
from pipelines.vocabulary import Vocabulary


@dataclasses.dataclass
class ImageResults:
    """Truth and predictions of each image, for charts and the worst cases.

    Args:
        vocabulary: names of the labels.

    Examples:
        >>> results = ImageResults(records.vocabulary)
        >>> evaluate(model, records, "val", on_batch=results.add)
        >>> results.distances.shape
        (250, 8)
    """

    vocabulary: Vocabulary

    def __post_init__(self) -> None:
        self._batches: list[tuple[dict, dict]] = []

    def add(
        self, targets: dict[str, np.ndarray], predictions: dict[str, np.ndarray]
    ) -> None:
        """Adds a batch, as `evaluate` passes it to `on_batch`."""
        targets = dict(targets)
        if "attributes" in targets:
            # 1,000 attributes of 40,000 images would take much memory.
            targets["attributes"] = targets["attributes"].astype(np.int8)
        self._batches.append((targets, predictions))

    @functools.cached_property
    def distances(self) -> np.ndarray:
        """Returns the distances to the truth, (N, L), in units of the box.

        NaN where a landmark does not count.
        """
        truth, points = self._all(0, "heatmaps"), self._all(1, "landmarks")
        distances = np.linalg.norm(points - truth[..., :2], axis=-1)
        return np.where(truth[..., 2] > 0, distances, np.nan)

    @functools.cached_property
    def landmarks(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns truth (N, L, 3), as in `load_split`, and points (N, L, 2)."""
        return self._all(0, "heatmaps"), self._all(1, "landmarks")

    @functools.cached_property
    def landmark_scores(self) -> np.ndarray:
        """Returns the heights of the landmarks' peaks, (N, L), in 0..1."""
        return self._all(1, "landmark_scores")

    @functools.cached_property
    def category(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns truth (N,), -1 unknown, and probabilities (N, C)."""
        return self._all(0, "category").astype(int), self._all(1, "category")

    @functools.cached_property
    def attributes(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns truth (N, A), 1, 0 or -1, and probabilities (N, A)."""
        return self._all(0, "attributes"), self._all(1, "attributes")

    def _all(self, which: int, name: str) -> np.ndarray:
        return np.concatenate([batch[which][name] for batch in self._batches])


class AttributeScore(NamedTuple):
    """Scores of one attribute, over the images where it is known.

    Attributes:
        name: of the attribute.
        group: of the attribute.
        images: images that have it.
        known: images where it is known.
        average_precision: area under precision over recall, 0..1.
        precision: share of the images predicted to have it that have it; None
            if none is.
        recall: share of the images that have it that are predicted to.
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


def attribute_scores(results: ImageResults) -> list[AttributeScore]:
    """Scores each attribute that some image has, the most frequent first.

    An attribute is predicted if its probability is one half or more.
    """
    truth, scores = results.attributes
    vocabulary = results.vocabulary
    found = []
    for column, (name, group) in enumerate(
        zip(vocabulary.attributes, vocabulary.attribute_groups, strict=True)
    ):
        known = truth[:, column] >= 0
        has, score = truth[known, column] == 1, scores[known, column]
        if not has.any():
            continue
        predicted = score >= PRESENT
        right = int((predicted & has).sum())
        found.append(
            AttributeScore(
                name,
                group,
                int(has.sum()),
                int(known.sum()),
                float(average_precision_score(has, score)),
                right / int(predicted.sum()) if predicted.any() else None,
                right / int(has.sum()),
                calibration_error(has, score),
            )
        )
    return sorted(found, key=lambda score: -score.images)


BINS = 10
"""Number of bins in which probabilities are compared with frequencies."""


def calibration(
    right: np.ndarray, score: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compares predicted probabilities with observed frequencies in bins.

    Args:
        right: (N,) bool, whether the prediction is right.
        score: (N,) its probability.

    Returns:
        Number of images, mean probability and frequency, (BINS,) each; the
        last two are NaN in bins without images.
    """
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(place, score, BINS) / count
        observed = np.bincount(place, right, BINS) / count
    return count, predicted, observed


def calibration_error(right: np.ndarray, score: np.ndarray) -> float:
    """Returns the expected calibration error, 0..1.

    The mean of |probability - frequency|, weighted by images.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, with
    ten bins.
    """
    count, predicted, observed = calibration(right, score)
    error = np.nansum(count * np.abs(predicted - observed)) / count.sum()
    return float(error)
