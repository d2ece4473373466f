"""Tests that a network trained on JAX is exported like any other."""

import os
import shutil
import subprocess
import sys

import pytest

from exports.artifacts import export_run

pytest.importorskip("jax")
pytestmark = pytest.mark.keras3

TRAIN = """
import sys

import keras
import numpy as np

from afn_keras import AttributesLoss, CategoryLoss, HeatmapLoss, build_afn
from pipelines.vocabulary import Vocabulary

assert keras.backend.backend() == "jax"
keras.utils.set_random_seed(0)
keras.mixed_precision.set_global_policy("mixed_bfloat16")
vocabulary = Vocabulary.load(sys.argv[1])
model = build_afn(vocabulary, image_size=32, width=0.1)
model.compile(
    keras.optimizers.Adam(1e-3),
    loss={
        "heatmaps": HeatmapLoss(sigma=12),
        "category": CategoryLoss(),
        "attributes": AttributesLoss(),
    },
)
rng = np.random.default_rng(0)
targets = {
    "heatmaps": rng.uniform(0, 1, (8, 8, 3)),
    "category": np.arange(8) % 3,
    "attributes": rng.integers(0, 2, (8, 5)).astype("float32"),
}
model.fit(rng.uniform(0, 255, (8, 32, 32, 3)), targets, epochs=1, verbose=0)
model.save(f"{sys.argv[2]}/model.keras")
"""


def test_trained_on_jax_exported_here(run, tmp_path):
    subprocess.run(
        [sys.executable, "-c", TRAIN, run, tmp_path],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        check=True,
    )
    shutil.copy(run / "vocabulary.json", tmp_path)
    shutil.copytree(run / "samples", tmp_path / "samples")
    for _, check in export_run(tmp_path, ["saved_model", "tflite"]):
        assert check.difference < 1e-4
