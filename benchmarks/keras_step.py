"""This project's side of `training_step.py`, which starts it."""

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from training_step import serve

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import tensorflow as tf  # noqa: E402

from afn_keras.backend.versions import keras
from afn_keras.metrics import headline_metrics
from afn_keras.recipes import Recipe
from afn_keras.training.fit import compiled_model
from pipelines.vocabulary import Vocabulary

_POLICY = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def main() -> None:
    """Leaves weights and outputs in the folder, then steps when told to."""
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text())
    tf.config.threading.set_intra_op_parallelism_threads(settings["cores"])
    batch = dict(np.load(folder / "batch.npz"))
    keras.utils.set_random_seed(0)
    recipe = Recipe(
        image_size=settings["image_size"],
        width=settings["width"],
        precision=_POLICY[settings["precision"]],
        batch_size=settings["batch_size"],
    )
    vocabulary = _vocabulary(settings)
    metrics = headline_metrics(vocabulary, recipe.decoding)
    model = compiled_model(recipe, vocabulary, 10**6, metrics)
    # Left for PyTorch: how to learn, from which weights, to which outputs.
    learning = {
        **dataclasses.asdict(recipe),
        "epsilon": model.optimizer.epsilon,
    }
    (folder / "recipe.json").write_text(json.dumps(learning))
    np.savez(folder / "weights.npz", **_weights(model))
    answer = model(batch["image"], training=False)
    np.savez(
        folder / "outputs.npz", **{k: v.numpy() for k, v in answer.items()}
    )
    serve(
        {
            "Keras": _step(model, batch),
            "product in TensorFlow": _product(settings),
        },
        flop=_flop(model, settings["batch_size"]),
    )


def _step(
    model: keras.Model, batch: dict[str, np.ndarray]
) -> Callable[[], float]:
    """One step as `model.fit` takes it, without its callbacks."""
    image = batch.pop("image")
    data = tf.data.Dataset.from_tensors((image, batch)).repeat()
    iterator = iter(data.prefetch(1))
    model.make_train_function()

    def step() -> float:
        # The metrics are running means: from zero they are this step's.
        model.reset_metrics()
        return float(model.train_function(iterator)["loss"])

    return step


def _product(settings: dict[str, Any]) -> Callable[[], float]:
    side = settings["matrix"]
    matrix = tf.random.normal((side, side))
    matrix = tf.cast(matrix, settings["precision"])
    multiply = tf.function(lambda: tf.matmul(matrix, matrix))

    def product() -> float:
        return float(multiply()[0, 0])

    return product


def _flop(model: keras.Model, batch_size: int) -> float:
    """Two a multiplication; backward makes two products of each forward's."""
    layers = keras.layers
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2DTranspose):
            places = np.prod(layer.input.shape[1:3])
        elif isinstance(layer, layers.Conv2D):
            places = np.prod(layer.output.shape[1:3])
        elif isinstance(layer, layers.Dense):
            places = 1
        else:
            continue
        total += 2 * places * np.prod(layer.kernel.shape)
    return 3.0 * batch_size * float(total)


def _weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {w.path: w.numpy() for w in model.trainable_variables}


def _vocabulary(settings: dict[str, Any]) -> Vocabulary:
    def names(kind: str) -> tuple[str, ...]:
        return tuple(f"{kind} {i}" for i in range(settings[kind]))

    attributes = names("attributes")
    return Vocabulary(
        categories=names("categories"),
        attributes=attributes,
        attribute_groups=("style",) * len(attributes),
        landmarks=names("landmarks"),
    )


if __name__ == "__main__":
    main()
