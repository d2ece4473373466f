"""Sends thousands of damaged images to a SavedModel, as a server would."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from PIL import Image
from saved_model_c_api import write_signature

# Without Python of TensorFlow or this project, which could catch errors.
SERVER = """
import json, resource, sys
import numpy as np
folder, tests, tensors, contents, output = sys.argv[1:]
sys.path.insert(0, tests)
from saved_model_c_api import Session
session = Session(folder, json.load(open(tensors)), 2)
pack = np.load(contents)
data, ends = pack["data"].tobytes(), pack["ends"]
starts = [0, *ends[:-1]]
valid, landmarks = [], []
for first in range(0, len(ends), 64):
    rows = zip(starts[first : first + 64], ends[first : first + 64])
    outputs = session.ask([data[start:end] for start, end in rows])
    valid.append(outputs["valid"])
    landmarks.append(outputs["landmarks"])
    if not first:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
np.savez(
    output,
    valid=np.concatenate(valid),
    landmarks=np.concatenate(landmarks),
    kilobytes=after - before,
)
"""


def ask_server(run, contents, folder):
    """Returns `valid`, landmarks, and the growth in MB after one batch."""
    model = run / "exports" / "saved_model" / "1"
    write_signature(model, folder / "tensors.json")
    np.savez(
        folder / "contents.npz",
        data=np.frombuffer(b"".join(contents), np.uint8),
        ends=np.cumsum([len(content) for content in contents]),
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", SERVER, model, ROOT / "tests"),
            *(folder / "tensors.json", folder / "contents.npz"),
            folder / "out.npz",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(folder / "out.npz") as out:
        return out["valid"], out["landmarks"], out["kilobytes"] / 1000


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width, height):
    """Makes a PNG with a size and no pixels."""

    def chunk(name, content):
        crc = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + crc

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def jpeg_header(jpeg, width, height):
    """Changes the size in the header of a JPEG."""
    # Start of frame: marker, length, precision, height, width.
    start = jpeg.index(b"\xff\xc0") + 5
    size = struct.pack(">HH", height, width)
    return jpeg[:start] + size + jpeg[start + 4 :]


def decodes(content):
    """Returns whether TensorFlow's decoder decodes it."""
    try:
        tf.io.decode_image(content, channels=3, expand_animations=False)
    except (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError):
        return False
    return content[:2] == b"\xff\xd8" or content[:4] == b"\x89PNG"


def random_image(rng):
    """Encodes blocks of colors, 48 x 64, as JPEG and PNG."""
    blocks = rng.integers(0, 256, (8, 6, 3), np.uint8)
    image = Image.fromarray(blocks.repeat(8, 0).repeat(8, 1))
    return encoded(image, "JPEG", quality=90), encoded(image, "PNG")


def mutated(count, seed):
    """Yields files and whether they are valid; None if `decodes` decides."""
    rng = np.random.default_rng(seed)
    others = [
        b"",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        b"plain text",
        b"%PDF-1.7\n",
        rng.bytes(1000),
        encoded(Image.new("RGB", (9, 9)), "GIF"),
        encoded(Image.new("RGB", (9, 9)), "BMP"),
        encoded(Image.new("RGB", (9, 9)), "TIFF"),
        png_header(20_000, 20_000),
        png_header(2**31 - 1, 2**31 - 1),
        png_header(0, 0),
        jpeg_header(random_image(rng)[0], 20_000, 20_000),
    ]
    for index in range(count):
        content = random_image(rng)[index % 2]
        way = rng.integers(10)
        if way == 0:
            yield content, True
        elif way == 1:
            yield others[rng.integers(len(others))], False
        elif way <= 3:
            # A PNG's last chunk is empty, a JPEG's last marker two bytes.
            yield content[: rng.integers(len(content) - 40)], False
        elif way <= 8:
            changed = bytearray(content)
            for _ in range(2 ** rng.integers(6)):
                changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
            yield bytes(changed), None
        else:
            cut, more = sorted(rng.integers(len(content), size=2))
            yield content[:cut] + content[more:], None


@pytest.mark.parametrize(
    "count", [500, pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_damaged_images(run, tmp_path, count):
    contents, expected = zip(*mutated(count, seed=count), strict=True)
    expected = np.array(
        [
            decodes(content) if known is None else known
            for content, known in zip(contents, expected, strict=True)
        ]
    )
    valid, landmarks, megabytes = ask_server(run, contents, tmp_path)
    wrong = np.flatnonzero(valid != expected)
    assert wrong.tolist() == []
    assert 0.2 < valid.mean() < 0.8
    assert np.isfinite(landmarks).all()
    assert not landmarks[~valid].any()
    assert megabytes < 500


def test_memory_is_bounded(run, tmp_path):
    # Just under and over the largest image: 89,478,485 pixels.
    rng = np.random.default_rng(0)
    jpeg, _ = random_image(rng)
    contents = [jpeg] * 64
    contents += [png_header(9_400, 9_400), jpeg_header(jpeg, 9_400, 9_400)] * 8
    contents += [png_header(9_500, 9_500), jpeg_header(jpeg, 9_500, 9_500)] * 8
    valid, _, megabytes = ask_server(run, contents, tmp_path)
    # Over: refused by the header. Under: a PNG needs all its pixels, while
    # missing parts of a JPEG become gray.
    assert valid.tolist() == [True] * 64 + [False, True] * 8 + [False] * 16
    # Memory for a few images in bytes, not for one in floats.
    assert megabytes < 1000
