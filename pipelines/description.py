"""What lies beside the shards: what is in them, and what was found wrong."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.annotations import SPLITS
from pipelines.annotations import Annotations
from pipelines.annotations import label_frequencies
from pipelines.annotations import mean_landmarks
from pipelines.problems import Kind
from pipelines.problems import Problem
from pipelines.records import FILE_NAME
from pipelines.records import VERSION
from pipelines.sharding import Shard


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
        notes: of each shard its `images`, `sha256` and `problems`, the latter
            as position of the row in the table, kind and detail.
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
        "guess": _baseline(folder, annotations, shards, problems),
        "shards": described,
    }
    annotations.vocabulary.save(folder)
    _write_problems(folder / "problems.csv", problems)
    text = json.dumps(content, indent=1) + "\n"
    (folder / FILE_NAME).write_text(text, encoding="utf-8")


def _baseline(
    folder: Path,
    annotations: Annotations,
    shards: Sequence[Shard],
    problems: Sequence[Problem],
) -> dict[str, Any] | None:
    """What is known of labels without looking; None without a train split."""
    table, split = annotations.table, SPLITS[0]
    train = table[table["split"] == split]
    if not len(train):
        return None
    landmarks = mean_landmarks(annotations, split)
    # Where the box is the whole image or EXIF turns it, only the records know
    # where a landmark lies in it.
    turned = any(problem.kind == Kind.LABELS_TURNED for problem in problems)
    if annotations.vocabulary.landmarks and (
        turned or train["x1"].isna().any()
    ):
        # TensorFlow, which reads them, takes seconds to import.
        from pipelines.batches import mean_targets

        files = [str(folder / s.name) for s in shards if s.split == split]
        landmarks = None
        if files:
            landmarks = mean_targets(files, annotations.vocabulary)
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
