"""Reads what both layouts of DeepFashion share: names, and labels by number.

`list_category_cloth.txt` and `list_attr_cloth.txt` hold a count, a header, and
rows of a name and the number of its type. The benchmark's README describes
both layouts and the numbers; the documentation of mmfashion repeats it
(docs/dataset/ATTR_DATASET.md).
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.annotations import TRUNCATED
from pipelines.annotations import UNKNOWN
from pipelines.errors import InputError
from pipelines.problems import Kind
from pipelines.problems import ProblemLog
from pipelines.readers.text_rows import Rows
from pipelines.readers.text_rows import read_counted_lines
from pipelines.vocabulary import LANDMARKS

PLACES = {
    1: (0, 1, 2, 3, 6, 7),
    2: (4, 5, 6, 7),
    3: (0, 1, 2, 3, 4, 5, 6, 7),
}
"""Indices of each clothes type's landmarks among the eight: 1 upper, 2 lower,
3 full. Files hold the landmarks of the type alone, in this order."""

SYNTHETIC = "synthetic.json"
"""File that `afn-synthesize` writes next to `Anno/`, since its images are not
those of the benchmark, although they have the same layout."""

# The coarse annotation has five groups. The fine one, with 26 attributes, has
# six others with the same numbers.
_GROUPS = {
    5: ("texture", "fabric", "shape", "part", "style"),
    6: ("texture", "sleeve", "length", "neckline", "fabric", "fit"),
}


class Names(NamedTuple):
    """Names of categories and attributes.

    Attributes:
        categories: names, in the order of their numbers.
        clothes_types: 1 upper, 2 lower, 3 full, for each category.
        attributes: names, in the order of their columns.
        groups: the name of each attribute's group.
        group_order: names of the groups that occur, in the order of their
            numbers.
    """

    categories: tuple[str, ...] = ()
    clothes_types: tuple[int, ...] = ()
    attributes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    group_order: tuple[str, ...] = ()


def read_names(folder: Path, log: ProblemLog) -> Names:
    """Reads the two lists in `folder`.

    Raises:
        InputError: naming file and line, if a file is missing, a row does
            not parse, a name is there twice, or the count is wrong: the
            numbers in all other files refer to these rows.
    """
    path = folder / "list_category_cloth.txt"
    categories = _read(path, log)
    _check_once(path, (name for name, _ in categories))
    path = folder / "list_attr_cloth.txt"
    attributes = _read(path, log)
    # The same word may be an attribute of two groups.
    _check_once(path, (f"{name} {kind}" for name, kind in attributes))
    highest = max((kind for _, kind in attributes), default=1)
    groups = _GROUPS.get(
        max(highest, 5), tuple(f"group_{i + 1}" for i in range(highest))
    )
    return Names(
        tuple(name for name, _ in categories),
        tuple(kind for _, kind in categories),
        tuple(name for name, _ in attributes),
        tuple(groups[kind - 1] for _, kind in attributes),
        tuple(groups[kind - 1] for kind in sorted({k for _, k in attributes})),
    )


def category_labels(rows: Rows, count: int, log: ProblemLog) -> np.ndarray:
    """Converts numbers 1 to count of a file to (N,) int64 of 0 to count - 1.

    Other numbers are noted and become `UNKNOWN`; NaN becomes `UNKNOWN`, too.
    """
    numbers = rows.values[:, 0]
    known = (numbers >= 1) & (numbers <= count) & (numbers % 1 == 0)
    for row in np.flatnonzero(~known & ~np.isnan(numbers)):
        log.note(
            Kind.CATEGORY_OUT_OF_RANGE,
            rows.images[row],
            rows.source(row),
            f"{numbers[row]:g} is not in 1..{count}",
        )
    return np.where(known, numbers, UNKNOWN + 1).astype(np.int64) - 1


def unpack_landmarks(
    packed: np.ndarray, clothes_types: np.ndarray
) -> np.ndarray:
    """Moves landmarks of a clothes type to their places among the eight.

    Args:
        packed: (N, 8, 3) x, y, visibility, those of the clothes type first.
        clothes_types: (N,) of 1, 2, 3; anything else has no landmarks.

    Returns:
        (N, 8, 3) float32; landmarks that the clothes type does not have are
        truncated.
    """
    landmarks = np.zeros((len(packed), len(LANDMARKS), 3), np.float32)
    landmarks[..., 2] = TRUNCATED
    for kind, places in PLACES.items():
        rows = np.flatnonzero(clothes_types == kind)
        landmarks[rows[:, None], places] = packed[rows, : len(places)]
    return landmarks


def _check_once(path: Path, rows: Iterable[str]) -> None:
    for row, count in Counter(rows).items():
        if count > 1:
            raise InputError(f"{path}: has {row!r} twice; copy the file again")


def _read(path: Path, log: ProblemLog) -> list[tuple[str, int]]:
    names, before = [], len(log.problems)
    for lines in read_counted_lines(path, log):
        for number, line in lines:
            # Names contain blanks, so split at the last one.
            name, *kind = line.rsplit(None, 1)
            if not kind or not kind[0].isdigit() or not 0 < int(kind[0]) < 100:
                raise InputError(
                    f"{path}, line {number}: does not parse "
                    "(should be a name and the number of its type)"
                )
            try:
                words = name.decode().split()
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}, line {number}: is not UTF-8 ({error.reason})"
                ) from error
            names.append((" ".join(words), int(kind[0])))
    for problem in log.problems[before:]:
        if problem.kind == Kind.COUNT_LINE:
            raise InputError(f"{problem}; copy the file again")
    return names
