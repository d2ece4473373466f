"""How fast a training step is, against PyTorch and the processor's limit.

    pip install torch==2.13.0    # or into an environment: --torch-python
    python benchmarks/training_step.py

A step is forward, the three losses, backward and the optimizer's update, on
one batch that stays the same. Compared are the function that `model.fit` runs
on this project's compiled model (which also keeps the metrics to watch), the
same network and losses in plain PyTorch (`plain_torch.py`; the better memory
format counts; not compiled), and a large matrix product, which is as fast as
arithmetic gets on this machine (the better framework counts).

Each framework has a process and its threads to itself. Their steps take
turns, so that whatever else the machine does meets all of them alike; what is
printed is the median over the turns, of ratios the median (least to most) of
the ratios within a turn. Still, run it on an idle machine: PyTorch's threads
wait for each other at the end of each layer, so that a busy neighbor slows
them more than TensorFlow's; `--cores 1` is fairer then. The CPU time is that
of all threads, their waiting included.

Before the clock starts, both networks answer the same batch from the same
weights, and must agree; so must their losses over the first steps, which
holds backward and update to account.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_HERE = Path(__file__).resolve().parent
# Relative, of outputs to the largest one, and of losses; float32 sums in
# another order, and bfloat16 rounds to 1/256.
_TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
# Steps before those on the clock: they compile, and their losses must agree.
_WARMUP = 2


def main() -> None:
    """Prints one table for each precision."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--categories", type=int, default=46)
    parser.add_argument("--attributes", type=int, default=1000)
    parser.add_argument("--landmarks", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=["float32", "bfloat16"],
        default=["float32", "bfloat16"],
    )
    parser.add_argument(
        "--matrix", type=int, default=4096, help="side of the matrix product"
    )
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--torch-python",
        default=sys.executable,
        help="Python of the environment that has PyTorch (default: this one)",
    )
    options = parser.parse_args()
    # Found out now, not after minutes of compiling.
    if subprocess.run([options.torch_python, "-c", "import torch"]).returncode:
        sys.exit(
            f"{options.torch_python} has no PyTorch: pip install torch==2.13.0,"
            " or name another Python with --torch-python"
        )
    # Both frameworks count the cores they may use when they start.
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    os.sched_setaffinity(0, cores)
    options.cores = len(cores)
    print(
        f"{options.image_size} pixels, width {options.width:g}, "
        f"{options.categories} categories, {options.attributes} attributes, "
        f"{options.landmarks} landmarks,\nbatch of {options.batch_size}, "
        f"{options.cores} cores (load before: {os.getloadavg()[0]:.1f}), "
        f"{options.turns} turns"
    )
    for precision in options.precisions:
        with tempfile.TemporaryDirectory() as scratch:
            _compare(options, precision, Path(scratch))


def _compare(
    options: argparse.Namespace, precision: str, scratch: Path
) -> None:
    np.savez(scratch / "batch.npz", **_batch(options))
    settings = {**vars(options), "precision": precision}
    (scratch / "settings.json").write_text(json.dumps(settings))
    # Keras first: it leaves its weights and outputs for the other.
    keras = _Framework(sys.executable, "keras_step.py", scratch)
    torch = _Framework(options.torch_python, "plain_torch.py", scratch)
    flop, difference = keras.facts["flop"], torch.facts["difference"]
    print(
        f"\n{precision}: {flop / 1e9:.1f} GFLOP a step; outputs differ by "
        f"{difference:.1e} of the largest"
    )
    if not difference < _TOLERANCE[precision]:
        sys.exit("these are two different networks")
    seconds: dict[str, list[float]] = {}
    work: dict[str, list[float]] = {}
    losses: dict[str, list[float]] = {}
    for turn in range(_WARMUP + options.turns):
        for framework in (keras, torch):
            for name in framework.facts["candidates"]:
                taken, busy, loss = framework.run(name)
                if turn >= _WARMUP:
                    seconds.setdefault(name, []).append(taken)
                    work.setdefault(name, []).append(busy)
                elif not name.startswith("product"):
                    losses.setdefault(name, []).append(loss)
    for framework in (keras, torch):
        framework.close()
    # The second loss comes after the first update.
    (wanted, *others) = losses.values()
    apart = max(
        abs(a / b - 1)
        for other in others
        for a, b in zip(other, wanted, strict=True)
    )
    print(f"losses of the first {_WARMUP} steps differ by {apart:.1e}\n")
    if not apart < _TOLERANCE[precision]:
        sys.exit("these are two different ways to learn")
    _print_table(options, seconds, work, flop)


def _print_table(
    options: argparse.Namespace,
    seconds: dict[str, list[float]],
    work: dict[str, list[float]],
    flop: float,
) -> None:
    from tabulate import tabulate

    def better(start: str) -> list[float]:
        names = [name for name in seconds if name.startswith(start)]
        return seconds[min(names, key=lambda n: statistics.median(seconds[n]))]

    product = 2.0 * options.matrix**3
    fastest, reference = better("product"), better("PyTorch")
    rows = []
    for name, times in seconds.items():
        is_step = not name.startswith("product")
        operations = flop if is_step else product
        pairs = list(zip(times, fastest, reference, strict=True))
        share = [(operations / t) / (product / best) for t, best, _ in pairs]
        speed = [other / t for t, _, other in pairs]
        median = statistics.median(times)
        rows.append(
            [
                name,
                f"{1e3 * median:.0f}",
                f"{1e3 * statistics.median(work[name]):.0f}",
                f"{operations / median / 1e9:.0f}",
                _spread(share),
                _spread(speed) if is_step else "",
            ]
        )
    header = ["", "ms", "CPU ms", "GFLOP/s", "of the product", "PyTorch = 1"]
    print(tabulate(rows, header, "github", disable_numparse=True))


def _spread(ratios: list[float]) -> str:
    middle = statistics.median(ratios)
    return f"{middle:.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _batch(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Noise with labels of every kind, unknown ones among them."""
    rng = np.random.default_rng(0)
    size, count = options.image_size, options.batch_size
    image = rng.uniform(0, 255, (count, size, size, 3))
    landmarks = rng.uniform(0, 1, (count, options.landmarks, 3))
    landmarks[..., 2] = landmarks[..., 2] < 0.8
    category = rng.integers(0, options.categories, count)
    category[0] = -1
    shape = (count, options.attributes)
    attributes = rng.choice([1, 0, -1], shape, p=[0.01, 0.89, 0.1])
    return {
        "image": image.astype(np.float32),
        "heatmaps": landmarks.astype(np.float32),
        "category": category.astype(np.int32),
        "attributes": attributes.astype(np.float32),
    }


class _Framework:
    """One framework in a process of its own, idle until told to step."""

    def __init__(self, python: str, script: str, scratch: Path) -> None:
        self.process = subprocess.Popen(
            [python, str(_HERE / script), str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._answer()

    def run(self, name: str) -> tuple[float, float, float]:
        """Seconds by the clock and of the CPU, and the loss, of one step."""
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return tuple(self._answer())

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[1]} ended; it says why above")
        return json.loads(line)


def serve(candidates: dict[str, Callable[[], float]], **facts: Any) -> None:
    """The other end of `_Framework`: steps when told to.

    Args:
        candidates: by name, what does one step and returns the loss once it
            is done.
        **facts: what to say first, beside the candidates' names.
    """
    print(json.dumps({"candidates": list(candidates), **facts}), flush=True)
    for line in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        loss = candidates[line.strip()]()
        seconds = time.perf_counter() - start
        work = time.process_time() - busy
        print(json.dumps([seconds, work, loss]), flush=True)


if __name__ == "__main__":
    main()
