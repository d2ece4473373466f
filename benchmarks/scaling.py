"""What more workers bring to conversion, and what Apache Beam costs it.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --data deepfashion_sample --images 40000

Photographs are given several names each, so that there are enough. Turns
alternate, so that what else the machine does falls on all, and ratios are taken
within a round; processor time hardly depends on what else it does.
"""

import argparse
import csv
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from conversion import make_data
from tabulate import tabulate

from pipelines.annotations import BOX
from pipelines.sources import read_annotations

_CONVERT = """
import sys
from afn_keras.commands.convert import main
from pipelines import sharding

sharding.SHARD_BYTES = int(sys.argv[1])
main(sys.argv[2:])
"""

# Small enough that many shards fall on each process, as when there are many
# photographs.
_SHARD_BYTES = 15_000_000

_LOCAL = "afn-convert --workers {}"
_BEAM = "--runner DirectRunner, {} processes"


def main() -> None:
    """Runs the benchmark and prints its table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", metavar="DATA", type=Path)
    parser.add_argument("--images", metavar="N", type=int, default=20_000)
    parser.add_argument("--workers", metavar="N", type=int, nargs=2)
    parser.add_argument("--rounds", metavar="N", type=int, default=5)
    options = parser.parse_args()
    few, many = options.workers or (1, 2)
    flags = {}
    for workers in (few, many):
        flags[_LOCAL.format(workers)] = ["--workers", str(workers)]
        flags[_BEAM.format(workers)] = [
            *("--runner", "DirectRunner"),
            *("--direct_running_mode", "multi_processing"),
            *("--direct_num_workers", str(workers)),
        ]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = options.data or make_data(folder / "drawn", 200)
        large = repeat(data, folder / "large", options.images)
        small = repeat(data, folder / "small", 100)
        start = {name: [] for name in flags}
        whole = {name: [] for name in flags}
        work = {name: [] for name in flags}
        described = set()
        for turn in range(options.rounds + 1):
            for name in turn_order(list(flags), turn):
                few_images = convert(small, folder / "out", flags[name])
                all_images = convert(large, folder / "out", flags[name])
                described.add(all_images[2])
                # The first round fills the file system's cache.
                if turn:
                    start[name].append(few_images[0])
                    whole[name].append(all_images[0])
                    work[name].append(all_images[1] - few_images[1])
    if len(described) != 1:
        raise SystemExit("the records differ")
    net = {
        name: [a - b for a, b in zip(whole[name], start[name], strict=True)]
        for name in flags
    }
    rows = [
        (
            name,
            options.images / statistics.median(whole[name]),
            statistics.median(start[name]),
            options.images / statistics.median(net[name]),
            1000 * statistics.median(work[name]) / options.images,
        )
        for name in flags
    ]
    headers = ["", "images/s", "s to start", "once started", "ms of CPU each"]
    print(f"{options.images} photographs, {options.rounds} rounds, medians\n")
    print(
        tabulate(rows, headers, floatfmt=("", ".0f", ".1f", ".0f", ".2f")), "\n"
    )
    rows = [
        (
            f"speedup by {many} for {few}, {kind}",
            ratio(net, few_name, many_name),
        )
        for kind, few_name, many_name in (
            ("afn-convert", _LOCAL.format(few), _LOCAL.format(many)),
            ("Beam", _BEAM.format(few), _BEAM.format(many)),
        )
    ]
    rows += [
        (
            f"time of Beam by that of afn-convert, {workers} processes",
            ratio(net, _BEAM.format(workers), _LOCAL.format(workers)),
        )
        for workers in (few, many)
    ]
    rows += [
        (
            f"CPU of Beam by that of afn-convert, {workers} processes",
            ratio(work, _BEAM.format(workers), _LOCAL.format(workers)),
        )
        for workers in (few, many)
    ]
    print(tabulate(rows, ["within a round, once started", "median (range)"]))
    print("\nThe records are the same ones, byte for byte.")


def turn_order(names: list[str], turn: int) -> list[str]:
    """Another one first in each round."""
    turn %= len(names)
    return names[turn:] + names[:turn]


def ratio(seconds: dict[str, list[float]], above: str, below: str) -> str:
    """Of two measurements, round by round."""
    ratios = [
        a / b for a, b in zip(seconds[above], seconds[below], strict=True)
    ]
    middle = statistics.median(ratios)
    return f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def repeat(data: Path, folder: Path, images: int) -> Path:
    """A labels file of so many photographs, the data's over and over."""
    annotations = read_annotations(data)
    table = annotations.table
    folder.mkdir()
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "split", *BOX])
        for i in range(images):
            row = table.iloc[i % len(table)]
            name = f"{i // 1000:04d}/{i:08d}{Path(row['image']).suffix}"
            (folder / name).parent.mkdir(exist_ok=True)
            source = annotations.folder / row["image"]
            try:
                os.link(source, folder / name)
            except OSError:
                (folder / name).write_bytes(source.read_bytes())
            writer.writerow([name, "train", *row[BOX]])
    return folder


def convert(
    data: Path, output: Path, flags: list[str]
) -> tuple[float, float, str]:
    """Seconds of the command, of processors, and what records.json says."""
    command = [sys.executable, "-c", _CONVERT, str(_SHARD_BYTES)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run(
        [*command, data, output, *flags], check=True, capture_output=True
    )
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # It has the checksum of each shard.
    described = (output / "records.json").read_text()
    shutil.rmtree(output)
    return seconds, work, described


if __name__ == "__main__":
    main()
