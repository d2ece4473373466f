"""How fast images become records, and in how much memory.

    python benchmarks/conversion.py
    python benchmarks/conversion.py --data deepfashion_sample

Without data it makes images of the benchmark's size: long side 300, about
20 kB. It needs Linux, which tells the peak memory of other processes.
"""

import argparse
import contextlib
import hashlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from tabulate import tabulate

from pipelines.annotations import Annotations
from pipelines.images.files import ImageFile
from pipelines.images.files import inspect_image
from pipelines.images.store import ImageStore
from pipelines.readers.detect import read_annotations
from pipelines.records.encode import frame
from pipelines.records.encode import make_example
from pipelines.records.fit_labels import fit_labels
from pipelines.records.shard_plan import rows_of


def main() -> None:
    """Runs the benchmark and prints its tables."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", metavar="DATA", type=Path)
    parser.add_argument("--images", metavar="N", type=int, default=5000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = options.data or make_data(folder / "data", options.images)
        annotations = read_annotations(data)
        count = len(annotations.table)
        sizes = measure_reading(annotations)
        baseline = measure_reading(annotations)
        kilobytes = sizes["bytes"] / count / 1000
        print(f"{count} images of {kilobytes:.1f} kB on average\n")
        stages = {"read and hash": baseline["seconds"]}
        stages.update(measure_stages(annotations))
        rows = [
            (name, 1e6 * seconds / count, seconds / baseline["seconds"])
            for name, seconds in stages.items()
        ]
        headers = ["stage, one process", "us an image", "of read and hash"]
        print(tabulate(rows, headers, floatfmt=".2f"), "\n")

        runs = [("N", data, workers) for workers in (1, 2)]
        if not options.data:
            large = make_data(folder / "large", 4 * options.images)
            runs += [("4N", large, workers) for workers in (1, 2)]
        rows = []
        for name, source, workers in runs:
            images = count if name == "N" else 4 * count
            seconds, parent, worker = convert(source, folder / "out", workers)
            rows.append((name, workers, images / seconds, parent, worker))
        headers = ["images", "workers", "images/s", "parent MB", "a worker MB"]
        print(tabulate(rows, headers, floatfmt=".0f"))
        print("\nfrom start to end of afn-convert; peaks of resident memory")


def make_data(folder: Path, images: int) -> Path:
    """A labels file and images of the benchmark's size."""
    (folder / "img").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["image,split,x1,y1,x2,y2"]
    for i in range(images):
        if i < 200:
            coarse = rng.integers(0, 256, (75, 50, 3), np.uint8)
            pixels = cv2.resize(coarse, (200, 300)).astype(np.int16)
            pixels += rng.integers(-12, 13, pixels.shape, np.int16)
            pixels = pixels.clip(0, 255).astype(np.uint8)
            _, jpeg = cv2.imencode(
                ".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, 80)
            )
            (folder / f"img/{i}.jpg").write_bytes(jpeg.tobytes())
        else:
            source = folder / f"img/{i % 200}.jpg"
            (folder / f"img/{i}.jpg").write_bytes(source.read_bytes())
        lines.append(f"img/{i}.jpg,train,10,20,190,290")
    (folder / "labels.csv").write_text("\n".join([*lines, ""]))
    return folder


def measure_reading(annotations: Annotations) -> dict[str, float]:
    """Seconds to read and hash all files, and their bytes."""
    digest, total, start = hashlib.sha256(), 0, time.perf_counter()
    for image in annotations.table["image"]:
        content = (annotations.folder / image).read_bytes()
        digest.update(content)
        total += len(content)
    return {"seconds": time.perf_counter() - start, "bytes": total}


def measure_stages(annotations: Annotations) -> dict[str, float]:
    """Seconds of each stage over all images, in one process."""
    store = ImageStore(annotations.folder)
    seconds = dict.fromkeys(("read", "check", "serialize", "write"), 0.0)

    def timed(stage: str, function: Callable, *arguments: object) -> object:
        start = time.perf_counter()
        result = function(*arguments)
        seconds[stage] += time.perf_counter() - start
        return result

    def serialize(row: dict, photograph: ImageFile) -> bytes:
        box, landmarks, _ = fit_labels(row, photograph)
        return frame(make_example(row, photograph, box, landmarks))

    def write(record: bytes) -> None:
        file.write(record)
        digest.update(record)

    digest = hashlib.sha256()
    with tempfile.TemporaryFile() as file:
        for row in rows_of(annotations, np.arange(len(annotations.table))):
            stored, _ = timed("read", store.read, row["image"])
            photograph = timed("check", inspect_image, stored, row["image"])
            record = timed("serialize", serialize, row, photograph)
            timed("write", write, record)
    return seconds


def convert(data: Path, output: Path, workers: int) -> tuple[float, int, int]:
    """Seconds of afn-convert, and the peaks of its processes in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "afn_keras.commands.convert"),
            *(data, output, "--workers", str(workers)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    parent = worker = 0
    while process.poll() is None:
        with contextlib.suppress(OSError):
            parent = max(parent, peak_memory(process.pid))
            for child in children(process.pid):
                worker = max(worker, peak_memory(child))
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"afn-convert ended with code {process.returncode}")
    for path in output.iterdir():
        path.unlink()
    output.rmdir()
    return seconds, parent, worker


def children(process: int) -> list[int]:
    """The processes that a process started."""
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in path.read_text().split()]


def peak_memory(process: int) -> int:
    """The most resident memory a process ever had, in MB."""
    for line in io.StringIO(Path(f"/proc/{process}/status").read_text()):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1000
    return 0


if __name__ == "__main__":
    main()
