"""Tests that training, prediction and serving use the same pixels."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from conftest import KERAS_3
from PIL import Image

from afn_keras.evaluation.scores import evaluate
from afn_keras.loading import load_model
from afn_keras.prediction.cropping import crop
from exports.opening import open_model
from exports.saved_model.decode import preprocess_images
from pipelines.batches.load import load_split
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records
from pipelines.records.manifest import load_records

SIDE = 48


def picture(width=150, height=110, seed=0):
    """Makes smooth patches of many colors."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write_png(path, samples, bits, kind, *chunks):
    """Writes a PNG of (h, w) values of `bits` bits by hand."""

    def chunk(name, data):
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    height, width = samples.shape
    digits = samples[..., None] >> np.arange(bits)[::-1] & 1
    rows = np.packbits(digits.reshape(height, -1).astype(np.uint8), axis=1)
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(name, data) for name, data in chunks)
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


def write_images(folder):
    """Writes an image of each format that a server accepts."""
    image = Image.fromarray(picture())
    image.save(folder / "plain.jpg", quality=80, subsampling="4:2:0")
    image.save(folder / "progressive.jpg", progressive=True)
    image.convert("L").save(folder / "gray.jpg")
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    for orientation in (3, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(folder / f"turned{orientation}.jpg", exif=exif)
    image.save(folder / "rgb.png")
    image.quantize(200).save(folder / "palette.png")
    clear = image.copy()
    clear.putalpha(Image.fromarray(picture(seed=1)[..., 0]))
    clear.save(folder / "alpha.png")
    if KERAS_3:
        image.save(folder / "lossy.webp", quality=70)
        clear.save(folder / "alpha.webp", lossless=True)
    random = np.random.default_rng(2)
    colors = random.integers(0, 256, 3 * 16, np.uint8)
    for bits in (1, 2, 4):
        levels = picture(seed=3)[..., 0] >> (8 - bits)
        palette = colors[: 3 * 2**bits].tobytes()
        write_png(folder / f"gray{bits}.png", levels, bits, 0)
        write_png(
            folder / f"few{bits}.png", levels, bits, 3, (b"PLTE", palette)
        )
        write_png(
            folder / f"clear{bits}.png",
            levels,
            bits,
            3,
            (b"PLTE", palette),
            (b"tRNS", b"\x40\xc0"),
        )
    deep = picture(seed=4)[..., 0].astype(int) * 257
    write_png(folder / "gray16.png", deep, 16, 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Records of one image of each kind, half of them with a box."""
    folder = tmp_path_factory.mktemp("kinds")
    write_images(folder)
    lines = ["image,x1,y1,x2,y2,category,split"]
    for index, path in enumerate(sorted(folder.iterdir())):
        box = "10.5,20,97,70.25" if index % 2 else ",,,"
        # The category identifies the image: records have another order.
        lines.append(f"{path.name},{box},{path.name},train")
    (folder / "labels.csv").write_text("\n".join(lines))
    annotations = read_annotations(folder / "labels.csv")
    write_records(annotations, folder / "records")
    return folder, annotations.table, load_records(folder / "records")


def test_of_every_kind_of_file(data):
    folder, table, records = data
    stored = {}
    for image, targets in load_split(
        records, "train", image_size=SIDE, batch_size=4
    ):
        for index, shown in zip(targets["category"], image, strict=True):
            stored[records.vocabulary.categories[int(index)]] = shown.numpy()
    names, files, boxes, shown = [], [], [], []
    for row in table.to_dict("records"):
        box = [row[name] for name in ("x1", "y1", "x2", "y2")]
        box = None if np.isnan(box).any() else tuple(box)
        result = crop(folder / row["image"], SIDE, box)
        names.append(row["image"])
        files.append((folder / row["image"]).read_bytes())
        boxes.append(result.box)
        shown.append(result.image)
    assert len(names) == len(stored) > 15
    served = preprocess_images(
        tf.constant(files), tf.constant(boxes, tf.float32), SIDE
    )
    assert served.valid.numpy().all()
    for name, one, two in zip(names, shown, served.images.numpy(), strict=True):
        assert np.ptp(one) > 50, name
        assert np.abs(one - stored[name]).max() <= 1, name
        assert np.abs(one - two).max() <= 1, name


def test_palette_of_two_colors_is_seen_in_its_colors(tmp_path):
    half = np.zeros((20, 20), int)
    half[:, 10:] = 1
    palette = bytes([200, 30, 40, 20, 60, 180])
    write_png(tmp_path / "two.png", half, 1, 3, (b"PLTE", palette))
    encoded = tf.constant([(tmp_path / "two.png").read_bytes()])
    (image,) = preprocess_images(encoded, None, 20).images.numpy()
    np.testing.assert_allclose(image[:, 2], [[200, 30, 40]] * 20, atol=1)
    np.testing.assert_allclose(image[:, 17], [[20, 60, 180]] * 20, atol=1)


def test_scores_of_run_and_artifacts_are_one(run, records):
    expected = evaluate(load_model(run), records, "train")
    for artifact in ("saved_model", "tflite/afn_float32.tflite"):
        opened = open_model(run / "exports" / artifact)
        scores = evaluate(opened, records, "train")
        assert scores.keys() == expected.keys()
        _assert_near(scores, expected)
    assert open_model(run / "exports/saved_model").predict_encoded is not None


def _assert_near(scores, expected):
    for name, value in expected.items():
        if isinstance(value, dict):
            _assert_near(scores[name], value)
        elif isinstance(value, float):
            assert scores[name] == pytest.approx(value, abs=2e-4), name
        else:
            assert scores[name] == value, name
