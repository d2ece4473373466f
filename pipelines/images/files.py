"""Checks encoded images: format, size, orientation."""

import dataclasses
import functools
import io
import re
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from PIL import ImageChops
from PIL import ImageOps
from PIL import UnidentifiedImageError

from pipelines.errors import InputError
from pipelines.problems import Kind
from pipelines.problems import UnusableError
from pipelines.special_files import special_kind

# A larger file is more likely an attack than an image. Pillow warns from this
# size on, and refuses to open files of twice as many pixels.
MAX_PIXELS = 89_478_485

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k"),
    "HEIF": (".heic", ".heif"),
}
"""Endings of file names, by format.

No other format is opened, even if Pillow supports it: for EPS it would run
Ghostscript.
"""

# Brands of HEIF with HEVC, as phones write it; AVIF has another brand.
_HEIC = re.compile(rb".{4}ftyp(hei|hev|mif1|msf1)", re.DOTALL)

_ORIENTATION = 0x0112
_JPEG = ("JPEG", "MPO")  # MPO is a JPEG followed by further images.

# Pillow raises any of these for corrupt bytes.
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

# Transformations that turn an image upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_PNG_BITS = 24  # Offset of a PNG's bit depth.

# A marker of a JPEG; in compressed pixels, a zero follows each 0xff.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_START = b"\xff\xd8\xff"
_END = 0xD9
_ALONE = frozenset([0x01, *range(0xD0, 0xD8)])
_SEGMENTS = frozenset(
    [*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE]
)


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image file that was checked.

    Attributes:
        jpeg: bytes of a JPEG that all decoders decode alike; None for all
            other files.
        decoded: upright RGB image of all other files, else None.
        orientation: EXIF orientation of `jpeg`, 1 to 8; 1 for all others.
        width: width of the upright image in pixels.
        height: height of the upright image in pixels.
        found: problems of the file, with details.
        exif_orientation: EXIF orientation of the file, 1 to 8, JPEG or not.
    """

    jpeg: bytes | None
    decoded: Image.Image | None
    orientation: int
    width: int
    height: int
    found: list[tuple[Kind, str]]
    exif_orientation: int = 1

    @property
    def encoded(self) -> bytes:
        """Returns the JPEG as it is, or else a PNG with exactly its pixels."""
        if self.jpeg is not None:
            return self.jpeg
        stored = io.BytesIO()
        # Speed matters more here than size.
        self.decoded.save(stored, "PNG", compress_level=1)
        return stored.getvalue()

    @property
    def pixels(self) -> np.ndarray:
        """Returns (height, width, 3) uint8 RGB."""
        if self.jpeg is None:
            return np.asarray(self.decoded)
        with Image.open(io.BytesIO(self.jpeg)) as opened:
            image = opened.convert("RGB")
        if self.orientation != 1:
            image = image.transpose(_TURNS[self.orientation])
        return np.asarray(image)


def read_image(path: str | Path, name: str | None = None) -> bytes:
    """Reads the bytes of an image for `inspect_image`.

    Args:
        path: path of the file.
        name: name for messages; the path by default.

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


def inspect_image(encoded: bytes, name: str) -> ImageFile:
    """Checks an image file, and makes its pixels independent of the decoder.

    RGB and gray JPEGs stay as they are; `orientation` holds their EXIF
    orientation, since TensorFlow's decoder ignores EXIF. CMYK JPEGs, which
    decoders decode differently, and all other formats are decoded here with
    Pillow. Transparent parts become white.

    Args:
        encoded: the file's bytes.
        name: name for messages.

    Raises:
        UnusableError: if the file is not an image, is truncated, or has more
            than `MAX_PIXELS` pixels.
    """
    if not encoded:
        raise UnusableError(name, Kind.IMAGE_EMPTY, "the file has no bytes")
    is_jpeg = encoded.startswith(_START)
    kind = Kind.IMAGE_TRUNCATED if is_jpeg else Kind.NOT_AN_IMAGE
    try:
        with warnings.catch_warnings():
            # Pillow's warnings are checked here, or are harmless.
            warnings.simplefilter("ignore")
            opened = Image.open(io.BytesIO(encoded), formats=_formats())
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise _too_large(name, f"{width} x {height}")
            kind = Kind.IMAGE_TRUNCATED
            orientation = _orientation(opened)
            found = _look(opened, orientation)
            if opened.format in _JPEG and opened.mode != "CMYK":
                # At a reduced size, Pillow reads the whole file, but saves the
                # work of decoding all pixels.
                opened.draft(None, (1, 1))
                opened.load()
                if not _has_end(encoded):
                    raise UnusableError(name, kind, "no end marker")
                if orientation >= 5:
                    width, height = height, width
                return ImageFile(
                    encoded,
                    None,
                    orientation,
                    width,
                    height,
                    found,
                    orientation,
                )
            if opened.format == "PNG" and opened.mode == "L":
                # Pillow scales pixels of 2 and 4 bits to 8, but not the value
                # of transparent pixels.
                scale = 255 // (2 ** encoded[_PNG_BITS] - 1)
                if isinstance(opened.info.get("transparency"), int):
                    opened.info["transparency"] *= scale
            opened.load()
            upright = _upright_rgb(opened)
            return ImageFile(
                None, upright, 1, *upright.size, found, orientation
            )
    except Image.DecompressionBombError as error:
        raise _too_large(name, f"over {2 * MAX_PIXELS:,}") from error
    except UnidentifiedImageError as error:
        detail = "no known image format"
        if _HEIC.match(encoded) and "HEIF" not in _formats():
            detail = "HEIC; pip install 'afn-keras[heic]' to read it"
        raise UnusableError(name, kind, detail) from error
    except _GARBLED as error:
        if isinstance(error, UnusableError):
            raise
        detail = str(error) or type(error).__name__
        raise UnusableError(name, kind, detail) from error


@functools.cache
def _formats() -> list[str]:
    """Returns the formats of `SUFFIXES` that are available."""
    try:
        import pi_heif
    except ImportError:
        pass
    else:
        pi_heif.register_heif_opener()
    Image.init()
    return [name for name in SUFFIXES if name in Image.OPEN]


def _too_large(name: str, pixels: str) -> UnusableError:
    return UnusableError(
        name,
        Kind.IMAGE_TOO_LARGE,
        f"{pixels} pixels; {MAX_PIXELS:,} are the most",
    )


def _orientation(opened: Image.Image) -> int:
    try:
        orientation = opened.getexif().get(_ORIENTATION, 1)
    except _GARBLED:
        return 1
    return orientation if orientation in range(1, 9) else 1


def _look(opened: Image.Image, orientation: int) -> list[tuple[Kind, str]]:
    """Lists oddities in the image's header."""
    found = []
    if opened.format not in _JPEG:
        found.append((Kind.OTHER_FORMAT, str(opened.format)))
    if opened.mode in ("1", "L", "LA") or opened.mode[:1] in "IF":
        found.append((Kind.GRAYSCALE, f"mode {opened.mode}"))
    if opened.mode == "CMYK":
        found.append((Kind.CMYK, f"mode {opened.mode}"))
    if orientation != 1:
        found.append((Kind.EXIF_ROTATION, f"orientation {orientation}"))
    return found


def _upright_rgb(opened: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(opened)
    if (
        opened.mode == "CMYK"
        and opened.format in _JPEG
        and "adobe" not in opened.info
    ):
        # Pillow treats all JPEGs like Adobe's, whose inks are inverted.
        upright = ImageChops.invert(upright)
    if upright.mode.startswith("I;16"):
        # Pillow clips 16 bits at 255 instead of scaling them.
        upright = upright.convert("I").point(lambda x: x / 257, "L")
    if upright.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        white.alpha_composite(upright.convert("RGBA"))
        upright = white
    return upright.convert("RGB")


def _has_end(encoded: bytes) -> bool:
    """Returns whether the markers of a JPEG lead to its end marker.

    TensorFlow fails without one; Pillow stops reading after the last pixel.
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
