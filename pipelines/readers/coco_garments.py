"""Reads one COCO annotation: category, box, keypoints and attributes.

Attributes come in two forms. Fashionpedia lists `attributes` (`id`, `name`,
`supercategory`: the group) once for the file and gives each annotation its
`attribute_ids`. CVAT and others give each annotation a dict of `attributes`:
a name with true or false, or a group with the name of its one attribute.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.annotations import FARTHEST
from pipelines.annotations import OCCLUDED
from pipelines.annotations import TRUNCATED
from pipelines.annotations import UNKNOWN
from pipelines.annotations import VISIBLE
from pipelines.errors import InputError
from pipelines.problems import Kind
from pipelines.problems import ProblemLog
from pipelines.readers.checks import MISSING
from pipelines.readers.deepfashion_names import PLACES
from pipelines.vocabulary import LANDMARKS

# The group of attributes that have none.
_OTHER = "other"

# Without names, keypoints belong to the clothes type that has as many.
_BY_COUNT = {len(places): places for places in PLACES.values()}

# COCO's 0 is "not labeled", 1 "labeled but not visible", 2 "visible".
_VISIBILITY = np.array([TRUNCATED, OCCLUDED, VISIBLE])

# CVAT and Datumaro describe the drawing of a shape with these.
_OF_DRAWING = frozenset(
    ("occluded", "outside", "rotation", "keyframe", "track_id", "is_crowd")
)

# CVAT writes the former for a choice that nobody made.
_NOTHING = MISSING | {"__undefined__", ""}

_TRUTHS = {"true": True, "false": False}


@dataclasses.dataclass
class Labels:
    """Names of labels in all files, and ids in one file.

    Args:
        categories: index of each category by name.
        attributes: column of each attribute by group and name, in order.
        category_ids: index of a category by its id, as `read_id` returns it.
        attribute_ids: column of an attribute by its id.
        places: indices of a category's keypoints among the landmarks by its
            id; None for a category that does not name them.
    """

    categories: dict[str, int] = dataclasses.field(default_factory=dict)
    attributes: dict[tuple[str, str], int] = dataclasses.field(
        default_factory=dict
    )
    category_ids: dict[str, int] = dataclasses.field(default_factory=dict)
    attribute_ids: dict[str, int] = dataclasses.field(default_factory=dict)
    places: dict[str, tuple[int, ...] | None] = dataclasses.field(
        default_factory=dict
    )

    def column(self, group: str, name: str) -> int:
        """Returns the column of an attribute, a new one if it has none."""
        return self.attributes.setdefault((group, name), len(self.attributes))


@dataclasses.dataclass
class Attributes:
    """Known attributes of a garment; all others are unknown.

    Args:
        present: columns of those it has.
        absent: columns of those it does not have.
        groups: groups of which it has only the present ones.
    """

    present: list[int] = dataclasses.field(default_factory=list)
    absent: list[int] = dataclasses.field(default_factory=list)
    groups: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Garment:
    """The labels of one annotation.

    Args:
        image: path of the image.
        source: file and place in it.
        category: index, or `UNKNOWN`.
        box: x1, y1, x2, y2; NaN if there is none.
        landmarks: (8, 3) x, y, visibility, or None.
        attributes: the known ones.
        key: file, and the annotation's id in it.
        size: width and height of the labeled image, NaN if unknown.
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


def read_id(value: Any) -> str:
    """Returns an id as text: 7, "7" and pandas' 7.0 are the same.

    Raises:
        TypeError: if it is neither a number nor text.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, (int, float, str)):
        raise TypeError(f"{value!r} is no id")
    return str(value).strip()


def read_labels(path: Path, content: dict[str, Any], labels: Labels) -> Labels:
    """Reads the names and ids of a file's categories and attributes.

    Args:
        path: path of the file, for messages.
        content: content of the file.
        labels: names of the files before; gains those of this file.

    Returns:
        The same names with the ids of this file.

    Raises:
        InputError: if a category or attribute lacks an id or a name, or a
            keypoint is not one of the landmarks.
    """
    result = Labels(labels.categories, labels.attributes)
    for index, entry in enumerate(content.get("categories") or []):
        where = f"{path}, categories[{index}]"
        key, name = _id_and_name(entry, where)
        result.category_ids[key] = result.categories.setdefault(
            name, len(result.categories)
        )
        names = entry.get("keypoints")
        result.places[key] = _places(names, where) if names else None
    for index, entry in enumerate(content.get("attributes") or []):
        key, name = _id_and_name(entry, f"{path}, attributes[{index}]")
        group = str(entry.get("supercategory") or _OTHER)
        result.attribute_ids[key] = result.column(group, name)
    return result


def _id_and_name(entry: Any, where: str) -> tuple[str, str]:
    try:
        return read_id(entry["id"]), entry["name"].strip()
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: needs an id and a name") from error


def _places(names: Any, where: str) -> tuple[int, ...]:
    places = []
    for name in names if isinstance(names, list) else [names]:
        plain = str(name).strip().lower().replace(" ", "_").replace("-", "_")
        if plain not in LANDMARKS or LANDMARKS.index(plain) in places:
            raise InputError(
                f"{where}: the keypoint {name!r} is none of "
                f"{', '.join(LANDMARKS)}; rename it or take the keypoints out"
            )
        places.append(LANDMARKS.index(plain))
    return tuple(places)


def read_size(image: dict[str, Any]) -> tuple[float, float]:
    """Reads width and height of an image; NaN where the file has none.

    Tools that do not know the size leave it out or write 0 or 1.
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

    Keypoints are 0-based, with COCO's visibility or, as pairs of x and y, all
    visible. A garment without `bbox` has the box of its polygons. Without
    `attribute_ids`, attributes are unknown; with an empty list, all that the
    file lists are absent.

    Returns:
        None if it does not parse or is a crowd, which is noted.
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
        attributes, wrong = _attributes(annotation, labels)
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
    """Returns x1, y1, x2, y2 of bbox or else polygons; NaN without both."""
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
        points = np.insert(points, 2, 2, axis=1)
    if places is None:
        if len(points) not in _BY_COUNT:
            raise ValueError(f"{len(points)} keypoints without names")
        places = _BY_COUNT[len(points)]
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


def _attributes(
    annotation: dict[str, Any], labels: Labels
) -> tuple[Attributes, list[tuple[Kind, str]]]:
    """Reads the attributes of an annotation, and lists the wrong ones.

    `labels` gains attributes that it does not have.

    Raises:
        TypeError: if `attribute_ids` is not a list of ids.
    """
    result, wrong = Attributes(), []
    ids = annotation.get("attribute_ids")
    if ids is not None:
        result.absent += labels.attribute_ids.values()
        for key in ids:
            column = labels.attribute_ids.get(read_id(key))
            if column is None:
                detail = f"no attribute has the id {key!r}"
                wrong.append((Kind.ATTRIBUTE_OUT_OF_RANGE, detail))
            else:
                result.present.append(column)
    written = annotation.get("attributes")
    if isinstance(written, list):
        # Names alone.
        written = {_OTHER: written}
    elif written is not None and not isinstance(written, dict):
        detail = f"attributes are {written!r}, no dict of names and values"
        return result, [*wrong, (Kind.ATTRIBUTE_VALUE, detail)]
    for name, value in (written or {}).items():
        if name in _OF_DRAWING or value is None:
            continue
        if isinstance(value, str):
            value = _TRUTHS.get(value.strip().lower(), value.strip())
            if value in _NOTHING:
                continue
        if isinstance(value, bool):
            columns = result.present if value else result.absent
            columns.append(labels.column(_OTHER, name))
            continue
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(value, str) for value in values):
            detail = f"{name} is {value!r}, neither a name nor true or false"
            wrong.append((Kind.ATTRIBUTE_VALUE, detail))
            continue
        result.groups.append(name)
        result.present += [
            labels.column(name, value.strip())
            for value in values
            if value.strip() not in _NOTHING
        ]
    return result, wrong


def attribute_table(
    garments: Sequence[Attributes], labels: Labels
) -> np.ndarray:
    """Returns (N, A) int8 of 1, 0 and `UNKNOWN`.

    Args:
        garments: known attributes of each garment.
        labels: labels of all files, once all are read.
    """
    columns: dict[str, list[int]] = {}
    for (group, _), column in labels.attributes.items():
        columns.setdefault(group, []).append(column)
    table = np.full((len(garments), len(labels.attributes)), UNKNOWN, np.int8)
    for row, known in zip(table, garments, strict=True):
        row[known.absent] = 0
        for group in known.groups:
            row[columns.get(group, [])] = 0
        row[known.present] = 1
    return table
