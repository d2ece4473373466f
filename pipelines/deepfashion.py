"""Reads the DeepFashion Category and Attribute Prediction Benchmark.

The coarse layout, as downloaded: `Anno/list_*.txt`,
`Eval/list_eval_partition.txt` and the photographs under `img/`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.annotations import SPLITS
from pipelines.annotations import TRUNCATED
from pipelines.annotations import Annotations
from pipelines.annotations import make_vocabulary
from pipelines.errors import InputError

# Landmarks are packed by clothes type; these are their places among the eight.
_PLACES = {
    1: (0, 1, 2, 3, 6, 7),
    2: (4, 5, 6, 7),
    3: (0, 1, 2, 3, 4, 5, 6, 7),
}

# The coarse annotation has five groups. Its finer successor, with 26
# attributes, has six of another kind under the same numbers.
_GROUPS = {
    5: ("texture", "fabric", "shape", "part", "style"),
    6: ("texture", "sleeve", "length", "neckline", "fabric", "fit"),
}


def is_deepfashion(folder: Path) -> bool:
    """Whether `folder` looks like this layout."""
    return (Path(folder) / "Anno").is_dir()


def read_deepfashion(folder: Path) -> Annotations:
    """Reads a benchmark folder.

    The benchmark counts pixels from 1 and includes a box's last row and
    column; the table counts from 0 and excludes them.

    Raises:
        InputError: naming file and line, if a file is missing or a row does
            not parse.
    """
    folder = Path(folder)
    categories, attributes, groups = _read_names(folder)
    files = {
        "split": _Rows(folder / "Eval" / "list_eval_partition.txt", _split),
        "box": _Rows(folder / "Anno" / "list_bbox.txt", _box),
        "landmarks": _Rows(folder / "Anno" / "list_landmarks.txt", _landmarks),
        "category": _Rows(
            folder / "Anno" / "list_category_img.txt",
            lambda values: _category(values, len(categories)),
        ),
        "attributes": _Rows(
            folder / "Anno" / "list_attr_img.txt",
            lambda values: _attributes(values, len(attributes)),
        ),
    }
    for name, column in files.items():
        _check_same_images(files["split"], column, name)
    table = pd.DataFrame(
        {
            "image": list(files["split"].values),
            "source": [
                f"{files['split'].path}, line {line}"
                for line in files["split"].lines.values()
            ],
        }
    )
    for name in ("split", "landmarks", "category", "attributes"):
        values = files[name].values
        table[name] = [values[image] for image in table["image"]]
    boxes = np.array([files["box"].values[image] for image in table["image"]])
    table[["x1", "y1", "x2", "y2"]] = boxes.reshape(-1, 4)
    vocabulary = make_vocabulary(
        categories, attributes, groups, with_landmarks=True
    )
    return Annotations(folder, table, vocabulary)


class _Rows:
    """A file of a count, a header and one row an image.

    Attributes `values` and `lines` map the image to what `parse` made of its
    row and to its line number.
    """

    def __init__(self, path: Path, parse: Callable) -> None:
        self.path = path
        self.values, self.lines = {}, {}
        for number, line in _lines(path):
            # Folder names hold blanks in no known copy, labels always do.
            image, *values = line.split()
            if image in self.values:
                raise InputError(
                    f"{path}, line {number}: {image} is also in line "
                    f"{self.lines[image]}; remove one of the two"
                )
            try:
                self.values[image] = parse(values)
            except (ValueError, KeyError, IndexError) as error:
                raise InputError(
                    f"{path}, line {number}: does not parse ({error})"
                ) from error
            self.lines[image] = number


def _lines(path: Path) -> list[tuple[int, str]]:
    """The rows of an annotation file with their line numbers.

    Raises:
        InputError: if the file cannot be read, or has another number of rows
            than its first line says.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); "
            "the benchmark's coarse layout needs it"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text file ({error})") from error
    if len(lines) < 2 or not lines[0].strip().isdigit():
        raise InputError(
            f"{path}, line 1: should be the number of rows, "
            "with the names of the columns in line 2"
        )
    rows = [
        (number, line)
        for number, line in enumerate(lines[2:], start=3)
        if line.strip()
    ]
    if len(rows) != int(lines[0]):
        raise InputError(
            f"{path}, line 1: says {lines[0].strip()} rows, "
            f"but {len(rows)} follow; the file may be cut off"
        )
    return rows


def _read_names(folder: Path) -> tuple[tuple, tuple, tuple]:
    """Names of categories, of attributes, and each attribute's group."""
    names = {}
    for kind in ("category", "attr"):
        path = folder / "Anno" / f"list_{kind}_cloth.txt"
        names[kind] = []
        for number, line in _lines(path):
            # Names have blanks in them and behind them, so split off the end.
            parts = line.rsplit(None, 1)
            if len(parts) != 2 or not parts[1].isdigit():
                raise InputError(
                    f"{path}, line {number}: does not parse "
                    "(should be a name and the number of its type)"
                )
            names[kind].append((parts[0].strip(), int(parts[1])))
    attributes = names["attr"]
    highest = max((kind for _, kind in attributes), default=1)
    groups = _GROUPS.get(
        max(highest, 5), tuple(f"group_{i + 1}" for i in range(highest))
    )
    return (
        tuple(name for name, _ in names["category"]),
        tuple(name for name, _ in attributes),
        tuple(groups[kind - 1] for _, kind in attributes),
    )


def _split(values: list[str]) -> str:
    (split,) = values
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    return split


def _box(values: list[str]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = map(int, values)
    return x1 - 1, y1 - 1, x2, y2


def _landmarks(values: list[str]) -> np.ndarray:
    kind, *numbers = map(int, values)
    if kind not in _PLACES:
        raise ValueError(f"clothes type {kind} is none of 1, 2, 3")
    places = _PLACES[kind]
    if len(numbers) != 3 * len(places):
        raise ValueError(
            f"clothes type {kind} has {len(places)} landmarks, "
            f"here are {len(numbers)} numbers for them"
        )
    packed = np.array(numbers, np.float32).reshape(-1, 3)
    if not np.isin(packed[:, 0], (0, 1, 2)).all():
        raise ValueError("visibility is none of 0, 1, 2")
    landmarks = np.zeros((8, 3), np.float32)
    landmarks[:, 2] = TRUNCATED
    landmarks[places, :2] = packed[:, 1:] - 1
    landmarks[places, 2] = packed[:, 0]
    return landmarks


def _category(values: list[str], count: int) -> int:
    (category,) = map(int, values)
    if not 1 <= category <= count:
        raise ValueError(f"category {category} is not in 1..{count}")
    return category - 1


def _attributes(values: list[str], count: int) -> np.ndarray:
    labels = np.array(values, dtype=np.int8)
    if len(labels) != count:
        raise ValueError(f"{len(labels)} values for {count} attributes")
    if not np.isin(labels, (-1, 0, 1)).all():
        raise ValueError("value is none of -1, 0, 1")
    # The benchmark says -1 for "no" and 0 for "unknown".
    return np.select([labels == 1, labels == -1], [1, 0], -1).astype(np.int8)


def _check_same_images(first: _Rows, other: _Rows, name: str) -> None:
    for one, two in ((first, other), (other, first)):
        for image in one.values:
            if image not in two.values:
                raise InputError(
                    f"{two.path}: has no row for {image}, which is in "
                    f"{one.path}, line {one.lines[image]}"
                )
