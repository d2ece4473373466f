"""Images as bytes: is it one, how large, which way up."""

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

# Beyond this a file is more likely an attack than an image. It is the
# bound of Pillow's own warning; at twice as many it refuses to open a file.
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
"""What ends the names of images, by the formats that are opened.

No other is, whatever Pillow knows: for EPS it would run Ghostscript.
"""

# HEIF's brands that hold HEVC, as phones write it; AVIF has one of its own.
_HEIC = re.compile(rb".{4}ftyp(hei|hev|mif1|msf1)", re.DOTALL)

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

# What turns an image upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_PNG_BITS = 24  # Where a PNG says how many bits a pixel's numbers have.

# A JPEG's marker; in the compressed pixels a 0xff has a zero behind it.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_START = b"\xff\xd8\xff"
_END = 0xD9
_ALONE = frozenset([0x01, *range(0xD0, 0xD8)])
_SEGMENTS = frozenset(
    [*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE]
)


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image file that was looked at, and how to see it upright.

    Attributes:
        jpeg: the file, if it is a JPEG that every decoder shows alike; None
            for all others.
        decoded: its pixels, upright and RGB, if it is no such JPEG.
        orientation: EXIF orientation of `jpeg`, 1 to 8; 1 for all others.
        width: of the upright image, in pixels.
        height: of the upright image, in pixels.
        found: what was odd about the file, with the values found.
        exif_orientation: of the file, 1 to 8, JPEG or not.
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
        """The same pixels to the last bit: the JPEG as it is, or a PNG."""
        if self.jpeg is not None:
            return self.jpeg
        stored = io.BytesIO()
        # Time counts more here than size.
        self.decoded.save(stored, "PNG", compress_level=1)
        return stored.getvalue()

    @property
    def pixels(self) -> np.ndarray:
        """(height, width, 3) uint8 RGB."""
        if self.jpeg is None:
            return np.asarray(self.decoded)
        with Image.open(io.BytesIO(self.jpeg)) as opened:
            image = opened.convert("RGB")
        if self.orientation != 1:
            image = image.transpose(_TURNS[self.orientation])
        return np.asarray(image)


def read_image(path: str | Path, name: str | None = None) -> bytes:
    """Reads an image for `inspect_image` to take.

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


def inspect_image(encoded: bytes, name: str) -> ImageFile:
    """Checks an image file and makes sure that all see the same pixels in it.

    A JPEG stays as it is, a gray one too; where EXIF says that it lies on its
    side, its `orientation` says how to turn it, since TensorFlow's decoder does
    not look at EXIF. CMYK, which decoders do not show alike, and all other
    formats are decoded here, by Pillow. Transparent parts become white.

    Args:
        encoded: the file's bytes.
        name: what to call it in messages.

    Raises:
        UnusableError: if it is no image, is cut off, or has more than
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
            photograph = Image.open(io.BytesIO(encoded), formats=_formats())
            width, height = photograph.size
            if width * height > MAX_PIXELS:
                raise _too_large(name, f"{width} x {height}")
            kind = Kind.IMAGE_TRUNCATED
            orientation = _orientation(photograph)
            found = _look(photograph, orientation)
            if photograph.format in _JPEG and photograph.mode != "CMYK":
                # A reduced picture needs all of the file, but not the work of
                # turning it into pixels.
                photograph.draft(None, (1, 1))
                photograph.load()
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
            if photograph.format == "PNG" and photograph.mode == "L":
                # Pillow scales pixels of 2 and 4 bits, but not the value that
                # stands for transparent ones.
                scale = 255 // (2 ** encoded[_PNG_BITS] - 1)
                if isinstance(photograph.info.get("transparency"), int):
                    photograph.info["transparency"] *= scale
            photograph.load()
            upright = _upright_rgb(photograph)
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
    """Those of `SUFFIXES` that are to be had here."""
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


def _orientation(photograph: Image.Image) -> int:
    try:
        orientation = photograph.getexif().get(_ORIENTATION, 1)
    except _GARBLED:
        return 1
    return orientation if orientation in range(1, 9) else 1


def _look(photograph: Image.Image, orientation: int) -> list[tuple[Kind, str]]:
    """What the image's header says that training should know."""
    found = []
    if photograph.format not in _JPEG:
        found.append((Kind.OTHER_FORMAT, str(photograph.format)))
    if photograph.mode in ("1", "L", "LA") or photograph.mode[:1] in "IF":
        found.append((Kind.GRAYSCALE, f"mode {photograph.mode}"))
    if photograph.mode == "CMYK":
        found.append((Kind.CMYK, f"mode {photograph.mode}"))
    if orientation != 1:
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
