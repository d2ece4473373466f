"""Describes a folder of records in `records.json`, and opens it.

A folder of records holds TFRecord shards `train-00000-of-00012.tfrecord` and so
on, `vocabulary.json`, `records.json` (its contents) and `problems.csv` (the
problems of the data).
"""

import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.annotations import SPLITS
from pipelines.annotations import Annotations
from pipelines.annotations import Origin
from pipelines.annotations import label_frequencies
from pipelines.errors import InputError
from pipelines.problems import Kind
from pipelines.problems import Problem
from pipelines.records.shard_plan import Shard
from pipelines.vocabulary import Vocabulary

FILE_NAME = "records.json"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Records:
    """A folder of records and the contents of `records.json`.

    Args:
        folder: folder of the shards.
        vocabulary: names of the labels.
        images: number of images of each split.
        shards: file names of each split's shards, in order.
        counts: number of images in each of them.
        baseline: mean landmarks and label frequencies of the train split, for
            `afn-evaluate`: `landmarks` (L, 2) in units of the box,
            frequencies `category` (C,) and `attributes` (A,). None without a
            train split.
        origin: origin of the labels; see `Annotations`.
    """

    folder: Path
    vocabulary: Vocabulary
    images: dict[str, int]
    shards: dict[str, list[str]]
    counts: dict[str, list[int]]
    baseline: dict[str, Any] | None
    origin: Origin = "other"


def is_records(folder: Path) -> bool:
    """Returns whether `folder` holds records."""
    return (Path(folder) / FILE_NAME).is_file()


def load_records(folder: Path) -> Records:
    """Opens a folder of records.

    Raises:
        InputError: if it holds none, or a shard is missing.
    """
    folder = Path(folder)
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["versions"]["records"]
        if version != VERSION:
            raise InputError(
                f"{path}: is of version {version}, this is for {VERSION}; "
                "run afn-convert again"
            )
        shards, counts = (
            {
                split: [shard[field] for shard in shards]
                for split, shards in content["shards"].items()
            }
            for field in ("file", "images")
        )
        records = Records(
            folder,
            Vocabulary.load(folder),
            content["images"],
            shards,
            counts,
            # Its name in 0.1.0 was `guess`.
            content["guess" if "guess" in content else "baseline"],
            # Older records do not have it.
            content.get("origin", "other"),
        )
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); "
            "afn-convert DATA RECORDS makes it"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: does not describe records ({error!r})"
        ) from error
    for names in records.shards.values():
        for name in names:
            if not (folder / name).is_file():
                raise InputError(
                    f"{folder / name}: the shard is missing; "
                    "copy it again or rerun afn-convert"
                )
    return records


def count_problems(folder: Path) -> dict[str, int]:
    """Returns the number of problems of each kind in `problems.csv`."""
    content = json.loads((Path(folder) / FILE_NAME).read_text("utf-8"))
    return content["problems"]


def describe_records(
    folder: Path,
    annotations: Annotations,
    shards: Sequence[Shard],
    notes: Sequence[dict[str, Any]],
) -> None:
    """Writes `vocabulary.json`, `problems.csv` and `records.json`.

    Args:
        folder: folder of the shards.
        annotations: annotations that the shards were made from.
        shards: all shards, in order.
        notes: notes of `ShardFiles.write` on each shard.
    """
    found = [problem for note in notes for problem in note["problems"]]
    problems = annotations.problems + list_problems(annotations, found)
    images: dict[str, int] = {}
    described: dict[str, list[dict[str, Any]]] = {}
    for shard, note in zip(shards, notes, strict=True):
        images[shard.split] = images.get(shard.split, 0) + note["images"]
        described.setdefault(shard.split, []).append(
            {
                "file": shard.name,
                "images": note["images"],
                "sha256": note["sha256"],
            }
        )
    content = {
        "versions": versions(),
        "origin": annotations.origin,
        "images": images,
        "problems": Counter(problem.kind.value for problem in problems),
        "baseline": _baseline(annotations, shards, notes),
        "shards": described,
    }
    annotations.vocabulary.save(folder)
    _write_problems(folder / "problems.csv", problems)
    text = json.dumps(content, indent=1) + "\n"
    (folder / FILE_NAME).write_text(text, encoding="utf-8")


def _baseline(
    annotations: Annotations,
    shards: Sequence[Shard],
    notes: Sequence[dict[str, Any]],
) -> dict[str, Any] | None:
    """Returns `Records.baseline`."""
    split = SPLITS[0]
    if not (annotations.table["split"] == split).any():
        return None
    landmarks = None
    sums = [
        note["landmarks"]
        for shard, note in zip(shards, notes, strict=True)
        if shard.split == split and note["images"]
    ]
    if annotations.vocabulary.landmarks and sums:
        landmarks = [
            [x / count / 1e6, y / count / 1e6] if count else None
            for x, y, count in np.sum(sums, 0).tolist()
        ]
    return {"landmarks": landmarks, **label_frequencies(annotations, split)}


def list_problems(
    annotations: Annotations, found: Sequence[tuple[int, str, str]]
) -> list[Problem]:
    """Returns problems in the order of the annotation table.

    Args:
        annotations: annotations with the table.
        found: position of the row in the table, kind and detail of each.
    """
    images, sources = annotations.table["image"], annotations.table["source"]
    return [
        Problem(Kind(kind), images.iat[row], sources.iat[row], detail)
        for row, kind, detail in sorted(found, key=lambda problem: problem[0])
    ]


def versions() -> dict[str, Any]:
    """Returns versions of the format and of packages that records depend on."""
    result: dict[str, Any] = {"records": VERSION}
    for package in ("afn-keras", "pillow", "tensorflow"):
        try:
            result[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            result[package] = None
    return result


def _write_problems(path: Path, problems: list[Problem]) -> None:
    # Names of files may hold bytes that are not UTF-8.
    with path.open(
        "w", newline="", encoding="utf-8", errors="backslashreplace"
    ) as file:
        writer = csv.writer(file)
        writer.writerow(["image", "source", "kind", "detail", "action"])
        writer.writerows(
            [
                problem.image,
                problem.source,
                problem.kind.value,
                problem.detail,
                problem.action,
            ]
            for problem in problems
        )
