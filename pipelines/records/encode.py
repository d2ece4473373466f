"""One record's bytes: a tf.train.Example, framed as in a TFRecord file.

Written without TensorFlow, since each process that converts would take four
seconds and 600 MB to import it. The tests compare with TensorFlow's own.
"""

import struct
from typing import Any
from typing import NamedTuple

import google_crc32c
import numpy as np
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from pipelines.annotations import VISIBLE
from pipelines.images import ImageFile
from pipelines.images import ImageStore
from pipelines.images import inspect_image
from pipelines.problems import Kind
from pipelines.problems import UnusableError
from pipelines.records.fit_labels import fit_labels


def make_example(
    row: dict,
    photograph: ImageFile,
    box: np.ndarray,
    landmarks: np.ndarray,
) -> bytes:
    """Serializes one row of the annotation table with its image.

    Names are those of TensorFlow's official vision models, and the project's
    own where they have none.

    Args:
        row: the row, of which `image`, `category` and `attributes` are used.
        photograph: its image; width and height are those of the upright one.
        box: (4,) x1, y1, x2, y2 in pixels.
        landmarks: (L, 3) x, y in 0-based pixel indices, and visibility.
    """
    example = _Example()
    features = example.features.feature

    def byte(name: str, value: bytes) -> None:
        features[name].bytes_list.value.append(value)

    def integers(name: str, values: Any) -> None:
        # A feature must exist even if it has no values.
        features[name].int64_list.SetInParent()
        features[name].int64_list.value.extend(values)

    def floats(name: str, values: Any) -> None:
        features[name].float_list.SetInParent()
        features[name].float_list.value.extend(values)

    image = row["image"].encode()
    width, height = photograph.width, photograph.height
    byte("image/encoded", photograph.encoded)
    byte("image/format", b"png" if photograph.jpeg is None else b"jpeg")
    # Not of those models: how to turn the image, as EXIF counts.
    integers("image/orientation", [photograph.orientation])
    byte("image/filename", image)
    byte("image/source_id", image)
    integers("image/width", [width])
    integers("image/height", [height])
    integers("image/object/class/label", [int(row["category"])])
    # Positions are fractions of the image, as those models have them;
    # a landmark's pixel index gains the half pixel to its center.
    size = np.array([width, height], np.float64)
    for name, value in zip(
        ("xmin", "ymin", "xmax", "ymax"),
        (box.reshape(2, 2) / size).ravel().tolist(),
        strict=True,
    ):
        floats(f"image/object/bbox/{name}", [value])
    x, y = ((landmarks[:, :2] + 0.5) / size).T.tolist()
    floats("image/object/landmark/x", x)
    floats("image/object/landmark/y", y)
    integers(
        "image/object/landmark/visibility",
        landmarks[:, 2].astype(np.int64).tolist(),
    )
    # One byte an attribute: as int64s, a thousand of -1 take 10 kB.
    byte("image/object/attributes", row["attributes"].astype(np.int8).tobytes())
    return example.SerializeToString(deterministic=True)


def frame(record: bytes) -> bytes:
    """The record with its length and checksums, as a TFRecord file has it."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, _checksum(length), record, _checksum(record)))


def _checksum(data: bytes) -> bytes:
    """The CRC-32C, masked so that a checksum of checksums makes sense."""
    crc = google_crc32c.value(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)


def _example_class() -> Any:
    """The message tf.train.Example.

    It lives in a pool of its own, so that TensorFlow can define the same one
    in the same process.
    """
    field = FieldDescriptorProto
    file = FileDescriptorProto(
        name="example.proto", package="tensorflow", syntax="proto3"
    )
    for name, kind in (
        ("BytesList", field.TYPE_BYTES),
        ("FloatList", field.TYPE_FLOAT),
        ("Int64List", field.TYPE_INT64),
    ):
        file.message_type.add(name=name).field.add(
            name="value", number=1, type=kind, label=field.LABEL_REPEATED
        )

    def message(parent: Any, number: int, name: str, kind: str) -> Any:
        return parent.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".tensorflow.{kind}",
            label=field.LABEL_OPTIONAL,
        )

    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("Bytes", "Float", "Int64"), start=1):
        one = message(feature, number, f"{name.lower()}_list", f"{name}List")
        one.oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(
        name="key",
        number=1,
        type=field.TYPE_STRING,
        label=field.LABEL_OPTIONAL,
    )
    message(entry, 2, "value", "Feature")
    table = message(features, 1, "feature", "Features.FeatureEntry")
    table.label = field.LABEL_REPEATED
    message(file.message_type.add(name="Example"), 1, "features", "Features")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


_Example = _example_class()


class Prepared(NamedTuple):
    """What became of some rows.

    Attributes:
        data: the records, framed, one behind the other.
        images: how many there are.
        problems: what was found: position of the row in the table, kind and
            detail.
        landmarks: (L, 3) of each landmark the sums of x and y in millionths
            of the box, and how many: of those visible in it. Whole numbers,
            so that they add up to the same in any order.
    """

    data: bytes
    images: int
    problems: list[tuple[int, Kind, str]]
    landmarks: np.ndarray | int


def prepare_rows(store: ImageStore, rows: list[dict]) -> Prepared:
    """Reads and checks the images of some rows and makes records of them.

    An image that cannot be used is no more than a problem.

    Args:
        store: where the images lie.
        rows: rows of the annotation table, each with its `position` in it.
    """
    records, problems = [], []
    sums: np.ndarray | int = 0
    for row in rows:
        image, found = row["image"], []
        try:
            stored, more = store.read(image)
            found += more
            photograph = inspect_image(stored, image)
            found += photograph.found
            box, landmarks, more = fit_labels(row, photograph)
            found += more
            records.append(frame(make_example(row, photograph, box, landmarks)))
            sums = sums + _in_box(box, landmarks)
        except UnusableError as error:
            found.append((error.kind, error.detail))
        problems += [(row["position"], kind, detail) for kind, detail in found]
    return Prepared(b"".join(records), len(records), problems, sums)


def _in_box(box: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """What `Prepared.landmarks` sums up."""
    points = landmarks[:, :2] + 0.5 - box[:2]
    points = points / (box[2:] - box[:2])
    counts = (landmarks[:, 2] == VISIBLE) & ((points >= 0) & (points < 1)).all(
        -1
    )
    points = np.where(counts[:, None], points * 1_000_000, 0).round()
    return np.column_stack([points, counts]).astype(np.int64)
