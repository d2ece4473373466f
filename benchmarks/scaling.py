"""What more workers bring to conversion, and what Apache Beam costs it.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --data deepfashion_sample --images 40000

Images are given several names each, so that there are enough. Turns
alternate, so that what else the machine does falls on all, and ratios are taken
within a round. What so many cores can do at best, there and then, is measured
too: by as many conversions side by side that know nothing of each other.
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
from typing import NamedTuple

from conversion import make_data
from tabulate import tabulate

from pipelines.annotations import BOX
from pipelines.readers.detect import read_annotations

_CONVERT = """
import sys
from afn_keras.commands.convert import main
from pipelines.records import shard_plan

shard_plan.SHARD_BYTES = int(sys.argv[1])
main(sys.argv[2:])
"""

# Small enough that many shards fall on each process, as when there are many
# photographs.
_SHARD_BYTES = 15_000_000


class Way(NamedTuple):
    """A way to convert.

    Attributes:
        flags: of afn-convert.
        copies: how many of it run at once, each with all photographs.
    """

    flags: list[str]
    copies: int = 1


class Taken(NamedTuple):
    """What a conversion took: seconds, and seconds of processors."""

    wall: float
    work: float


def main() -> None:
    """Runs the benchmark and prints its tables."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", metavar="DATA", type=Path)
    parser.add_argument("--images", metavar="N", type=int, default=20_000)
    parser.add_argument("--workers", metavar="N", type=int, default=2)
    parser.add_argument("--rounds", metavar="N", type=int, default=5)
    options = parser.parse_args()
    many = options.workers
    ways = {
        "local, 1 process": Way(["--workers", "1"]),
        f"local, {many} processes": Way(["--workers", str(many)]),
        "Beam, 1 process": Way(beam_flags(1)),
        f"Beam, {many} processes": Way(beam_flags(many)),
        f"local, {many} times side by side": Way(["--workers", "1"], many),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = options.data or make_data(folder / "drawn", 200)
        large = repeat(data, folder / "large", options.images)
        small = repeat(data, folder / "small", 100)
        start: dict[str, list[Taken]] = {name: [] for name in ways}
        whole: dict[str, list[Taken]] = {name: [] for name in ways}
        described: set[str] = set()
        for turn in range(options.rounds + 1):
            for name in turn_order(list(ways), turn):
                few = convert(small, folder / "out", ways[name], set())
                all_ = convert(large, folder / "out", ways[name], described)
                # The first round fills the file system's cache.
                if turn:
                    start[name].append(few)
                    whole[name].append(all_)
    if len(described) != 1:
        raise SystemExit("the records differ")
    print(f"{options.images} images, {options.rounds} rounds, medians\n")
    print_tables(ways, start, whole, options.images)
    print("\nThe records are the same ones, byte for byte.")


def beam_flags(workers: int) -> list[str]:
    """For a number of processes of Beam."""
    return [
        *("--runner", "DirectRunner", "--direct_num_workers", str(workers)),
        *("--direct_running_mode", "multi_processing"),
    ]


def print_tables(
    ways: dict[str, Way],
    start: dict[str, list[Taken]],
    whole: dict[str, list[Taken]],
    images: int,
) -> None:
    """Prints rates and, of those, ratios."""
    rate, work, rows = {}, {}, []
    for name, way in ways.items():
        count = images * way.copies
        pairs = list(zip(whole[name], start[name], strict=True))
        rate[name] = [count / (all_.wall - few.wall) for all_, few in pairs]
        work[name] = [(all_.work - few.work) / count for all_, few in pairs]
        rows.append(
            (
                name,
                count / statistics.median(all_.wall for all_ in whole[name]),
                statistics.median(few.wall for few in start[name]),
                statistics.median(rate[name]),
                1000 * statistics.median(work[name]),
            )
        )
    headers = ["", "images/s", "s to start", "once started", "ms of CPU each"]
    floats = ("", ".0f", ".1f", ".0f", ".2f")
    print(tabulate(rows, headers, floatfmt=floats), "\n")

    local, local_many, beam, beam_many, best = ways
    rows = [
        (f"{above} / {below}", ratio(what[above], what[below]), unit)
        for above, below, what, unit in (
            (best, local, rate, "images/s"),
            (local_many, local, rate, "images/s"),
            (beam_many, beam, rate, "images/s"),
            (beam_many, best, rate, "images/s"),
            (beam, local, work, "CPU"),
            (beam_many, beam, work, "CPU"),
            (beam_many, local_many, work, "CPU"),
        )
    ]
    headers = ["within a round, once started", "median (range)", "of"]
    print(tabulate(rows, headers))


def turn_order(names: list[str], turn: int) -> list[str]:
    """Another one first in each round."""
    turn %= len(names)
    return names[turn:] + names[:turn]


def ratio(above: list[float], below: list[float]) -> str:
    """Of two measurements, round by round."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    middle = statistics.median(ratios)
    return f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def repeat(data: Path, folder: Path, images: int) -> Path:
    """A labels file of so many images, the data's over and over."""
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


def convert(data: Path, output: Path, way: Way, described: set[str]) -> Taken:
    """What it takes from start to end; adds what records.json says."""
    command = [sys.executable, "-c", _CONVERT, str(_SHARD_BYTES), data]
    outputs = [output.with_name(f"out-{i}") for i in range(way.copies)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    processes = [
        subprocess.Popen(
            [*command, folder, *way.flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for folder in outputs
    ]
    if any([process.wait() for process in processes]):
        raise SystemExit(f"afn-convert {' '.join(way.flags)} failed")
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for folder in outputs:
        # It has the checksum of each shard.
        described.add((folder / "records.json").read_text())
        shutil.rmtree(folder)
    return Taken(
        seconds,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


if __name__ == "__main__":
    main()
