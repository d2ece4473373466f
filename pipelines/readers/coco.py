"""Reads annotations in COCO's format: boxes, keypoints, categories, attributes.

A file holds `images` (`id`, `file_name`), `annotations` (`image_id`,
`category_id`, `bbox`, `keypoints`) and `categories` (`id`, `name` and the
names of its `keypoints`), see https://cocodataset.org/#format-data; each
annotation is one garment. Attributes are as Fashionpedia has them: a list
`attributes` (`id`, `name`, `supercategory`: the group) and `attribute_ids` in
each annotation; or as CVAT has them (see `pipelines.readers.coco_garments`).
"""

import json
import os
import re
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.annotations import SPLITS
from pipelines.annotations import TRUNCATED
from pipelines.annotations import Annotations
from pipelines.annotations import make_table
from pipelines.annotations import make_vocabulary
from pipelines.annotations import used_categories
from pipelines.errors import InputError
from pipelines.images import ImageStore
from pipelines.problems import Kind
from pipelines.problems import ProblemLog
from pipelines.readers.checks import fix_boxes
from pipelines.readers.checks import fix_landmarks
from pipelines.readers.checks import read_fractions
from pipelines.readers.coco_garments import Garment
from pipelines.readers.coco_garments import Labels
from pipelines.readers.coco_garments import attribute_table
from pipelines.readers.coco_garments import read_garment
from pipelines.readers.coco_garments import read_id
from pipelines.readers.coco_garments import read_labels
from pipelines.readers.coco_garments import read_size
from pipelines.readers.join import join_garments
from pipelines.readers.splits import split_named
from pipelines.readers.splits import splits_of_paths
from pipelines.special_files import check_not_special
from pipelines.vocabulary import LANDMARKS

_LABELS = (
    *("bbox", "segmentation", "keypoints", "category_id"),
    *("attributes", "attribute_ids"),
)
_FIELDS = frozenset(
    (
        *_LABELS,
        *("id", "image_id", "iscrowd", "area", "num_keypoints", "score"),
    )
)


def read_coco(paths: list[Path], log: ProblemLog) -> Annotations:
    """Reads one or several files of one data set.

    The split is the word train, val or test in a file's name or its folder's
    name, in the spellings of `readers.splits`; without one, each image's
    comes from the name of its folder or the hash of its path. Images lie beside
    the file, beside its folder if that is called `annotations`, or in folders
    of the usual names there (see `pipelines.readers.coco`).

    Keypoints have 0-based places and COCO's visibility: 2 becomes visible, 1
    occluded, 0 truncated; pairs of x and y are visible. A garment without a
    `bbox` has that of its polygons. One without `attribute_ids` has unknown
    attributes, one with an empty list has none of those that its file lists.

    Raises:
        InputError: if a file is no COCO file or names keypoints that are no
            landmark of ours.
    """
    folder = data_folder(paths)
    # Whether links that lead out may be read is decided later.
    store = ImageStore(folder, follow_links=True)
    labels, garments = Labels(), []
    for path, content in _load_all(sorted(paths, key=_order), log):
        ids = read_labels(path, content, labels)
        garments += _read_file(path, store, content, ids, log)

    boxes = np.array([garment.box for garment in garments]).reshape(-1, 4)
    sizes = np.array([garment.size for garment in garments]).reshape(-1, 2)
    landmarks = np.zeros((len(garments), len(LANDMARKS), 3), np.float32)
    landmarks[..., 2] = TRUNCATED
    for row, garment in enumerate(garments):
        if garment.landmarks is not None:
            landmarks[row] = garment.landmarks
    attributes = attribute_table([g.attributes for g in garments], labels)
    category = np.array([garment.category for garment in garments], int)
    images = [garment.image for garment in garments]
    sources = [garment.source for garment in garments]
    source = sources.__getitem__
    read_fractions(boxes, landmarks, sizes, source, log)
    boxes, usable = fix_boxes(boxes, 0, images, source, log)
    fix_landmarks(landmarks, boxes, 0, images, source, log)
    rows = join_garments(
        *(images, boxes, usable, category, landmarks, attributes),
        *(source, log),
        [garment.key for garment in garments],
    )
    categories, category = used_categories(
        tuple(labels.categories), category[rows]
    )
    with_landmarks = any(g.landmarks is not None for g in garments)
    table = make_table(
        [images[row] for row in rows],
        [garments[row].split for row in rows],
        [sources[row] for row in rows],
        category,
        boxes[rows],
        landmarks[rows] if with_landmarks else landmarks[rows, :0],
        attributes[rows],
        sizes[rows],
    )
    vocabulary = make_vocabulary(
        categories,
        tuple(name for _, name in labels.attributes),
        tuple(group for group, _ in labels.attributes),
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


def _is_garment(annotation: Any) -> bool:
    return not isinstance(annotation, dict) or any(
        annotation.get(name) is not None for name in _LABELS
    )


def _order(path: Path) -> tuple[int, str]:
    split = split_of_file(path)
    return (SPLITS.index(split) if split else len(SPLITS), str(path))


def _read_file(
    path: Path,
    store: ImageStore,
    content: dict[str, Any],
    labels: Labels,
    log: ProblemLog,
) -> list[Garment]:
    annotations = content["annotations"]
    if annotations and not any(map(_is_garment, annotations)):
        detail = f"no annotation has any of {', '.join(_LABELS)}"
        log.note(Kind.FILE_WITHOUT_LABELS, "", str(path), detail)
        return []
    names, sizes, named = {}, {}, set()
    for index, image in enumerate(content["images"]):
        source = f"{path}, images[{index}]"
        try:
            name, key = image["file_name"], read_id(image["id"])
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
    images = list(names.values())
    place = image_folder(path, store, images)
    split = split_of_file(path)
    splits = [split] * len(images) if split else splits_of_paths(images)
    splits = dict(zip(names, splits, strict=True))
    garments, fields = [], {}
    for index, annotation in enumerate(annotations):
        source = f"{path}, annotations[{index}]"
        try:
            key = read_id(annotation["image_id"])
            fields.update(dict.fromkeys(annotation.keys() - fields, index))
        except (KeyError, TypeError) as error:
            log.note(Kind.ROW_UNREADABLE, "", source, repr(error))
            continue
        if key not in names:
            log.note(Kind.ROW_MISSING, "", source, f"no image has the id {key}")
            continue
        named.add(key)
        image = place + names[key]
        garment = read_garment(annotation, labels, image, source, log)
        if garment:
            garment.key = (str(path), str(annotation.get("id", source)))
            garment.size = sizes[key]
            garment.split = splits[key]
            garments.append(garment)
    for field in sorted(fields.keys() - _FIELDS):
        source = f"{path}, annotations[{fields[field]}]"
        log.note(Kind.COLUMN_UNKNOWN, "", source, repr(field))
    for key, name in names.items():
        if key not in named:
            log.note(Kind.ROW_MISSING, name, str(path), "has no annotation")
    return garments


# What tools call the folder of all images: COCO, mmpose and DeepFashion2,
# FiftyOne.
_FOLDERS = ("images", "img", "image", "data")

# So many names are looked for in a folder before it is taken for the one.
_SAMPLE = 50


def coco_files(folder: Path) -> list[Path]:
    """Returns the JSON files of a data set.

    Args:
        folder: they lie in its `annotations/`, or else in it, or else, as
            Roboflow writes them, in folders that are called as splits.
    """
    splits = [path for path in folder.glob("*/") if split_named(path.name)]
    for places in ([folder / "annotations"], [folder], splits):
        # macOS puts "._train.json" beside what it packs.
        files = [
            path
            for place in sorted(places)
            for path in sorted(place.glob("*.json"))
            if not path.name.startswith(".")
        ]
        if files:
            return files
    return []


def data_folder(paths: Sequence[Path]) -> Path:
    """Returns the folder of a data set, which its images lie in.

    Args:
        paths: of its JSON files.
    """
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return folder.parent if folder.name == "annotations" else folder


def split_of_file(path: Path) -> str | None:
    """Returns the split that a JSON file or else its folder is named for."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    words.append(path.absolute().parent.name)
    return next(filter(None, map(split_named, words)), None)


def image_folder(path: Path, store: ImageStore, names: list[str]) -> str:
    """Finds where the images of a file lie.

    Args:
        path: of the JSON file.
        store: of the data set's folder.
        names: of the images, as the file has them.

    Returns:
        What to put before a name to have its path in the store: the first
        folder that has half of the images, or else the one that has most.
    """
    sample = names[:: len(names) // _SAMPLE + 1]
    most, best = 0, ""
    for place in _places(path, store.folder):
        found = sum(store.has(place + name) for name in sample)
        if 2 * found >= len(sample) > 0:
            return place
        if found > most:
            most, best = found, place
    return best


def _places(path: Path, folder: Path) -> list[str]:
    """Folders that a file's images may be in, the likeliest first."""
    # COCO's own folders are named as its files end: train2017, val2017.
    # CVAT calls a task without a split so.
    own = {re.split(r"[_\-. ]", path.stem.lower())[-1], "default"}
    split = split_of_file(path)

    def fits(name: str) -> bool:
        return name.lower() in own or (split and split_named(name) == split)

    def inside(place: Path) -> list[Path]:
        there = [entry for entry in sorted(place.glob("*/")) if entry.is_dir()]
        return [
            *(entry for entry in there if entry.name.lower() in _FOLDERS),
            *(entry for entry in there if fits(entry.name)),
        ]

    near = inside(folder)
    places = [path.parent, folder, *near]
    places += [deeper for place in near for deeper in inside(place)]
    if split == "val" and path.stem.startswith("instances_attributes"):
        # Fashionpedia packs the images of val and test together.
        places.append(folder / "test")
    found = [place.relative_to(folder).as_posix() for place in places]
    return ["" if place == "." else f"{place}/" for place in found]
