"""How much of a training epoch is spent waiting for photographs.

    python benchmarks/waiting.py --data DEEPFASHION

Trains as `afn-train` does, on its own batches, and adds up the time that the
training step waits for the next batch. Reads records if DEEPFASHION is a
folder of them; otherwise it makes them first.
"""

import argparse
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from afn_keras.backend.versions import keras
from afn_keras.recipes import Recipe
from afn_keras.recipes import load_recipe
from afn_keras.training.fit import compiled_model
from pipelines.batches.load import epoch_steps
from pipelines.batches.load import load_split
from pipelines.open_data import open_records
from pipelines.records.manifest import Records

# The first batches wait for TensorFlow to trace the step.
_WARM_UP = 5


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--recipes",
        nargs="+",
        default=["small", "best"],
        help="best is the full network at 224 pixels",
    )
    parser.add_argument(
        "--batches", type=int, help="at most (default: a whole epoch)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        records = open_records(options.data, Path(scratch) / "records")
        rows = []
        for name in options.recipes:
            recipe = load_recipe(
                name, {"weights": "none", "precision": "mixed_bfloat16"}
            )
            rows.append((name, *_measure(recipe, records, options.batches)))
    header = ("recipe", "batches", "images/s", "waiting, s", "share waiting")
    print(tabulate(rows, header, tablefmt="github", floatfmt=".4g"))


def _measure(
    recipe: Recipe, records: Records, batches: int | None
) -> tuple[int, float, float, str]:
    """Batches, images a second, seconds of waiting and their share."""
    steps = epoch_steps(records, "train", recipe.batch_size)
    steps = min(steps, batches + _WARM_UP if batches else steps)
    keras.utils.set_random_seed(0)
    model = compiled_model(recipe, records.vocabulary, steps)
    data = iter(
        load_split(
            records,
            "train",
            image_size=recipe.image_size,
            batch_size=recipe.batch_size,
            training=True,
            augmentation=recipe.augmentation,
            epochs=range(1),
        )
    )
    waited = 0.0
    for step in range(steps):
        if step == _WARM_UP:
            start, waited = time.perf_counter(), 0.0
        before = time.perf_counter()
        image, targets = next(data)
        waited += time.perf_counter() - before
        model.train_on_batch(image, targets)
    seconds = time.perf_counter() - start
    steps -= _WARM_UP
    rate = steps * recipe.batch_size / seconds
    return steps, rate, waited, f"{waited / seconds:.2%}"


if __name__ == "__main__":
    main()
