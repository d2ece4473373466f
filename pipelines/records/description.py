"""What lies beside the shards: what is in them, and what was found wrong."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.annotations import SPLITS
from pipelines.annotations import Annotations
from pipelines.annotations import label_frequencies
from pipelines.problems import Kind
from pipelines.problems import Problem
from pipelines.records.manifest import FILE_NAME
from pipelines.records.manifest import VERSION
from pipelines.records.shard_plan import Shard


def describe_records(
    folder: Path,
    annotations: Annotations,
    shards: Sequence[Shard],
    notes: Sequence[dict[str, Any]],
) -> None:
    """Writes `vocabulary.json`, `problems.csv` and `records.json`.

    Args:
        folder: where the shards lie.
        annotations: what the shards were made from.
        shards: all of them, in order.
        notes: what `ShardFiles.write` returned of each shard.
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
    """The mean landmarks and label frequencies; None without a train split."""
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
    """Problems in the order of the annotation table.

    Args:
        annotations: the table that rows are counted in.
        found: position of the row, kind and detail.
    """
    images, sources = annotations.table["image"], annotations.table["source"]
    return [
        Problem(Kind(kind), images.iat[row], sources.iat[row], detail)
        for row, kind, detail in sorted(found, key=lambda problem: problem[0])
    ]


def versions() -> dict[str, Any]:
    """Of the format of records, and of what they were made with."""
    result: dict[str, Any] = {"records": VERSION}
    for package in ("afn-keras", "pillow", "tensorflow"):
        try:
            result[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            result[package] = None
    return result


def _write_problems(path: Path, problems: list[Problem]) -> None:
    # Names of files may hold bytes that are no UTF-8.
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
