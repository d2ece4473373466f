"""Reads DeepFashion's coarse annotation, and its landmark benchmark.

The Category and Attribute Prediction Benchmark holds `Anno/list_*.txt` (in
newer copies `Anno_coarse/`), `Eval/list_eval_partition.txt` and the images.

The Fashion Landmark Detection Benchmark has the same layout, but boxes and
landmarks alone. Its rows have a second number after the clothes type, the
variation type (1 to 3 normal, medium and large pose, 4 and 5 medium and large
zoom-in), which is not used here.
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
from pipelines.readers.deepfashion_names import Names
from pipelines.readers.deepfashion_names import category_labels
from pipelines.readers.deepfashion_names import read_names
from pipelines.readers.deepfashion_names import unpack_landmarks
from pipelines.readers.text_rows import Rows
from pipelines.readers.text_rows import read_labels
from pipelines.readers.text_rows import read_rows

COARSE_FOLDERS = ("Anno", "Anno_coarse")


def is_landmark_benchmark(folder: Path) -> bool:
    """Returns whether `folder` has landmarks and no list of other labels."""
    anno = folder / COARSE_FOLDERS[0]
    return (anno / "list_landmarks.txt").is_file() and not (
        any(anno.glob("list_category_*")) or any(anno.glob("list_attr_*"))
    )


def read_coarse(folder: Path, log: ProblemLog) -> Annotations:
    """Reads a benchmark folder.

    The benchmark counts pixels from 1 and includes a box's last row and
    column (its smallest coordinate is 1, its largest the image's width); the
    table counts from 0 and excludes them. An image is left out if one of the
    files lacks it or has it in a row that does not parse.

    Raises:
        InputError: naming file and line, if a file is missing or does not
            begin as it should, or a name of a label does not parse.
    """
    anno = next(
        (folder / name for name in COARSE_FOLDERS if (folder / name).is_dir()),
        folder / COARSE_FOLDERS[0],
    )
    landmarks_only = is_landmark_benchmark(folder)
    names = Names() if landmarks_only else read_names(anno, log)
    split = read_rows(
        folder / "Eval" / "list_eval_partition.txt", log, [1], SPLITS
    )
    box = read_rows(anno / "list_bbox.txt", log, [4])
    before = 2 if landmarks_only else 1
    packed = read_rows(
        anno / "list_landmarks.txt",
        log,
        [before + 3 * len(places) for places in PLACES.values()],
    )
    packed.values = np.delete(packed.values, slice(1, before), axis=1)
    _check_landmark_rows(packed, log)
    files = [split, box, packed]
    if not landmarks_only:
        category = read_rows(anno / "list_category_img.txt", log, [1])
        attributes = read_labels(
            anno / "list_attr_img.txt", log, names.attributes
        )
        files += [category, attributes]

    images = _match_rows(files, log)
    boxes, usable = fix_boxes(box.values, 1, images, box.source, log)
    landmarks = _landmarks(packed)
    fix_landmarks(landmarks, boxes, 1, images, packed.source, log)
    if landmarks_only:
        category = np.full(len(images), UNKNOWN)
        attributes = np.zeros((len(images), 0), np.int8)
    else:
        category = category_labels(category, len(names.categories), log)
        attributes = attributes.values
    rows = np.flatnonzero(usable)
    categories, category = used_categories(names.categories, category[rows])
    table = make_table(
        images[rows],
        np.array(SPLITS, object)[split.values[rows, 0].astype(int)],
        [split.source(row) for row in rows],
        category,
        boxes[rows],
        landmarks[rows],
        # A copy of all attributes would take 290 MB.
        attributes if usable.all() else attributes[rows],
    )
    vocabulary = make_vocabulary(
        categories, names.attributes, names.groups, with_landmarks=True
    )
    origin = "deepfashion"
    if landmarks_only:
        origin = "other"
    elif (folder / SYNTHETIC).is_file():
        origin = "synthetic"
    return Annotations(folder, table, vocabulary, log.problems, origin)


def _check_landmark_rows(rows: Rows, log: ProblemLog) -> None:
    """Marks rows with an impossible clothes type or visibility as bad.

    Args:
        rows: clothes type, then visibility, x and y of each landmark.
        log: log for bad rows.
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


def _landmarks(rows: Rows) -> np.ndarray:
    """Returns (N, 8, 3) 0-based landmarks of rows that were checked."""
    triples = rows.values[:, 1:].reshape(-1, 8, 3)[..., [1, 2, 0]]
    return unpack_landmarks(
        triples - np.array([1, 1, 0], np.float32), rows.values[:, 0]
    )


def _match_rows(files: list[Rows], log: ProblemLog) -> np.ndarray:
    """Keeps images with a good row in all files, in the order of the first.

    Args:
        files: the files, changed in place: row i of each belongs to image i.
        log: log for rows that are missing in a file, or are there twice.

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
        # A missing image has index -1, so it finds the last one, -1.
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
    """Keeps the rows of `index`, in this order."""
    if len(index) == len(rows.lines) and (np.diff(index) == 1).all():
        # A copy of all attributes would take 290 MB.
        return
    rows.images = [rows.images[row] for row in index]
    rows.lines, rows.values = rows.lines[index], rows.values[index]
    rows.good = rows.good[index]
