"""Reads a user's own labels: one CSV file, any subset of the columns."""

import contextlib
import json
import re
from pathlib import Path

import numpy as np

from pipelines.annotations import BOX
from pipelines.annotations import TRUNCATED
from pipelines.annotations import UNKNOWN
from pipelines.annotations import VISIBLE
from pipelines.annotations import Annotations
from pipelines.annotations import make_table
from pipelines.annotations import make_vocabulary
from pipelines.annotations import used_categories
from pipelines.problem_log import ProblemLog
from pipelines.problems import Kind
from pipelines.readers.checks import fix_boxes
from pipelines.readers.checks import fix_landmarks
from pipelines.readers.checks import read_fractions
from pipelines.readers.csv_cells import MISSING
from pipelines.readers.csv_cells import Cells
from pipelines.readers.join import join_garments
from pipelines.readers.splits import splits_of_paths
from pipelines.vocabulary import LANDMARKS


def read_labels_csv(path: Path, log: ProblemLog) -> Annotations:
    """Reads a labels file.

    Columns, of which only `image` is needed: `image` (path relative to the
    file), `split` (train, val or test, in the spellings of
    `readers.splits`; without the column each image's comes from the name
    of its folder or the hash of its path), `category` (a name), `attributes`
    (names joined by "|"; by commas or semicolons if no cell of the column has a
    "|"; or a list as JSON and Python write it), `x1`, `y1`, `x2`, `y2` (box in
    pixels, 0-based, half-open), and for each landmark `left_collar_x`,
    `left_collar_y` (0-based pixels) and `left_collar_visibility` (0 visible, as
    when the column is left out; 1 occluded; 2 outside). An empty cell means
    unknown, but in `image` and `split`. Other columns are noted and ignored;
    those that end in `_score`, as `afn-predict --csv` writes them, are ignored
    without a note. Boxes and landmarks may be fractions of the image's width
    and height, if all of them are. An image may have several rows: of several
    garments if their boxes differ, otherwise of one, whose labels are joined.

    Raises:
        InputError: naming the file, if it is no CSV table or has a column
            whose name is nearly one of these.
    """
    cells = Cells(path, log)
    cells.check_columns()
    cells.clear_missing()
    boxes = cells.numbers(BOX) if "x1" in cells.columns else None
    landmarks = _read_landmarks(cells)
    cells.check_images()
    cells.check_splits()
    cells.keep_good()
    images = cells.columns["image"]
    if boxes is None:
        boxes = np.full((len(cells.good), 4), np.nan)
    boxes = boxes[cells.good]
    with_landmarks = landmarks is not None
    if with_landmarks:
        landmarks = landmarks[cells.good]
    else:
        landmarks = np.zeros((len(images), 0, 3), np.float32)
    sizes = np.full((len(images), 2), np.nan)
    read_fractions(boxes, landmarks, sizes, cells.source, log)
    boxes, usable = fix_boxes(boxes, 0, images, cells.source, log)
    fix_landmarks(landmarks, boxes, 0, images, cells.source, log)
    categories, category = _categories(cells)
    names, attributes = _attributes(cells)
    rows = join_garments(
        *(images, boxes, usable, category, landmarks, attributes),
        *(cells.source, log),
    )
    categories, category = used_categories(categories, category[rows])
    used = (attributes[rows] == 1).any(0)
    names = tuple(name for name, use in zip(names, used, strict=True) if use)
    splits = cells.columns.get("split") or splits_of_paths(images)
    table = make_table(
        [images[row] for row in rows],
        [splits[row] for row in rows],
        [cells.source(row) for row in rows],
        category,
        boxes[rows],
        landmarks[rows],
        attributes[np.ix_(rows, used)],
        sizes[rows],
    )
    vocabulary = make_vocabulary(
        categories, names, ("other",) * len(names), with_landmarks
    )
    return Annotations(path.parent, table, vocabulary, log.problems)


def _categories(
    cells: Cells,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names in order of the alphabet, and (N,) indices into them."""
    if "category" not in cells.columns:
        return (), np.full(len(cells.lines), UNKNOWN)
    named = cells.columns["category"]
    names = sorted(set(named) - {""})
    index = {"": UNKNOWN, **{name: i for i, name in enumerate(names)}}
    return tuple(names), np.array([index[name] for name in named], int)


def _attributes(
    cells: Cells,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names in order of the alphabet, and (N, A) labels."""
    if "attributes" not in cells.columns:
        return (), np.zeros((len(cells.lines), 0), np.int8)
    named = _attribute_names(cells)
    names = sorted(set().union(*named))
    index = {name: i for i, name in enumerate(names)}
    labels = np.zeros((len(named), len(names)), np.int8)
    for row, present in enumerate(named):
        labels[row, [index[name] for name in present]] = 1
        if not present:
            labels[row] = UNKNOWN
    return tuple(names), labels


def _attribute_names(cells: Cells) -> list[set[str]]:
    """The attributes that each row names."""
    column = cells.columns["attributes"]
    separators = "|" if any("|" in cell for cell in column) else ",;"
    result, joined, missing = [], [], []
    for row, cell in enumerate(column):
        if cell.startswith("["):
            names = _list_of_names(cell)
            if names is None:
                cells.log.note(
                    Kind.ATTRIBUTE_VALUE,
                    cells.columns["image"][row],
                    cells.source(row),
                    f"{cell[:60]!r} is no list of names",
                )
                names = []
        else:
            names = re.split(f"[{separators}]", cell)
            if len(names) > 1 and separators != "|":
                joined.append(row)
        names = {name.strip() for name in names} - {""}
        if names & MISSING:
            missing.append(row)
        result.append(names - MISSING)
    for kind, odd in (
        (Kind.ATTRIBUTE_SEPARATOR, joined),
        (Kind.MISSING_WORD, missing),
    ):
        if odd:
            cells.note_cells(kind, "attributes", odd, column[odd[0]])
    return result


def _list_of_names(cell: str) -> list[str] | None:
    """A list as JSON has it or, with single quotes, Python; None if none."""
    for text in (cell, cell.replace("'", '"')):
        with contextlib.suppress(ValueError, RecursionError):
            names = json.loads(text)
            if all(isinstance(name, str) for name in names):
                return names
    return None


def _read_landmarks(cells: Cells) -> np.ndarray | None:
    """(rows, 8, 3) x, y, visibility; None if there are no such columns."""
    if not any(f"{name}_x" in cells.columns for name in LANDMARKS):
        return None
    landmarks = np.zeros((len(cells.good), len(LANDMARKS), 3), np.float32)
    landmarks[:, :, 2] = TRUNCATED
    for index, name in enumerate(LANDMARKS):
        if f"{name}_x" not in cells.columns:
            continue
        points = cells.numbers([f"{name}_x", f"{name}_y"])
        known = ~np.isnan(points).any(1) & cells.good
        visibility = np.full(len(points), float(VISIBLE))
        if f"{name}_visibility" in cells.columns:
            given = cells.numbers([f"{name}_visibility"])[:, 0]
            visibility = np.where(np.isnan(given), VISIBLE, given)
        for row in np.flatnonzero(~np.isin(visibility, (0, 1, 2))):
            cells.drop(row, f"{name}_visibility is none of 0, 1, 2")
        landmarks[known, index, :2] = points[known]
        landmarks[known, index, 2] = visibility[known]
    return landmarks
