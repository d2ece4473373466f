"""Fits labels to the image: scales, turns and clips box and landmarks."""

import numpy as np

from pipelines.annotations import BOX
from pipelines.annotations import SIZE
from pipelines.annotations import TRUNCATED
from pipelines.images import ImageFile
from pipelines.problems import Kind
from pipelines.problems import UnusableError


def fit_labels(
    row: dict, file: ImageFile
) -> tuple[np.ndarray, np.ndarray, list[tuple[Kind, str]]]:
    """Returns the box and landmarks of a row, as far as they are in the image.

    Labels refer to the upright image, as annotation tools show it, unless the
    row's width and height are those of a scaled image, or of the stored image
    before its EXIF rotation.

    Args:
        row: a row of the annotation table, with its `landmark_names`.
        file: its image.

    Returns:
        Box (4,) x1, y1, x2, y2, the whole image if the row has none; landmarks
        (L, 3) x, y, visibility; problems that were fixed.

    Raises:
        UnusableError: if the box lies outside the image, or the row's width
            and height have another aspect ratio.
    """
    width, height = file.width, file.height
    size = f"in {width} x {height} pixels"
    box = np.array([row[name] for name in BOX], np.float64)
    landmarks = row["landmarks"].copy()
    found = _move_labels(row, file, box, landmarks)
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
    # A pixel's index is its center, so the image ends half a pixel later.
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
    row: dict, file: ImageFile, box: np.ndarray, landmarks: np.ndarray
) -> list[tuple[Kind, str]]:
    """Turns and scales labels of another version of the image, in place."""
    upright = (file.width, file.height)
    turned = file.exif_orientation >= 5
    stored = upright[::-1] if turned else upright
    given = tuple(row[name] for name in SIZE)
    if np.isnan(given).any() or given == upright:
        return []
    detail = f"of {given[0]:g} x {given[1]:g} pixels, not %d x %d"
    # Half a pixel leads from a landmark's pixel index to its position.
    corners = box.reshape(2, 2)
    points = landmarks[:, :2]
    points += 0.5
    found = []
    if turned and (
        given == stored
        or (not _same_ratio(given, upright) and _same_ratio(given, stored))
    ):
        for places in (corners, points):
            places[:] = _turn(places, given, file.exif_orientation)
        corners.sort(axis=0)
        found.append((Kind.LABELS_TURNED, detail % upright))
        given = given[::-1]
    if given != upright:
        # Fractions refer to an image of 1 x 1, which has no aspect ratio, and
        # were noted once for all images.
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
    """Returns whether one size is the other, scaled and rounded to pixels."""
    difference = abs(one[0] * other[1] - one[1] * other[0])
    return difference <= max(*one, *other)


def _turn(
    places: np.ndarray, size: tuple[float, ...], orientation: int
) -> np.ndarray:
    """Moves points of the stored image to the upright one.

    Args:
        places: (N, 2) x, y in the stored image, which begins at (0, 0).
        size: width and height of the stored image.
        orientation: EXIF orientation, 5 to 8.
    """
    x, y = places.T
    if orientation in (6, 7):
        y = size[1] - y
    if orientation in (7, 8):
        x = size[0] - x
    return np.stack([y, x], 1)
