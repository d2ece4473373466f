"""One annotation of a COCO file."""

import dataclasses
from typing import Any

import numpy as np

from pipelines.annotations import FARTHEST
from pipelines.annotations import OCCLUDED
from pipelines.annotations import TRUNCATED
from pipelines.annotations import UNKNOWN
from pipelines.annotations import VISIBLE
from pipelines.coco_categories import Labels
from pipelines.coco_categories import places_by_count
from pipelines.problem_log import ProblemLog
from pipelines.problems import Kind
from pipelines.vocabulary import LANDMARKS

# COCO's 0 is "not labeled", 1 "labeled but not visible", 2 "visible".
_VISIBILITY = np.array([TRUNCATED, OCCLUDED, VISIBLE])


@dataclasses.dataclass
class Garment:
    """What an annotation says.

    Args:
        image: path of the photograph.
        source: file and place in it.
        category: index, or `UNKNOWN`.
        box: x1, y1, x2, y2; NaN if there is none.
        landmarks: (8, 3) x, y, visibility, or None.
        attributes: columns of those it has, None if that is not known.
        size: width and height of the image that they refer to, NaN if unknown.
        split: "train", "val" or "test".
    """

    image: str
    source: str
    category: int
    box: tuple[float, ...]
    landmarks: np.ndarray | None
    attributes: list[int] | None
    size: tuple[float, float] = (np.nan, np.nan)
    split: str = ""


def read_size(image: dict[str, Any]) -> tuple[float, float]:
    """Reads width and height of an image; NaN where the file has none.

    Nothing, 0 and 1 stand there if a tool does not know them.
    """
    sides = image.get("width"), image.get("height")
    if all(isinstance(side, (int, float)) and side > 1 for side in sides):
        return sides
    return np.nan, np.nan


def read_garment(
    annotation: dict[str, Any],
    labels: Labels,
    image: str,
    source: str,
    log: ProblemLog,
) -> Garment | None:
    """Reads an annotation; None if it does not parse, which is noted."""
    try:
        box = (np.nan,) * 4
        if annotation.get("bbox"):
            x, y, width, height = map(float, annotation["bbox"])
            box = (x, y, x + width, y + height)
            if not (np.abs(box) < FARTHEST).all():
                raise ValueError(f"bbox {annotation['bbox']} is no place")
        landmarks = None
        if annotation.get("keypoints"):
            places = labels.places.get(annotation.get("category_id"))
            landmarks = _landmarks(annotation["keypoints"], places)
        ids = annotation.get("attribute_ids")
        attributes, strange = None, []
        if ids is not None:
            known = labels.attribute_ids
            attributes = [known[key] for key in ids if key in known]
            strange = [key for key in ids if key not in known]
        category = annotation.get("category_id")
        index = labels.category_ids.get(category, UNKNOWN)
    except (TypeError, ValueError, AttributeError) as error:
        log.note(Kind.ROW_UNREADABLE, image, source, str(error))
        return None
    if category is not None and index == UNKNOWN:
        detail = f"no category has the id {category!r}"
        log.note(Kind.CATEGORY_OUT_OF_RANGE, image, source, detail)
    if strange:
        detail = f"no attribute has the id {strange[0]!r}"
        log.note(Kind.ATTRIBUTE_OUT_OF_RANGE, image, source, detail)
    return Garment(image, source, index, box, landmarks, attributes)


def _landmarks(
    numbers: list[float], places: tuple[int, ...] | None
) -> np.ndarray:
    points = np.array(numbers, np.float64).reshape(-1, 3)
    if places is None:
        places = places_by_count(len(points))
    if len(points) != len(places):
        raise ValueError(
            f"{len(points)} keypoints, its category names {len(places)}"
        )
    if not np.isin(points[:, 2], (0, 1, 2)).all():
        raise ValueError("a keypoint's visibility is none of 0, 1, 2")
    if not (np.abs(points) < FARTHEST).all():
        raise ValueError("a keypoint is at no place")
    landmarks = np.zeros((len(LANDMARKS), 3), np.float32)
    landmarks[:, 2] = TRUNCATED
    landmarks[places, :2] = points[:, :2]
    landmarks[places, 2] = _VISIBILITY[points[:, 2].astype(int)]
    return landmarks
