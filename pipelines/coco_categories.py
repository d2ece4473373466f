"""What the numbers in a COCO file stand for."""

import dataclasses
from pathlib import Path
from typing import Any

from pipelines.deepfashion_names import PLACES
from pipelines.errors import InputError
from pipelines.vocabulary import LANDMARKS

# Without names, as many keypoints as a clothes type has are that type's.
_BY_COUNT = {len(places): places for places in PLACES.values()}


@dataclasses.dataclass
class Labels:
    """Names of labels over all files, and the ids of one file.

    Args:
        categories: names, each with its index.
        attributes: names in the order of their columns, each with its group.
        category_ids: index of a category for its id.
        attribute_ids: column of an attribute for its id.
        places: for a category's id where its keypoints are among our
            landmarks; `None` for a category that does not name them.
    """

    categories: dict[str, int] = dataclasses.field(default_factory=dict)
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    category_ids: dict[Any, int] = dataclasses.field(default_factory=dict)
    attribute_ids: dict[Any, int] = dataclasses.field(default_factory=dict)
    places: dict[Any, tuple[int, ...] | None] = dataclasses.field(
        default_factory=dict
    )


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
        result.category_ids[entry["id"]] = result.categories.setdefault(
            name, len(result.categories)
        )
        names = entry.get("keypoints")
        result.places[entry["id"]] = _places(names, where) if names else None
    columns = {name: i for i, name in enumerate(result.attributes)}
    for index, entry in enumerate(content.get("attributes") or []):
        name = _name(entry, f"{path}, attributes[{index}]")
        group = str(entry.get("supercategory") or "other")
        result.attributes.setdefault(name, group)
        column = columns.setdefault(name, len(columns))
        result.attribute_ids[entry["id"]] = column
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
        hash(entry["id"])
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
