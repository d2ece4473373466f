"""Reads the fine annotation of the DeepFashion benchmark, `Anno_fine/`.

It labels 20,000 images with 26 attributes, in files without headers: each line
of `train.txt` names an image, and the rows of `train_bbox.txt`,
`train_cate.txt`, `train_attr.txt` and `train_landmarks.txt` have the same
order; likewise for val and test. The format is known from programs that write
or read it:

- boxes and categories, which count from 1: mmfashion's
  `mmfashion/datasets/Attr_Pred.py` and `data/prepare_attr_pred.py`, which
  writes such files from the coarse ones;
- landmarks as x, y without visibility, those of the clothes type first, padded
  with zeros to 16 numbers: the same `prepare_attr_pred.py`;
- attributes as 26 columns of 0 and 1: the original files, which
  `Attr_Pred.py` reads; as 6 numbers, the place in each group: copies for
  course work (for example `FashionDataset/split/train_attr.txt` of
  ArchyZheng/AD_CV_project, where places count from 0).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.annotations import SPLITS
from pipelines.annotations import TRUNCATED
from pipelines.annotations import UNKNOWN
from pipelines.annotations import VISIBLE
from pipelines.annotations import Annotations
from pipelines.annotations import make_table
from pipelines.annotations import make_vocabulary
from pipelines.annotations import used_categories
from pipelines.errors import InputError
from pipelines.problems import Kind
from pipelines.problems import ProblemLog
from pipelines.readers.checks import fix_boxes
from pipelines.readers.checks import fix_landmarks
from pipelines.readers.deepfashion_names import PLACES
from pipelines.readers.deepfashion_names import Names
from pipelines.readers.deepfashion_names import category_labels
from pipelines.readers.deepfashion_names import read_names
from pipelines.readers.deepfashion_names import unpack_landmarks
from pipelines.readers.text_rows import Rows
from pipelines.readers.text_rows import decode
from pipelines.readers.text_rows import read_ordered_rows
from pipelines.readers.text_rows import read_plain_lines

FINE_FOLDER = "Anno_fine"


def is_fine(folder: Path) -> bool:
    """Returns whether `folder` has this layout, whatever its name."""
    return folder.is_dir() and (
        folder.name == FINE_FOLDER
        or (
            (folder / "list_category_cloth.txt").is_file()
            and any((folder / f"{split}.txt").is_file() for split in SPLITS)
        )
    )


def read_fine(anno: Path, log: ProblemLog) -> Annotations:
    """Reads the folder that holds the lists; images lie next to it.

    Pixels count from 1 and boxes include their last row and column, as in the
    coarse layout. A landmark at (0, 0) is absent, which is not a problem here.
    A split may be missing, with all its files.

    Raises:
        InputError: naming file and line, if a file is missing, does not have
            one row per image, or the name of a label does not parse.
    """
    splits = [split for split in SPLITS if (anno / f"{split}.txt").is_file()]
    if not splits and (anno / "list_attr_img.txt").is_file():
        raise InputError(
            f"{anno}: has no train.txt, val.txt or test.txt, as the fine "
            "annotation does, but lists as the coarse one; rename the folder "
            "to Anno_coarse to read those"
        )
    names = read_names(anno, log)
    splits = splits or [SPLITS[0]]
    files = [_read_split(anno, split, names, log) for split in splits]
    first = _first_place([part.attributes for part in files], names)
    parts = [_labels(part, names, first, log) for part in files]

    images = [image for part in files for image in part.images]
    sources = [
        f"{anno / split}.txt, line {row + 1}"
        for split, part in zip(splits, files, strict=True)
        for row in range(len(part.images))
    ]
    category, boxes, landmarks, attributes, usable = (
        np.concatenate(values) for values in zip(*parts, strict=True)
    )
    first_rows: dict[str, int] = {}
    for row in np.flatnonzero(usable).tolist():
        if (other := first_rows.setdefault(images[row], row)) != row:
            detail = f"also in {sources[other]}"
            log.note(Kind.ROW_DUPLICATE, images[row], sources[row], detail)
    rows = [*first_rows.values()]
    categories, labels = used_categories(names.categories, category[rows])
    table = make_table(
        [images[row] for row in rows],
        np.repeat(splits, [len(part.images) for part in files])[rows].tolist(),
        [sources[row] for row in rows],
        labels,
        boxes[rows],
        landmarks[rows],
        attributes[rows],
    )
    vocabulary = make_vocabulary(
        categories, names.attributes, names.groups, with_landmarks=True
    )
    return Annotations(
        anno.parent, table, vocabulary, log.problems, "deepfashion"
    )


class _Split(NamedTuple):
    """The files of one split."""

    images: list[str]
    category: Rows
    attributes: Rows
    boxes: Rows
    landmarks: Rows


def _read_split(
    anno: Path, split: str, names: Names, log: ProblemLog
) -> _Split:
    path = anno / f"{split}.txt"
    images = [decode(line.strip()) for line in read_plain_lines(path, log)]
    for row, image in enumerate(images):
        if not image:
            source = f"{path}, line {row + 1}"
            log.note(Kind.ROW_UNREADABLE, "", source, "no image is named")
    groups = len(names.group_order)
    return _Split(
        images,
        *(
            read_ordered_rows(anno / f"{split}_{name}.txt", images, log, widths)
            for name, widths in (
                ("cate", [1]),
                ("attr", [groups, len(names.attributes)]),
                ("bbox", [4]),
                ("landmarks", [2 * len(places) for places in PLACES.values()]),
            )
        ),
    )


def _labels(
    part: _Split, names: Names, first: int, log: ProblemLog
) -> tuple[np.ndarray, ...]:
    """Returns category, boxes, landmarks, attributes and usable rows."""
    good = np.logical_and.reduce([rows.good for rows in part[1:]])
    good &= np.array([image != "" for image in part.images], bool)
    for rows in part[1:]:
        # Rows that are left out need no checks.
        rows.values[~good] = np.nan
    category = category_labels(part.category, len(names.categories), log)
    boxes, usable = fix_boxes(
        part.boxes.values, 1, part.images, part.boxes.source, log
    )
    landmarks = _landmarks(part.landmarks, category, names, log)
    fix_landmarks(landmarks, boxes, 1, part.images, part.landmarks.source, log)
    attributes = _attributes(part.attributes, names, first, log)
    return category, boxes, landmarks, attributes, good & usable


def _landmarks(
    rows: Rows, category: np.ndarray, names: Names, log: ProblemLog
) -> np.ndarray:
    """Returns (N, 8, 3), unpacked by the clothes type of each category."""
    points = np.nan_to_num(rows.values).reshape(-1, 8, 2)
    there = points.any(-1)
    kinds = np.array([*names.clothes_types, 0])[category]
    sizes = np.zeros(len(kinds), int)
    for kind, places in PLACES.items():
        sizes[kinds == kind] = len(places)
    misfit = (there & (np.arange(8) >= sizes[:, None])).any(1)
    for row in np.flatnonzero(misfit):
        log.note(
            Kind.LANDMARK_TYPE,
            rows.images[row],
            rows.source(row),
            f"{np.flatnonzero(there[row])[-1] + 1} landmarks, "
            f"clothes type {kinds[row] or 'unknown'} has {sizes[row]}",
        )
    visibility = np.where(there & ~misfit[:, None], VISIBLE, TRUNCATED)
    packed = np.dstack([points - 1, visibility]).astype(np.float32)
    return unpack_landmarks(packed, kinds)


def _first_place(files: list[Rows], names: Names) -> int:
    """Returns whether places in a group count from 0 or from 1.

    If from 0, no place equals the size of its group; if from 1, none is 0.
    The choice that makes fewer places wrong is taken.

    Args:
        files: attributes of all splits, as `_attributes` takes them.
        names: names of the attributes' groups.
    """
    sizes = np.array([names.groups.count(name) for name in names.group_order])
    zeros = highest = 0
    for rows in files:
        places = _places(rows, len(sizes), len(names.groups))
        zeros += (places == 0).sum()
        highest += (places == sizes).sum()
    return 0 if zeros > highest else 1


def _attributes(
    rows: Rows, names: Names, first: int, log: ProblemLog
) -> np.ndarray:
    """Returns labels of attributes, from either form.

    Args:
        rows: values (N, A), either A of 0 and 1, or a place in each of the
            G groups followed by NaN.
        names: names and groups of attributes.
        first: the first place of a group.
        log: log for other values.

    Returns:
        (N, A) int8 of 1, 0, and `UNKNOWN` for other values.
    """
    groups = names.group_order
    columns = np.isfinite(rows.values).all(1)
    labels = np.full(rows.values.shape, UNKNOWN, np.int8)
    binary = np.isin(rows.values, (0, 1))
    labels[columns] = np.where(binary, rows.values, UNKNOWN)[columns]
    for row in np.flatnonzero(columns & ~binary.all(1)):
        wrong = np.flatnonzero(~binary[row])
        log.note(
            Kind.ATTRIBUTE_VALUE,
            rows.images[row],
            rows.source(row),
            ", ".join(
                f"{rows.values[row, column]:g} for {names.attributes[column]}"
                for column in wrong
            ),
        )
    places = _places(rows, len(groups), len(names.groups)) - first
    for index, group in enumerate(groups):
        members = np.flatnonzero(np.array(names.groups) == group)
        place = places[:, index]
        known = np.isin(place, np.arange(len(members)))
        one_hot = place[:, None] == np.arange(len(members))
        labels[np.ix_(known, members)] = one_hot[known]
        for row in np.flatnonzero(~known & ~np.isnan(place)):
            log.note(
                Kind.ATTRIBUTE_OUT_OF_RANGE,
                rows.images[row],
                rows.source(row),
                f"{group} {place[row] + first:g} is not in "
                f"{first}..{first + len(members) - 1}",
            )
    return labels


def _places(rows: Rows, groups: int, attributes: int) -> np.ndarray:
    """Returns (N, G) places in groups; NaN in rows of the other form."""
    if groups == attributes:
        return np.full((len(rows.values), groups), np.nan)
    other = np.isfinite(rows.values).all(1)
    return np.where(other[:, None], np.nan, rows.values[:, :groups])
