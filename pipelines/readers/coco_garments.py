"""One annotation of a COCO file."""

import dataclasses
from typing import Any

import numpy as np

from pipelines.annotations import FARTHEST
from pipelines.annotations import OCCLUDED
from pipelines.annotations import TRUNCATED
from pipelines.annotations import UNKNOWN
from pipelines.annotations import VISIBLE
from pipelines.problem_log import ProblemLog
from pipelines.problems import Kind
from pipelines.readers.coco_attributes import Attributes
from pipelines.readers.coco_attributes import read_attributes
from pipelines.readers.coco_categories import Labels
from pipelines.readers.coco_categories import places_by_count
from pipelines.readers.coco_categories import read_id
from pipelines.vocabulary import LANDMARKS

# COCO's 0 is "not labeled", 1 "labeled but not visible", 2 "visible".
_VISIBILITY = np.array([TRUNCATED, OCCLUDED, VISIBLE])


@dataclasses.dataclass
class Garment:
    """What an annotation says.

    Args:
        image: path of the image.
        source: file and place in it.
        category: index, or `UNKNOWN`.
        box: x1, y1, x2, y2; NaN if there is none.
        landmarks: (8, 3) x, y, visibility, or None.
        attributes: what is known of them.
        key: file and the annotation's id in it.
        size: width and height of the image that they refer to, NaN if unknown.
        split: "train", "val" or "test".
    """

    image: str
    source: str
    category: int
    box: tuple[float, ...]
    landmarks: np.ndarray | None
    attributes: Attributes
    key: tuple[str, str] = ("", "")
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
    """Reads an annotation.

    Returns:
        None if it does not parse or is of a crowd, which is noted.
    """
    try:
        if int(annotation.get("iscrowd") or 0):
            detail = "iscrowd is set; take that out if it is one garment"
            log.note(Kind.CROWD, image, source, detail)
            return None
        box = _box(annotation)
        category = annotation.get("category_id")
        key = None if category is None else read_id(category)
        landmarks = None
        if annotation.get("keypoints"):
            places = labels.places.get(key)
            landmarks = _landmarks(annotation["keypoints"], places)
        attributes, wrong = read_attributes(annotation, labels)
    except (TypeError, ValueError, AttributeError) as error:
        log.note(Kind.ROW_UNREADABLE, image, source, str(error))
        return None
    index = labels.category_ids.get(key, UNKNOWN)
    if category is not None and index == UNKNOWN:
        detail = f"no category has the id {category!r}"
        wrong.insert(0, (Kind.CATEGORY_OUT_OF_RANGE, detail))
    for kind, detail in wrong:
        log.note(kind, image, source, detail)
    return Garment(image, source, index, box, landmarks, attributes)


def _box(annotation: dict[str, Any]) -> tuple[float, ...]:
    """x1, y1, x2, y2 of the bbox or else of the polygons; NaN if none."""
    if annotation.get("bbox"):
        x, y, width, height = map(float, annotation["bbox"])
        box = (x, y, x + width, y + height)
        found = f"bbox {annotation['bbox']}"
    elif polygons := annotation.get("segmentation"):
        if not isinstance(polygons, list):
            raise ValueError("has no bbox, and its segmentation is no polygon")
        if not isinstance(polygons[0], list):
            polygons = [polygons]
        points = np.concatenate(
            [np.array(polygon, np.float64) for polygon in polygons]
        ).reshape(-1, 2)
        box = (*points.min(0).tolist(), *points.max(0).tolist())
        found = "a polygon"
    else:
        return (np.nan,) * 4
    if not (np.abs(box) < FARTHEST).all():
        raise ValueError(f"{found} is no place")
    return box


def _landmarks(
    numbers: list[float], places: tuple[int, ...] | None
) -> np.ndarray:
    values = np.array(numbers, np.float64).ravel()
    if places is None:
        pairs = values.size % 3 != 0
    else:
        pairs = values.size == 2 * len(places)
    if values.size % (2 if pairs else 3):
        raise ValueError(
            f"{values.size} numbers of keypoints are no rows of x, y and "
            "visibility"
        )
    points = values.reshape(-1, 2 if pairs else 3)
    if pairs:
        # Without a visibility, all are visible.
        points = np.insert(points, 2, 2, axis=1)
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
