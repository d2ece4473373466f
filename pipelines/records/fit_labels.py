"""Labels against the image: scaled to it, and cut to what lies in it."""

import numpy as np

from pipelines.annotations import BOX
from pipelines.annotations import SIZE
from pipelines.annotations import TRUNCATED
from pipelines.images import ImageFile
from pipelines.problems import Kind
from pipelines.problems import UnusableError


def fit_labels(
    row: dict, photograph: ImageFile
) -> tuple[np.ndarray, np.ndarray, list[tuple[Kind, str]]]:
    """The row's box and landmarks, as far as they lie in the image.

    Both are taken to refer to the upright image, as tools for annotation show
    it, unless the row's width and height are of another one: of another size,
    or as it is stored, before it is turned as its EXIF says.

    Args:
        row: a row of the annotation table, with its `landmark_names`.
        photograph: its image.

    Returns:
        Box (4,) x1, y1, x2, y2, the whole image if the row has none; landmarks
        (L, 3) x, y, visibility; what had to be changed.

    Raises:
        UnusableError: if nothing of the box lies in the image, or the row's
            width and height have another aspect ratio.
    """
    width, height = photograph.width, photograph.height
    size = f"in {width} x {height} pixels"
    box = np.array([row[name] for name in BOX], np.float64)
    landmarks = row["landmarks"].copy()
    found = _move_labels(row, photograph, box, landmarks)
    if np.isnan(box).any():
        box = np.array([0, 0, width, height], np.float64)
    inside = np.clip(box, 0, [width, height, width, height])
    corners = " ".join(f"{value:g}" for value in box)
    if (inside[2:] <= inside[:2]).any():
        raise UnusableError(
            row["image"], Kind.BOX_WITHOUT_AREA, f"{corners} {size}"
        )
    if (inside != box).any():
        found.append((Kind.BOX_BEYOND_IMAGE, f"{corners} {size}"))
    # A pixel's index is its center, so the picture ends half a pixel later.
    x, y, visibility = landmarks.T
    beyond = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
    beyond &= visibility != TRUNCATED
    if beyond.any():
        places = ", ".join(
            f"{row['landmark_names'][i]} {x[i]:g} {y[i]:g}"
            for i in np.flatnonzero(beyond)
        )
        found.append((Kind.LANDMARK_BEYOND_IMAGE, f"{places} {size}"))
        landmarks[beyond, 2] = TRUNCATED
    return inside, landmarks, found


def _move_labels(
    row: dict, photograph: ImageFile, box: np.ndarray, landmarks: np.ndarray
) -> list[tuple[Kind, str]]:
    """Moves labels of another image to where they lie in this one, in place."""
    upright = (photograph.width, photograph.height)
    turned = photograph.exif_orientation >= 5
    stored = upright[::-1] if turned else upright
    given = tuple(row[name] for name in SIZE)
    if np.isnan(given).any() or given == upright:
        return []
    detail = f"of {given[0]:g} x {given[1]:g} pixels, not %d x %d"
    # Half a pixel lies between a landmark's index and its place.
    corners = box.reshape(2, 2)
    points = landmarks[:, :2]
    points += 0.5
    found = []
    if turned and (
        given == stored
        or (not _same_ratio(given, upright) and _same_ratio(given, stored))
    ):
        for places in (corners, points):
            places[:] = _turn(places, given, photograph.exif_orientation)
        corners.sort(axis=0)
        found.append((Kind.LABELS_TURNED, detail % upright))
        given = given[::-1]
    if given != upright:
        # Fractions, of an image of 1 x 1, have no aspect ratio, and were noted
        # once for all.
        if given != (1, 1):
            if not _same_ratio(given, upright):
                raise UnusableError(
                    row["image"], Kind.SIZE_STRANGE, detail % upright
                )
            found.append((Kind.SIZE_SCALED, detail % upright))
        for places in (corners, points):
            places *= np.divide(upright, given)
    points -= 0.5
    return found


def _same_ratio(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether one is the other resized, its sides rounded to pixels."""
    difference = abs(one[0] * other[1] - one[1] * other[0])
    return difference <= max(*one, *other)


def _turn(
    places: np.ndarray, size: tuple[float, ...], orientation: int
) -> np.ndarray:
    """Where places (N, 2) of the stored image lie in the upright one.

    Args:
        places: x, y of the stored image, which begins at (0, 0).
        size: its width and height.
        orientation: its EXIF orientation, 5 to 8: on its side.
    """
    x, y = places.T
    if orientation in (6, 7):
        y = size[1] - y
    if orientation in (7, 8):
        x = size[0] - x
    return np.stack([y, x], 1)
