"""afn-train: from photographs to a trained, judged and exported network."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from afn_keras.commands.command import Parser
from afn_keras.commands.command import run_command

if TYPE_CHECKING:
    from afn_keras.recipes import Recipe


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-train",
        "Trains the network, evaluates it on the test split, exports it and "
        "draws predictions. Without data it draws a small benchmark first.",
        "afn-train --data DeepFashion --recipe small --output runs/small",
    )
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="benchmark folder, labels file or records",
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help="demo, small, paper, or a recipe.yaml of another run (default: "
        "small with --data, demo without)",
    )
    parser.add_argument(
        "--output",
        metavar="RUN",
        type=Path,
        help="folder to make (default: runs/NAME, with a number if taken)",
    )
    parser.add_argument(
        "--seed", metavar="S", help="of all chance (default: the recipe's)"
    )
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        nargs="+",
        default=[],
        help="change fields of the recipe, such as epochs=5 image_size=128",
    )
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    from afn_keras.recipes import load_recipe
    from afn_keras.runs import free_folder
    from afn_keras.runs import new_run

    changes = _changes(options)
    name = options.recipe or ("small" if options.data else "demo")
    recipe = load_recipe(name, changes)
    output = options.output or free_folder(Path("runs") / recipe.name)
    with new_run(output) as run:
        _train(recipe, run)


def _train(recipe: "Recipe", run: Path) -> None:
    from pipelines.drawn.benchmark import draw_benchmark
    from pipelines.records import count_problems

    data = recipe.data
    if data is None:
        data = run / "drawn"
        print(f"drawing {recipe.drawn_images} photographs in {data}")
        draw_benchmark(data, recipe.drawn_images, recipe.seed, progress=True)

    # Not before: TensorFlow takes seconds, and processes that draw need none.
    from afn_keras.evaluation import evaluate
    from afn_keras.pictures import draw_predictions
    from afn_keras.prediction import Predictor
    from afn_keras.reports import write_evaluation
    from afn_keras.runs import load_model
    from afn_keras.tables import paper_tables
    from afn_keras.training import train
    from exports.artifacts import export_run
    from exports.report import write_report
    from pipelines.opening import open_records
    from pipelines.samples import extract_samples

    records = open_records(Path(data), run / "records", progress=True)
    problems = sum(count_problems(records.folder).values())
    if problems:
        print(f"{problems} problems, see {records.folder / 'problems.csv'}")
    recipe.save(run)
    records.vocabulary.save(run)
    train(recipe, records, run)

    trained = load_model(run)
    # Scored once, at the end: no choice was made on it.
    split = "test" if records.images.get("test") else "val"
    split = split if records.images.get(split) else "train"
    evaluation = evaluate(trained, records, split)
    write_evaluation(evaluation, trained.name, run)
    print(f"\n{paper_tables(evaluation, trained.name)}\n")

    samples = extract_samples(records, split, 8, run / "samples")
    predictions = Predictor(trained).predict(
        [sample.path for sample in samples],
        [sample.box for sample in samples],
    )
    draw_predictions(predictions, run / "pictures")
    checks = dict(export_run(run))
    print(write_report(run, checks, records, split))
    print(_what_is_where(run, samples[0].path))


def _what_is_where(run: Path, photograph: Path) -> str:
    return f"""
In {run}:
  model.keras                  the network of the best epoch
  evaluation.md                the tables above
  pictures/                    photographs it never saw, with its answers
  exports/saved_model/1        for TF Serving
  exports/tflite/              for a phone
  exports/report.md            size, speed and scores of both
  history.csv, logs/           every epoch (tensorboard --logdir {run}/logs)
  recipe.yaml                  how to do this again

Next:
  afn-predict {run} {photograph} --draw .
  afn-train --data YOUR_DATA --recipe small"""


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """Fields of the recipe that the command line changes."""
    from afn_keras.recipes import parse_changes

    changes = parse_changes(options.set)
    if options.data is not None:
        # A recipe must find its data wherever it is repeated.
        changes["data"] = str(Path(options.data).absolute())
    if options.seed is not None:
        changes["seed"] = options.seed
    return changes


if __name__ == "__main__":
    main()
