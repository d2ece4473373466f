"""Optimizers of tensorflow-addons: where they are, and where they are not."""

import sys

import numpy as np
import pytest
from conftest import KERAS_3

from afn_keras.recipes import load_recipe
from afn_keras.training.addons import check_addons
from afn_keras.training.fit import compiled_model
from afn_keras.training.fit import train
from pipelines.errors import InputError

TINY = {
    "image_size": 32,
    "width": 0.05,
    "epochs": 2,
    "batch_size": 4,
    "precision": "float32",
    "clip_norm": None,
}
addons = pytest.mark.skipif(KERAS_3, reason="needs tensorflow-addons")


def recipe(optimizer, **changes):
    return load_recipe("small", TINY | {"optimizer": optimizer} | changes)


def refused(optimizer, **changes):
    with pytest.raises(InputError) as error:
        check_addons(recipe(optimizer, **changes))
    return str(error.value)


@pytest.mark.parametrize(
    ("optimizer", "nearest"),
    [
        ("tfa.AdamW", "--optimizer adamw"),
        ("tfa.LAMB", "--optimizer adamw --set clip_norm=1"),
        (
            "tfa.RectifiedAdam+Lookahead",
            "--optimizer adamw --set schedule=cosine warmup=1 and ema=0.99",
        ),
    ],
)
def test_where_it_is_not_installed(optimizer, nearest, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    assert refused(optimizer) == (
        f"--optimizer {optimizer}: needs tensorflow-addons, "
        "pip install 'afn-keras[addons]' with Python 3.10 or 3.11; nearest "
        f"without it: {nearest}"
    )


@pytest.mark.parametrize("name", ["adam", "tfa.LAMB+adamw", "tfa.lamb", "tfa"])
def test_no_such_optimizer(name):
    with pytest.raises(InputError, match="optimizer of the recipe"):
        recipe(name)


@addons
def test_what_does_not_go_with_it():
    assert "cannot accumulate" in refused("tfa.LAMB", accumulate=2)
    assert "SWA and ema=0.9 are two" in refused("tfa.LAMB+SWA", ema=0.9)
    message = refused("tfa.LAMB", weights="run", clip_norm=1.0)
    assert "--set clip_norm=null" in message


@addons
@pytest.mark.parametrize(
    "optimizer",
    [
        "tfa.AdamW",
        "tfa.LAMB+MovingAverage",
        "tfa.RectifiedAdam+Lookahead",
        "tfa.RectifiedAdam+SWA",
    ],
)
def test_it_trains_a_run(optimizer, records, tmp_path):
    ema = 0.9 if optimizer == "tfa.AdamW" else None
    changes = {"ema": ema, "clip_norm": 1.0}
    train(recipe(optimizer, **changes), records, tmp_path)
    names = {path.name for path in tmp_path.glob("*.keras")}
    assert names == {"model.keras", "last-2.keras"}
    more = recipe(optimizer, **changes, epochs=3)
    with pytest.raises(InputError, match="--resume: Keras keeps no state of"):
        train(more, records, tmp_path, resume=True)


def one_step(records, run=None, **changes):
    """Returns each bias's change, which is the rate in Adam's first step."""
    settings = {"schedule": "decay", "learning_rate": 0.01, "ema": None}
    made = recipe("tfa.AdamW", **settings, **changes)
    model = compiled_model(made, records.vocabulary, steps_per_epoch=2)
    variables = model.trainable_variables
    before = [variable.numpy() for variable in variables]
    import tensorflow as tf

    gradients = [tf.ones_like(variable) for variable in variables]
    model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return {
        variable.name.split("/")[0]: (old - variable.numpy(), old)
        for variable, old in zip(variables, before, strict=True)
        if "kernel" in variable.name
    }


@addons
def test_decay_follows_the_learning_rate(records):
    moved, old = one_step(records, weight_decay=0.5)["block1_conv1"]
    np.testing.assert_allclose(moved, 0.01 + 0.01 * 0.5 * old, atol=1e-6)


@addons
def test_backbone_learns_more_slowly_and_does_not_decay(records):
    moved = one_step(
        records, weights="a run", backbone_rate=0.1, weight_decay=0.5
    )
    np.testing.assert_allclose(moved["block1_conv1"][0], 0.001, atol=1e-6)
    step, old = moved["category"]
    np.testing.assert_allclose(step, 0.01 + 0.01 * 0.5 * old, atol=1e-6)


@addons
def test_swa_is_the_mean_of_its_snapshots(records):
    """Four epochs of two steps: snapshots begin after six."""
    import tensorflow as tf

    from afn_keras.training.addons import SwapAverages

    made = recipe("tfa.AdamW+SWA", epochs=4, ema=None)
    model = compiled_model(made, records.vocabulary, steps_per_epoch=2)
    swap = SwapAverages()
    swap.set_model(model)
    kernel = model.get_layer("category").kernel
    seen = []
    for _ in range(9):
        variables = model.trainable_variables
        gradients = [tf.ones_like(variable) for variable in variables]
        model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        seen.append(kernel.numpy())
        if len(seen) == 6:
            swap.on_epoch_end(0)
            np.testing.assert_array_equal(kernel.numpy(), seen[-1])
    swap.on_epoch_end(0)
    np.testing.assert_allclose(
        kernel.numpy(), (seen[6] + seen[8]) / 2, rtol=1e-5, atol=1e-7
    )
    swap.on_epoch_begin(1)
    np.testing.assert_array_equal(kernel.numpy(), seen[8])
