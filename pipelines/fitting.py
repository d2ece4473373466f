"""Labels against the photograph's size: what lies beyond is cut or dropped."""

import numpy as np

from pipelines.annotations import BOX
from pipelines.annotations import TRUNCATED
from pipelines.errors import UnusableError
from pipelines.problems import Kind


def fit_labels(
    row: dict, width: int, height: int
) -> tuple[np.ndarray, np.ndarray, list[tuple[Kind, str]]]:
    """The row's box and landmarks, as far as they lie in the photograph.

    Both are taken to refer to the upright photograph: tools for annotation
    show it as its EXIF says, too.

    Args:
        row: a row of the annotation table, with its `landmark_names`.
        width: of the upright photograph, in pixels.
        height: of the upright photograph, in pixels.

    Returns:
        Box (4,) x1, y1, x2, y2, the whole photograph if the row has none;
        landmarks (L, 3) x, y, visibility; what had to be changed.

    Raises:
        UnusableError: if nothing of the box lies in the photograph.
    """
    found = []
    size = f"in {width} x {height} pixels"
    box = np.array([row[name] for name in BOX], np.float64)
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
    # A pixel's index is its centre, so the picture ends half a pixel later.
    landmarks = row["landmarks"].copy()
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
