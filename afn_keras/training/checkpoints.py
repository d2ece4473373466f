"""Checkpoints: the best network, and the last one, to resume from.

Everything is written aside and renamed, and the last network comes last: a
process killed at any moment leaves a run that resumes from its last finished
epoch, and ends where it would have ended.
"""

import math
import os
import re
import warnings
from pathlib import Path

import pandas as pd

from afn_keras.backend import Dropout
from afn_keras.backend import keras
from afn_keras.backend import set_draws
from afn_keras.backend import writes_files_like
from afn_keras.inference import Inference
from afn_keras.rebuild import keras_version
from afn_keras.runs import MODEL
from afn_keras.training.devices import on_one_device
from afn_keras.training.devices import synchronize
from pipelines.errors import InputError

HISTORY = "history.csv"
_LAST = re.compile(r"last-(\d+)\.keras")


class KeepNetworks(keras.callbacks.Callback):
    """Saves the best and the last network after each epoch, and says stop.

    Comes after `ProgressLine`, whose `val_score` says which epoch is best
    (without one the last is), after CSVLogger, and after SwapEMAWeights.

    Args:
        folder: of the run; gets `model.keras`, the network of the best epoch
            alone, and `last-N.keras`, that of epoch N with all that is needed
            to go on.
        patience: epochs without a better score after which to stop.
        done: epochs that the run's history tells of.
        writes: whether to save anything, or only to say stop as the process
            does that saves.
        inference: what is kept with the weights, for whoever opens them.

    Attributes:
        diverged: the epoch whose loss became NaN, where training stopped.
        failure: why a network could not be written, where training stopped:
            to be raised when Keras has closed its files.
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
        # Without a val split there is no score, and the last epoch is kept.
        self._best_epoch = max(scores, key=scores.get, default=done)

    def has_waited(self, done: int) -> bool:
        """Whether no epoch was better for as long as there is patience."""
        return bool(self.patience) and done - self._best_epoch >= self.patience

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the networks, or stops."""
        epoch += 1  # Keras counts from 0.
        if not math.isfinite(logs["loss"]):
            self.diverged = epoch
            self.model.stop_training = True
            return
        try:
            self._keep(epoch, logs.get("val_score"))
        except InputError as error:
            self.failure = error
            self.model.stop_training = True

    def _keep(self, epoch: int, score: float | None) -> None:
        if score is None or score > self._best:
            self._best, self._best_epoch = score, epoch
            if self.writes:
                # Without the optimizer's state, which is twice as large.
                network = keras.Model(
                    self.model.input, self.model.output, name=self.model.name
                )
                self._save(network, MODEL)
        elif self.has_waited(epoch):
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
                # Keras makes variables meanwhile, which all processes would
                # have to make at once.
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
                f"{path}: cannot be written ({error.strerror or error}); make "
                f"room, then resume: --output {path.parent} --resume"
            ) from error


class DropoutByEpoch(keras.callbacks.Callback):
    """Makes what dropout does in an epoch depend on its number alone.

    Keras saves no state of chance, so a network that goes on would draw what
    the first epoch drew.
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets each layer's count of draws; its seed stays its own."""
        for layer in self.model.layers:
            if isinstance(layer, Dropout):
                # No epoch has as many steps.
                set_draws(layer, epoch << 24)


def restore(model: keras.Model, folder: Path, writes: bool = True) -> int:
    """Puts a compiled model where a run's training stopped.

    Args:
        model: of the run's recipe.
        folder: of the run.
        writes: whether rows of later epochs, which are to be trained again,
            leave its history.

    Returns:
        How many epochs are done; 0 if none is, and then nothing is changed.

    Raises:
        InputError: if what the run keeps is of another network.
    """
    networks = _last_networks(folder)
    done = max(networks, default=0)
    history = Path(folder) / HISTORY
    if not done:
        if writes:
            history.unlink(missing_ok=True)
        return 0
    version = keras_version(networks[done])
    if not writes_files_like(version):
        # Its weights would fit, the optimizer's state would not.
        raise InputError(
            f"{networks[done]}: was written by Keras {version}; resume with "
            "that release, or start anew from its weights: --weights "
            f"{folder} and another --output"
        )
    try:
        with warnings.catch_warnings():
            # Keras warns of some layers that do not fit, and fails for others.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(networks[done])
    except (ValueError, OSError, UserWarning) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{networks[done]}: does not fit the run's recipe and data "
            f"({reason}); start anew with another --output"
        ) from error
    if not writes:
        return done
    rows = pd.read_csv(history, nrows=done)
    aside = history.with_suffix(".partial")
    rows.to_csv(aside, index=False)
    os.replace(aside, history)
    return done


def _scores(folder: Path, done: int) -> dict[int, float]:
    """Scores of the epochs done, counted from 1."""
    if not done:
        return {}
    rows = pd.read_csv(folder / HISTORY, nrows=done)
    if "val_score" not in rows:
        return {}
    return dict(enumerate(rows["val_score"], start=1))


def _last_networks(folder: Path) -> dict[int, Path]:
    """Usually one; two, if the process was killed between two renames."""
    return {
        int(match[1]): path
        for path in Path(folder).glob("last-*.keras")
        if path.is_file() and (match := _LAST.fullmatch(path.name))
    }
