"""The worst mistakes of an evaluation, to look at: truth and prediction."""

from collections.abc import Sequence

import numpy as np

from afn_keras.drawing import UNSURE
from afn_keras.drawing import draw_sheet
from afn_keras.drawing import image_tiles
from afn_keras.evaluation.outcomes import Outcomes
from afn_keras.prediction import PRESENT
from pipelines.annotations import OCCLUDED
from pipelines.annotations import TRUNCATED
from pipelines.annotations import VISIBLE
from pipelines.batches import examples_at
from pipelines.records import Records


def landmark_mistakes(
    outcomes: Outcomes, records: Records, split: str, count: int = 12
) -> np.ndarray | None:
    """The images with the largest mean error of their landmarks.

    Args:
        outcomes: of the split, all of it.
        records: where the images lie.
        split: which split.
        count: how many.

    Returns:
        (h, w, 3) uint8 RGB: dots where landmarks were predicted, rings where
        they were with a score below one half, tied to crosses where they are.
        None if no landmark counts.
    """
    counts = ~np.isnan(outcomes.distances)
    error = np.where(counts, outcomes.distances, 0).sum(axis=1)
    error /= np.maximum(counts.sum(axis=1), 1)
    worst = _largest(error, count)
    unsure = outcomes.landmark_scores < PRESENT
    marks = np.where(unsure, OCCLUDED, VISIBLE)
    tiles = []
    for index, tile in zip(worst, _tiles(records, split, worst), strict=True):
        truth, points = (part[index] for part in outcomes.landmarks)
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
    return _sheet(tiles, outcomes.vocabulary.landmarks, title)


def category_mistakes(
    outcomes: Outcomes, records: Records, split: str, count: int = 12
) -> np.ndarray | None:
    """The wrong categories that were said with the most certainty.

    Sorted by how much likelier the best category seemed than the true one.
    None if all are right.
    """
    truth, scores = outcomes.category
    known = truth >= 0
    best = scores.argmax(axis=1)
    lead = scores.max(axis=1) - scores[np.arange(len(scores)), truth]
    worst = _largest(np.where(known & (best != truth), lead, 0), count)
    names = outcomes.vocabulary.categories
    tiles = [
        tile._replace(
            points=np.zeros((0, 2)),
            visibility=np.zeros(0),
            caption=[
                f"is {_said(names, scores[index], truth[index])}",
                f"said {_said(names, scores[index], best[index])}",
            ],
        )
        for index, tile in zip(
            worst, _tiles(records, split, worst), strict=True
        )
    ]
    return _sheet(tiles, (), f"surest wrong categories, {split}")


def attribute_mistakes(
    outcomes: Outcomes, records: Records, split: str, count: int = 12
) -> np.ndarray | None:
    """The attributes that were most wrongly said to be there, or not to be.

    One for each image. None if there is none.
    """
    truth, scores = outcomes.attributes
    off = np.where(truth >= 0, np.abs(scores - (truth == 1)), 0.0)
    column = off.argmax(axis=1)
    worst = _largest(np.where(off.max(axis=1) > 0.5, off.max(axis=1), 0), count)
    names = outcomes.vocabulary.attributes
    tiles = []
    for index, tile in zip(worst, _tiles(records, split, worst), strict=True):
        which = column[index]
        has = "has" if truth[index, which] == 1 else "has not"
        tiles.append(
            tile._replace(
                points=np.zeros((0, 2)),
                visibility=np.zeros(0),
                caption=[
                    f"{has} {names[which]}",
                    f"said {100 * scores[index, which]:.0f}%",
                ],
            )
        )
    return _sheet(tiles, (), f"surest wrong attributes, {split}")


def _largest(values: np.ndarray, count: int) -> list[int]:
    """Where the largest values are that are above 0, the largest first."""
    order = np.argsort(-values, kind="stable")[:count]
    return [int(index) for index in order if values[index] > 0]


def _tiles(records: Records, split: str, indices: Sequence[int]) -> list:
    serialized = examples_at(records, split, indices)
    return image_tiles(serialized, records.vocabulary)


def _said(names: Sequence[str], scores: np.ndarray, index: int) -> str:
    return f"{names[index]} {100 * scores[index]:.0f}%"


def _sheet(
    tiles: Sequence, landmarks: Sequence[str], title: str
) -> np.ndarray | None:
    return draw_sheet(tiles, landmarks, title, UNSURE) if tiles else None
