"""Recipes and the paper's claims, at a reduced size, over several seeds.

    python benchmarks/recipes.py --data DEEPFASHION --output RUNS
    python benchmarks/recipes.py --data DEEPFASHION --output RUNS --split test

Trains each of the comparisons below from random weights, at the same size,
epochs, precision and seeds, and prints means and spread. Choices are made on
val; the split test is scored once, when nothing is changed any more. A run
that was stopped goes on; one that is finished is not trained again.
"""

import argparse
import statistics
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from afn_keras.evaluation.scores import evaluate
from afn_keras.loading import load_model
from afn_keras.recipes import load_recipe
from afn_keras.training.fit import train
from pipelines.open_data import open_records
from pipelines.records.manifest import Records
from pipelines.records.manifest import is_records

# Name, recipe, changes. From random weights the paper's learning rate and
# weight of the landmarks leave its heatmaps nearly untrained in ten epochs,
# so it is compared with those of `best` too.
_COMPARED = {
    "paper": ("paper", {}),
    "released": ("released", {}),
    "paper, rate and weight of best": (
        "paper",
        {"learning_rate": 1e-3, "landmark_weight": 500.0},
    ),
    "best": ("best", {}),
    "best, heatmaps at 1/8": ("best", {"upsampling": False}),
    "best, no attention": ("best", {"attention": "none"}),
}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--only", nargs="+", default=list(_COMPARED))
    options = parser.parse_args()
    made = options.output / "records"
    records = open_records(made if is_records(made) else options.data, made)
    changes = {
        "weights": "none",
        "epochs": options.epochs,
        "image_size": options.image_size,
        "width": options.width,
        "precision": options.precision,
    }
    rows = []
    for name in options.only:
        recipe, differences = _COMPARED[name]
        scores = [
            _score(
                records,
                options.output / f"{_folder(name)}-s{seed}",
                recipe,
                changes | differences | {"seed": seed},
                options.split,
            )
            for seed in range(options.seeds)
        ]
        rows.append((name, *_summary(scores)))
    header = ("", *scores[0])
    print(tabulate(rows, header, tablefmt="github"))


def _folder(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-").replace("/", "")


def _score(
    records: Records,
    folder: Path,
    name: str,
    changes: Mapping[str, Any],
    split: str,
) -> dict[str, float]:
    recipe = load_recipe(name, changes)
    folder.mkdir(parents=True, exist_ok=True)
    recipe.save(folder)
    records.vocabulary.save(folder)
    train(recipe, records, folder, resume=True)
    model = load_model(folder)
    corrected = evaluate(model, records, split)
    released = evaluate(model, records, split, protocol="released")
    landmarks = corrected["landmarks"]
    attributes = corrected["attributes"]
    return {
        "NE": landmarks["ne"],
        "NE, released protocol": released["landmarks"]["ne"],
        "PCK@0.1": landmarks["pck@0.1"],
        "AUC@0.2": landmarks["auc@0.2"],
        "category top-1": corrected["category"]["top1"],
        "recall@3": attributes["recall@3"]["all"],
        "recall@5": attributes["recall@5"]["all"],
    }


def _summary(scores: Sequence[Mapping[str, float]]) -> list[str]:
    """Mean of each score, and from the lowest to the highest."""
    result = []
    for name in scores[0]:
        values = [score[name] for score in scores]
        text = f"{statistics.mean(values):.4f}"
        if len(values) > 1:
            text += f" ({min(values):.4f}-{max(values):.4f})"
        result.append(text)
    return result


if __name__ == "__main__":
    main()
