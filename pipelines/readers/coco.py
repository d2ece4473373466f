"""Reads data sets in COCO format: finds files and images, builds the table.

A file holds `images` (`id`, `file_name`), `annotations` (`image_id`,
`category_id`, `bbox`, `keypoints`) and `categories` (`id`, `name` and the
names of its `keypoints`), see https://cocodataset.org/#format-data. Each
annotation is one garment, which `pipelines.readers.coco_garments` reads.
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

# Names of the folder of all images in COCO, mmpose, DeepFashion2, FiftyOne.
_FOLDERS = ("images", "img", "image", "data")

# Images to look for in a folder before it is taken for the right one.
_SAMPLE = 50

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

    The split is the word train, val or test in the name of a file or of its
    folder, in the spellings of `readers.splits`. Without one, the split of
    each image comes from the name of its folder or the hash of its path.
    Images lie next to the file, next to its folder if that is called
    `annotations`, or there in a folder with a usual name (see `_places`).

    Raises:
        InputError: if a file is not a COCO file, or has keypoints that are
            not among the eight landmarks.
    """
    folder = _data_folder(paths)
    # `Annotations.follow_links` decides later which links are followed.
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
    """Yields the content of each file, and notes those that are not COCO.

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


def _has_labels(annotation: Any) -> bool:
    # One that is not a dict is noted later as a row that does not parse.
    return not isinstance(annotation, dict) or any(
        annotation.get(name) is not None for name in _LABELS
    )


def _order(path: Path) -> tuple[int, str]:
    split = _split_of_file(path)
    return (SPLITS.index(split) if split else len(SPLITS), str(path))


def _read_file(
    path: Path,
    store: ImageStore,
    content: dict[str, Any],
    labels: Labels,
    log: ProblemLog,
) -> list[Garment]:
    annotations = content["annotations"]
    if annotations and not any(map(_has_labels, annotations)):
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
            # JSON can hold half of a surrogate pair, which cannot be written
            # to any file. Escaped, the image is reported as missing.
            names[key] = name.encode("utf-8", "backslashreplace").decode()
            sizes[key] = read_size(image)
        except (KeyError, TypeError) as error:
            log.note(Kind.ROW_UNREADABLE, "", source, repr(error))
    images = list(names.values())
    folder = _image_folder(path, store, images)
    split = _split_of_file(path)
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
        image = folder + names[key]
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


def coco_files(folder: Path) -> list[Path]:
    """Returns the JSON files of a data set.

    They lie in `annotations/`, or else in the folder itself, or else, as
    Roboflow writes them, in folders named after splits.
    """
    splits = [path for path in folder.glob("*/") if split_named(path.name)]
    for places in ([folder / "annotations"], [folder], splits):
        # macOS adds "._train.json" when it packs a folder.
        files = [
            path
            for place in sorted(places)
            for path in sorted(place.glob("*.json"))
            if not path.name.startswith(".")
        ]
        if files:
            return files
    return []


def _data_folder(paths: Sequence[Path]) -> Path:
    """Returns the folder of a data set, given the paths of its JSON files."""
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return folder.parent if folder.name == "annotations" else folder


def _split_of_file(path: Path) -> str | None:
    """Returns the split that a JSON file or else its folder is named after."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    words.append(path.absolute().parent.name)
    return next(filter(None, map(split_named, words)), None)


def _image_folder(path: Path, store: ImageStore, names: list[str]) -> str:
    """Finds the folder that holds the images of a JSON file.

    Returns:
        The prefix that makes a name in the file a path in the store: the first
        folder that has half of the images, or else the one that has the most.
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
    """Lists folders that may hold a file's images, the likeliest first."""
    # COCO names its folders after the end of its files: train2017, val2017.
    # CVAT calls a task without a split "default".
    own = {re.split(r"[_\-. ]", path.stem.lower())[-1], "default"}
    split = _split_of_file(path)

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
