"""Photographs as bytes: is it one, how large, which way up."""

import io
import re
import struct
import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from PIL import ImageChops
from PIL import ImageOps
from PIL import UnidentifiedImageError

from pipelines.errors import InputError
from pipelines.errors import UnusableError
from pipelines.problems import Kind
from pipelines.special_files import special_kind

# Beyond this a file is more likely an attack than a photograph. It is the
# bound of Pillow's own warning; at twice as many it refuses to open a file.
MAX_PIXELS = 89_478_485

_ORIENTATION = 0x0112
_JPEG = ("JPEG", "MPO")  # MPO is a JPEG with further pictures behind it.

# Pillow raises any of these for bytes that make no sense.
_GARBLED = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)

# A JPEG's marker; in the compressed pixels a 0xff has a zero behind it.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_START = b"\xff\xd8\xff"
_END = 0xD9
_ALONE = frozenset([0x01, *range(0xD0, 0xD8)])
_SEGMENTS = frozenset(
    [*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE]
)


class Photograph(NamedTuple):
    """A photograph that every decoder shows alike.

    Attributes:
        encoded: JPEG bytes.
        width: in pixels.
        height: in pixels.
        found: what was odd about the file, with the values found.
    """

    encoded: bytes
    width: int
    height: int
    found: list[tuple[Kind, str]]


def read_photograph(path: str | Path, name: str | None = None) -> bytes:
    """Reads a photograph for `upright_jpeg` to take.

    Args:
        path: of the file.
        name: what to call it in messages; its path by default.

    Raises:
        InputError: if there is no such file or it cannot be read.
    """
    path = Path(path)
    name = name or str(path)
    try:
        if kind := special_kind(path.stat().st_mode):
            raise InputError(f"{name}: is {kind}; name a file")
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{name}: cannot be read ({error.strerror})"
        ) from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        # A name with a NUL in it.
        raise InputError(f"{name!r}: no file has such a name") from error


def upright_jpeg(encoded: bytes, name: str) -> Photograph:
    """The photograph as JPEG bytes that TensorFlow decodes right.

    A JPEG that is upright as stored comes back untouched, grey ones too. One
    that only EXIF turns upright is turned and stored anew, since TensorFlow's
    decoder does not look at EXIF; so are CMYK, which decoders do not show
    alike, and all other formats that Pillow reads. Transparent parts become
    white.

    Args:
        encoded: the file's bytes.
        name: what to call it in messages.

    Raises:
        UnusableError: if it is no photograph, is cut off, or has more than
            `MAX_PIXELS` pixels.
    """
    if not encoded:
        raise UnusableError(name, Kind.IMAGE_EMPTY, "the file has no bytes")
    is_jpeg = encoded.startswith(_START)
    kind = Kind.IMAGE_TRUNCATED if is_jpeg else Kind.NOT_AN_IMAGE
    try:
        with warnings.catch_warnings():
            # What Pillow warns of is checked here, or does no harm.
            warnings.simplefilter("ignore")
            photograph = Image.open(io.BytesIO(encoded))
            width, height = photograph.size
            if width * height > MAX_PIXELS:
                raise _too_large(name, f"{width} x {height}")
            kind = Kind.IMAGE_TRUNCATED
            found = _look(photograph)
            if not any(kind != Kind.GREYSCALE for kind, _ in found):
                # A reduced picture needs all of the file, but not the work of
                # turning it into pixels.
                photograph.draft(None, (1, 1))
                photograph.load()
                if not _has_end(encoded):
                    raise UnusableError(name, kind, "no end marker")
                return Photograph(encoded, width, height, found)
            photograph.load()
            upright = _upright_rgb(photograph)
            return Photograph(_store(upright), *upright.size, found)
    except Image.DecompressionBombError as error:
        raise _too_large(name, f"over {2 * MAX_PIXELS:,}") from error
    except UnidentifiedImageError as error:
        raise UnusableError(name, kind, "no known image format") from error
    except _GARBLED as error:
        if isinstance(error, UnusableError):
            raise
        detail = str(error) or type(error).__name__
        raise UnusableError(name, kind, detail) from error


def _too_large(name: str, pixels: str) -> UnusableError:
    return UnusableError(
        name,
        Kind.IMAGE_TOO_LARGE,
        f"{pixels} pixels; {MAX_PIXELS:,} are the most",
    )


def _look(photograph: Image.Image) -> list[tuple[Kind, str]]:
    """What the photograph's header says that training should know."""
    found = []
    if photograph.format not in _JPEG:
        found.append((Kind.OTHER_FORMAT, str(photograph.format)))
    if photograph.mode in ("1", "L", "LA") or photograph.mode[:1] in "IF":
        found.append((Kind.GREYSCALE, f"mode {photograph.mode}"))
    if photograph.mode == "CMYK":
        found.append((Kind.CMYK, f"mode {photograph.mode}"))
    try:
        orientation = photograph.getexif().get(_ORIENTATION, 1)
    except _GARBLED:
        orientation = 1
    if orientation in range(2, 9):
        found.append((Kind.EXIF_ROTATION, f"orientation {orientation}"))
    return found


def _upright_rgb(photograph: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(photograph)
    if (
        photograph.mode == "CMYK"
        and photograph.format in _JPEG
        and "adobe" not in photograph.info
    ):
        # Pillow takes all JPEGs for Adobe's, which have the inks inverted.
        upright = ImageChops.invert(upright)
    if upright.mode.startswith("I;16"):
        # Pillow cuts 16 bits off at 255 instead of scaling them.
        upright = upright.convert("I").point(lambda x: x / 257, "L")
    if upright.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        white.alpha_composite(upright.convert("RGBA"))
        upright = white
    return upright.convert("RGB")


def _store(photograph: Image.Image) -> bytes:
    stored = io.BytesIO()
    photograph.save(stored, "JPEG", quality=95, subsampling=0)
    return stored.getvalue()


def _has_end(encoded: bytes) -> bool:
    """Whether who follows the markers of a JPEG comes to its end.

    Pillow is content once it has all pixels. TensorFlow reads on to the end
    marker, and fails if there is none.
    """
    position = 2
    while marker := _MARKER.search(encoded, position):
        position = marker.end()
        code = marker[1][0]
        if code == _END:
            return True
        if code in _SEGMENTS:
            position += int.from_bytes(encoded[position : position + 2], "big")
        elif code not in _ALONE:
            return False
    return False
