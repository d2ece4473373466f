"""Reads the DeepFashion Category and Attribute Prediction Benchmark.

The coarse layout, as downloaded: `Anno/list_*.txt` (in newer copies
`Anno_coarse/`), `Eval/list_eval_partition.txt` and the photographs.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.annotations import SPLITS
from pipelines.annotations import UNKNOWN
from pipelines.annotations import Annotations
from pipelines.annotations import make_table
from pipelines.annotations import make_vocabulary
from pipelines.annotations import used_categories
from pipelines.problems import Kind
from pipelines.problems import ProblemLog
from pipelines.readers.checks import fix_boxes
from pipelines.readers.checks import fix_landmarks
from pipelines.readers.deepfashion_names import PLACES
from pipelines.readers.deepfashion_names import SYNTHETIC
from pipelines.readers.deepfashion_names import category_labels
from pipelines.readers.deepfashion_names import read_names
from pipelines.readers.deepfashion_names import unpack_landmarks
from pipelines.readers.text_rows import Rows
from pipelines.readers.text_rows import read_labels
from pipelines.readers.text_rows import read_rows

FOLDERS = ("Anno", "Anno_coarse")


def read_coarse(folder: Path, log: ProblemLog) -> Annotations:
    """Reads a benchmark folder.

    The benchmark counts pixels from 1 and includes a box's last row and
    column (its smallest coordinate is 1, its largest the image's width); the
    table counts from 0 and excludes them. An image that one of the five files
    lacks, or has in a row that does not parse, is left out.

    Raises:
        InputError: naming file and line, if a file is missing or does not
            begin as it should, or a name of a label does not parse.
    """
    anno = next(
        (folder / name for name in FOLDERS if (folder / name).is_dir()),
        folder / FOLDERS[0],
    )
    names = read_names(anno, log)
    split = read_rows(
        folder / "Eval" / "list_eval_partition.txt",
        log,
        [1],
        SPLITS,
    )
    box = read_rows(anno / "list_bbox.txt", log, [4])
    packed = read_rows(
        anno / "list_landmarks.txt",
        log,
        [1 + 3 * len(places) for places in PLACES.values()],
    )
    check_landmark_rows(packed, log)
    category = read_rows(anno / "list_category_img.txt", log, [1])
    attributes = read_labels(anno / "list_attr_img.txt", log, names.attributes)

    images = match_rows([split, box, packed, category, attributes], log)
    boxes, usable = fix_boxes(box.values, 1, images, box.source, log)
    landmarks = landmarks_of(packed)
    fix_landmarks(landmarks, boxes, 1, images, packed.source, log)
    labels = category_labels(category, len(names.categories), log)
    if not usable.all():
        images = images[usable]
        boxes, landmarks, labels = (
            values[usable] for values in (boxes, landmarks, labels)
        )
        _take(split, np.flatnonzero(usable))
        _take(attributes, np.flatnonzero(usable))
    categories, labels = used_categories(names.categories, labels)
    table = make_table(
        images,
        np.array(SPLITS, object)[split.values[:, 0].astype(int)],
        [split.source(row) for row in range(len(images))],
        labels,
        boxes,
        landmarks,
        attributes.values,
    )
    vocabulary = make_vocabulary(
        categories, names.attributes, names.groups, with_landmarks=True
    )
    synthetic = (folder / SYNTHETIC).is_file()
    origin = "synthetic" if synthetic else "deepfashion"
    return Annotations(folder, table, vocabulary, log.problems, origin)


def check_landmark_rows(rows: Rows, log: ProblemLog) -> None:
    """Marks rows whose clothes type or visibilities make no sense as bad.

    Args:
        rows: of clothes type, and visibility, x and y of its landmarks.
        log: where they are noted.
    """
    kinds = rows.values[:, 0]
    lengths = np.isfinite(rows.values).sum(1)
    expected = np.zeros(len(kinds), int)
    for kind, places in PLACES.items():
        expected[kinds == kind] = 1 + 3 * len(places)
    visibility = rows.values[:, 1::3]
    known = np.isin(visibility, (0, 1, 2)) | np.isnan(visibility)
    for wrong, reason in (
        (expected == 0, "clothes type is none of 1, 2, 3"),
        (expected != lengths, "number of landmarks does not fit the type"),
        (~known.all(1), "visibility is none of 0, 1, 2"),
    ):
        for row in np.flatnonzero(wrong & rows.good):
            rows.good[row] = False
            log.note(
                Kind.ROW_UNREADABLE, rows.images[row], rows.source(row), reason
            )


def landmarks_of(rows: Rows) -> np.ndarray:
    """Returns the (N, 8, 3) landmarks of rows that were checked.

    x and y are 0-based, and may be those of a row that is not good.
    """
    triples = rows.values[:, 1:].reshape(-1, 8, 3)[..., [1, 2, 0]]
    return unpack_landmarks(
        triples - np.array([1, 1, 0], np.float32), rows.values[:, 0]
    )


def match_rows(files: list[Rows], log: ProblemLog) -> np.ndarray:
    """Keeps images that have a good row in all files, in the first's order.

    Args:
        files: which are changed in place: row i of each becomes image i's.
        log: where the rows that some lack, or have twice, are noted.

    Returns:
        (N,) images.
    """
    indices = []
    for file in files:
        index = pd.Index(file.images, dtype=object)
        repeated = index.duplicated()
        unique, numbers = index[~repeated], np.flatnonzero(~repeated)
        for row in np.flatnonzero(repeated):
            first = numbers[unique.get_loc(file.images[row])]
            log.note(
                Kind.ROW_DUPLICATE,
                file.images[row],
                file.source(row),
                f"also in line {file.lines[first]}",
            )
        indices.append((unique, numbers))
    union = indices[0][0]
    for index, _ in indices[1:]:
        union = union.append(index[union.get_indexer(index) < 0])
    rows, complete = [], np.ones(len(union), bool)
    for index, numbers in indices:
        found = index.get_indexer(union)
        # What is not found is -1, the last.
        rows.append(np.append(numbers, -1)[found])
    for file, found in zip(files, rows, strict=True):
        for position in np.flatnonzero(found < 0):
            other, row = next(
                (other, where[position])
                for other, where in zip(files, rows, strict=True)
                if where[position] >= 0
            )
            log.note(
                Kind.ROW_MISSING,
                union[position],
                str(file.path),
                f"{other.source(row)} names it",
            )
        complete &= np.append(file.good, False)[found]
    for file, found in zip(files, rows, strict=True):
        _take(file, found[complete])
    return union[complete].to_numpy()


def _take(rows: Rows, index: np.ndarray) -> None:
    """Keeps the rows of `index`, in its order."""
    if len(index) == len(rows.lines) and (np.diff(index) == 1).all():
        # A copy of all attributes would take 290 MB.
        return
    rows.images = [rows.images[row] for row in index]
    rows.lines, rows.values = rows.lines[index], rows.values[index]
    rows.good = rows.good[index]


_ANNO = FOLDERS[0]


def is_landmark_benchmark(folder: Path) -> bool:
    """Returns whether `folder` has landmarks and no list of other labels."""
    anno = folder / _ANNO
    return (anno / "list_landmarks.txt").is_file() and not (
        any(anno.glob("list_category_*")) or any(anno.glob("list_attr_*"))
    )


def read_landmark_benchmark(folder: Path, log: ProblemLog) -> Annotations:
    """Reads a benchmark folder.

    Pixels count from 1 and boxes include their last row and column, as in the
    coarse annotation. An image that one of the three files lacks, or has in a
    row that does not parse, is left out.

    Raises:
        InputError: naming file and line, if a file is missing or does not
            begin as it should.
    """
    anno = folder / _ANNO
    split = read_rows(
        folder / "Eval" / "list_eval_partition.txt", log, [1], SPLITS
    )
    box = read_rows(anno / "list_bbox.txt", log, [4])
    packed = read_rows(
        anno / "list_landmarks.txt",
        log,
        [2 + 3 * len(places) for places in PLACES.values()],
    )
    packed.values = np.delete(packed.values, 1, axis=1)
    check_landmark_rows(packed, log)
    images = match_rows([split, box, packed], log)
    boxes, usable = fix_boxes(box.values, 1, images, box.source, log)
    landmarks = landmarks_of(packed)
    fix_landmarks(landmarks, boxes, 1, images, packed.source, log)
    rows = np.flatnonzero(usable)
    table = make_table(
        images[rows],
        [SPLITS[int(place)] for place in split.values[rows, 0]],
        [split.source(row) for row in rows],
        np.full(len(rows), UNKNOWN),
        boxes[rows],
        landmarks[rows],
        np.zeros((len(rows), 0), np.int8),
    )
    vocabulary = make_vocabulary((), (), (), with_landmarks=True)
    return Annotations(folder, table, vocabulary, log.problems)
