import numpy as np
import pytest
import tensorflow as tf

from pipelines.images.files import ImageFile
from pipelines.records.encode import frame
from pipelines.records.encode import make_example


def feature(kind, values):
    value = {
        "bytes_list": tf.train.BytesList,
        "float_list": tf.train.FloatList,
        "int64_list": tf.train.Int64List,
    }[kind](value=values)
    return tf.train.Feature(**{kind: value})


@pytest.mark.parametrize(("landmarks", "orientation"), [(0, 1), (8, 6)])
def test_bytes_are_those_of_tensorflow(landmarks, orientation):
    x, y = np.arange(landmarks) * 10.25, np.arange(landmarks) * 5.5 - 3
    visibility = np.arange(landmarks) % 3
    row = {
        "image": "img/Röcke/1.jpg",
        "category": np.int64(-1),
        "attributes": np.array([1, 0, -1], np.int8),
    }
    made = make_example(
        row,
        ImageFile(b"\xff\xd8photo", None, orientation, 200, 300, []),
        np.array([0, 30.5, 100, 300]),
        np.stack([x, y, visibility], -1).astype(np.float32),
    )
    name = "img/Röcke/1.jpg".encode()
    features = {
        "image/encoded": feature("bytes_list", [b"\xff\xd8photo"]),
        "image/format": feature("bytes_list", [b"jpeg"]),
        "image/filename": feature("bytes_list", [name]),
        "image/source_id": feature("bytes_list", [name]),
        "image/orientation": feature("int64_list", [orientation]),
        "image/width": feature("int64_list", [200]),
        "image/height": feature("int64_list", [300]),
        "image/object/bbox/xmin": feature("float_list", [0]),
        "image/object/bbox/ymin": feature("float_list", [30.5 / 300]),
        "image/object/bbox/xmax": feature("float_list", [0.5]),
        "image/object/bbox/ymax": feature("float_list", [1]),
        "image/object/class/label": feature("int64_list", [-1]),
        "image/object/landmark/x": feature("float_list", (x + 0.5) / 200),
        "image/object/landmark/y": feature("float_list", (y + 0.5) / 300),
        "image/object/landmark/visibility": feature("int64_list", visibility),
        "image/object/attributes": feature("bytes_list", [b"\x01\x00\xff"]),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    assert made == example.SerializeToString(deterministic=True)


@pytest.mark.parametrize("size", [0, 1, 20_000])
def test_frames_are_those_of_tensorflow(tmp_path, size):
    record = bytes(i * i % 256 for i in range(size))
    path = tmp_path / "two.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(record)
        writer.write(b"second")
    assert path.read_bytes() == frame(record) + frame(b"second")
