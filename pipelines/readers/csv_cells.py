"""A labels file as text: rows and columns, and which of them can be used."""

import contextlib
import csv
import difflib
import io
import re
from collections import Counter
from pathlib import Path

import numpy as np

from pipelines.annotations import BOX
from pipelines.annotations import FARTHEST
from pipelines.annotations import SPLITS
from pipelines.errors import InputError
from pipelines.problem_log import ProblemLog
from pipelines.problems import Kind
from pipelines.readers.splits import split_named
from pipelines.special_files import check_not_special
from pipelines.vocabulary import LANDMARKS

COLUMNS = (
    ("image", "split", "category", "attributes", *BOX)
    + tuple(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")
    + tuple(f"{name}_visibility" for name in LANDMARKS)
)

SCORE = "_score"
"""How a column ends that says how sure a network was."""

MISSING = frozenset(
    ("NaN", "nan", "NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null", "None")
)
"""What programs write for an empty cell, as pandas knows them."""

_BOM = "\ufeff"

_SEPARATORS = ",;\t"
# Excel takes the separator from such a first line, and does not show it.
_SEPARATOR_LINE = re.compile(r'"?sep=([,;|\t])"?(?:\r\n|\r|\n)')


class Cells:
    """Cells of a labels file, with all that is wrong with it noted.

    Cells are separated by commas, semicolons or tabs, whichever sets a column
    `image` apart or the first line names (`sep=;`). Where it is not commas,
    numbers may have a decimal comma. Names of columns may have capitals.

    Attributes: `columns` maps a name to its cells, `lines` are the numbers
    of the rows' lines, and `good` (N,) says which rows parse.

    Args:
        path: a CSV file.
        log: where rows that do not parse are noted.

    Raises:
        InputError: if the file is no CSV table.
    """

    def __init__(self, path: Path, log: ProblemLog) -> None:
        self.path, self.log = path, log
        lines, self._separator = _read(path, log)
        number, header = lines[0] if lines else (1, [])
        self.header_source = f"{path}, line {number}"
        self.header = [_plain(name) for name in header]
        rows = [
            (number, row)
            for number, row in lines[1:]
            if any(cell.strip() for cell in row)
        ]
        for number, row in rows:
            while len(row) > len(header) and not row[-1].strip():
                row.pop()
            if len(row) != len(header):
                log.note(
                    Kind.ROW_UNREADABLE,
                    "",
                    f"{path}, line {number}",
                    f"{len(row)} cells for {len(header)} columns",
                )
        rows = [line for line in rows if len(line[1]) == len(header)]
        self.lines = [number for number, _ in rows]
        self.columns = {
            name: [row[index].strip() for _, row in rows]
            for index, name in enumerate(self.header)
        }
        self.good = np.ones(len(rows), bool)

    def source(self, row: int) -> str:
        """File and line of a row, for a message."""
        return f"{self.path}, line {self.lines[row]}"

    def drop(self, row: int, detail: str) -> None:
        """Notes that a row does not parse, once."""
        if self.good[row]:
            self.good[row] = False
            image = self.columns["image"][row]
            kind = Kind.ROW_UNREADABLE
            self.log.note(kind, image, self.source(row), detail)

    def check_columns(self) -> None:
        """Raises InputError for a column that is missing or misspelt.

        Other unknown columns are noted. Columns that end in `_score` are
        what a network once answered, and pass.
        """
        self.check_image_column()
        line = self.header_source
        missing = [name for name in COLUMNS if name not in self.columns]
        for number, name in enumerate(self.header, 1):
            if name in COLUMNS or name.endswith(SCORE):
                continue
            # Ignoring it would lose the labels of a whole task.
            if meant := difflib.get_close_matches(name, missing, 1, 0.8):
                raise InputError(
                    f"{line}: unknown column {name!r}; rename it if it is "
                    f"{meant[0]!r}, or remove it"
                )
            detail = repr(name) if name else f"column {number} has no name"
            self.log.note(Kind.COLUMN_UNKNOWN, "", line, detail)
        self.check_box_columns()
        for name in LANDMARKS:
            axes = [f"{name}_{axis}" in self.columns for axis in "xy"]
            if axes[0] != axes[1] or (
                f"{name}_visibility" in self.columns and not axes[0]
            ):
                raise InputError(
                    f"{line}: {name} needs both {name}_x and {name}_y"
                )

    def check_image_column(self) -> None:
        """Raises InputError unless there is a column of images, each once."""
        line = self.header_source
        if "image" not in self.header:
            raise InputError(
                f"{line}: has no column 'image'; rename the one that names "
                f"images, columns are {', '.join(self.header)}"
            )
        for name, count in Counter(self.header).items():
            if count > 1 and name in COLUMNS:
                raise InputError(
                    f"{line}: has the column {name!r} twice; rename one of them"
                )

    def check_box_columns(self) -> None:
        """Raises InputError unless all four columns of a box are there."""
        missing = [name for name in BOX if name not in self.columns]
        if missing and len(missing) < len(BOX):
            raise InputError(
                f"{self.header_source}: a box needs the columns "
                f"{', '.join(BOX)}; {missing[0]} is missing"
            )

    def clear_missing(self) -> None:
        """Empties cells that hold a word for nothing, and notes where."""
        for name in COLUMNS:
            # An image may be called so, a row without a split is dropped, and
            # one of several attributes may be such a word.
            named = name in ("image", "split", "attributes")
            if named or name not in self.columns:
                continue
            cells = self.columns[name]
            rows = [row for row, cell in enumerate(cells) if cell in MISSING]
            if rows:
                word = cells[rows[0]]
                for row in rows:
                    cells[row] = ""
                self.note_cells(Kind.MISSING_WORD, name, rows, word)

    def note_cells(
        self, kind: Kind, column: str, rows: list[int], example: str
    ) -> None:
        """Notes once what is odd about cells of a column."""
        detail = f"{column}: {len(rows)} cells such as {example!r}, first here"
        self.log.note(kind, "", self.source(rows[0]), detail)

    def check_images(self) -> None:
        """Drops rows without an image."""
        for row, image in enumerate(self.columns["image"]):
            if not image:
                self.drop(row, "no image is named")

    def check_splits(self) -> None:
        """Spells splits as the table does; drops rows with a strange one."""
        splits = self.columns.get("split", [])
        for row, name in enumerate(splits):
            if split := split_named(name):
                splits[row] = split
            else:
                self.drop(row, f"split {name!r} is none of {', '.join(SPLITS)}")

    def numbers(self, names: list[str]) -> np.ndarray:
        """(rows, columns) floats, NaN where all of them are empty."""
        result = np.full((len(self.good), len(names)), np.nan)
        for column, name in enumerate(names):
            for row, cell in enumerate(self.columns[name]):
                if not cell:
                    continue
                point = cell
                if self._separator != ",":
                    point = cell.replace(",", ".")
                with contextlib.suppress(ValueError):
                    result[row, column] = float(point)
                # Neither what was no number nor a NaN is below anything.
                if not abs(result[row, column]) < FARTHEST:
                    self.drop(row, f"{name} is not a number: {cell!r}")
        given = np.isfinite(result)
        for row in np.flatnonzero(given.any(1) & ~given.all(1)):
            self.drop(row, f"give all of {', '.join(names)} or none")
        return result

    def keep_good(self) -> None:
        """Drops the rows that do not parse."""
        rows = np.flatnonzero(self.good)
        for name, cells in self.columns.items():
            self.columns[name] = [cells[row] for row in rows]
        self.lines = [self.lines[row] for row in rows]


def _plain(name: str) -> str:
    """The name of a column as `COLUMNS` has it."""
    return name.strip().lower()


def _read(
    path: Path, log: ProblemLog
) -> tuple[list[tuple[int, list[str]]], str]:
    """Rows with the number of the line each begins in, and their separator."""
    check_not_special(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            text = file.read()
        if text.startswith(_BOM):
            # Excel's "CSV UTF-8" has one.
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
    """What sets the column `image` apart; a comma if nothing does."""
    for separator in _SEPARATORS:
        header = next(csv.reader(lines, delimiter=separator), [])
        lines.seek(0)
        if "image" in map(_plain, header):
            return separator
    return ","
