"""Checkpoints: the best network, and the last one, to resume from.

Files are written aside and renamed, and the last network is written last: a
process killed at any moment leaves a run that resumes from its last finished
epoch and ends with the same result.
"""

import math
import os
import re
import warnings
from pathlib import Path

import pandas as pd

from afn_keras.backend import Dropout
from afn_keras.backend import has_file_format_of
from afn_keras.backend import keras
from afn_keras.backend import set_draws
from afn_keras.inference import Inference
from afn_keras.rebuild import keras_version
from afn_keras.runs import MODEL
from afn_keras.training.devices import on_one_device
from afn_keras.training.devices import synchronize
from pipelines.errors import InputError

HISTORY = "history.csv"
_LAST = re.compile(r"last-(\d+)\.keras")


class RunCheckpoint(keras.callbacks.Callback):
    """Saves the best and the last network after each epoch; stops early.

    Must follow `ProgressLine`, whose `val_score` determines the best epoch
    (the last epoch without one), CSVLogger, and SwapEMAWeights.

    Args:
        folder: of the run; gets `model.keras`, the network of the best epoch,
            and `last-N.keras`, that of epoch N with the optimizer's state, to
            resume.
        patience: epochs without a better score after which to stop.
        done: epochs in the run's history.
        writes: whether to save, or only to stop in the same epoch as the
            process that saves.
        inference: data for inference to store with the weights.

    Attributes:
        diverged: the epoch whose loss became NaN and stopped training.
        failure: the error that stopped training because a network could not
            be written; to be raised after Keras has closed its files.
    """

    def __init__(
        self,
        folder: Path,
        patience: int | None = None,
        done: int = 0,
        writes: bool = True,
        inference: Inference | None = None,
    ) -> None:
        super().__init__()
        self.inference = inference
        self.folder = Path(folder)
        self.patience = patience
        self.writes = writes
        self.diverged: int | None = None
        self.failure: InputError | None = None
        scores = _scores(self.folder, done)
        self._best = max(scores.values(), default=-math.inf)
        # Without a val split, there is no score, and the last epoch is kept.
        self._best_epoch = max(scores, key=scores.get, default=done)

    def out_of_patience(self, done: int) -> bool:
        """Returns whether no epoch was better within the patience."""
        return bool(self.patience) and done - self._best_epoch >= self.patience

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the networks, or stops training."""
        epoch += 1  # Keras counts from 0.
        if not math.isfinite(logs["loss"]):
            self.diverged = epoch
            self.model.stop_training = True
            return
        try:
            self._checkpoint(epoch, logs.get("val_score"))
        except InputError as error:
            self.failure = error
            self.model.stop_training = True

    def _checkpoint(self, epoch: int, score: float | None) -> None:
        if score is None or score > self._best:
            self._best, self._best_epoch = score, epoch
            if self.writes:
                # Without the optimizer's state, which is twice as large.
                network = keras.Model(
                    self.model.input, self.model.output, name=self.model.name
                )
                self._save(network, MODEL)
        elif self.out_of_patience(epoch):
            self.model.stop_training = True
            if self.writes:
                print(
                    f"no better score in {self.patience} epochs: stopped "
                    f"after epoch {epoch}, kept epoch {self._best_epoch}"
                )
        if not self.writes:
            return
        earlier = _last_networks(self.folder).values()
        self._save(self.model, f"last-{epoch}.keras")
        for path in earlier:
            path.unlink()

    def _save(self, model: keras.Model, name: str) -> None:
        path = self.folder / name
        aside = path.with_name(f"partial-{name}")
        try:
            synchronize(model, False)
            try:
                # Saving creates variables, which would have to be created in
                # all processes at once.
                with on_one_device():
                    model.save(aside)
            finally:
                synchronize(model, True)
            if self.inference:
                self.inference.add_to(aside)
            os.replace(aside, path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise InputError(
                f"{path}: cannot be written ({error.strerror or error}); free "
                f"disk space, then resume: --output {path.parent} --resume"
            ) from error


class DropoutByEpoch(keras.callbacks.Callback):
    """Makes dropout depend only on the number of the epoch.

    Keras does not save the state of random generators, so a resumed network
    would repeat the dropout of the first epoch.
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets each layer's number of draws; keeps its seed."""
        for layer in self.model.layers:
            if isinstance(layer, Dropout):
                # More than the steps of any epoch.
                set_draws(layer, epoch << 24)


def restore(model: keras.Model, folder: Path, writes: bool = True) -> int:
    """Restores a compiled model to the last finished epoch of a run.

    Args:
        model: the model of the run's recipe.
        folder: the run.
        writes: whether to remove rows of later epochs from the history.

    Returns:
        The number of finished epochs; 0 if there is none, and then the model
        is unchanged.

    Raises:
        InputError: if the run's checkpoint is of another network.
    """
    networks = _last_networks(folder)
    done = max(networks, default=0)
    history = Path(folder) / HISTORY
    if not done:
        if writes:
            history.unlink(missing_ok=True)
        return 0
    version = keras_version(networks[done])
    if not has_file_format_of(version):
        # Its weights would fit, the optimizer's state would not.
        raise InputError(
            f"{networks[done]}: was written by Keras {version}; resume with "
            "that release, or start a new run from its weights: --weights "
            f"{folder} and another --output"
        )
    try:
        with warnings.catch_warnings():
            # Keras warns about some layers that do not match, fails for others.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(networks[done])
    except (ValueError, OSError, UserWarning) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{networks[done]}: does not match the run's recipe and data "
            f"({reason}); start a new run with another --output"
        ) from error
    if not writes:
        return done
    rows = pd.read_csv(history, nrows=done)
    aside = history.with_suffix(".partial")
    rows.to_csv(aside, index=False)
    os.replace(aside, history)
    return done


def _scores(folder: Path, done: int) -> dict[int, float]:
    """Returns the scores of the finished epochs, by epoch from 1."""
    if not done:
        return {}
    rows = pd.read_csv(folder / HISTORY, nrows=done)
    if "val_score" not in rows:
        return {}
    return dict(enumerate(rows["val_score"], start=1))


def _last_networks(folder: Path) -> dict[int, Path]:
    """Returns the last networks by epoch.

    There are two if the process was killed between saving and deleting.
    """
    return {
        int(match[1]): path
        for path in Path(folder).glob("last-*.keras")
        if path.is_file() and (match := _LAST.fullmatch(path.name))
    }
