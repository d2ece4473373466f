"""Reads lists of images: a text file with a path or an object on each line.

In a .txt file, a line is a path or URL. In a .jsonl file, it is an object with
`image` and optionally `box`. Predictions and failures have both keys, so that
failed images can be retried from the file that lists them.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import InputError

TEXT = ".txt"
OBJECTS = ".jsonl"


class ListEntry(NamedTuple):
    """An entry of a list of images.

    Attributes:
        image: path or URL.
        box: x1, y1, x2, y2 in pixels; None for the whole image.
    """

    image: str
    box: tuple[float, float, float, float] | None = None


def is_list(name: str) -> bool:
    """Returns whether a file name is that of a list."""
    return name.lower().endswith((TEXT, OBJECTS))


def parse_line(line: bytes, objects: bool) -> ListEntry | None:
    """Parses a line of a list; returns None if it is blank.

    Args:
        line: with or without its line ending.
        objects: whether lines are objects.

    Raises:
        InputError: if it is not such an object.
    """
    # File names may not be UTF-8.
    text = line.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    text = text.rstrip("\r\n")
    if not text.strip():
        return None
    return _object(text) if objects else ListEntry(text)


def to_line(entry: ListEntry) -> bytes:
    """Returns an entry as a line of a list of objects, for `parse_line`."""
    return json.dumps(entry._asdict()).encode()


def read_list(path: Path) -> Iterator[ListEntry | InputError]:
    """Reads a list lazily, one line at a time.

    Yields:
        Entries, or errors for lines that do not parse.

    Raises:
        InputError: if the file cannot be read.
    """
    objects = path.suffix.lower() == OBJECTS
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    entry = parse_line(line, objects)
                except InputError as error:
                    yield InputError(f"{path}, line {number}: {error}")
                    continue
                if entry:
                    yield entry
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); a name that ends in "
            f"{TEXT} or {OBJECTS} is a list of images"
        ) from error


def _object(text: str) -> ListEntry:
    shown = text if len(text) <= 60 else f"{text[:60]}..."
    try:
        fields = json.loads(text)
        # In the JSON lines of 0.1.0 the key is `photograph`.
        name = "image" if "image" in fields else "photograph"
        image, box = fields[name], fields.get("box")
        if not isinstance(image, str):
            raise TypeError
        if box is not None:
            x1, y1, x2, y2 = map(float, box)
            box = (x1, y1, x2, y2)
            if not all(map(math.isfinite, box)):
                raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{shown!r} should be an object such as "
            '{"image": "a.jpg", "box": [x1, y1, x2, y2]}'
        ) from error
    return ListEntry(image, box)
