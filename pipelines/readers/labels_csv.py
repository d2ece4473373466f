"""Reads own labels: one CSV file with any subset of the columns."""

import contextlib
import csv
import difflib
import io
import itertools
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np

from pipelines.annotations import BOX
from pipelines.annotations import FARTHEST
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
from pipelines.readers.checks import MISSING
from pipelines.readers.checks import fix_boxes
from pipelines.readers.checks import fix_landmarks
from pipelines.readers.checks import read_fractions
from pipelines.readers.join import join_garments
from pipelines.readers.splits import split_named
from pipelines.readers.splits import splits_of_paths
from pipelines.special_files import check_not_special
from pipelines.vocabulary import LANDMARKS

COLUMNS = (
    ("image", "split", "category", "attributes", *BOX)
    + tuple(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")
    + tuple(f"{name}_visibility" for name in LANDMARKS)
)

GROUP = "attributes."
"""Beginning of columns of an attribute group; its name follows."""

SCORE = "_score"
"""Ending of columns that hold the confidence of a network."""

_BOM = "\ufeff"

_SEPARATORS = ",;\t"
# Excel takes the separator from a first line like this, and hides it.
_SEPARATOR_LINE = re.compile(r'"?sep=([,;|\t])"?(?:\r\n|\r|\n)')


class Cells:
    """Cells of a labels file, with everything wrong with it noted.

    The separator is a comma, semicolon or tab: the one that the first line
    names (`sep=;`), or the one that splits off a column `image`. With another
    separator than the comma, numbers may have a decimal comma. Names of
    columns may have capitals.

    Attributes:
        columns: the cells of each column, by its name.
        lines: line number of each row.
        good: (N,) bool, which rows parse.

    Args:
        path: a CSV file.
        log: log for rows that do not parse.

    Raises:
        InputError: if the file is not a CSV table.
    """

    def __init__(self, path: Path, log: ProblemLog) -> None:
        self.path, self.log = path, log
        lines, self._separator = _read(path, log)
        number, header = lines[0] if lines else (1, [])
        self.header_source = f"{path}, line {number}"
        self.header = [name.strip().lower() for name in header]
        rows, self.lines = [], []
        for number, row in lines[1:]:
            if not any(cell.strip() for cell in row):
                continue
            while len(row) > len(header) and not row[-1].strip():
                row.pop()
            if len(row) == len(header):
                rows.append(row)
                self.lines.append(number)
            else:
                detail = f"{len(row)} cells for {len(header)} columns"
                source = f"{path}, line {number}"
                log.note(Kind.ROW_UNREADABLE, "", source, detail)
        self.columns = {
            name: [row[index].strip() for row in rows]
            for index, name in enumerate(self.header)
        }
        self.good = np.ones(len(rows), bool)

    def source(self, row: int) -> str:
        """Returns file and line of a row, for messages."""
        return f"{self.path}, line {self.lines[row]}"

    def drop(self, row: int, detail: str) -> None:
        """Notes that a row does not parse, once."""
        if self.good[row]:
            self.good[row] = False
            image, source = self.columns["image"][row], self.source(row)
            self.log.note(Kind.ROW_UNREADABLE, image, source, detail)

    def check_columns(self) -> None:
        """Raises InputError for a column that is missing or misspelled.

        Other unknown columns are noted, except those that end in `_score`,
        which hold confidences of an earlier prediction.
        """
        self.check_image_column()
        line = self.header_source
        missing = [name for name in COLUMNS if name not in self.columns]
        for number, name in enumerate(self.header, 1):
            if _is_known(name) or name.endswith(SCORE):
                continue
            # Ignoring it would lose the labels of a whole task.
            meant = difflib.get_close_matches(name, missing, 1, 0.8)
            word, _, group = name.partition(".")
            if group and difflib.get_close_matches(word, [GROUP[:-1]], 1, 0.8):
                meant = [GROUP + group]
            if meant:
                raise InputError(
                    f"{line}: unknown column {name!r}; rename it if it is "
                    f"{meant[0]!r}, or remove it"
                )
            detail = repr(name) if name else f"column {number} has no name"
            self.log.note(Kind.COLUMN_UNKNOWN, "", line, detail)
        self.check_box_columns()
        for name in LANDMARKS:
            x, y = (f"{name}_{axis}" in self.columns for axis in "xy")
            if x != y or (f"{name}_visibility" in self.columns and not x):
                raise InputError(
                    f"{line}: {name} needs both {name}_x and {name}_y"
                )

    def check_image_column(self) -> None:
        """Raises InputError without a column `image` or with a name twice."""
        line = self.header_source
        if "image" not in self.header:
            raise InputError(
                f"{line}: has no column 'image'; rename the one that names "
                f"images, columns are {', '.join(self.header)}"
            )
        for name, count in Counter(self.header).items():
            if count > 1 and _is_known(name):
                raise InputError(
                    f"{line}: has the column {name!r} twice; rename one of them"
                )

    def check_box_columns(self) -> None:
        """Raises InputError if only some of a box's four columns exist."""
        missing = [name for name in BOX if name not in self.columns]
        if missing and len(missing) < len(BOX):
            raise InputError(
                f"{self.header_source}: a box needs the columns "
                f"{', '.join(BOX)}; {missing[0]} is missing"
            )

    def clear_missing(self) -> None:
        """Empties and notes cells that hold a word for a missing value."""
        # An image may have such a name, a row without a split is dropped, and
        # such a word may be one of several attributes.
        for name in COLUMNS:
            if name in ("image", "split", "attributes"):
                continue
            cells = self.columns.get(name, [])
            rows = [row for row, cell in enumerate(cells) if cell in MISSING]
            if rows:
                word = cells[rows[0]]
                for row in rows:
                    cells[row] = ""
                self.note_cells(Kind.MISSING_WORD, name, rows, word)

    def note_cells(
        self, kind: Kind, column: str, rows: list[int], example: str
    ) -> None:
        """Notes a problem of several cells of a column once."""
        detail = f"{column}: {len(rows)} cells such as {example!r}, first here"
        self.log.note(kind, "", self.source(rows[0]), detail)

    def check_images(self) -> None:
        """Drops rows without an image."""
        for row, image in enumerate(self.columns["image"]):
            if not image:
                self.drop(row, "no image is named")

    def check_splits(self) -> None:
        """Normalizes names of splits; drops rows with an unknown one."""
        splits = self.columns.get("split", [])
        for row, name in enumerate(splits):
            if split := split_named(name):
                splits[row] = split
            else:
                self.drop(row, f"split {name!r} is none of {', '.join(SPLITS)}")

    def numbers(self, names: list[str]) -> np.ndarray:
        """Returns (rows, columns) floats, NaN where all cells are empty."""
        result = np.full((len(self.good), len(names)), np.nan)
        for column, name in enumerate(names):
            for row, cell in enumerate(self.columns[name]):
                if not cell:
                    continue
                comma = "," if self._separator == "," else "."
                with contextlib.suppress(ValueError):
                    result[row, column] = float(cell.replace(",", comma))
                # Comparisons with NaN are false.
                if not abs(result[row, column]) < FARTHEST:
                    self.drop(row, f"{name} is not a number: {cell!r}")
        given = np.isfinite(result)
        for row in np.flatnonzero(given.any(1) & ~given.all(1)):
            self.drop(row, f"give all of {', '.join(names)} or none")
        return result

    def keep_good(self) -> None:
        """Removes the rows that do not parse."""
        rows = np.flatnonzero(self.good)
        for name, cells in self.columns.items():
            self.columns[name] = [cells[row] for row in rows]
        self.lines = [self.lines[row] for row in rows]


def _read(
    path: Path, log: ProblemLog
) -> tuple[list[tuple[int, list[str]]], str]:
    """Reads rows, each with the number of its first line, and the separator."""
    check_not_special(path)
    try:
        text = path.read_bytes().decode()
        # Excel's "CSV UTF-8" begins with one.
        if text.startswith(_BOM):
            text = text.removeprefix(_BOM)
            log.note(Kind.BOM, "", f"{path}, line 1", "UTF-8")
        named, before = _SEPARATOR_LINE.match(text), 0
        if named:
            text, before = text[named.end() :], 1
        lines = io.StringIO(text, newline="")
        separator = named[1] if named else _separator(lines)
        rows, number = [], before + 1
        reader = csv.reader(lines, delimiter=separator)
        for row in reader:
            rows.append((number, row))
            number = before + reader.line_num + 1
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror})"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is no CSV table in UTF-8 ({error.reason}); "
            "save it as UTF-8"
        ) from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: is no CSV table ({error})") from error
    return rows, separator


def _separator(lines: io.StringIO) -> str:
    """Finds the separator that splits off a column `image`, else a comma."""
    for separator in _SEPARATORS:
        header = next(csv.reader(lines, delimiter=separator), [])
        lines.seek(0)
        if "image" in (name.strip().lower() for name in header):
            return separator
    return ","


def read_labels_csv(path: Path, log: ProblemLog) -> Annotations:
    """Reads a labels file.

    Only the column `image` is required. The columns are:

    - `image`: path relative to the file;
    - `split`: train, val or test, in the spellings of `readers.splits`.
      Without the column, each image's split comes from the name of its folder
      or the hash of its path;
    - `category`: a name;
    - `attributes`: names joined by "|"; by commas or semicolons if no cell of
      the column has a "|"; or a list as JSON and Python write it;
    - `x1`, `y1`, `x2`, `y2`: box in pixels, 0-based and half-open;
    - `left_collar_x`, `left_collar_y`, ...: landmarks in 0-based pixels;
    - `left_collar_visibility`, ...: 0 visible (default), 1 occluded, 2 outside;
    - `attributes.GROUP`: names of the group's attributes, as in `attributes`;
      the same name may be in several groups;
    - others are ignored, and noted unless they end in `_score`, as those of
      `afn-predict --csv` do.

    An empty cell means unknown, except in `image` and `split`. Boxes and
    landmarks may be fractions of the image's width and height, if all are. An
    image may have several rows: of several garments if their boxes differ,
    else of one garment, whose labels are joined.

    Raises:
        InputError: if the file is not a CSV table, or the name of a column is
            nearly one of these.
    """
    cells = Cells(path, log)
    cells.check_columns()
    cells.clear_missing()
    boxes = np.full((len(cells.good), 4), np.nan)
    if "x1" in cells.columns:
        boxes = cells.numbers(BOX)
    landmarks = _landmarks(cells)
    cells.check_images()
    cells.check_splits()
    cells.keep_good()
    images = cells.columns["image"]
    boxes, landmarks = boxes[cells.good], landmarks[cells.good]
    sizes = np.full((len(images), 2), np.nan)
    read_fractions(boxes, landmarks, sizes, cells.source, log)
    boxes, usable = fix_boxes(boxes, 0, images, cells.source, log)
    fix_landmarks(landmarks, boxes, 0, images, cells.source, log)
    categories, category = _categories(cells)
    names, groups, attributes = _attributes(cells)
    rows = join_garments(
        *(images, boxes, usable, category, landmarks, attributes),
        *(cells.source, log),
    )
    categories, category = used_categories(categories, category[rows])
    used = (attributes[rows] == 1).any(0)
    names = tuple(itertools.compress(names, used))
    groups = tuple(itertools.compress(groups, used))
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
        categories, names, groups, landmarks.shape[1] > 0
    )
    return Annotations(path.parent, table, vocabulary, log.problems)


def _categories(cells: Cells) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns names in alphabetical order, and (N,) indices into them."""
    if "category" not in cells.columns:
        return (), np.full(len(cells.lines), UNKNOWN)
    named = cells.columns["category"]
    names = sorted(set(named) - {""})
    index = {"": UNKNOWN, **{name: i for i, name in enumerate(names)}}
    return tuple(names), np.array([index[name] for name in named], int)


def _attributes(
    cells: Cells,
) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Returns names and groups, both (A,), and (N, A) labels.

    Groups are in the order of the columns, names of a group in alphabetical
    order. An empty cell leaves that group unknown, and no other.
    """
    names, groups = [], []
    labels = [np.zeros((len(cells.lines), 0), np.int8)]
    for column in cells.columns:
        if column != GROUP[:-1] and not _is_group(column):
            continue
        named = _attribute_names(cells, column)
        members = sorted(set().union(*named))
        index = {name: i for i, name in enumerate(members)}
        known = np.zeros((len(named), len(members)), np.int8)
        for row, present in enumerate(named):
            known[row, [index[name] for name in present]] = 1
            if not present:
                known[row] = UNKNOWN
        names += members
        group = column.removeprefix(GROUP) if _is_group(column) else "other"
        groups += [group] * len(members)
        labels.append(known)
    return tuple(names), tuple(groups), np.concatenate(labels, axis=1)


def _attribute_names(cells: Cells, name: str) -> list[set[str]]:
    """Returns the attributes that each row names in a column."""
    column = cells.columns[name]
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
            cells.note_cells(kind, name, odd, column[odd[0]])
    return result


def _is_group(column: str) -> bool:
    return column.startswith(GROUP) and column != GROUP


def _is_known(column: str) -> bool:
    return column in COLUMNS or _is_group(column)


def _list_of_names(cell: str) -> list[str] | None:
    """Parses a list of JSON or, with single quotes, Python; None if neither."""
    for text in (cell, cell.replace("'", '"')):
        with contextlib.suppress(ValueError, RecursionError):
            names = json.loads(text)
            if all(isinstance(name, str) for name in names):
                return names
    return None


def _landmarks(cells: Cells) -> np.ndarray:
    """Returns (rows, 8, 3) x, y, visibility; (rows, 0, 3) without columns."""
    if not any(f"{name}_x" in cells.columns for name in LANDMARKS):
        return np.zeros((len(cells.good), 0, 3), np.float32)
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
