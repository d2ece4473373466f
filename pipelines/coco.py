"""Reads annotations in COCO's format: boxes, keypoints, categories, attributes.

A file holds `images` (`id`, `file_name`), `annotations` (`image_id`,
`category_id`, `bbox`, `keypoints`) and `categories` (`id`, `name` and the
names of its `keypoints`), see https://cocodataset.org/#format-data; each
annotation is one garment. Attributes are as Fashionpedia has them: a list
`attributes` (`id`, `name`, `supercategory`: the group) and `attribute_ids` in
each annotation.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.annotations import SPLITS
from pipelines.annotations import TRUNCATED
from pipelines.annotations import UNKNOWN
from pipelines.annotations import Annotations
from pipelines.annotations import make_table
from pipelines.annotations import make_vocabulary
from pipelines.annotations import used_categories
from pipelines.coco_categories import Labels
from pipelines.coco_categories import read_labels
from pipelines.coco_garments import Garment
from pipelines.coco_garments import read_garment
from pipelines.errors import InputError
from pipelines.label_checks import first_garments
from pipelines.label_checks import mend_boxes
from pipelines.label_checks import mend_landmarks
from pipelines.problem_log import ProblemLog
from pipelines.problems import Kind
from pipelines.special_files import check_not_special
from pipelines.splitting import split_of_path
from pipelines.vocabulary import LANDMARKS


def coco_files(folder: Path) -> list[Path]:
    """The JSON files of `folder/annotations`, or else of `folder` itself."""
    for place in (folder / "annotations", folder):
        if files := sorted(place.glob("*.json")):
            return files
    return []


def read_coco(paths: list[Path], log: ProblemLog) -> Annotations:
    """Reads one or several files of one data set.

    The split is the word train, val (valid, validation) or test in a file's
    name; without one, each image's comes from the hash of its path (see
    `pipelines.splitting`). Photographs lie beside the file, or beside its
    folder if that is called `annotations`.

    Keypoints have 0-based places and COCO's visibility: 2 becomes visible, 1
    occluded, 0 truncated. A garment without `attribute_ids` has unknown
    attributes, one with an empty list has none of them.

    Raises:
        InputError: if a file is no COCO file or names keypoints that are no
            landmark of ours.
    """
    folder = paths[0].parent
    if folder.name == "annotations":
        folder = folder.parent
    labels, garments = Labels(), []
    for path in sorted(paths, key=_order):
        content = _load(path)
        ids = read_labels(path, content, labels)
        garments += _read_file(path, folder, content, ids, log)

    images = [garment.image for garment in garments]

    def source(row: int) -> str:
        return garments[row].source

    boxes = np.array([garment.box for garment in garments])
    boxes, usable = mend_boxes(boxes, 0, images, source, log)
    landmarks = np.zeros((len(garments), len(LANDMARKS), 3), np.float32)
    landmarks[..., 2] = TRUNCATED
    attributes = np.zeros((len(garments), len(labels.attributes)), np.int8)
    for row, garment in enumerate(garments):
        if garment.landmarks is not None:
            landmarks[row] = garment.landmarks
        attributes[row, garment.attributes or []] = 1
        if garment.attributes is None:
            attributes[row] = UNKNOWN

    mend_landmarks(landmarks, boxes, 0, images, source, log)
    rows = first_garments(images, boxes, usable, source, log)
    category = np.array([garment.category for garment in garments], int)
    categories, category = used_categories(
        tuple(labels.categories), category[rows]
    )
    with_landmarks = any(g.landmarks is not None for g in garments)
    table = make_table(
        [images[row] for row in rows],
        [garments[row].split for row in rows],
        [garments[row].source for row in rows],
        category,
        boxes[rows],
        landmarks[rows] if with_landmarks else landmarks[rows, :0],
        attributes[rows],
    )
    vocabulary = make_vocabulary(
        categories,
        tuple(labels.attributes),
        tuple(labels.attributes.values()),
        with_landmarks,
    )
    return Annotations(folder, table, vocabulary, log.problems)


def _load(path: Path) -> dict[str, Any]:
    check_not_special(path)
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({error})") from error
    for name in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(
            content.get(name), list
        ):
            raise InputError(
                f"{path}: is no COCO file, it has no list {name!r}; "
                "name the file to read, if there are others"
            )
    return content


def _split(path: Path) -> str | None:
    found = re.search(
        r"(?<![a-z])(train|val|test)(id|idation|ing)?(?![a-z])",
        path.stem.lower(),
    )
    return found and found[1]


def _order(path: Path) -> tuple[int, str]:
    split = _split(path)
    return (SPLITS.index(split) if split else len(SPLITS), path.name)


def _read_file(
    path: Path,
    folder: Path,
    content: dict[str, Any],
    labels: Labels,
    log: ProblemLog,
) -> list[Garment]:
    names, named = {}, set()
    for index, image in enumerate(content["images"]):
        source = f"{path}, images[{index}]"
        try:
            name, key = image["file_name"], image["id"]
            if not isinstance(name, str) or not name:
                raise TypeError("file_name is no text")
            if key in names:
                log.note(Kind.ROW_DUPLICATE, name, source, f"id {key} again")
                continue
            # JSON can hold half of a surrogate pair, which would break every
            # file that the name is written to. So spelt out it is not found.
            names[key] = name.encode("utf-8", "backslashreplace").decode()
        except (KeyError, TypeError) as error:
            log.note(Kind.ROW_UNREADABLE, "", source, repr(error))
    split = _split(path)
    prefix = _prefix(path, folder, names)
    garments = []
    for index, annotation in enumerate(content["annotations"]):
        source = f"{path}, annotations[{index}]"
        try:
            key = annotation["image_id"]
            known = key in names
        except (KeyError, TypeError) as error:
            log.note(Kind.ROW_UNREADABLE, "", source, repr(error))
            continue
        if not known:
            log.note(Kind.ROW_MISSING, "", source, f"no image has the id {key}")
            continue
        named.add(key)
        image = prefix + names[key]
        garment = read_garment(annotation, labels, image, source, log)
        if garment:
            garment.split = split or split_of_path(names[key])
            garments.append(garment)
    for key, name in names.items():
        if key not in named:
            log.note(Kind.ROW_MISSING, name, str(path), "has no annotation")
    return garments


def _prefix(path: Path, folder: Path, names: dict[Any, str]) -> str:
    """Where below `folder` the first photograph lies; "" if nowhere."""
    # COCO's own folders are named as its files end: train2017, val2017.
    tail = re.split(r"[_\-. ]", path.stem)[-1]
    for prefix in ("", "images/", f"{tail}/", f"images/{tail}/"):
        if names and (folder / (prefix + next(iter(names.values())))).is_file():
            return prefix
    return ""
