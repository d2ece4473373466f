"""Finds images by name: files, folders, globs, tables, lists."""

import glob
import itertools
import mimetypes
import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from afn_keras.prediction.image_lists import ListEntry
from afn_keras.prediction.image_lists import is_list
from afn_keras.prediction.image_lists import read_list
from pipelines.annotations import BOX
from pipelines.errors import InputError
from pipelines.images import SUFFIXES
from pipelines.images import inspect_image
from pipelines.images import read_image
from pipelines.images import spellings
from pipelines.problems import Kind
from pipelines.problems import ProblemLog
from pipelines.readers import Cells

_SUFFIXES = frozenset(itertools.chain.from_iterable(SUFFIXES.values()))

# Raw formats of cameras, and others that `mimetypes` may not know.
_RAW = frozenset(
    (".arw", ".cr2", ".cr3", ".dng", ".eps", ".jxl", ".nef", ".orf")
    + (".psd", ".raf", ".raw", ".rw2", ".svg", ".tga")
)


class ImageInput(NamedTuple):
    """An image to predict, with the garment's box.

    Attributes:
        image: path of the file, or a name that `Predictor`'s `read` takes.
        box: x1, y1, x2, y2 in pixels; the whole image if None.
    """

    image: Path | str
    box: tuple[float, float, float, float] | None = None


def list_images(
    names: Iterable[str],
    lines: Iterable[str] = (),
    box: Sequence[float] | None = None,
) -> Iterator[ImageInput | InputError]:
    """Lists the images that names refer to, in their order.

    A name is one of: a file; a folder, with all images in it and its
    subfolders, sorted by path; a pattern with `*`, `?`, `[...]` or `**`, unless
    there is such a file, in which existing folders match literally; a .csv
    table with a column `image`, relative to the table, and optionally `x1`,
    `y1`, `x2`, `y2`, other columns being ignored; a list, or a pattern of
    lists, see `image_lists`; or `-` for `lines`.

    Args:
        names: names of images.
        lines: paths for `-`, one per line, read lazily.
        box: x1, y1, x2, y2 for images without their own box.

    Yields:
        Images, not read yet, or errors for rows of tables and lines of lists
        that do not parse.

    Raises:
        InputError: if a folder cannot be read, or a folder, pattern or table
            has no image.
    """
    for name in names:
        for item in _expand(name, lines):
            if isinstance(item, ImageInput) and item.box is None and box:
                item = item._replace(box=tuple(box))
            yield item


def first_images(names: Iterable[str], count: int) -> list[ImageInput]:
    """Returns the first images that names refer to, checked to be images.

    Args:
        names: as for `list_images`, but not `-`.
        count: maximum number of images.

    Raises:
        InputError: as `list_images`, and for `-`, a row of a table that does
            not parse, and a file that is not an image.
    """
    names = list(names)
    if "-" in names:
        raise InputError("-: name the images themselves")
    found = []
    for item in itertools.islice(list_images(names), count):
        if isinstance(item, InputError):
            raise item
        path = item.image
        inspect_image(read_image(path), str(path))
        found.append(item)
    return found


def _expand(
    name: str, lines: Iterable[str]
) -> Iterable[ImageInput | InputError]:
    path = Path(name)
    if name == "-":
        stripped = (line.rstrip("\r\n") for line in lines)
        return (ImageInput(Path(line)) for line in stripped if line)
    if path.is_dir():
        return _inside(path)
    if path.suffix.lower() == ".csv":
        return _in_table(path)
    if glob.has_magic(name) and not path.exists():
        found = _matching(name)
        if is_list(name):
            return itertools.chain.from_iterable(map(_in_list, found))
        return map(ImageInput, found)
    if is_list(name):
        return _in_list(path)
    return [ImageInput(path)]


def _inside(folder: Path) -> list[ImageInput | InputError]:
    def fail(error: OSError) -> None:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); change its "
            "permissions, or name the images themselves"
        ) from error

    found, others = [], []
    seen = {os.path.realpath(folder)}
    # Follows links, each once: a link may point to a folder above it.
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
            f"{folder}: has no image; looked for names ending in "
            f"{', '.join(sorted(_SUFFIXES))}"
        )
    items: dict[Path, ImageInput | InputError] = {
        path: InputError(
            f"{path}: {path.suffix} is not a supported format; convert it to "
            "JPEG or PNG"
        )
        for path in others
    }
    items |= {path: ImageInput(path) for path in found}
    return [items[path] for path in sorted(items)]


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
    """Escapes existing folders in a pattern, so that they match literally.

    `data[1]/*.jpg` matches files in `data[1]`, if there is such a folder.
    """
    path = Path(pattern)
    # "." and "/" always exist.
    folder = next(filter(os.path.exists, path.parents))
    return os.path.join(glob.escape(str(folder)), path.relative_to(folder))


def _in_list(path: Path) -> Iterator[ImageInput | InputError]:
    for item in read_list(path):
        if isinstance(item, ListEntry):
            yield ImageInput(_file(Path(), item.image), item.box)
        else:
            yield item


def _in_table(table: Path) -> Iterator[ImageInput | InputError]:
    for item in read_table(table):
        if isinstance(item, ListEntry):
            yield ImageInput(_file(table.parent, item.image), item.box)
        else:
            yield item


def _file(folder: Path, name: str) -> Path:
    """Returns the file that a table or a list names, in any spelling."""
    paths = [folder / spelling for spelling in spellings(name)]
    return next((path for path in paths if os.path.exists(path)), paths[0])


def read_table(table: Path) -> Iterator[ListEntry | InputError]:
    """Reads the images of a table, as named there, with their boxes.

    Yields:
        Entries, or errors for rows that do not parse.

    Raises:
        InputError: if it is not a table, or has no image.
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
        ListEntry(cells.columns["image"][row], boxes[row])
        for row in range(len(boxes))
        if cells.good[row]
    ]
    if not found:
        raise InputError(f"{table}: has no row that names an image")
    yield from found


def is_image_name(name: str) -> bool:
    """Returns whether a file name in a folder is that of an image."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix in _SUFFIXES and not name.startswith(".")


def _is_other_image(name: str) -> bool:
    """Returns whether a name is that of an image in an unsupported format."""
    kind, _ = mimetypes.guess_type(name)
    suffix = os.path.splitext(name)[1].lower()
    is_image = (kind or "").startswith("image/") or suffix in _RAW
    return is_image and not name.startswith(".")
