"""Annotation table to records, with every problem on the way listed."""

import csv
import hashlib
import json
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pipelines.annotations import BOX
from pipelines.annotations import SPLITS
from pipelines.annotations import TRUNCATED
from pipelines.annotations import VISIBLE
from pipelines.annotations import Annotations
from pipelines.annotations import label_frequencies
from pipelines.annotations import mean_landmarks
from pipelines.errors import InputError
from pipelines.examples import make_example
from pipelines.photographs import read_photograph
from pipelines.photographs import upright_jpeg
from pipelines.records import FILE_NAME
from pipelines.records import Records
from pipelines.records import load_records
from pipelines.writing import fresh_folder

# Between 100 and 200 MB reads well from disks and object stores alike.
SHARD_BYTES = 150_000_000


def write_records(
    annotations: Annotations,
    output: Path,
    splits: Sequence[str] = SPLITS,
    progress: bool = False,
) -> Records:
    """Converts an annotation table to records.

    A photograph that cannot be used is counted, listed in `problems.csv` and
    left out; it never stops the job.

    Args:
        annotations: what a reader returned.
        output: folder to make; it must be new or empty.
        splits: which splits to convert.
        progress: show a progress bar.

    Raises:
        InputError: if `output` holds something, or no photograph of one of
            the splits that have rows can be used.
    """
    with fresh_folder(output) as folder:
        problems: list[tuple[str, str, str, str]] = []
        images, shards = {}, {}
        for split in splits:
            table = annotations.table[annotations.table["split"] == split]
            if not len(table):
                continue
            before = len(problems)
            shards[split] = _write_split(
                annotations, table, split, folder, problems, progress
            )
            images[split] = sum(shard["images"] for shard in shards[split])
            if not images[split]:
                image, _, problem, _ = problems[before]
                raise InputError(
                    f"{annotations.folder}: no image of the split {split} "
                    f"can be used; the first is {image}: {problem}"
                )
        if not images:
            raise InputError(
                f"{annotations.folder}: no image of the split "
                f"{' or '.join(splits)} is named in the annotations"
            )
        annotations.vocabulary.save(folder)
        _write_problems(folder / "problems.csv", problems)
        guess = {
            "landmarks": mean_landmarks(annotations, "train"),
            **label_frequencies(annotations, "train"),
        }
        content = {
            "version": 1,
            "images": images,
            "problems": len(problems),
            "guess": guess,
            "shards": shards,
        }
        text = json.dumps(content, indent=1) + "\n"
        (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return load_records(output)


def _write_split(
    annotations: Annotations,
    table: Any,
    split: str,
    folder: Path,
    problems: list,
    progress: bool,
) -> list[dict]:
    if split == "train":
        # Benchmarks are sorted by category; a shuffle buffer of the pipeline
        # sees only a few thousand neighbours.
        table = table.sample(frac=1, random_state=0)
    size = 0
    for image in table["image"]:
        path = annotations.folder / image
        size += path.stat().st_size if path.is_file() else 0
    count = max(1, round(size / SHARD_BYTES))
    rows = table.to_dict("records")
    bounds = np.linspace(0, len(rows), count + 1).astype(int)
    bar = tqdm(
        total=len(rows),
        desc=f"converting {split}",
        unit=" images",
        disable=not progress,
    )
    shards = []
    for index in range(count):
        name = f"{split}-{index:05d}-of-{count:05d}.tfrecord"
        written = 0
        with tf.io.TFRecordWriter(str(folder / name)) as writer:
            for row in rows[bounds[index] : bounds[index + 1]]:
                for example in _usable(annotations.folder, row, problems):
                    writer.write(example)
                    written += 1
                bar.update()
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        shards.append({"file": name, "images": written, "sha256": digest})
    bar.close()
    return shards


def _usable(folder: Path, row: dict, problems: list) -> Iterator[bytes]:
    """The row's record, or nothing but an entry in `problems`."""

    def note(problem: str, action: str) -> None:
        problems.append((row["image"], row["source"], problem, action))

    try:
        name = str(folder / row["image"])
        encoded, width, height, repair = upright_jpeg(
            read_photograph(folder / row["image"]), name
        )
    except InputError as error:
        note(str(error).removeprefix(f"{name}: "), "left out")
        return
    if repair:
        note(repair, "kept")
    box = np.array([row[name] for name in BOX], np.float64)
    if np.isnan(box).any():
        box = np.array([0, 0, width, height], np.float64)
    inside = np.clip(box, 0, [width, height, width, height])
    if (inside[2:] <= inside[:2]).any():
        note(
            f"the box {box.tolist()} has no area in the photograph of "
            f"{width} x {height}",
            "left out",
        )
        return
    if (inside != box).any():
        note(
            f"the box {box.tolist()} leaves the photograph of "
            f"{width} x {height}",
            "cut to the photograph",
        )
    landmarks = row["landmarks"].copy()
    x, y, visibility = landmarks.T
    beyond = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
    if (beyond & (visibility == VISIBLE)).any():
        note("a visible landmark lies outside the photograph", "made truncated")
    landmarks[beyond, 2] = TRUNCATED
    yield make_example(row, encoded, width, height, inside, landmarks)


def _write_problems(path: Path, problems: list) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "source", "problem", "action"])
        writer.writerows(problems)
