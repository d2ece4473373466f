"""Which images a person means: files, folders, globs, tables, lists."""

import glob
import itertools
import mimetypes
import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from afn_keras.prediction.image_lists import Named
from afn_keras.prediction.image_lists import is_list
from afn_keras.prediction.image_lists import read_list
from pipelines.annotations import BOX
from pipelines.errors import InputError
from pipelines.images import SUFFIXES
from pipelines.images import inspect_image
from pipelines.images import read_image
from pipelines.images import spellings
from pipelines.problem_log import ProblemLog
from pipelines.problems import Kind
from pipelines.readers import Cells

_SUFFIXES = frozenset(itertools.chain.from_iterable(SUFFIXES.values()))

# What cameras write, and others that `mimetypes` may not know.
_RAW = frozenset(
    (".arw", ".cr2", ".cr3", ".dng", ".eps", ".jxl", ".nef", ".orf")
    + (".psd", ".raf", ".raw", ".rw2", ".svg", ".tga")
)


class Listed(NamedTuple):
    """A garment to look at.

    Attributes:
        image: path of the file; a name, where something else reads it.
        box: x1, y1, x2, y2 in pixels; the whole image if None.
    """

    image: Path | str
    box: tuple[float, float, float, float] | None = None


def list_images(
    names: Iterable[str],
    lines: Iterable[str] = (),
    box: Sequence[float] | None = None,
) -> Iterator[Listed | InputError]:
    """The images that names stand for, in their order.

    A name is a file; a folder, of which all images are taken, those of
    its folders too, sorted by path; a pattern with `*`, `?`, `[...]` or `**`,
    if there is no such file, in which folders of exactly those names come
    first; a table ending in .csv with a column `image`,
    relative to the table, perhaps with `x1`, `y1`, `x2`, `y2`, other columns
    being ignored; a list, or a pattern of lists, as `image_lists` reads
    them; or `-` for `lines`.

    Args:
        names: what to take.
        lines: paths for `-`, one a line; they are taken as they come.
        box: x1, y1, x2, y2 of whatever has none of its own.

    Yields:
        Images, not looked at yet, or for a row of a table or a line of
        a list that does not parse the error that says so.

    Raises:
        InputError: if a folder cannot be read, or a folder, pattern or table
            has no image.
    """
    for name in names:
        for listed in _meant(name, lines):
            if isinstance(listed, Listed) and listed.box is None and box:
                listed = listed._replace(box=tuple(box))
            yield listed


def first_images(names: Iterable[str], count: int) -> list[Listed]:
    """The first of the images that names stand for, each looked at.

    Args:
        names: as for `list_images`, but not `-`.
        count: how many at most.

    Raises:
        InputError: as `list_images`, for `-`, for a row of a table that
            does not parse, and for what is no image.
    """
    names = list(names)
    if "-" in names:
        raise InputError("-: name the images themselves")
    found = []
    for listed in itertools.islice(list_images(names), count):
        if isinstance(listed, InputError):
            raise listed
        path = listed.image
        inspect_image(read_image(path), str(path))
        found.append(listed)
    return found


def _meant(name: str, lines: Iterable[str]) -> Iterable[Listed | InputError]:
    path = Path(name)
    if name == "-":
        stripped = (line.rstrip("\r\n") for line in lines)
        return (Listed(Path(line)) for line in stripped if line)
    if path.is_dir():
        return _inside(path)
    if path.suffix.lower() == ".csv":
        return _in_table(path)
    if glob.has_magic(name) and not path.exists():
        found = _matching(name)
        if is_list(name):
            return itertools.chain.from_iterable(map(_in_list, found))
        return map(Listed, found)
    if is_list(name):
        return _in_list(path)
    return [Listed(path)]


def _inside(folder: Path) -> list[Listed | InputError]:
    def fail(error: OSError) -> None:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); change its "
            "permissions, or name the images themselves"
        ) from error

    found, others = [], []
    seen = {os.path.realpath(folder)}
    # Linked folders too, each once: a link may lead to a folder above it.
    for place, folders, files in os.walk(
        folder, onerror=fail, followlinks=True
    ):
        entered = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(place, name))
            if not name.startswith(".") and real not in seen:
                entered.append(name)
                seen.add(real)
        folders[:] = entered
        for name in files:
            if is_image_name(name):
                found.append(Path(place, name))
            elif _is_other_image(name):
                others.append(Path(place, name))
    if not found and not others:
        raise InputError(
            f"{folder}: holds no image; looked for names ending in "
            f"{', '.join(sorted(_SUFFIXES))}"
        )
    named: dict[Path, Listed | InputError] = {
        path: InputError(
            f"{path}: {path.suffix} is none of the formats that are read; "
            "convert it to JPEG or PNG"
        )
        for path in others
    }
    named |= {path: Listed(path) for path in found}
    return [named[path] for path in sorted(named)]


def _matching(pattern: str) -> list[Path]:
    found = [
        path
        for path in map(
            Path, sorted(glob.glob(_quoted(pattern), recursive=True))
        )
        if path.is_file()
    ]
    if not found:
        raise InputError(f"{pattern}: no file matches this pattern")
    return found


def _quoted(pattern: str) -> str:
    """A pattern in which folders that there are stand for themselves.

    `data[1]/*.jpg` is what is in `data[1]`, if there is such a folder.
    """
    path = Path(pattern)
    # "." or "/" is there at the latest.
    folder = next(filter(os.path.exists, path.parents))
    return os.path.join(glob.escape(str(folder)), path.relative_to(folder))


def _in_list(path: Path) -> Iterator[Listed | InputError]:
    for item in read_list(path):
        if isinstance(item, Named):
            yield Listed(_file(Path(), item.image), item.box)
        else:
            yield item


def _in_table(table: Path) -> Iterator[Listed | InputError]:
    for item in read_table(table):
        if isinstance(item, Named):
            yield Listed(_file(table.parent, item.image), item.box)
        else:
            yield item


def _file(folder: Path, name: str) -> Path:
    """The file that a table or a list names, in whichever spelling."""
    paths = [folder / spelling for spelling in spellings(name)]
    return next((path for path in paths if os.path.exists(path)), paths[0])


def read_table(table: Path) -> Iterator[Named | InputError]:
    """The images of a table as it names them, with their boxes.

    Yields:
        Images, or for a row that does not parse the error that says so.

    Raises:
        InputError: if it is no table, or has no image.
    """
    log = ProblemLog()
    cells = Cells(table, log)
    cells.check_image_column()
    cells.check_box_columns()
    cells.clear_missing()
    cells.check_images()
    boxes: list = [None] * len(cells.lines)
    if BOX[0] in cells.columns:
        boxes = [
            None if box != box else (box, *rest)
            for box, *rest in cells.numbers(BOX).tolist()
        ]
    for problem in log.problems:
        if problem.kind == Kind.ROW_UNREADABLE:
            yield InputError(str(problem))
    found = [
        Named(cells.columns["image"][row], boxes[row])
        for row in range(len(boxes))
        if cells.good[row]
    ]
    if not found:
        raise InputError(f"{table}: has no row that names an image")
    yield from found


def is_image_name(name: str) -> bool:
    """Whether a folder's file of this name is taken for an image."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix in _SUFFIXES and not name.startswith(".")


def _is_other_image(name: str) -> bool:
    """Whether a name is that of an image in a format that is not read."""
    kind, _ = mimetypes.guess_type(name)
    suffix = os.path.splitext(name)[1].lower()
    is_image = (kind or "").startswith("image/") or suffix in _RAW
    return is_image and not name.startswith(".")
