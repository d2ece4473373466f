"""Tests MultiWorkerMirroredStrategy with two processes on loopback.

Keras 3 has no such training on TensorFlow. As a script, with TF_CONFIG set,
this file is one of the two.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import KERAS_3
from conftest import ROOT

BATCH = 4
EPOCHS = 4
WEIGHTS = {"heatmaps": 10.0, "category": 1.0, "attributes": 2.0}


def compiled(vocabulary, sgd):
    """Compiles the network with its own optimizer and metrics, or with SGD."""
    from afn_keras.backend.versions import keras
    from afn_keras.metrics import headline_metrics
    from afn_keras.recipes import load_recipe
    from afn_keras.training.fit import compiled_model

    settings = {"image_size": 32, "width": 0.1, "dropout": 0.0}
    settings |= {"precision": "float32", "weights": "none", "epochs": EPOCHS}
    recipe = load_recipe("paper", settings | {"learning_rate": 0.001})
    metrics = headline_metrics(vocabulary, recipe.decoding)
    keras.utils.set_random_seed(1)
    model = compiled_model(recipe, vocabulary, 2, metrics)
    if sgd:
        # Adam's steps would be the same were all gradients twice as large.
        sgd = keras.optimizers.SGD(0.005)
        model.compile(sgd, model.loss, loss_weights=WEIGHTS)
    return model


def batches(records):
    """Batches of both workers together, in record order."""
    import tensorflow as tf

    from pipelines.batches.load import load_split

    data = load_split(records, "train", image_size=32, batch_size=BATCH)
    options = tf.data.Options()
    # Not by files, of which there are fewer than workers.
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    return data.with_options(options)


def numbered(model):
    return {f"weight {i}": w for i, w in enumerate(model.get_weights())}


def fit(records, sgd, strategy):
    """Returns Keras's logs of each epoch, and the final weights."""
    with strategy.scope():
        model = compiled(records.vocabulary, sgd)
    data = batches(records)
    history = model.fit(data, epochs=EPOCHS, shuffle=False, verbose=0).history
    return history | numbered(model)


def work(folder, output):
    import tensorflow as tf

    # Before all else of TensorFlow, as it opens the connections.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    assert strategy.num_replicas_in_sync == 2

    from pipelines.records.manifest import load_records

    for sgd in (False, True):
        result = fit(load_records(Path(folder)), sgd, strategy)
        np.savez(f"{output}-{sgd}.npz", **result)


def two_workers(folder, output):
    """Runs `fit` in both, with Adam and with SGD."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    hosts = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    processes = []
    for i in range(2):
        config = {"cluster": {"worker": hosts}}
        config["task"] = {"type": "worker", "index": i}
        environment["TF_CONFIG"] = json.dumps(config)
        command = [sys.executable, __file__, folder, output / str(i)]
        processes.append(subprocess.Popen(command, env=environment))
    try:
        assert [process.wait(200) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for sgd in (False, True):
        mine, theirs = (
            dict(np.load(output / f"{i}-{sgd}.npz")) for i in range(2)
        )
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name], name)
        yield mine


@pytest.mark.skipif(KERAS_3, reason="Keras 3 has not this strategy")
def test_two_workers_train_as_one_process(records, tmp_path):
    import tensorflow as tf

    alone = tf.distribute.get_strategy()
    adam, sgd = two_workers(records.folder, tmp_path)
    # Halves of a batch know more labels or fewer; the mean is that of all.
    expected = fit(records, False, alone)
    for name in expected:
        if "loss" in name:
            np.testing.assert_allclose(adam[name], expected[name], rtol=1e-4)
        elif "weight" not in name:
            # Later, where heatmaps are flat, rounding moves their peaks.
            assert adam[name][0] == pytest.approx(expected[name][0], abs=0.05)
    expected = fit(records, True, alone)
    assert expected["loss"][-1] < 0.98 * expected["loss"][0]
    for name in expected:
        mine, theirs = sgd[name], expected[name]
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


if __name__ == "__main__":
    work(*sys.argv[1:])
