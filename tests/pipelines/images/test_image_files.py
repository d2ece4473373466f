import base64
import io
import os
import struct
import subprocess

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.errors import InputError
from pipelines.images import files
from pipelines.images.files import ImageFile
from pipelines.images.files import inspect_image
from pipelines.images.files import read_image
from pipelines.images.jpeg import decode_whole
from pipelines.problems import Kind
from pipelines.problems import UnusableError

RED, BLUE = (200, 30, 40), (20, 60, 180)


def encode(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(file):
    """Decodes the pixels that training sees, with TensorFlow."""
    image = decode_whole(
        tf.constant(file.encoded), tf.constant(file.orientation)
    )
    return image.numpy().astype(int)


def kept(encoded, *found):
    """Returns the ImageFile of an unchanged JPEG of 40 x 20 pixels."""
    return ImageFile(encoded, None, 1, 40, 20, list(found))


def kinds(file):
    return [kind for kind, _ in file.found]


def textured(width=90, height=60):
    """Makes an image that takes several thousand bytes."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (height // 6, width // 6, 3), np.uint8)
    return Image.fromarray(
        cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC)
    )


@pytest.fixture
def two_halves():
    """Makes an image of 40 x 20, red on the left and blue on the right."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = RED
    pixels[:, 20:] = BLUE
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"optimize": True, "restart_marker_blocks": 2},
        {"comment": b"\xff\xd9 is no end here \xff\xd8"},
    ],
)
def test_jpeg_stays_as_it_is(two_halves, options):
    encoded = encode(two_halves, **options)
    assert inspect_image(encoded, "a") == kept(encoded)
    # Bytes after the end, from a downloader, do no harm.
    longer = encoded + b"\0\0\r\n<html>"
    file = inspect_image(longer, "a")
    assert file == kept(longer)
    assert decode(file).shape == (20, 40, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_lose_nothing(two_halves, kind):
    lossless = {"lossless": True} if kind == "WEBP" else {}
    # GIF keeps 256 colors, enough for these two.
    encoded = encode(two_halves, kind, **lossless)
    file = inspect_image(encoded, "a")
    assert (file.width, file.height) == (40, 20)
    assert file.found == [(Kind.OTHER_FORMAT, kind)]
    assert file.encoded.startswith(b"\x89PNG")
    np.testing.assert_array_equal(decode(file), np.array(two_halves))
    np.testing.assert_array_equal(file.pixels, np.array(two_halves))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("AVIF", {"quality": 95}), ("JPEG2000", {}), ("TIFF", {})],
)
def test_rare_formats(two_halves, kind, options):
    if kind not in Image.registered_extensions().values():
        pytest.skip(f"this Pillow writes no {kind}")
    encoded = encode(two_halves, kind, **options)
    pixels = inspect_image(encoded, "a").pixels
    assert np.abs(pixels[10, 5].astype(int) - RED).max() < 8
    assert np.abs(pixels[10, 35].astype(int) - BLUE).max() < 8


@pytest.mark.parametrize("kind", ["EPS", "PPM", "TGA", "ICO", "PCX", "PDF"])
def test_other_formats_are_not_opened(two_halves, kind, monkeypatch):
    """Checks EPS, for which Pillow would run Ghostscript."""

    def never(*arguments, **options):
        raise AssertionError(f"{kind} was opened")

    monkeypatch.setattr(subprocess, "check_call", never)
    with pytest.raises(UnusableError) as error:
        inspect_image(encode(two_halves, kind), "photo.jpg")
    assert str(error.value) == (
        "photo.jpg: not an image (no known image format)"
    )


# 16 x 8, its left half red, its right half blue, written by libheif.
HEIC = base64.b85decode(
    b"0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<0004eZDn*}000000000XXk=`10000000000"
    b"aA{+700000000000000000000B57=IV*mgE07O6l0RRC200001pa1~?00000006E4001Lt"
    b"X>Mi!000000RR916=`l}WdZ;I000310BCk&F#rGn01j|zbZr0t000010002|X>f9I0002o"
    b"X>en20001WXm(>m0RwOV0058x000009`FGC{rLC*01pFT0096PKmiN^|NjGU00093kN^M!"
    b"000939=ZZRVE_RDDMA4O18@KU0|1Z!00RI30{|YNAb|yz>aLpR;31&EfB*mtfB*mk0EA)y"
    b"0RRR>0l{;@i2wiq6Ju{|a&BX6cmM$a4FCp!0000KX>)L8000000000$0000$0000eV{Bn?"
    b"0000G000010000800001|NsBc00002|NsBU000020000GaA|mH000000|*ER0000OX>e^}"
    b"0000000001009Mo0s{qv0002CZDe6|00020C;_hqG8)QdfL%j~o8lk;|Aj}g_KNW>T}wJ&"
    b"R^|Wqz(qfatb#+ZvTu3!V5s9&)JsrdK7gnMbkgfSlNrR!0n0<SAw&>(Re4m60?2QKKQN>L"
    b"und9MIGxSj5r21`&@?V%$)=?952k_#-"
    b"Y48$e>21ZRd@mdH`F@yxp8<7fPJlH2%w^=G10^*K66DXWQ9@J@KpRZT58qfQpfPU6j0<LD"
    b"AyZqep~"
)


def test_heic_is_read_with_its_extra():
    pytest.importorskip("pi_heif")
    file = inspect_image(HEIC, "a.heic")
    assert file.found == [(Kind.OTHER_FORMAT, "HEIF")]
    pixels = file.pixels.astype(int)
    assert pixels.shape == (8, 16, 3)
    assert np.abs(pixels[4, 2] - RED).max() < 4
    assert np.abs(pixels[4, 13] - BLUE).max() < 4
    with pytest.raises(UnusableError, match="image truncated|not an image"):
        inspect_image(HEIC[:300], "a.heic")


def test_heic_without_its_extra_says_what_to_do(monkeypatch):
    monkeypatch.setattr(files, "_formats", lambda: ["JPEG", "PNG"])
    with pytest.raises(UnusableError) as error:
        inspect_image(HEIC, "a.heic")
    assert str(error.value) == (
        "a.heic: not an image (HEIC; pip install 'afn-keras[heic]' to read it)"
    )


def test_a_jpeg_with_further_images_stays_as_it_is(two_halves):
    encoded = encode(
        two_halves, "MPO", save_all=True, append_images=[textured(40, 20)]
    )
    file = inspect_image(encoded, "a")
    assert file == kept(encoded)
    assert np.abs(decode(file)[10, 5] - RED).max() < 6


def test_grayscale_is_listed_and_stays(two_halves):
    encoded = encode(two_halves.convert("L"))
    file = inspect_image(encoded, "a")
    assert file == kept(encoded, (Kind.GRAYSCALE, "mode L"))
    pixels = decode(file)
    # Rec. 601: 0.299 of red, 0.587 of green, 0.114 of blue.
    assert np.abs(pixels[10, 5] - 82).max() <= 2
    assert np.abs(pixels[10, 35] - 62).max() <= 2


def test_sixteen_bits_are_scaled():
    deep = Image.fromarray(np.full((8, 8), 200 * 257, np.uint16))
    file = inspect_image(encode(deep, "PNG"), "a")
    assert kinds(file) == [Kind.OTHER_FORMAT, Kind.GRAYSCALE]
    assert np.abs(decode(file) - 200).max() <= 1


@pytest.mark.parametrize("inverted", [True, False])
def test_cmyk_becomes_rgb(inverted):
    # Half cyan, no black: (1 - 128 / 255, 1, 1). Adobe's programs write the
    # inks inverted, and a segment APP14 that says so.
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[..., 0] = 128
    encoded = encode(Image.fromarray(inks, "CMYK"), quality=95)
    start = encoded.index(b"\xff\xee")
    (length,) = struct.unpack(">H", encoded[start + 2 : start + 4])
    assert encoded[start + 4 : start + 9] == b"Adobe"
    if not inverted:
        inks = 255 - inks
        encoded = encode(Image.fromarray(inks, "CMYK"), quality=95)
        encoded = encoded[:start] + encoded[start + 2 + length :]
    file = inspect_image(encoded, "a")
    assert file.found == [(Kind.CMYK, "mode CMYK")]
    assert np.abs(decode(file)[8, 8] - [127, 255, 255]).max() <= 3


# Positions of red and blue relative to the center, as (x, y), in the upright
# image of each EXIF orientation, from the standard.
UPRIGHT = {
    2: ((1, 0), (-1, 0)),
    3: ((1, 0), (-1, 0)),
    4: ((-1, 0), (1, 0)),
    5: ((0, -1), (0, 1)),
    6: ((0, -1), (0, 1)),
    7: ((0, 1), (0, -1)),
    8: ((0, 1), (0, -1)),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation_is_applied(two_halves, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = encode(two_halves, exif=exif, quality=95)
    file = inspect_image(encoded, "a")
    width, height = file.width, file.height
    assert (width, height) == ((40, 20) if orientation < 5 else (20, 40))
    found = [(Kind.EXIF_ROTATION, f"orientation {orientation}")]
    assert file.found == found
    assert file.encoded == encoded
    pixels = decode(file)
    np.testing.assert_array_equal(file.pixels, pixels)
    assert pixels.shape == (height, width, 3)
    for (x, y), color in zip(UPRIGHT[orientation], (RED, BLUE), strict=True):
        pixel = pixels[height // 2 + 8 * y, width // 2 + 8 * x]
        assert np.abs(pixel - color).max() < 12


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0", b"Exif\0\0nonsense"])
def test_invalid_exif_is_ignored(two_halves, exif):
    encoded = encode(two_halves, exif=exif)
    assert inspect_image(encoded, "a") == kept(encoded)


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert decode(inspect_image(encode(clear, "PNG"), "a")).min() > 250


@pytest.mark.parametrize(
    ("encoded", "kind", "message"),
    [
        (b"", Kind.IMAGE_EMPTY, "image empty (the file has no bytes)"),
        (b"hello", Kind.NOT_AN_IMAGE, "not an image (no known image format)"),
        (b"\0" * 999, Kind.NOT_AN_IMAGE, "not an image (no known image format"),
        (
            encode(textured())[:1500],
            Kind.IMAGE_TRUNCATED,
            "image truncated (image file is truncated",
        ),
        (
            encode(textured())[:300],
            Kind.IMAGE_TRUNCATED,
            "image truncated (",
        ),
        (
            encode(textured())[:-2],
            Kind.IMAGE_TRUNCATED,
            "image truncated (",
        ),
        (
            encode(textured(), "PNG")[:1500],
            Kind.IMAGE_TRUNCATED,
            "image truncated (",
        ),
    ],
)
def test_what_is_not_an_image(encoded, kind, message):
    with pytest.raises(InputError) as error:
        inspect_image(encoded, "a.jpg")
    assert isinstance(error.value, UnusableError)
    assert error.value.kind == kind
    assert str(error.value).startswith(f"a.jpg: {message}")


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_kept_images_are_decoded_by_tensorflow(options):
    whole = encode(textured(), quality=90, **options)
    rng = np.random.default_rng(0)
    survivors = 0
    for i in range(300):
        damaged = bytearray(whole)
        if i % 3 == 0:
            del damaged[rng.integers(len(damaged)) :]
        elif i % 3 == 1:
            for place in rng.integers(2, len(damaged), 3):
                damaged[place] = rng.integers(256)
        else:
            start = rng.integers(2, len(damaged))
            damaged[start : start + 300] = bytes(len(damaged[start:][:300]))
        try:
            file = inspect_image(bytes(damaged), "a")
        except UnusableError:
            continue
        survivors += 1
        decode(file)
    # Some changes only alter the colors of blocks.
    assert survivors > 50


def test_too_many_pixels_are_not_decoded():
    # 182 million pixels in 25 kB, and a JPEG's header without its pixels.
    encoded = encode(Image.new("1", (14_000, 13_000)), "PNG")
    with pytest.raises(UnusableError, match="89,478,485 are the most") as error:
        inspect_image(encoded, "a.png")
    assert error.value.kind == Kind.IMAGE_TOO_LARGE
    header = bytearray(encode(Image.new("RGB", (8, 8))))
    start = header.index(b"\xff\xc0") + 5
    header[start : start + 4] = struct.pack(">HH", 10_000, 9_000)
    with pytest.raises(UnusableError) as error:
        inspect_image(bytes(header), "a.jpg")
    assert str(error.value) == (
        "a.jpg: image too large (9000 x 10000 pixels; 89,478,485 are the most)"
    )


def test_a_pipe_is_not_an_image(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match=r"pipe.jpg: is a pipe; name a file"):
        read_image(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match=r"/dev/zero: is a device; name a"):
        read_image("/dev/zero")
