"""Checks of boxes and landmarks that need no image."""

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
    """Recognizes coordinates that are fractions of the image, not pixels.

    They are where all of them lie within 0 and 1, which no box in pixels does.
    Then each row's image is of 1 x 1 pixels, and landmarks, which are indices
    of pixels elsewhere, begin at its edge.

    Args:
        boxes: (N, 4) x1, y1, x2, y2; NaN for no box.
        landmarks: (N, L, 3) x, y and visibility; changed in place.
        sizes: (N, 2) width and height of the image; changed in place.
        source: tells where row i comes from, for messages.
        log: where it is noted, once.

    Raises:
        InputError: if boxes are fractions and landmarks are pixels, or the
            other way around.
    """
    # Tools write (0, 0) for a landmark that is not there.
    labeled = (landmarks[..., 2] != TRUNCATED) & landmarks[..., :2].any(-1)
    points = landmarks[..., :2][labeled]
    tables = {"boxes": boxes[~np.isnan(boxes).any(1)], "landmarks": points}
    tables = {name: values for name, values in tables.items() if len(values)}
    within = {
        # What lies a little beyond the image does so as a fraction, too.
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
    """Boxes as the annotation table has them: 0-based and half-open.

    Args:
        boxes: (N, 4) x1, y1, x2, y2; NaN for no box.
        first_pixel: 1 if pixels are counted from 1 and the box includes its
            last row and column; 0 if 0-based and half-open.
        images: N names, for messages.
        source: tells where row i comes from, for messages.
        log: where problems are noted.

    Returns:
        The boxes (N, 4), and (N,) bool: false for one without an area, whose
        corners are NaN.
    """
    given = np.asarray(boxes, np.float64).reshape(-1, 2, 2)
    boxes = np.sort(given, 1)
    swapped = (given[:, 0] > given[:, 1]).any(1)
    boxes[:, 0] -= first_pixel
    # What lies left of and above the image is cut off later.
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

    Tools write (0, 0) for a landmark that is not there; called visible it
    would teach the network to look into the corner.

    Args:
        landmarks: (N, L, 3) x, y in 0-based pixel indices, and visibility;
            changed in place.
        boxes: (N, 4), 0-based and half-open; NaN for no box.
        first_pixel: what the annotations call the first pixel, 0 or 1.
        images: N names, for messages.
        source: tells where row i comes from, for messages.
        log: where problems are noted.
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
    """Notes images that two splits have: scores on them say little.

    Args:
        table: of `Annotations`; names of images are compared as paths.
        log: where an image is noted once for each split but the first.
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


def first_garments(
    images: Sequence[str],
    boxes: np.ndarray,
    usable: np.ndarray,
    source: Callable[[int], str],
    log: ProblemLog,
) -> np.ndarray:
    """Usable rows, but for those of an image and a box that were there before.

    Args:
        images: N names.
        boxes: (N, 4); a missing box equals another missing one.
        usable: (N,) bool.
        source: tells where row i comes from, for messages.
        log: where problems are noted.

    Returns:
        Increasing numbers of rows.
    """
    rows = np.flatnonzero(usable)
    table = pd.DataFrame(boxes[rows])
    table["image"] = pd.Series([images[row] for row in rows], dtype=object)
    repeated = table.duplicated().to_numpy()
    if repeated.any():
        groups = table.groupby(list(table), dropna=False).ngroup().to_numpy()
        first = {}
        for row, group in zip(rows, groups, strict=True):
            if first.setdefault(group, row) != row:
                log.note(
                    Kind.ROW_DUPLICATE,
                    images[row],
                    source(row),
                    f"also in {source(first[group])}",
                )
    return rows[~repeated]


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:g}" for value in values)
