"""One record, back from the tf.train.Example that `tfrecords` makes."""

import tensorflow as tf

from pipelines.annotations import VISIBLE
from pipelines.augmentation import Example
from pipelines.augmentation import Step
from pipelines.vocabulary import Vocabulary


def parse(vocabulary: Vocabulary) -> Step:
    """Reads a record; positions become pixels, the window is the box.

    Adds `encoded`, `size` (2,) int32, `window` (4,) float32, `landmarks`
    (L, 2) float32, `visible` (L,) bool, `category` and `attributes` (A,).
    """
    count = len(vocabulary.landmarks)
    box = [f"image/object/bbox/{name}" for name in ("xmin", "ymin")]
    box += [f"image/object/bbox/{name}" for name in ("xmax", "ymax")]
    fields = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/width": tf.io.FixedLenFeature([], tf.int64),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/object/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/object/attributes": tf.io.FixedLenFeature([], tf.string),
    }
    for name in box:
        fields[name] = tf.io.FixedLenFeature([], tf.float32)
    if count:
        for name, kind in (
            ("x", tf.float32),
            ("y", tf.float32),
            ("visibility", tf.int64),
        ):
            fields[f"image/object/landmark/{name}"] = tf.io.FixedLenFeature(
                [count], kind
            )

    def step(example: Example) -> Example:
        record = tf.io.parse_single_example(example["serialized"], fields)
        size = tf.stack([record["image/width"], record["image/height"]])
        scale = tf.cast(size, tf.float32)
        landmarks = tf.zeros([0, 2])
        visible = tf.zeros([0], tf.bool)
        if count:
            landmarks = scale * tf.stack(
                [
                    record["image/object/landmark/x"],
                    record["image/object/landmark/y"],
                ],
                -1,
            )
            visible = record["image/object/landmark/visibility"] == VISIBLE
        return {
            "seed": example["seed"],
            "encoded": record["image/encoded"],
            "size": tf.cast(size, tf.int32),
            "window": tf.stack([record[name] for name in box])
            * tf.concat([scale, scale], 0),
            "landmarks": landmarks,
            "visible": visible,
            "category": record["image/object/class/label"],
            "attributes": tf.io.decode_raw(
                record["image/object/attributes"], tf.int8
            ),
        }

    return step
