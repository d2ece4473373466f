"""Attributes of a COCO annotation, as data sets and labeling tools write them.

Fashionpedia lists attributes once for the file and gives each garment its
`attribute_ids`. CVAT and others give it a dict of `attributes`: a name and
true or false, or a group and the name of the one that it has.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.annotations import UNKNOWN
from pipelines.problems import Kind
from pipelines.readers.coco_categories import OTHER
from pipelines.readers.coco_categories import Labels
from pipelines.readers.coco_categories import read_id
from pipelines.readers.csv_cells import MISSING

# What CVAT and Datumaro write of how something was drawn.
_OF_DRAWING = frozenset(
    ("occluded", "outside", "rotation", "keyframe", "track_id", "is_crowd")
)

# CVAT has the former for a choice that nobody made.
_NOTHING = MISSING | {"__undefined__", ""}

_TRUTHS = {"true": True, "false": False}


@dataclasses.dataclass
class Attributes:
    """What is known of a garment's attributes; all others are unknown.

    Args:
        present: columns of those it has.
        absent: columns of those it does not have.
        groups: it has none of these but the present ones.
    """

    present: list[int] = dataclasses.field(default_factory=list)
    absent: Sequence[int] = ()
    groups: list[str] = dataclasses.field(default_factory=list)


def read_attributes(
    annotation: dict[str, Any], labels: Labels
) -> tuple[Attributes, list[tuple[Kind, str]]]:
    """Reads the attributes of an annotation.

    Args:
        annotation: of the file that `labels` are of.
        labels: gains the attributes that it does not have.

    Returns:
        What is known of them, and what is wrong with others.

    Raises:
        TypeError: if `attribute_ids` is no list of ids.
    """
    result, wrong = Attributes(), []
    ids = annotation.get("attribute_ids")
    if ids is not None:
        result.absent = labels.listed
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
        written = {OTHER: written}
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
            column = labels.column(OTHER, name)
            if value:
                result.present.append(column)
            else:
                result.absent = (*result.absent, column)
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
        garments: what is known of each.
        labels: of all files, once all are read.
    """
    columns: dict[str, list[int]] = {}
    for (group, _), column in labels.attributes.items():
        columns.setdefault(group, []).append(column)
    table = np.full((len(garments), len(labels.attributes)), UNKNOWN, np.int8)
    for row, known in zip(table, garments, strict=True):
        row[[*known.absent]] = 0
        for group in known.groups:
            row[columns.get(group, [])] = 0
        row[known.present] = 1
    return table
