"""Photographs as bytes: is it one, how large, which way up."""

import io
from pathlib import Path

from PIL import Image
from PIL import ImageOps
from PIL import UnidentifiedImageError

from pipelines.errors import InputError

# Beyond this a file is more likely an attack than a photograph. It is the
# bound of Pillow's own warning; at twice as many it refuses to open a file.
MAX_PIXELS = 89_478_485


def read_photograph(path: Path) -> bytes:
    """Reads a photograph for `upright_jpeg` to take.

    Raises:
        InputError: if there is no such file or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror})"
        ) from error


def upright_jpeg(encoded: bytes, name: str) -> tuple[bytes, int, int, str]:
    """The photograph as JPEG bytes that every decoder shows alike.

    A JPEG that is upright as stored comes back untouched. One that only EXIF
    turns upright is turned and stored anew, since TensorFlow's decoder does
    not look at EXIF; PNG, WebP, GIF and BMP are stored anew as JPEG.

    Args:
        encoded: the file's bytes.
        name: what to call it in messages.

    Returns:
        JPEG bytes, width, height, and what had to be changed ("" if nothing).

    Raises:
        InputError: if it is no photograph, is cut off, or has more than
            `MAX_PIXELS` pixels.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as photograph:
            if photograph.width * photograph.height > MAX_PIXELS:
                raise InputError(
                    f"{name}: {photograph.width} x {photograph.height} pixels "
                    f"are more than {MAX_PIXELS:,}; scale it down"
                )
            turned = photograph.getexif().get(0x0112, 1) not in (0, 1)
            photograph.load()
            if photograph.format == "JPEG" and not turned:
                return encoded, photograph.width, photograph.height, ""
            repair = (
                "turned upright as its EXIF says"
                if turned
                else f"is {photograph.format}, stored as JPEG"
            )
            upright = ImageOps.exif_transpose(photograph)
            if upright.has_transparency_data:
                white = Image.new("RGBA", upright.size, "white")
                white.alpha_composite(upright.convert("RGBA"))
                upright = white
            stored = io.BytesIO()
            upright.convert("RGB").save(
                stored, "JPEG", quality=95, subsampling=0
            )
            return stored.getvalue(), upright.width, upright.height, repair
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:
        if isinstance(error, InputError):
            raise
        if not encoded:
            reason = "the file is empty"
        elif isinstance(error, UnidentifiedImageError):
            reason = "no known image format"
        elif isinstance(error, Image.DecompressionBombError):
            reason = f"more than {MAX_PIXELS:,} pixels; scale it down"
        else:
            reason = str(error)
        raise InputError(f"{name}: is no photograph ({reason})") from error
