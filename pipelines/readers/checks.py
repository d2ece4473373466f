"""Checks and fixes labels as far as possible without the images."""

import posixpath
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipelines.annotations import TRUNCATED
from pipelines.annotations import VISIBLE
from pipelines.errors import InputError
from pipelines.problems import Kind
from pipelines.problems import ProblemLog
from pipelines.vocabulary import LANDMARKS

MISSING = frozenset(
    ("NaN", "nan", "NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null", "None")
)
"""Words for an empty cell, as pandas knows them."""


def read_fractions(
    boxes: np.ndarray,
    landmarks: np.ndarray,
    sizes: np.ndarray,
    source: Callable[[int], str],
    log: ProblemLog,
) -> None:
    """Detects coordinates that are fractions of the image, not pixels.

    All of them then lie between 0 and 1, which no box in pixels does. Each
    row's image gets a size of 1 x 1 pixels, and landmarks move by the half
    pixel from a pixel's edge to its center.

    Args:
        boxes: (N, 4) x1, y1, x2, y2; NaN for no box.
        landmarks: (N, L, 3) x, y and visibility; changed in place.
        sizes: (N, 2) width and height of the image; changed in place.
        source: function that returns file and line of row i, for messages.
        log: log for problems.

    Raises:
        InputError: if boxes are fractions and landmarks are pixels, or the
            other way around.
    """
    # Tools write (0, 0) for an absent landmark.
    labeled = (landmarks[..., 2] != TRUNCATED) & landmarks[..., :2].any(-1)
    points = landmarks[..., :2][labeled]
    tables = {"boxes": boxes[~np.isnan(boxes).any(1)], "landmarks": points}
    tables = {name: values for name, values in tables.items() if len(values)}
    within = {
        # Labels may lie slightly outside the image.
        name: bool(((values > -0.1) & (values < 1.1)).all())
        for name, values in tables.items()
    }
    if not any(within[name] and (tables[name] % 1).any() for name in tables):
        return
    if not all(within.values()):
        which, other = sorted(within, key=within.get, reverse=True)
        raise InputError(
            f"{source(0)}: {which} are fractions of the image here and in all "
            f"rows, but {other} are not; write both in pixels"
        )
    detail = f"all {' and '.join(tables)} lie within 0 and 1"
    log.note(Kind.FRACTIONS, "", source(0), detail)
    sizes[:] = 1
    landmarks[labeled, :2] -= 0.5


def fix_boxes(
    boxes: np.ndarray,
    first_pixel: int,
    images: Sequence[str],
    source: Callable[[int], str],
    log: ProblemLog,
) -> tuple[np.ndarray, np.ndarray]:
    """Makes boxes 0-based and half-open, and puts their corners in order.

    Args:
        boxes: (N, 4) x1, y1, x2, y2; NaN for no box.
        first_pixel: 1 if pixels are counted from 1 and the box includes its
            last row and column; 0 if 0-based and half-open.
        images: N names, for messages.
        source: function that returns file and line of row i, for messages.
        log: log for problems.

    Returns:
        The boxes (N, 4), and (N,) bool: false for a box without area, whose
        corners are NaN.
    """
    given = np.asarray(boxes, np.float64).reshape(-1, 2, 2)
    boxes = np.sort(given, 1)
    swapped = (given[:, 0] > given[:, 1]).any(1)
    boxes[:, 0] -= first_pixel
    # Parts left of and above the image are cut off later.
    empty = (boxes[:, 1] <= np.maximum(boxes[:, 0], 0)).any(1)
    for kind, rows in (
        (Kind.BOX_SWAPPED, swapped & ~empty),
        (Kind.BOX_WITHOUT_AREA, empty),
    ):
        for row in np.flatnonzero(rows):
            detail = _numbers(given[row].ravel())
            log.note(kind, images[row], source(row), detail)
    boxes[empty] = np.nan
    return boxes.reshape(-1, 4), ~empty


def fix_landmarks(
    landmarks: np.ndarray,
    boxes: np.ndarray,
    first_pixel: int,
    images: Sequence[str],
    source: Callable[[int], str],
    log: ProblemLog,
) -> None:
    """Makes landmarks at the origin truncated, and notes those off the box.

    Tools write (0, 0) for an absent landmark. Labeled as visible, it would
    teach the network to predict the corner.

    Args:
        landmarks: (N, L, 3) x, y in 0-based pixel indices, and visibility;
            changed in place.
        boxes: (N, 4), 0-based and half-open; NaN for no box.
        first_pixel: index of the first pixel in the annotations, 0 or 1.
        images: N names, for messages.
        source: function that returns file and line of row i, for messages.
        log: log for problems.
    """
    points, visibility = landmarks[..., :2], landmarks[..., 2]
    origin = (points == -first_pixel).all(-1) & (visibility != TRUNCATED)
    visibility[origin] = TRUNCATED
    centers = points + 0.5
    # Comparisons with the NaN of a missing box are false.
    off = (centers < boxes[:, None, :2]) | (centers > boxes[:, None, 2:])
    off = off.any(-1) & (visibility == VISIBLE)
    for kind, wrong in (
        (Kind.LANDMARK_AT_ORIGIN, origin),
        (Kind.LANDMARK_BEYOND_BOX, off),
    ):
        for row in np.flatnonzero(wrong.any(1)):
            detail = ", ".join(
                f"{LANDMARKS[index]} "
                + _numbers(points[row, index] + first_pixel)
                for index in np.flatnonzero(wrong[row])
            )
            if kind == Kind.LANDMARK_BEYOND_BOX:
                corners = boxes[row] + np.repeat([first_pixel, 0], 2)
                detail += f" off {_numbers(corners)}"
            log.note(kind, images[row], source(row), detail)


def note_shared_images(table: pd.DataFrame, log: ProblemLog) -> None:
    """Notes images in two splits, once for each split but the first.

    Args:
        table: table of `Annotations`; names of images are compared as paths.
        log: log for problems.
    """
    names = table["image"].map(posixpath.normpath)
    rows = table[["image", "split", "source"]][names.duplicated(keep=False)]
    first: dict[str, tuple[str, str]] = {}
    noted: set[tuple[str, str]] = set()
    for image, split, source in rows.itertuples(index=False):
        name = posixpath.normpath(image)
        other, earlier = first.setdefault(name, (split, source))
        if split != other and (name, split) not in noted:
            noted.add((name, split))
            detail = f"{split}, but {other} in {earlier}"
            log.note(Kind.IMAGE_IN_TWO_SPLITS, image, source, detail)


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:g}" for value in values)
