"""What the numbers in a COCO file stand for."""

import dataclasses
from pathlib import Path
from typing import Any

from pipelines.errors import InputError
from pipelines.readers.deepfashion_names import PLACES
from pipelines.vocabulary import LANDMARKS

OTHER = "other"
"""The group of attributes that have none."""

# Without names, as many keypoints as a clothes type has are that type's.
_BY_COUNT = {len(places): places for places in PLACES.values()}


@dataclasses.dataclass
class Labels:
    """Names of labels over all files, and the ids of one file.

    Args:
        categories: names, each with its index.
        attributes: the column of each group and name; in their order.
        category_ids: index of a category for its id, as `read_id` has it.
        attribute_ids: column of an attribute for its id.
        listed: the columns of the attributes that this file lists.
        places: for a category's id where its keypoints are among our
            landmarks; `None` for a category that does not name them.
    """

    categories: dict[str, int] = dataclasses.field(default_factory=dict)
    attributes: dict[tuple[str, str], int] = dataclasses.field(
        default_factory=dict
    )
    category_ids: dict[str, int] = dataclasses.field(default_factory=dict)
    attribute_ids: dict[str, int] = dataclasses.field(default_factory=dict)
    listed: tuple[int, ...] = ()
    places: dict[str, tuple[int, ...] | None] = dataclasses.field(
        default_factory=dict
    )

    def column(self, group: str, name: str) -> int:
        """Returns the column of an attribute, a new one if it has none."""
        return self.attributes.setdefault((group, name), len(self.attributes))


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
    """The labels of a file, whose names are added to those of other files.

    Args:
        path: of the file, for messages.
        content: of the file.
        labels: gains the names that it has not.

    Returns:
        The same names with the ids of this file.

    Raises:
        InputError: if a category or attribute has no id and name, or a
            keypoint's name is none of ours.
    """
    result = Labels(labels.categories, labels.attributes)
    for index, entry in enumerate(content.get("categories") or []):
        where = f"{path}, categories[{index}]"
        name = _name(entry, where)
        key = read_id(entry["id"])
        result.category_ids[key] = result.categories.setdefault(
            name, len(result.categories)
        )
        names = entry.get("keypoints")
        result.places[key] = _places(names, where) if names else None
    for index, entry in enumerate(content.get("attributes") or []):
        name = _name(entry, f"{path}, attributes[{index}]")
        group = str(entry.get("supercategory") or OTHER)
        key = read_id(entry["id"])
        result.attribute_ids[key] = result.column(group, name)
    result.listed = tuple(result.attribute_ids.values())
    return result


def places_by_count(count: int) -> tuple[int, ...]:
    """Places of keypoints that no category names: 8, 6 upper or 4 lower.

    Raises:
        ValueError: if there is another number of them.
    """
    if count not in _BY_COUNT:
        raise ValueError(f"{count} keypoints without names")
    return _BY_COUNT[count]


def _name(entry: Any, where: str) -> str:
    try:
        name = entry["name"].strip()
        read_id(entry["id"])
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: needs an id and a name") from error
    return name


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
