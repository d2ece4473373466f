"""A labels file as text: rows and columns, and which of them can be used."""

import contextlib
import csv
from pathlib import Path

import numpy as np

from pipelines.annotations import BOX
from pipelines.annotations import FARTHEST
from pipelines.annotations import SPLITS
from pipelines.errors import InputError
from pipelines.problem_log import ProblemLog
from pipelines.problems import Kind
from pipelines.splitting import split_named
from pipelines.vocabulary import LANDMARKS

COLUMNS = (
    ("image", "split", "category", "attributes", *BOX)
    + tuple(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")
    + tuple(f"{name}_visibility" for name in LANDMARKS)
)

SCORE = "_score"
"""How a column ends that says how sure a network was."""

_BOM = "\ufeff"


class Cells:
    """Cells of a labels file, with all that is wrong with it noted.

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
        lines = _read(path)
        header = lines[0][1] if lines else []
        if header and header[0].startswith(_BOM):
            # Excel's "CSV UTF-8" has one.
            header[0] = header[0].removeprefix(_BOM).strip('"')
            log.note(Kind.BOM, "", f"{path}, line 1", "UTF-8")
        self.header = [name.strip() for name in header]
        rows = [(number, row) for number, row in lines[1:] if row]
        for number, row in rows:
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
        """Raises InputError for a column that is missing or unknown.

        Columns that end in `_score` are what a network once answered, and
        pass.
        """
        self.check_image_column()
        line = f"{self.path}, line 1"
        unknown = [
            name
            for name in self.header
            if name not in COLUMNS and not name.endswith(SCORE)
        ]
        if unknown:
            raise InputError(
                f"{line}: unknown column {unknown[0]!r}; known are "
                f"{', '.join(COLUMNS[:8])} and left_collar_x, ..."
            )
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
        line = f"{self.path}, line 1"
        if "image" not in self.header:
            raise InputError(
                f"{line}: has no column 'image'; "
                f"columns are {', '.join(self.header)}"
            )
        if len(self.columns) < len(self.header):
            raise InputError(f"{line}: has a column twice; rename one of them")

    def check_box_columns(self) -> None:
        """Raises InputError unless all four columns of a box are there."""
        missing = [name for name in BOX if name not in self.columns]
        if missing and len(missing) < len(BOX):
            raise InputError(
                f"{self.path}, line 1: a box needs the columns "
                f"{', '.join(BOX)}; {missing[0]} is missing"
            )

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
                with contextlib.suppress(ValueError):
                    result[row, column] = float(cell)
                # Neither what was no number nor a NaN is below anything.
                if not abs(result[row, column]) < FARTHEST:
                    self.drop(row, f"{name} is no number: {cell!r}")
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


def _read(path: Path) -> list[tuple[int, list[str]]]:
    """Rows with the number of the line that each begins in."""
    rows, number = [], 1
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            for row in reader:
                rows.append((number, row))
                number = reader.line_num + 1
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
    return rows
