"""What predicting through Beam costs, and what a second process brings.

    python benchmarks/beam_predicting.py PHOTOGRAPHS
    python benchmarks/beam_predicting.py PHOTOGRAPHS --image-size 32 --width .1

Real commands on the same list: afn-predict alone, and with Beam's DirectRunner
and one or two worker processes, on one core and on two. In turns, since the
machine may have other work: a rate is that of the fastest turn, which had least
of it, and the work, in seconds of the cores, is the mean. Each is also asked
for a few images only, which is what starting it takes, and left out.
"""

import argparse
import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from afn_keras.loading import TrainedModel
from afn_keras.network import build_afn
from afn_keras.prediction.inputs import list_images
from exports.saved_model.write import export_saved_model
from pipelines.vocabulary import LANDMARK_PAIRS
from pipelines.vocabulary import LANDMARKS
from pipelines.vocabulary import Vocabulary

FEW = 32


class Way(NamedTuple):
    """A way to predict.

    Attributes:
        cores: how many it may use.
        workers: processes of Beam; 0 without Beam.
    """

    cores: int
    workers: int

    def __str__(self) -> str:
        how = f"Beam, {self.workers} workers" if self.workers else "without"
        return f"{how}, {self.cores} cores"


WAYS = (Way(1, 0), Way(2, 0), Way(1, 1), Way(2, 1), Way(2, 2))


class Cost(NamedTuple):
    """Seconds that went by, and seconds of all its processes' cores."""

    wall: float
    work: float


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", help="folder of images")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    listed = [str(item.image) for item in _listed(options.photographs)]
    with tempfile.TemporaryDirectory() as folder:
        model = _export(options, Path(listed[0]), Path(folder, "model"))
        lists = {}
        for count in (FEW, options.count):
            lists[count] = Path(folder, f"{count}.txt")
            names = itertools.islice(itertools.cycle(listed), count)
            lists[count].write_text("\n".join(names))
        spent = {way: {count: [] for count in lists} for way in WAYS}
        for _ in range(options.turns):
            for way, count in itertools.product(WAYS, lists):
                cost = _predict(way, model, lists[count], Path(folder, "out"))
                spent[way][count].append(cost)
    _report(options, spent)


def _listed(folder: str) -> list:
    return list(list_images([folder]))


def _export(
    options: argparse.Namespace, photograph: Path, folder: Path
) -> Path:
    vocabulary = Vocabulary(
        tuple(f"category {i}" for i in range(46)),
        tuple(f"attribute {i}" for i in range(1000)),
        ("style",) * 1000,
        LANDMARKS,
        LANDMARK_PAIRS,
    )
    model = build_afn(
        vocabulary, image_size=options.image_size, width=options.width
    )
    trained = TrainedModel("benchmark", model, vocabulary)
    export_saved_model(trained, folder / "1", photograph.read_bytes())
    return folder


def _predict(way: Way, model: Path, names: Path, output: Path) -> Cost:
    command = [sys.executable, "-m", "afn_keras.commands.predict", str(model)]
    command += [str(names), "--json", "--output", str(output)]
    if way.workers:
        command += ["--runner", "DirectRunner"]
        command += ["--direct_running_mode=multi_processing"]
        command += [f"--direct_num_workers={way.workers}"]
    cores = sorted(os.sched_getaffinity(0))[: way.cores]
    before = _work()
    start = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    wall = time.perf_counter() - start
    files = [output] if output.is_file() else output.glob("predictions-*")
    answered = sum(len(path.read_bytes().splitlines()) for path in files)
    assert answered == len(names.read_bytes().splitlines())
    output.unlink() if output.is_file() else shutil.rmtree(output)
    return Cost(wall, _work() - before)


def _work() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _report(
    options: argparse.Namespace, spent: dict[Way, dict[int, list[Cost]]]
) -> None:
    side, turns = options.image_size, options.turns
    print(
        f"{options.count} images, {side}x{side}, width {options.width:g}, "
        f"{turns} turns"
    )
    rates, works = {}, {}
    for way, costs in spent.items():
        few, many = costs[FEW], costs[options.count]
        start = min(cost.wall for cost in few)
        wall = min(cost.wall for cost in many) - start
        work = sum(c.work for c in many) - sum(c.work for c in few)
        rates[way] = (options.count - FEW) / wall
        works[way] = 1e3 * work / turns / (options.count - FEW)
        print(
            f"{str(way):<26}{rates[way]:7.1f} a second, {works[way]:6.2f} ms "
            f"of a core each, {start:5.1f} s to start"
        )
    one, two = Way(1, 1), Way(2, 2)
    print(
        f"two workers on two cores: {rates[two] / rates[one]:.2f} times one on "
        f"one\nBeam against without, one core:  "
        f"{rates[one] / rates[Way(1, 0)]:.2f} of the rate, "
        f"{works[one] / works[Way(1, 0)]:.2f} of the work\n"
        f"Beam against without, two cores: "
        f"{rates[two] / rates[Way(2, 0)]:.2f} of the rate, "
        f"{works[two] / works[Way(2, 0)]:.2f} of the work"
    )


if __name__ == "__main__":
    main()
