"""A shard's rows of the annotation table, for the process that writes it.

On this machine they are handed over; for others they lie in a file beside the
shard, since a plan that held the labels of all images would be too large
for the engines that distribute work.
"""

import io
import json
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.annotations import BOX
from pipelines.annotations import SIZE
from pipelines.annotations import Annotations
from pipelines.records.shard_files import ShardFiles
from pipelines.records.shard_plan import Shard

_ARRAYS = ("landmarks", "attributes")


def rows_of(annotations: Annotations, positions: np.ndarray) -> list[dict]:
    """Rows of the table, each with its `position` and `landmark_names`."""
    rows = annotations.table.iloc[positions].to_dict("records")
    names = annotations.vocabulary.landmarks
    for row, position in zip(rows, positions, strict=True):
        row |= {"position": int(position), "landmark_names": names}
    return rows


def save_rows(
    files: ShardFiles, annotations: Annotations, shard: Shard
) -> None:
    """Writes what `load_rows` reads."""
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
    """The rows of a shard, as far as records are made of them.

    Each has its `position` in the table, its `landmark_names`, and the `bytes`
    of its image when the shards were planned, 0 if there was none.

    Args:
        files: where the shard is made.
        name: its file name.

    Raises:
        FileNotFoundError: if nobody saved them here.
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
    # Names may hold what is no text; JSON writes that in ASCII.
    return np.frombuffer(json.dumps([*names]).encode(), np.uint8)


def _path(files: ShardFiles, name: str) -> Path:
    return files.work / f"{name}.rows.npz"
