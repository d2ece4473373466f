"""Tests the output of training while it runs."""

import io
import sys

import numpy as np

from afn_keras.backend import keras
from afn_keras.training.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fit(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    images = np.zeros((12, 2)), np.zeros((12, 1))
    model.fit(
        *images,
        batch_size=4,
        epochs=2,
        validation_data=images,
        verbose=0,
        callbacks=[ProgressBar(3, 4)],
    )
    return stream.getvalue()


def test_a_terminal_sees_each_epoch_to_its_end(monkeypatch):
    seen = fit(monkeypatch, Terminal())
    for epoch in (1, 2):
        assert f"epoch {epoch}/2 val" in seen
    assert "/12" in seen


def test_a_log_sees_nothing(monkeypatch):
    assert fit(monkeypatch, io.StringIO()) == ""
