"""Draws the worst mistakes of an evaluation: truth and prediction."""

from collections.abc import Sequence

import numpy as np

from afn_keras.drawing import UNSURE
from afn_keras.drawing import draw_sheet
from afn_keras.drawing import image_tiles
from afn_keras.evaluation.image_results import ImageResults
from afn_keras.prediction import PRESENT
from pipelines.annotations import OCCLUDED
from pipelines.annotations import TRUNCATED
from pipelines.annotations import VISIBLE
from pipelines.batches import examples_at
from pipelines.records import Records


def landmark_mistakes(
    results: ImageResults, records: Records, split: str, count: int = 12
) -> np.ndarray | None:
    """Draws the images with the largest mean landmark error.

    Args:
        results: the results of the whole split.
        records: the records with the images.
        split: the split.
        count: number of images.

    Returns:
        (h, w, 3) uint8 RGB: predicted landmarks are dots, or rings if their
        score is below one half, with a line to a cross at the truth. None if
        no landmark counts.
    """
    counts = ~np.isnan(results.distances)
    error = np.where(counts, results.distances, 0).sum(axis=1)
    error /= np.maximum(counts.sum(axis=1), 1)
    worst = _largest(error, count)
    unsure = results.landmark_scores < PRESENT
    marks = np.where(unsure, OCCLUDED, VISIBLE)
    tiles = []
    for index, tile in zip(worst, _tiles(records, split, worst), strict=True):
        truth, points = (part[index] for part in results.landmarks)
        start, end = tile.box[:2], tile.box[2:]
        tiles.append(
            tile._replace(
                points=start + points * (end - start),
                truth=start + truth[:, :2] * (end - start),
                visibility=np.where(counts[index], marks[index], TRUNCATED),
                caption=[f"error {error[index]:.3f}"],
            )
        )
    title = f"largest mean error of landmarks, {split}"
    return _sheet(tiles, results.vocabulary.landmarks, title)


def category_mistakes(
    results: ImageResults, records: Records, split: str, count: int = 12
) -> np.ndarray | None:
    """Draws the images with the most confident wrong categories.

    Sorted by the difference of probability between the best category and the
    true one. None if all are right.
    """
    truth, scores = results.category
    known = truth >= 0
    best = scores.argmax(axis=1)
    lead = scores.max(axis=1) - scores[np.arange(len(scores)), truth]
    worst = _largest(np.where(known & (best != truth), lead, 0), count)
    names = results.vocabulary.categories
    tiles = [
        tile._replace(
            points=np.zeros((0, 2)),
            visibility=np.zeros(0),
            caption=[
                f"truth: {_scored(names, scores[index], truth[index])}",
                f"predicted: {_scored(names, scores[index], best[index])}",
            ],
        )
        for index, tile in zip(
            worst, _tiles(records, split, worst), strict=True
        )
    ]
    return _sheet(tiles, (), f"most confident wrong categories, {split}")


def attribute_mistakes(
    results: ImageResults, records: Records, split: str, count: int = 12
) -> np.ndarray | None:
    """Draws the images with the most confident wrong attributes.

    One attribute for each image. None if all are right.
    """
    truth, scores = results.attributes
    off = np.where(truth >= 0, np.abs(scores - (truth == 1)), 0.0)
    column = off.argmax(axis=1)
    worst = _largest(np.where(off.max(axis=1) > 0.5, off.max(axis=1), 0), count)
    names = results.vocabulary.attributes
    tiles = []
    for index, tile in zip(worst, _tiles(records, split, worst), strict=True):
        which = column[index]
        truly = "yes" if truth[index, which] == 1 else "no"
        tiles.append(
            tile._replace(
                points=np.zeros((0, 2)),
                visibility=np.zeros(0),
                caption=[
                    f"{names[which]}: {truly}",
                    f"predicted: {100 * scores[index, which]:.0f}%",
                ],
            )
        )
    return _sheet(tiles, (), f"most confident wrong attributes, {split}")


def _largest(values: np.ndarray, count: int) -> list[int]:
    """Returns the indices of the largest positive values, largest first."""
    order = np.argsort(-values, kind="stable")[:count]
    return [int(index) for index in order if values[index] > 0]


def _tiles(records: Records, split: str, indices: Sequence[int]) -> list:
    serialized = examples_at(records, split, indices)
    return image_tiles(serialized, records.vocabulary)


def _scored(names: Sequence[str], scores: np.ndarray, index: int) -> str:
    return f"{names[index]} {100 * scores[index]:.0f}%"


def _sheet(
    tiles: Sequence, landmarks: Sequence[str], title: str
) -> np.ndarray | None:
    return draw_sheet(tiles, landmarks, title, UNSURE) if tiles else None
