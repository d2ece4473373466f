"""Lists of images: a text file with a path or an object on each line.

In a file ending in .txt a line is a path or a URL. In one ending in .jsonl it
is an object with `image` and perhaps `box`, as answers have both: what
failed can be asked again by the file that says so.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import InputError

TEXT = ".txt"
OBJECTS = ".jsonl"


class Named(NamedTuple):
    """A garment as a list has it.

    Attributes:
        image: path or URL.
        box: x1, y1, x2, y2 in pixels; None for the whole image.
    """

    image: str
    box: tuple[float, float, float, float] | None = None


def is_list(name: str) -> bool:
    """Whether a name is that of a list."""
    return name.lower().endswith((TEXT, OBJECTS))


def parse_line(line: bytes, objects: bool) -> Named | None:
    """What a line of a list says; None if it is blank.

    Args:
        line: with or without its end.
        objects: whether it is of a list of objects.

    Raises:
        InputError: if it is no such object.
    """
    # Names that are no UTF-8 are those of files all the same.
    text = line.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    text = text.rstrip("\r\n")
    if not text.strip():
        return None
    return _object(text) if objects else Named(text)


def to_line(named: Named) -> bytes:
    """The line of a list of objects that `parse_line` reads back."""
    return json.dumps(named._asdict()).encode()


def read_list(path: Path) -> Iterator[Named | InputError]:
    """Reads a list as it is asked for, a line at a time.

    Yields:
        Images, or for a line that does not parse the error.

    Raises:
        InputError: if the file cannot be read.
    """
    objects = path.suffix.lower() == OBJECTS
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    named = parse_line(line, objects)
                except InputError as error:
                    yield InputError(f"{path}, line {number}: {error}")
                    continue
                if named:
                    yield named
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); a name that ends in "
            f"{TEXT} or {OBJECTS} is a list of images"
        ) from error


def _object(text: str) -> Named:
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
    return Named(image, box)
