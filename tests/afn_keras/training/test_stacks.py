"""Keras 3 and Keras 2.15 give the same, where both are installed."""

import importlib.util
import json
import os
import zipfile

import numpy as np
import pytest
from conftest import ROOT

from afn_keras.backend.versions import has_file_format_of
from afn_keras.backend.versions import keras
from afn_keras.network import build_afn
from afn_keras.rebuild import keras_version
from afn_keras.rebuild import rebuild_network
from afn_keras.training.checkpoints import restore
from pipelines.errors import InputError

BENCHMARK = ROOT / "benchmarks" / "stacks.py"


@pytest.mark.parametrize("attention", ["paper", "released", "none"])
@pytest.mark.parametrize("width", [0.05, 0.1, 0.3])
def test_a_network_is_rebuilt_from_its_file(attention, width, tmp_path):
    network = build_afn(
        num_categories=3,
        num_attributes=0,
        num_landmarks=2,
        image_size=32,
        width=width,
        dropout=0.25,
        attention=attention,
        upsampling=attention != "none",
    )
    network.save(tmp_path / "model.keras")
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3))
    rebuilt = rebuild_network(tmp_path / "model.keras")
    assert rebuilt.get_layer("category_dropout2").rate == 0.25
    expected = network.predict(image, verbose=0)
    answers = rebuilt.predict(image, verbose=0)
    assert set(answers) == {"heatmaps", "category"}
    for name, value in answers.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6)


def test_another_network_is_not_rebuilt(tmp_path):
    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Conv2D(6, 3, name="block1_conv1")(image)
    keras.Model(image, x).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="fewer weights than its layers"):
        rebuild_network(tmp_path / "model.keras")


def test_training_does_not_go_on_in_the_other(tmp_path):
    network = build_afn(num_categories=2, num_attributes=0, width=0.05)
    path = tmp_path / "last-1.keras"
    other = "2.15.0" if has_file_format_of("3.0.0") else "3.10.0"
    with zipfile.ZipFile(path, "w") as archive:
        metadata = json.dumps({"keras_version": other})
        archive.writestr("metadata.json", metadata)
    assert keras_version(path) == other
    with pytest.raises(InputError) as error:
        restore(network, tmp_path)
    assert str(error.value) == (
        f"{path}: was written by Keras {other}; resume with that release, or "
        f"start a new run from its weights: --weights {tmp_path} and another "
        "--output"
    )


@pytest.mark.slow
def test_both_give_the_same(tmp_path):
    """AFN_PYTHONS names the two environments' Pythons, with a blank."""
    pythons = os.environ.get("AFN_PYTHONS", "").split()
    if len(pythons) != 2:
        pytest.skip("AFN_PYTHONS names no Pythons of Keras 3 and Keras 2.15")
    spec = importlib.util.spec_from_file_location("stacks", BENCHMARK)
    stacks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stacks)
    found = stacks.compare(tuple(pythons), tmp_path)
    assert len(set(found["versions"])) == 2
    assert found["outputs"] < 1e-5
    # Steps of Adam make much of what is rounded otherwise.
    assert found["losses of 20 steps, relative"] < 1e-3
    assert found["keras file in the other"] < 1e-5
    assert found["weights file in the other"] < 1e-5
