"""Experiment trackers: Weights & Biases and MLflow."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from afn_keras.recipes import Recipe
from pipelines.errors import InputError

_PROJECT = "afn-keras"


def check_tracker(name: str) -> None:
    """Raises InputError if a tracker is not installed.

    Args:
        name: see `Recipe.tracker`.
    """
    if name == "none":
        return
    spec = find_spec(name)
    # Both write a folder of their own name, which Python finds as a package.
    if spec is None or spec.origin is None:
        raise InputError(
            f"--tracker {name}: not installed; pip install 'afn-keras[{name}]'"
        )


@contextlib.contextmanager
def tracking(recipe: Recipe, folder: Path) -> Iterator[list]:
    """Logs a run to the tracker of its recipe.

    Args:
        recipe: logged as the run's configuration.
        folder: the run; its name is that of the tracked run.

    Yields:
        The callbacks that log; none without a tracker.

    Raises:
        InputError: if the tracker is not installed or does not start.
    """
    check_tracker(recipe.tracker)
    if recipe.tracker == "none":
        yield []
        return
    start = {"wandb": _wandb, "mlflow": _mlflow}[recipe.tracker]
    try:
        run, callback = start(dataclasses.asdict(recipe), Path(folder))
    except Exception as error:
        # An unreachable server, a missing key, a full disk.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"--tracker {recipe.tracker}: {reason}") from error
    with run:
        yield [callback]


def _wandb(fields: dict, folder: Path) -> tuple:
    import wandb
    from wandb.integration.keras import WandbMetricsLogger

    place = str(folder.resolve())
    run = wandb.init(
        project=_PROJECT,
        name=folder.name,
        # The same id if training is resumed.
        id=hashlib.sha256(place.encode()).hexdigest()[:16],
        resume="allow",
        config=fields,
        dir=str(folder),
    )
    return run, WandbMetricsLogger()


def _mlflow(fields: dict, folder: Path) -> tuple:
    import mlflow

    from afn_keras.backend import keras

    mlflow.set_experiment(_PROJECT)
    run = mlflow.start_run(run_name=folder.name)
    mlflow.log_params(fields)

    def log(epoch: int, logs: dict) -> None:
        # MLflow rejects the "@" of recall@5, which its own callback keeps.
        metrics = {
            name.replace("@", "_at_"): float(value)
            for name, value in logs.items()
        }
        mlflow.log_metrics(metrics, step=epoch)

    return run, keras.callbacks.LambdaCallback(on_epoch_end=log)
