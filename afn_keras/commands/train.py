"""afn-train: trains, evaluates and exports a network."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

from afn_keras.commands.command import Parser
from afn_keras.commands.command import import_tensorflow
from afn_keras.commands.command import run_command

if TYPE_CHECKING:
    from afn_keras.recipes import Recipe
    from afn_keras.training import Cluster
    from afn_keras.training import Devices
    from pipelines.records import Records

# Fields of the recipe that have their own flag.
_FIELDS = (
    ("epochs", "N", "passes over the training split"),
    ("batch_size", "N", "images a step"),
    ("image_size", "N", "side of the network's input, in pixels"),
    ("learning_rate", "R", "peak of the optimizer's rate"),
    ("optimizer", "NAME", "adamw, or with the extra addons such as tfa.LAMB"),
    ("precision", "TYPE", "float32, mixed_bfloat16 or mixed_float16"),
    ("seed", "S", "seed of everything random"),
    ("tracker", "NAME", "also log to wandb or mlflow"),
)

# Written last: a run that has it is finished.
_REPORT = Path("exports") / "report.md"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-train",
        "",
        "Trains (without --data on synthetic images), evaluates and exports a "
        "network.",
        "afn-train --data DeepFashion --recipe small --output runs/small",
    )
    flags = parser.add_argument_group(
        "flags; those up to --tracker override fields of the recipe"
    )
    flags.add_argument(
        "--data",
        metavar="DATA",
        help="benchmark folder, labels file or records",
    )
    flags.add_argument(
        "--weights",
        metavar="FROM",
        help="none, imagenet, a file of weights, or a run",
    )
    flags.add_argument(
        "--recipe",
        metavar="NAME",
        help="demo, small (default with --data), best, paper, ...",
    )
    flags.add_argument(
        "--set",
        metavar="F=V",
        nargs="+",
        default=[],
        help="override other fields, such as rotation=20",
    )
    for field, metavar, help in _FIELDS:
        flags.add_argument(
            f"--{field.replace('_', '-')}", metavar=metavar, help=help
        )
    flags.add_argument(
        "--devices",
        metavar="N",
        default="1",
        help="GPUs that share each batch: all, or how many (default 1)",
    )
    flags.add_argument(
        "--cluster",
        metavar="C",
        help="with other processes (JAX): auto or HOST:PORT,I,N",
    )
    flags.add_argument(
        "--output",
        metavar="RUN",
        type=Path,
        help="folder to make (default: runs/NAME, or NAME-2, ...)",
    )
    flags.add_argument(
        "--resume",
        action="store_true",
        help="resume the run in --output",
    )
    run_command(parser, _run, arguments)


class _Hardware(NamedTuple):
    """The hardware that training runs on."""

    on_jax: bool
    devices: "Devices"
    cluster: "Cluster | None"


def _run(options: argparse.Namespace) -> None:
    hardware = _hardware(options)
    from afn_keras.recipes import load_recipe
    from afn_keras.recipes import load_run_recipe
    from afn_keras.runs import existing_run
    from afn_keras.runs import free_folder
    from afn_keras.runs import new_run
    from afn_keras.training import train_on_jax

    changes = _changes(options)
    if options.resume:
        run = existing_run(options.output, bool(changes or options.recipe))
        if (run / _REPORT).exists():
            print(f"{run} is finished")
            return
    cluster = hardware.cluster
    if cluster and cluster.index:
        import_tensorflow()
        train_on_jax(options.output, options.resume, "all", cluster)
        print(f"process {cluster.index} of {cluster.count} is finished")
        return
    if options.resume:
        recipe = load_run_recipe(run)
        _train(recipe, run, True, hardware)
        return
    name = options.recipe or ("small" if options.data else "demo")
    recipe = load_recipe(name, changes)
    output = options.output or free_folder(Path("runs") / recipe.name)
    with new_run(output) as run:
        # Saved first, so that a run that is killed can be resumed.
        recipe.save(run)
        _train(recipe, run, False, hardware)


def _hardware(options: argparse.Namespace) -> _Hardware:
    """Reads the flags and the environment, before Keras is imported."""
    from afn_keras.backend import check_jax
    from afn_keras.backend import keras_backend
    from afn_keras.training import find_cluster
    from afn_keras.training import parse_devices
    from pipelines.errors import InputError

    on_jax = keras_backend(os.environ) == "jax"
    devices, cluster = parse_devices(options.devices), None
    if options.cluster:
        cluster = find_cluster(options.cluster, os.environ)
        check_jax("--cluster")
        if options.output is None or options.devices != "1":
            raise InputError(
                "--cluster: give every process the same --output RUN, and "
                "leave out --devices, as each takes all that it sees"
            )
        on_jax, devices = True, "all"
    if on_jax:
        # A child process trains; this one evaluates and exports.
        os.environ["KERAS_BACKEND"] = "tensorflow"
    return _Hardware(on_jax, devices, cluster)


def _train(
    recipe: "Recipe", run: Path, resume: bool, hardware: _Hardware
) -> None:
    from afn_keras.training import check_tracker

    if recipe.optimizer != "adamw":
        import_tensorflow()
        from afn_keras.training import check_addons

        check_addons(recipe)
    check_tracker(recipe.tracker)
    # Errors in the data are reported before TensorFlow is loaded.
    records = _prepare_records(recipe, run)
    import_tensorflow()
    from afn_keras.drawing import save_prediction
    from afn_keras.evaluation import evaluate
    from afn_keras.evaluation import paper_tables
    from afn_keras.evaluation import write_evaluation
    from afn_keras.evaluation import write_model_card
    from afn_keras.loading import load_model
    from afn_keras.prediction import Predictor
    from afn_keras.training import train
    from afn_keras.training import train_on_jax
    from exports.artifacts import export_run
    from exports.artifacts import remove_artifacts
    from exports.report import write_report
    from pipelines.batches import extract_samples

    if hardware.on_jax:
        train_on_jax(run, resume, hardware.devices, hardware.cluster)
    else:
        train(recipe, records, run, resume, hardware.devices)

    trained = load_model(run)
    # The test split is scored once, at the end.
    split = "test" if records.images.get("test") else "val"
    split = split if records.images.get(split) else "train"
    evaluation = evaluate(
        trained, records, split, trained_on=trained.data, progress=True
    )
    write_evaluation(evaluation, trained.name, run)
    write_model_card(run, trained, recipe, records, evaluation)
    print(f"\n{paper_tables(evaluation, trained.name)}\n")

    samples = extract_samples(records, split, 8, run / "samples")
    # Replaces pictures of an earlier, killed process; other files there
    # belong to the user.
    for sample in samples:
        (run / "pictures" / f"{sample.path.stem}.png").unlink(missing_ok=True)
    remove_artifacts(run)
    predictions = Predictor(trained).predict(
        [sample.path for sample in samples],
        [sample.box for sample in samples],
    )
    for prediction in predictions:
        save_prediction(prediction, run / "pictures", trained.name)
    checks = dict(export_run(run, progress=True))
    print(write_report(run, checks, records, split, progress=True))
    print(_run_summary(run, samples[0].path, split))


def _prepare_records(recipe: "Recipe", run: Path) -> "Records":
    from pipelines.open_data import open_records
    from pipelines.records import count_problems
    from pipelines.synthetic import draw_benchmark

    data = recipe.data
    if data is None:
        data = run / "drawn"
        if not data.exists():
            print(f"drawing {recipe.drawn_images} images in {data}")
            draw_benchmark(
                data, recipe.drawn_images, recipe.seed, progress=True
            )
    records = run / "records"
    records = open_records(
        records if records.exists() else Path(data), records, progress=True
    )
    problems = sum(count_problems(records.folder).values())
    if problems:
        print(f"{problems} problems, see {records.folder / 'problems.csv'}")
    return records


def _run_summary(run: Path, image: Path, split: str) -> str:
    return f"""
In {run}:
  model.keras                  the network of the best epoch
  last-N.keras                 the network of the last epoch, with its optimizer
  evaluation.md                the tables above
  model_card.md                intended use and limitations
  pictures/                    images of the {split} split with predictions
  exports/saved_model/1        for TF Serving
  exports/tflite/              for phones
  exports/report.md            size, speed and scores of both
  history.csv, logs/           every epoch (tensorboard --logdir {run}/logs)
  recipe.yaml                  the settings, to repeat this run

Next:
  afn-predict {run} {image} --draw .
  afn-demo {run}
  afn-train --data YOUR_DATA --recipe small"""


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of the recipe that the command line changes."""
    from afn_keras.recipes import parse_changes

    changes = parse_changes(options.set)
    if options.data is not None:
        # Absolute, so that the recipe can be repeated from any folder.
        changes["data"] = str(Path(options.data).absolute())
    if options.weights is not None:
        known = options.weights in ("none", "imagenet")
        changes["weights"] = (
            options.weights if known else str(Path(options.weights).absolute())
        )
    for field, _, _ in _FIELDS:
        value = getattr(options, field)
        if value is not None:
            changes[field] = value
    return changes


if __name__ == "__main__":
    main()
