"""Parses the tf.train.Example that `encode` makes."""

import tensorflow as tf

from pipelines.annotations import VISIBLE
from pipelines.steps import Example
from pipelines.steps import Step
from pipelines.vocabulary import Vocabulary


def parse_record(vocabulary: Vocabulary) -> Step:
    """Parses `serialized`, one record or a batch of them.

    Adds `name`, `encoded`, `orientation` (...), `size` (..., 2) int32, of the
    upright image, `window` (..., 4) float32, the box in pixels, `landmarks`
    (..., L, 2) float32 in pixels, `visibility` (..., L), `visible` (..., L)
    bool, `category` (...) and `attributes` (..., A) int8.
    """
    count = len(vocabulary.landmarks)
    box = [f"image/object/bbox/{name}" for name in ("xmin", "ymin")]
    box += [f"image/object/bbox/{name}" for name in ("xmax", "ymax")]
    fields = {
        "image/filename": tf.io.FixedLenFeature([], tf.string),
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        # Records of 0.1.0 hold only upright images.
        "image/orientation": tf.io.FixedLenFeature([], tf.int64, 1),
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
            "orientation": record["image/orientation"],
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
