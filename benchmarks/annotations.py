"""Reads and checks annotations of the whole DeepFashion benchmark.

    python benchmarks/annotations.py
    python benchmarks/annotations.py --images 50000 --attributes 200

Writes random annotation files of the coarse layout (0.9 GB as it is, removed
afterwards), reads them in a process of its own and prints how long that takes
and how much memory it needs at most. It takes about a minute.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tabulate import tabulate

from pipelines.annotations import label_frequencies
from pipelines.readers.deepfashion_names import PLACES
from pipelines.readers.detect import read_annotations

_CATEGORIES = 50
_IMAGES_PER_FOLDER = 51


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=289_222)
    parser.add_argument("--attributes", type=int, default=1000)
    parser.add_argument(
        "--troubled",
        type=int,
        default=1000,
        metavar="N",
        help="one row in N does not parse (default: 1000)",
    )
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step, folder = options.step
        if step == "write":
            _write(Path(folder), options)
        else:
            _read(Path(folder))
        return
    # Each step in a process of its own: what one needed before it began to
    # read would count as memory of the reader.
    command = [sys.executable, *sys.argv, "--step"]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([*command, "write", folder], check=True)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        print(
            f"{options.images:,} images, {options.attributes:,} attributes, "
            f"{size / 1e6:,.0f} MB of text, written in "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
        subprocess.run([*command, "read", folder], check=True)


def _read(folder: Path) -> None:
    rows = []

    def step(name: str, start: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = time.perf_counter() - start
        rows.append((name, f"{seconds:.1f}", f"{peak:.0f}"))

    step("imports", time.perf_counter())
    start = time.perf_counter()
    annotations = read_annotations(folder)
    step("read and check", start)
    start = time.perf_counter()
    label_frequencies(annotations, "train")
    step("label frequencies", start)
    print(tabulate(rows, ["step", "seconds", "peak MB so far"]))
    print(
        f"{len(annotations.table):,} images kept, "
        f"{len(annotations.problems):,} problems"
    )


def _write(folder: Path, options: argparse.Namespace) -> None:
    random = np.random.default_rng(0)
    images, attributes = options.images, options.attributes
    names = [
        f"img/Some_Garment_Of_A_Name-{i // _IMAGES_PER_FOLDER}/"
        f"img_{i % _IMAGES_PER_FOLDER + 1:08d}.jpg"
        for i in range(images)
    ]
    category = random.integers(0, _CATEGORIES, images)
    kinds = np.arange(_CATEGORIES) % 3 + 1
    corners = random.integers(1, 100, (images, 2))
    boxes = np.hstack(
        [corners, corners + random.integers(50, 200, (images, 2))]
    )
    points = random.random((images, 8, 2)) * (
        boxes[:, None, 2:] - boxes[:, None, :2]
    )
    points = (points + boxes[:, None, :2]).astype(int)
    sizes = {kind: len(places) for kind, places in PLACES.items()}
    split = np.array(["train"] * 209 + ["val"] * 40 + ["test"] * 40)
    # A few thousand rows of labels, again and again: random text is slow.
    pool = [
        " ".join(np.where(random.random(attributes) < 0.0033, " 1", "-1"))
        for _ in range(min(images, 4000))
    ]

    def file(path: str, header: str, rows: Iterable[str]) -> None:
        path = folder / path
        path.parent.mkdir(exist_ok=True)
        with path.open("w", encoding="utf-8") as text:
            text.write(f"{images}\n{header}\n")
            for number, row in enumerate(rows):
                # In each of the five files another.
                if (number + len(path.name)) % (5 * options.troubled) == 0:
                    row = row.rsplit(None, 1)[0] + " x"
                text.write(f"{row}\n")

    def name(count: int) -> list[str]:
        return [f"name {i}      {i % 5 + 1}" for i in range(count)]

    for path, rows in (
        ("category", [f"name {i}  {kinds[i]}" for i in range(_CATEGORIES)]),
        ("attr", name(attributes)),
    ):
        path = folder / "Anno" / f"list_{path}_cloth.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([str(len(rows)), "name  type", *rows, ""]))
    file(
        "Eval/list_eval_partition.txt",
        "image_name  evaluation_status",
        (f"{n:<70}{split[i % len(split)]}" for i, n in enumerate(names)),
    )
    file(
        "Anno/list_bbox.txt",
        "image_name  x_1  y_1  x_2  y_2",
        (
            f"{n:<70}{a:03d} {b:03d} {c:03d} {d:03d}"
            for n, (a, b, c, d) in zip(names, boxes.tolist(), strict=True)
        ),
    )
    file(
        "Anno/list_category_img.txt",
        "image_name  category_label",
        (f"{n:<70}{c + 1}" for n, c in zip(names, category, strict=True)),
    )
    packed = zip(names, kinds[category].tolist(), points.tolist(), strict=True)
    file(
        "Anno/list_landmarks.txt",
        "image_name  clothes_type  landmark_visibility_1 ...",
        (
            f"{n:<70}{kind} "
            + " ".join(f" 0 {x:03d} {y:03d}" for x, y in row[: sizes[kind]])
            for n, kind, row in packed
        ),
    )
    file(
        "Anno/list_attr_img.txt",
        "image_name  attribute_labels",
        (f"{n:<70}{pool[i % len(pool)]}" for i, n in enumerate(names)),
    )


if __name__ == "__main__":
    main()
