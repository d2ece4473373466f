"""Prints a line with the headline metrics for each epoch."""

import time

import numpy as np
from tqdm import tqdm

from afn_keras.backend import keras

_NAMES = {
    "val_heatmaps_ne": "NE",
    "val_category_top1": "top-1",
    "val_category_top3": "top-3",
    "val_category_top5": "top-5",
    "val_attributes_recall@3": "recall@3",
    "val_attributes_recall@5": "recall@5",
}
# Keras omits the output's name if a model has only one.
_NAMES |= {
    "val_" + name.split("_")[-1]: title for name, title in _NAMES.items()
}


class ProgressLine(keras.callbacks.Callback):
    """Prints an epoch's losses and metrics, and adds `val_score` to the logs.

    The score is the mean of those of 1 - NE, category top-1 and attribute
    recall@5 that the data has; higher is better.

    Args:
        shown: whether to print.
    """

    def __init__(self, shown: bool = True) -> None:
        super().__init__()
        self.shown = shown

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Prints the line."""
        seconds = time.monotonic() - self._start
        values = {
            title: float(logs[name])
            for name, title in _NAMES.items()
            if name in logs and not np.isnan(logs[name])
        }
        parts = [
            f"epoch {epoch + 1}/{self.params['epochs']}",
            f"loss {logs['loss']:.4f}",
        ]
        if "val_loss" in logs:
            parts.append(f"val loss {logs['val_loss']:.4f}")
            logs["val_score"] = score(values)
        parts += [f"{title} {value:.4f}" for title, value in values.items()]
        if self.shown:
            print("  ".join([*parts, f"{seconds:.0f} s"]), flush=True)


class ProgressBar(keras.callbacks.Callback):
    """Shows the progress of an epoch and the time left, on a terminal.

    Args:
        steps: steps an epoch.
        batch_size: images a step.
    """

    def __init__(self, steps: int, batch_size: int) -> None:
        super().__init__()
        self.steps = steps
        self.batch_size = batch_size
        self._bar: tqdm | None = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the bar."""
        self._title = f"epoch {epoch + 1}/{self.params['epochs']}"
        self._bar = tqdm(
            desc=self._title,
            total=self.steps * self.batch_size,
            unit=" images",
            leave=False,
            disable=None,
        )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Advances the bar."""
        # Several batches may have run since the last call.
        self._bar.update((batch + 1) * self.batch_size - self._bar.n)

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Shows that validation has started."""
        self._bar.set_description(f"{self._title} val")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Removes the bar."""
        self._bar.close()


def score(values: dict[str, float]) -> float:
    """Returns the mean of those of 1 - NE, top-1 and recall@5 in `values`."""
    goods = [
        1 - values[title] if title == "NE" else values[title]
        for title in ("NE", "top-1", "recall@5")
        if title in values
    ]
    return float(np.mean(goods)) if goods else 0.0
