"""Plans shards: the rows of each, and a fingerprint of all they depend on."""

import hashlib
import io
import json
import math
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.annotations import BOX
from pipelines.annotations import SIZE
from pipelines.annotations import Annotations
from pipelines.images import ImageStore
from pipelines.records.shard_writer import ShardFiles

# Shards of 100 to 215 MB read well from disks and object stores alike.
SHARD_BYTES = 150_000_000

# Rows for a process at a time: enough that passing them on costs nothing, but
# few large images.
_TASK_ROWS = 64
_TASK_BYTES = 8_000_000


class Shard(NamedTuple):
    """A shard to write.

    Attributes:
        name: its file name.
        split: its split.
        rows: positions in the annotation table, in order.
        sizes: bytes of each row's image.
    """

    name: str
    split: str
    rows: np.ndarray
    sizes: np.ndarray

    def tasks(self) -> Iterator[np.ndarray]:
        """Yields the rows in pieces for one process at a time."""
        start, size = 0, 0
        for stop in range(len(self.rows)):
            size += self.sizes[stop]
            if stop - start >= _TASK_ROWS or size > _TASK_BYTES:
                if stop > start:
                    yield self.rows[start:stop]
                start, size = stop, self.sizes[stop]
        if len(self.rows):
            yield self.rows[start:]


def stamp_images(annotations: Annotations, splits: Sequence[str]) -> np.ndarray:
    """Returns (rows, 2) size and time of each image; 0 if it is missing."""
    store = ImageStore(annotations.folder, annotations.follow_links)
    table = annotations.table
    wanted = table["split"].isin(splits)
    stamps = np.zeros((len(table), 2), np.int64)
    for position in np.flatnonzero(wanted):
        stamps[position] = store.stamp(table["image"].iat[position])
    return stamps


def plan_shards(
    annotations: Annotations, sizes: np.ndarray, splits: Sequence[str]
) -> list[Shard]:
    """Plans shards of about `SHARD_BYTES`, split by split.

    Args:
        annotations: annotations from a reader.
        sizes: (rows,) bytes of each image.
        splits: splits to convert; those without rows get no shard.
    """
    shards = []
    for split in splits:
        rows = np.flatnonzero(annotations.table["split"] == split)
        if not len(rows):
            continue
        if split == "train":
            # Benchmarks are sorted by category, and the shuffle buffer of
            # training holds only a few thousand neighbors.
            rows = np.random.RandomState(0).permutation(rows)
        # Two, four or eight processes share a power of two evenly.
        shares = max(1.0, sizes[rows].sum() / SHARD_BYTES)
        count = 2 ** round(math.log2(shares))
        shards += [
            Shard(
                f"{split}-{index:05d}-of-{count:05d}.tfrecord",
                split,
                part,
                sizes[part],
            )
            for index, part in enumerate(np.array_split(rows, count))
        ]
    return shards


def fingerprint(
    annotations: Annotations, stamps: np.ndarray, *options: str
) -> str:
    """Returns a checksum of everything that the records depend on.

    Args:
        annotations: annotations from a reader.
        stamps: (rows, 2) size and time of each image.
        *options: anything else that the records depend on.
    """
    digest = hashlib.sha256()

    def add(*texts: str) -> None:
        for text in texts:
            digest.update(f"{len(text)} {text}".encode(errors="replace"))

    table = annotations.table
    add(str(annotations.folder.absolute()), annotations.vocabulary.to_json())
    add(*options, *map(repr, annotations.problems))
    for name in ("image", "split", "source"):
        add(*table[name])
    digest.update(table["category"].to_numpy(np.int64).tobytes())
    digest.update(table[BOX + SIZE].to_numpy(np.float64).tobytes())
    for name in ("landmarks", "attributes"):
        for values in table[name]:
            digest.update(np.ascontiguousarray(values))
    digest.update(np.ascontiguousarray(stamps))
    return digest.hexdigest()


_ARRAYS = ("landmarks", "attributes")


def rows_of(annotations: Annotations, positions: np.ndarray) -> list[dict]:
    """Returns rows of the table with their `position` and `landmark_names`."""
    rows = annotations.table.iloc[positions].to_dict("records")
    names = annotations.vocabulary.landmarks
    for row, position in zip(rows, positions, strict=True):
        row |= {"position": int(position), "landmark_names": names}
    return rows


def save_rows(
    files: ShardFiles, annotations: Annotations, shard: Shard
) -> None:
    """Saves the rows of a shard for processes on other machines.

    A file next to the shard holds them, since the labels of all images would
    be too large for the plan of an engine that distributes work.
    """
    table = annotations.table.iloc[shard.rows]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        image=_as_bytes(table["image"]),
        landmark_names=_as_bytes(annotations.vocabulary.landmarks),
        position=shard.rows,
        bytes=shard.sizes,
        category=table["category"].to_numpy(np.int64),
        numbers=table[BOX + SIZE].to_numpy(np.float64),
        **{name: np.array([*table[name]]) for name in _ARRAYS},
    )
    files.keep(_path(files, shard.name), content.getvalue())


def load_rows(files: ShardFiles, name: str) -> Iterator[dict]:
    """Yields the rows of a shard that `save_rows` saved.

    Each has the columns that records need, its `position` in the table, its
    `landmark_names`, and the `bytes` of its image when the shards were
    planned, 0 if it was missing.

    Args:
        files: folders of the shards.
        name: file name of the shard.

    Raises:
        FileNotFoundError: if they were not saved here.
    """
    with np.load(_path(files, name)) as content:
        images = json.loads(content["image"].tobytes())
        names = tuple(json.loads(content["landmark_names"].tobytes()))
        numbers = content["numbers"].tolist()
        integers = {
            name: content[name].tolist()
            for name in ("position", "bytes", "category")
        }
        arrays = {name: content[name] for name in _ARRAYS}
    for i, image in enumerate(images):
        yield {
            "image": image,
            "landmark_names": names,
            **{name: values[i] for name, values in integers.items()},
            **dict(zip(BOX + SIZE, numbers[i], strict=True)),
            **{name: values[i] for name, values in arrays.items()},
        }


def _as_bytes(names: Iterable[str]) -> np.ndarray:
    # JSON writes names in ASCII, even with surrogates.
    return np.frombuffer(json.dumps([*names]).encode(), np.uint8)


def _path(files: ShardFiles, name: str) -> Path:
    return files.work / f"{name}.rows.npz"
