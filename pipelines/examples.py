"""One record, both ways: to a tf.train.Example and back.

Names are those of TensorFlow's official vision models, and the project's own
where they have none.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.annotations import VISIBLE
from pipelines.steps import Example
from pipelines.steps import Step
from pipelines.vocabulary import Vocabulary


def make_example(
    row: dict,
    encoded: bytes,
    width: int,
    height: int,
    box: np.ndarray,
    landmarks: np.ndarray,
) -> bytes:
    """Serializes one row of the annotation table with its photograph.

    Args:
        row: the row, of which `image`, `category` and `attributes` are used.
        encoded: JPEG bytes.
        width: of the photograph, in pixels.
        height: of the photograph, in pixels.
        box: (4,) x1, y1, x2, y2 in pixels.
        landmarks: (L, 3) x, y in 0-based pixel indices, and visibility.
    """

    def byte(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def integers(values: Any) -> tf.train.Feature:
        values = np.asarray(values, np.int64).ravel()
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def floats(values: Any) -> tf.train.Feature:
        values = np.asarray(values, np.float32).ravel()
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    # Positions are fractions of the photograph, as those models have them;
    # a landmark's pixel index gains the half pixel to its centre.
    features = {
        "image/encoded": byte(encoded),
        "image/format": byte(b"jpeg"),
        "image/filename": byte(row["image"].encode()),
        "image/source_id": byte(row["image"].encode()),
        "image/width": integers(width),
        "image/height": integers(height),
        "image/object/bbox/xmin": floats(box[0] / width),
        "image/object/bbox/ymin": floats(box[1] / height),
        "image/object/bbox/xmax": floats(box[2] / width),
        "image/object/bbox/ymax": floats(box[3] / height),
        "image/object/class/label": integers(row["category"]),
        "image/object/landmark/x": floats((landmarks[:, 0] + 0.5) / width),
        "image/object/landmark/y": floats((landmarks[:, 1] + 0.5) / height),
        "image/object/landmark/visibility": integers(landmarks[:, 2]),
        # One byte an attribute: as int64s, a thousand of -1 take 10 kB.
        "image/object/attributes": byte(
            row["attributes"].astype(np.int8).tobytes()
        ),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def parse(vocabulary: Vocabulary) -> Step:
    """Reads `serialized`, one record or a batch of them.

    Adds `name`, `encoded`, `size` (..., 2) int32, `window` (..., 4) float32,
    the box in pixels, `landmarks` (..., L, 2) float32 in pixels, `visibility`
    (..., L), `visible` (..., L) bool, `category` (...) and `attributes`
    (..., A) int8.
    """
    count = len(vocabulary.landmarks)
    box = [f"image/object/bbox/{name}" for name in ("xmin", "ymin")]
    box += [f"image/object/bbox/{name}" for name in ("xmax", "ymax")]
    fields = {
        "image/filename": tf.io.FixedLenFeature([], tf.string),
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/width": tf.io.FixedLenFeature([], tf.int64),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/object/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/object/attributes": tf.io.FixedLenFeature([], tf.string),
    }
    for name in box:
        fields[name] = tf.io.FixedLenFeature([], tf.float32)
    for name, kind in (
        ("x", tf.float32),
        ("y", tf.float32),
        ("visibility", tf.int64),
    ):
        fields[f"image/object/landmark/{name}"] = tf.io.FixedLenFeature(
            [count], kind
        )

    def step(example: Example) -> Example:
        example = dict(example)
        record = tf.io.parse_example(example.pop("serialized"), fields)
        size = tf.stack([record["image/width"], record["image/height"]], -1)
        scale = tf.cast(size, tf.float32)
        points = [record[f"image/object/landmark/{axis}"] for axis in "xy"]
        attributes = tf.io.decode_raw(
            record["image/object/attributes"], tf.int8
        )
        visibility = record["image/object/landmark/visibility"]
        return example | {
            "name": record["image/filename"],
            "encoded": record["image/encoded"],
            "size": tf.cast(size, tf.int32),
            "window": tf.stack([record[name] for name in box], -1)
            * tf.concat([scale, scale], -1),
            "landmarks": tf.stack(points, -1) * scale[..., None, :],
            "visibility": visibility,
            "visible": visibility == VISIBLE,
            "category": record["image/object/class/label"],
            "attributes": tf.ensure_shape(
                attributes,
                [*scale.shape[:-1], len(vocabulary.attributes)],
            ),
        }

    return step
