"""Whether backends, devices and processes train the same network.

Usage: python benchmarks/equivalence.py [--steps 20]

Each way trains a quarter of the paper's network at 96 pixels from the same
weights on the same drawn images, with the paper's optimizer and batches
of eight, in processes of its own: TensorFlow and JAX on one device, each on
two, and two processes of JAX on loopback. It prints, for each, the largest
relative difference of a step's loss from TensorFlow's on one device. The same
without oneDNN is how far TensorFlow differs from itself. Takes some five
minutes on 2 cores.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

_BATCH = 8
# The recipe's, and a tenth of it, where rounding grows less.
_RATES = (1e-4, 1e-5)
# The name of each way, its backend, devices and processes, and what else.
_WAYS = (
    ("TensorFlow", "tensorflow", 1, 1, {}),
    ("TensorFlow without oneDNN", "tensorflow", 1, 1, {"ONEDNN": "0"}),
    ("TensorFlow, 2 devices", "tensorflow", 2, 1, {}),
    ("JAX", "jax", 1, 1, {}),
    ("JAX, 2 devices", "jax", 2, 1, {}),
    ("JAX, 2 processes", "jax", 1, 2, {}),
)


def losses(folder: Path, steps: int, rate: float) -> None:
    """What one process does: trains and, if it is the first, writes losses.

    Args:
        folder: with `records` and the run `start`, whose weights it takes.
        steps: of the optimizer.
        rate: the learning rate.
    """
    from afn_keras.backend.versions import keras
    from afn_keras.training.cluster import Cluster
    from afn_keras.training.cluster import join
    from afn_keras.training.devices import on_devices
    from afn_keras.training.devices import synchronize
    from afn_keras.training.fit import compiled_model
    from pipelines.batches.load import load_split
    from pipelines.batches.order import Part
    from pipelines.records.manifest import load_records

    devices = int(os.environ["DEVICES"])
    part = Part(int(os.environ["INDEX"]), int(os.environ["COUNT"]))
    if part.count > 1:
        join(Cluster(os.environ["ADDRESS"], *part))
    records = load_records(folder / "records")
    keras.utils.set_random_seed(0)
    recipe = _recipe(rate)
    batches = records.images["train"] // _BATCH
    with on_devices("all" if part.count > 1 else devices, part):
        model = compiled_model(recipe, records.vocabulary, batches)
        model.load_weights(folder / "start.weights.h5")
        synchronize(model, True)
        data = load_split(
            records,
            "train",
            image_size=recipe.image_size,
            batch_size=_BATCH,
            training=True,
            augmentation=recipe.augmentation,
            epochs=range(-(-steps // batches)),
            part=part,
        )
        # An epoch of one step each, so that each loss is told.
        history = model.fit(
            data, epochs=steps, steps_per_epoch=1, verbose=0, shuffle=False
        ).history
    if part.index == 0:
        np.save(folder / "losses.npy", history["loss"])


def _recipe(rate: float) -> Any:
    from afn_keras.recipes import load_recipe

    changes = {"image_size": 96, "width": 0.25, "weights": "none"}
    changes |= {"flip": True, "color": 0.2, "batch_size": _BATCH}
    changes |= {"clip_norm": 1.0, "learning_rate": rate}
    return load_recipe("paper", changes)


def prepare(folder: Path) -> None:
    """Draws images, converts them, and sets the weights."""
    from afn_keras.backend.versions import keras
    from afn_keras.training.fit import compiled_model
    from pipelines.readers.detect import read_annotations
    from pipelines.records.convert import write_records
    from pipelines.synthetic.benchmark import draw_benchmark

    draw_benchmark(folder / "drawn", 240, 0)
    annotations = read_annotations(folder / "drawn")
    records = write_records(annotations, folder / "records")
    keras.utils.set_random_seed(0)
    model = compiled_model(_recipe(_RATES[0]), records.vocabulary, 1)
    model.save_weights(folder / "start.weights.h5")


def run_way(
    folder: Path,
    steps: int,
    rate: float,
    way: tuple[str, str, int, int, dict],
) -> np.ndarray:
    """(steps,) losses of one way to train."""
    _, backend, devices, count, more = way
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    environment = os.environ | {
        "KERAS_BACKEND": backend,
        "TF_ENABLE_ONEDNN_OPTS": more.get("ONEDNN", "1"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "DEVICES": str(devices),
        "COUNT": str(count),
        "ADDRESS": address,
    }
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, __file__, "--work", folder),
                *("--steps", str(steps), "--rate", str(rate)),
            ],
            env=environment | {"INDEX": str(i)},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for i in range(count)
    ]
    if any(process.wait() for process in processes):
        raise SystemExit(f"{way[0]}: failed")
    return np.load(folder / "losses.npy")


def main() -> None:
    """Runs all ways, or one process of one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument(
        "--rate", type=float, help=f"learning rate (default: {_RATES})"
    )
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        losses(options.work, options.steps, options.rate)
        return
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder)
        rates = [options.rate] if options.rate else _RATES
        for rate in rates:
            expected = None
            for way in _WAYS:
                found = run_way(folder, options.steps, rate, way)
                if expected is None:
                    expected = found
                apart = np.abs(found / expected - 1)
                rows.append(
                    (
                        f"{rate:g}",
                        way[0],
                        f"{found[0]:.4f}",
                        f"{found[-1]:.4f}",
                        f"{apart[0]:.1e}",
                        f"{apart.max():.1e}",
                    )
                )
                print(rows[-1], file=sys.stderr)
    header = ("rate", "way", "first loss", "last loss")
    print(tabulate(rows, (*header, "first apart", "largest apart")))


if __name__ == "__main__":
    sys.exit(main())
