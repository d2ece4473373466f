"""Joins the rows of a garment whose labels lie in several rows or files."""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from pipelines.annotations import TRUNCATED
from pipelines.annotations import UNKNOWN
from pipelines.problems import Kind
from pipelines.problems import ProblemLog
from pipelines.vocabulary import LANDMARKS

# Least intersection over union of two boxes of a garment with the same id.
_SAME_BOX = 0.5


def join_garments(
    images: Sequence[str],
    boxes: np.ndarray,
    usable: np.ndarray,
    category: np.ndarray,
    landmarks: np.ndarray,
    attributes: np.ndarray,
    source: Callable[[int], str],
    log: ProblemLog,
    ids: Sequence[tuple[str, str]] | None = None,
) -> np.ndarray:
    """Copies labels of each garment to its first row.

    Rows belong to one garment if image and box are the same, or if image and
    id are the same in different files and neither boxes nor categories differ.
    A row with other labels may belong to another garment, and is left out.

    Args:
        images: N names.
        boxes: (N, 4); a missing box, NaN, equals another missing one. This
            and the other arrays are changed in place.
        usable: (N,) bool; other rows are left out.
        category: (N,) int.
        landmarks: (N, L, 3).
        attributes: (N, A) int8; an attribute is present if one of the rows
            has it.
        source: function that returns file and line of row i, for messages.
        log: log for all rows but the first ones.
        ids: N pairs of file and id of the garment in it, if there are any.

    Returns:
        Indices of the first rows, increasing.
    """
    kept: list[int] = []
    by_box: dict[tuple[str, bytes], int] = {}
    by_id: dict[tuple[str, str], int] = {}

    def same_id(row: int) -> int | None:
        first = by_id.get((images[row], ids[row][1]))
        if first is None or ids[first][0] == ids[row][0]:
            return None
        labels = category[[first, row]]
        if UNKNOWN not in labels and labels[0] != labels[1]:
            return None
        return first if _overlap(boxes[first], boxes[row]) else None

    for row in np.flatnonzero(usable).tolist():
        image = images[row]
        box = (boxes[row] + 0.0).tobytes()
        first = by_box.get((image, box))
        if first is None and ids is not None:
            first = same_id(row)
        if first is None:
            kept.append(row)
            by_box[image, box] = row
            if ids is not None:
                by_id.setdefault((image, ids[row][1]), row)
            continue
        gained, differing = _join(category, landmarks, attributes, first, row)
        detail = f"also in {source(first)}"
        if np.isnan(boxes[first]).any():
            boxes[first] = boxes[row]
        if differing:
            kind = Kind.LABELS_DIFFER
            detail += f", differs in {', '.join(differing)}"
        else:
            kind = Kind.ROW_JOINED if gained else Kind.ROW_DUPLICATE
        log.note(kind, image, source(row), detail)
    return np.array(kept, int)


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether two boxes may be of one garment; a missing one may."""
    if np.isnan(one).any() or np.isnan(other).any():
        return True
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = np.prod(np.maximum(sides, 0))
    union = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared
    return bool(shared >= _SAME_BOX * union)


def _join(
    category: np.ndarray,
    landmarks: np.ndarray,
    attributes: np.ndarray,
    first: int,
    row: int,
) -> tuple[bool, list[str]]:
    """Adds the labels of a row to the first row of its garment.

    Nothing is added if labels differ.

    Returns:
        Whether anything was added, and the names of labels that differ.
    """
    there = landmarks[[first, row], :, 2] != TRUNCATED
    moved = there.all(0) & (landmarks[first] != landmarks[row]).any(-1)
    differing = [LANDMARKS[index] for index in np.flatnonzero(moved)]
    if (
        category[first] != category[row]
        and UNKNOWN not in category[[first, row]]
    ):
        differing.insert(0, "category")
    if differing:
        return False, differing
    before = category[first], attributes[first].copy()
    category[first] = max(category[first], category[row])
    # Present is 1, absent 0, unknown -1: the largest is the most certain.
    attributes[first] = np.maximum(attributes[first], attributes[row])
    new = there[1] & ~there[0]
    landmarks[first, new] = landmarks[row, new]
    gained = (
        new.any()
        or category[first] != before[0]
        or (attributes[first] != before[1]).any()
    )
    return bool(gained), []
