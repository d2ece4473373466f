"""Reads a user's own labels: one CSV file, any subset of the columns."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.annotations import BOX
from pipelines.annotations import SPLITS
from pipelines.annotations import TRUNCATED
from pipelines.annotations import UNKNOWN
from pipelines.annotations import VISIBLE
from pipelines.annotations import Annotations
from pipelines.annotations import make_vocabulary
from pipelines.errors import InputError
from pipelines.vocabulary import LANDMARKS

COLUMNS = (
    ("image", "split", "category", "attributes", *BOX)
    + tuple(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")
    + tuple(f"{name}_visibility" for name in LANDMARKS)
)


def read_labels_csv(path: Path) -> Annotations:
    """Reads a labels file.

    Columns, of which only `image` and `split` are needed: `image` (path
    relative to the file), `split` (train, val or test), `category` (a name),
    `attributes` (names joined by "|"), `x1`, `y1`, `x2`, `y2` (box in pixels,
    0-based, half-open), and for each landmark `left_collar_x`,
    `left_collar_y` (0-based pixels) and `left_collar_visibility` (0 visible,
    as when the column is left out; 1 occluded; 2 outside). An empty cell
    means unknown.

    Raises:
        InputError: naming file and line, if a row does not parse.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # A row longer than the header is cut with no more than a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                dtype=str,
                index_col=False,
                keep_default_na=False,
                encoding="utf-8-sig",
            )
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    except (ValueError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path}: is no CSV table ({reason})") from error
    _check_columns(path, table)
    table = table.apply(lambda column: column.str.strip())
    table["source"] = [f"{path}, line {i}" for i in range(2, len(table) + 2)]
    _check_cells(table)

    categories = ()
    category = pd.Series(UNKNOWN, index=table.index)
    if "category" in table:
        categories = tuple(sorted(set(table["category"]) - {""}))
        number = {name: i for i, name in enumerate(categories)}
        category = table["category"].map(lambda name: number.get(name, UNKNOWN))

    named = [()] * len(table)
    if "attributes" in table:
        named = [
            tuple(filter(None, map(str.strip, cell.split("|"))))
            for cell in table["attributes"]
        ]
    attributes = tuple(sorted({name for names in named for name in names}))
    boxes = _numbers(table, BOX) if "x1" in table else np.nan
    landmarks = _read_landmarks(table)
    vocabulary = make_vocabulary(
        categories,
        attributes,
        ("other",) * len(attributes),
        with_landmarks=landmarks is not None,
    )
    result = table[["image", "split", "source"]].copy()
    result["category"] = category
    result[BOX] = boxes
    result["attributes"] = [
        np.array([name in names for name in attributes], np.int8)
        if names
        else np.full(len(attributes), UNKNOWN, np.int8)
        for names in named
    ]
    result["landmarks"] = (
        [np.zeros((0, 3), np.float32)] * len(table)
        if landmarks is None
        else list(landmarks)
    )
    return Annotations(path.parent, result, vocabulary)


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    for name in ("image", "split"):
        if name not in table:
            raise InputError(
                f"{path}, line 1: has no column {name!r}; "
                f"columns are {', '.join(table.columns)}"
            )
    unknown = [name for name in table if name not in COLUMNS]
    if unknown:
        raise InputError(
            f"{path}, line 1: unknown column {unknown[0]!r}; known are "
            f"{', '.join(COLUMNS[:8])} and left_collar_x, left_collar_y, ..."
        )
    missing = [name for name in BOX if name not in table]
    if missing and len(missing) < len(BOX):
        raise InputError(
            f"{path}, line 1: a box needs the columns {', '.join(BOX)}; "
            f"{missing[0]} is missing"
        )
    for name in LANDMARKS:
        if (f"{name}_x" in table) != (f"{name}_y" in table):
            raise InputError(
                f"{path}, line 1: {name} needs both {name}_x and {name}_y"
            )


def _check_cells(table: pd.DataFrame) -> None:
    for source, image, split in zip(
        table["source"], table["image"], table["split"], strict=True
    ):
        if not image:
            raise InputError(f"{source}: no image is named")
        if split not in SPLITS:
            raise InputError(
                f"{source}: split {split!r} is none of {', '.join(SPLITS)}"
            )
    repeated = table["image"].duplicated() & ~_has_box(table)
    if repeated.any():
        row = table[repeated].iloc[0]
        raise InputError(
            f"{row['source']}: {row['image']} is named twice; "
            "remove one row, or give each a box of its own"
        )


def _has_box(table: pd.DataFrame) -> pd.Series:
    if "x1" not in table:
        return pd.Series(False, index=table.index)
    return table["x1"] != ""


def _numbers(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """(rows, columns) floats, NaN where a cell is empty."""
    result = np.full((len(table), len(columns)), np.nan)
    for j, name in enumerate(columns):
        for i, cell in enumerate(table[name]):
            try:
                result[i, j] = float(cell) if cell else np.nan
            except ValueError as error:
                raise InputError(
                    f"{table['source'].iloc[i]}: {name} is no number: {cell!r}"
                ) from error
    incomplete = np.isnan(result).any(1) & ~np.isnan(result).all(1)
    if incomplete.any():
        raise InputError(
            f"{table['source'].iloc[incomplete.argmax()]}: give all of "
            f"{', '.join(columns)} or none"
        )
    return result


def _read_landmarks(table: pd.DataFrame) -> np.ndarray | None:
    """(rows, 8, 3) x, y, visibility; None if there are no such columns."""
    if not any(f"{name}_x" in table for name in LANDMARKS):
        return None
    landmarks = np.zeros((len(table), len(LANDMARKS), 3), np.float32)
    landmarks[:, :, 2] = TRUNCATED
    for index, name in enumerate(LANDMARKS):
        if f"{name}_x" not in table:
            continue
        points = _numbers(table, [f"{name}_x", f"{name}_y"])
        known = ~np.isnan(points[:, 0])
        visibility = np.full(len(table), float(VISIBLE))
        if f"{name}_visibility" in table:
            given = _numbers(table, [f"{name}_visibility"])[:, 0]
            visibility = np.where(np.isnan(given), VISIBLE, given)
        wrong = ~np.isin(visibility, (0, 1, 2))
        if wrong.any():
            raise InputError(
                f"{table['source'].iloc[wrong.argmax()]}: "
                f"{name}_visibility is none of 0, 1, 2"
            )
        landmarks[known, index, :2] = points[known]
        landmarks[known, index, 2] = visibility[known]
    return landmarks
