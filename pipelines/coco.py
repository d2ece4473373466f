"""Reads annotations in COCO's format: boxes, keypoints, categories, attributes.

A file holds `images` (`id`, `file_name`), `annotations` (`image_id`,
`category_id`, `bbox`, `keypoints`) and `categories` (`id`, `name` and the
names of its `keypoints`), see https://cocodataset.org/#format-data; each
annotation is one garment. Attributes are as Fashionpedia has them: a list
`attributes` (`id`, `name`, `supercategory`: the group) and `attribute_ids` in
each annotation.
"""

import json
from collections.abc import Iterator
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
from pipelines.coco_files import data_folder
from pipelines.coco_files import image_folder
from pipelines.coco_files import split_of_file
from pipelines.coco_garments import Garment
from pipelines.coco_garments import read_garment
from pipelines.coco_garments import read_size
from pipelines.errors import InputError
from pipelines.label_checks import first_garments
from pipelines.label_checks import mend_boxes
from pipelines.label_checks import mend_landmarks
from pipelines.label_checks import read_fractions
from pipelines.photograph_store import PhotographStore
from pipelines.problem_log import ProblemLog
from pipelines.problems import Kind
from pipelines.special_files import check_not_special
from pipelines.splitting import splits_of_paths
from pipelines.vocabulary import LANDMARKS


def read_coco(paths: list[Path], log: ProblemLog) -> Annotations:
    """Reads one or several files of one data set.

    The split is the word train, val or test in a file's name or its folder's
    name, in the spellings of `pipelines.splitting`; without one, each image's
    comes from the name of its folder or the hash of its path. Images lie beside
    the file, beside its folder if that is called `annotations`, or in folders
    of the usual names there (see `pipelines.coco_files`).

    Keypoints have 0-based places and COCO's visibility: 2 becomes visible, 1
    occluded, 0 truncated. A garment without `attribute_ids` has unknown
    attributes, one with an empty list has none of them.

    Raises:
        InputError: if a file is no COCO file or names keypoints that are no
            landmark of ours.
    """
    folder = data_folder(paths)
    store = PhotographStore(folder)
    labels, garments = Labels(), []
    for path, content in _load_all(sorted(paths, key=_order), log):
        ids = read_labels(path, content, labels)
        garments += _read_file(path, store, content, ids, log)

    images = [garment.image for garment in garments]

    def source(row: int) -> str:
        return garments[row].source

    boxes = np.array([garment.box for garment in garments]).reshape(-1, 4)
    sizes = np.array([garment.size for garment in garments]).reshape(-1, 2)
    landmarks = np.zeros((len(garments), len(LANDMARKS), 3), np.float32)
    landmarks[..., 2] = TRUNCATED
    attributes = np.zeros((len(garments), len(labels.attributes)), np.int8)
    for row, garment in enumerate(garments):
        if garment.landmarks is not None:
            landmarks[row] = garment.landmarks
        attributes[row, garment.attributes or []] = 1
        if garment.attributes is None:
            attributes[row] = UNKNOWN

    read_fractions(boxes, landmarks, sizes, source, log)
    boxes, usable = mend_boxes(boxes, 0, images, source, log)
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
        sizes[rows],
    )
    vocabulary = make_vocabulary(
        categories,
        tuple(labels.attributes),
        tuple(labels.attributes.values()),
        with_landmarks,
    )
    return Annotations(folder, table, vocabulary, log.problems)


def _load_all(
    paths: list[Path], log: ProblemLog
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the content of each file; one that is no COCO file is noted.

    Raises:
        InputError: if a file cannot be read, or none is a COCO file.
    """
    others = []
    for path in paths:
        content = _load(path)
        lacks = [
            name
            for name in ("images", "annotations")
            if not isinstance(content, dict)
            or not isinstance(content.get(name), list)
        ]
        if not lacks:
            yield path, content
            continue
        others.append(f"{path}: is no COCO file, it has no list {lacks[0]!r}")
        if len(others) == len(paths):
            raise InputError(others[0])
        detail = f"it has no list {lacks[0]!r}"
        log.note(Kind.FILE_WITHOUT_LABELS, "", str(path), detail)


def _load(path: Path) -> Any:
    check_not_special(path)
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({error})") from error


def _order(path: Path) -> tuple[int, str]:
    split = split_of_file(path)
    return (SPLITS.index(split) if split else len(SPLITS), str(path))


def _read_file(
    path: Path,
    store: PhotographStore,
    content: dict[str, Any],
    labels: Labels,
    log: ProblemLog,
) -> list[Garment]:
    names, sizes, named = {}, {}, set()
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
            sizes[key] = read_size(image)
        except (KeyError, TypeError) as error:
            log.note(Kind.ROW_UNREADABLE, "", source, repr(error))
    split = split_of_file(path)
    splits = dict(
        zip(names, splits_of_paths(list(names.values())), strict=True)
    )
    place = image_folder(path, store, list(names.values()))
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
        image = place + names[key]
        garment = read_garment(annotation, labels, image, source, log)
        if garment:
            garment.size = sizes[key]
            garment.split = split or splits[key]
            garments.append(garment)
    for key, name in names.items():
        if key not in named:
            log.note(Kind.ROW_MISSING, name, str(path), "has no annotation")
    return garments
