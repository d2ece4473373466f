"""Makes records of rows: a tf.train.Example, framed as in a TFRecord file.

It does so without TensorFlow, whose import would take each process four
seconds and 600 MB. The tests compare the bytes with those of TensorFlow.
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
    file: ImageFile,
    box: np.ndarray,
    landmarks: np.ndarray,
) -> bytes:
    """Serializes one row of the annotation table with its image.

    Features have the names of TensorFlow's official vision models, if those
    have one.

    Args:
        row: the row; `image`, `category` and `attributes` are used.
        file: its image; width and height are those of the upright image.
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
    width, height = file.width, file.height
    byte("image/encoded", file.encoded)
    byte("image/format", b"png" if file.jpeg is None else b"jpeg")
    # EXIF orientation, which those models do not have.
    integers("image/orientation", [file.orientation])
    byte("image/filename", image)
    byte("image/source_id", image)
    integers("image/width", [width])
    integers("image/height", [height])
    integers("image/object/class/label", [int(row["category"])])
    # Positions are fractions of the image, as in those models. Half a pixel
    # leads from a landmark's pixel index to its center.
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
    # One byte per attribute: as int64, a thousand of -1 would take 10 kB.
    byte("image/object/attributes", row["attributes"].astype(np.int8).tobytes())
    return example.SerializeToString(deterministic=True)


def frame(record: bytes) -> bytes:
    """Adds length and checksums to a record, as in a TFRecord file."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, _checksum(length), record, _checksum(record)))


def _checksum(data: bytes) -> bytes:
    """Returns the CRC-32C, masked as TFRecord files define it."""
    crc = google_crc32c.value(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)


def _example_class() -> Any:
    """Defines the message tf.train.Example.

    It is in a pool of its own, so that TensorFlow can define the same message
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
    """Records of some rows.

    Attributes:
        data: the framed records, one after the other.
        images: number of records.
        problems: position of the row in the table, kind and detail of each.
        landmarks: (L, 3) sums of x and y in millionths of the box, and the
            count, over landmarks visible in it. Sums of integers do not depend
            on the order.
    """

    data: bytes
    images: int
    problems: list[tuple[int, Kind, str]]
    landmarks: np.ndarray | int


def prepare_rows(store: ImageStore, rows: list[dict]) -> Prepared:
    """Reads and checks the images of some rows and makes records of them.

    An image that cannot be used becomes a problem.

    Args:
        store: store of the images.
        rows: rows of the annotation table, each with its `position` in it.
    """
    records, problems = [], []
    sums: np.ndarray | int = 0
    for row in rows:
        image, found = row["image"], []
        try:
            stored, more = store.read(image)
            found += more
            file = inspect_image(stored, image)
            found += file.found
            box, landmarks, more = fit_labels(row, file)
            found += more
            records.append(frame(make_example(row, file, box, landmarks)))
            sums = sums + _in_box(box, landmarks)
        except UnusableError as error:
            found.append((error.kind, error.detail))
        problems += [(row["position"], kind, detail) for kind, detail in found]
    return Prepared(b"".join(records), len(records), problems, sums)


def _in_box(box: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Returns the summand of `Prepared.landmarks` for one image."""
    points = landmarks[:, :2] + 0.5 - box[:2]
    points = points / (box[2:] - box[:2])
    counts = (landmarks[:, 2] == VISIBLE) & ((points >= 0) & (points < 1)).all(
        -1
    )
    points = np.where(counts[:, None], points * 1_000_000, 0).round()
    return np.column_stack([points, counts]).astype(np.int64)
