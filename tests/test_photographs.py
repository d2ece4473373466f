import io

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import InputError
from pipelines.photographs import upright_jpeg


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def half_red():
    """40 wide, 20 high; its left half is red, its right half blue."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0] = 255
    pixels[:, 20:, 2] = 255
    return Image.fromarray(pixels)


def test_jpeg_stays_as_it_is(half_red):
    encoded = encode(half_red, "JPEG")
    assert upright_jpeg(encoded, "a") == (encoded, 40, 20, "")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP"])
def test_other_formats_become_jpeg(half_red, kind):
    stored, width, height, repair = upright_jpeg(encode(half_red, kind), "a")
    assert (width, height) == (40, 20)
    assert repair == f"is {kind}, stored as JPEG"
    pixels = np.array(Image.open(io.BytesIO(stored))).astype(int)
    assert np.abs(pixels[10, 5] - [255, 0, 0]).max() < 12


def test_exif_rotation_is_applied(half_red):
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned: rotate by 90 degrees to see.
    encoded = encode(half_red, "JPEG", exif=exif, quality=95)
    stored, width, height, repair = upright_jpeg(encoded, "a")
    assert (width, height) == (20, 40)
    assert "EXIF" in repair
    upright = Image.open(io.BytesIO(stored))
    assert upright.getexif().get(0x0112, 1) == 1
    pixels = np.array(upright).astype(int)
    # Turned clockwise, what was left is on top.
    assert pixels[5, 10, 0] > 200
    assert pixels[35, 10, 2] > 200


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    stored, *_ = upright_jpeg(encode(clear, "PNG"), "a")
    assert np.array(Image.open(io.BytesIO(stored))).min() > 250


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda encoded: b"", "the file is empty"),
        (lambda encoded: b"hello", "no known image format"),
        (lambda encoded: encoded[: len(encoded) // 2], "truncated"),
    ],
)
def test_what_is_no_photograph(half_red, spoil, reason):
    with pytest.raises(
        InputError, match=f"(?i)a.jpg: is no photograph.*{reason}"
    ):
        upright_jpeg(spoil(encode(half_red, "JPEG")), "a.jpg")


def test_decompression_bomb_is_not_decoded():
    encoded = encode(Image.new("1", (20_000, 20_000)), "PNG")
    with pytest.raises(InputError, match="more than 89,478,485 pixels"):
        upright_jpeg(encoded, "a.png")
