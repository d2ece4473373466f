"""MultiWorkerMirroredStrategy: two processes on loopback train one network.

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

BATCH = 4
EPOCHS = 4
WEIGHTS = {"heatmaps": 10.0, "category": 1.0, "attributes": 2.0}


def compiled(vocabulary, sgd):
    """The network with its own optimizer and metrics, or with SGD."""
    from afn_keras.backend import keras
    from afn_keras.metrics import headline_metrics
    from afn_keras.recipes import load_recipe
    from afn_keras.training import compiled_model

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


def batches(records, all_known):
    """Batches of both workers together, in record order."""
    import tensorflow as tf

    from pipelines.batches import load_split

    def know(image, targets):
        points = targets["heatmaps"]
        known = tf.concat([points[..., :2], tf.ones_like(points[..., 2:])], -1)
        return image, targets | {"heatmaps": known}

    data = load_split(records, "train", image_size=32, batch_size=BATCH)
    options = tf.data.Options()
    # Not by files, of which there are fewer than workers.
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    return (data.map(know) if all_known else data).with_options(options)


def numbered(model):
    return {f"weight {i}": w for i, w in enumerate(model.get_weights())}


def fit(records, all_known, strategy):
    """What Keras logs of each epoch, and the weights at the end."""
    with strategy.scope():
        model = compiled(records.vocabulary, sgd=not all_known)
    data = batches(records, all_known)
    history = model.fit(data, epochs=EPOCHS, shuffle=False, verbose=0).history
    return history | numbered(model)


def by_hand(records):
    """The same without Keras's fit: each half of a batch has its own means."""
    import tensorflow as tf

    model = compiled(records.vocabulary, sgd=True)
    variables = model.trainable_variables
    losses = []
    for image, targets in batches(records, False).repeat(EPOCHS):
        with tf.GradientTape() as tape:
            loss = 0.0
            for half in (slice(0, BATCH // 2), slice(BATCH // 2, BATCH)):
                answers = model(image[half], training=True)
                for task, function in model.loss.items():
                    value = function(targets[task][half], answers[task])
                    loss += WEIGHTS[task] * value / 2
        gradients = tape.gradient(loss, variables)
        model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        losses.append(float(loss))
    means = np.reshape(losses, (EPOCHS, -1)).mean(1)
    return {"loss": means} | numbered(model)


def work(folder, output):
    import tensorflow as tf

    # Before all else of TensorFlow, as it opens the connections.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    assert strategy.num_replicas_in_sync == 2

    from pipelines.records import load_records

    for all_known in (True, False):
        result = fit(load_records(Path(folder)), all_known, strategy)
        np.savez(f"{output}-{all_known}.npz", **result)


def two_workers(folder, output):
    """What `fit` gives in both, with all landmarks known and as they are."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    hosts = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
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
    for kind in (True, False):
        mine, theirs = (
            dict(np.load(output / f"{i}-{kind}.npz")) for i in range(2)
        )
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name], name)
        yield mine


@pytest.mark.skipif(KERAS_3, reason="Keras 3 has not this strategy")
def test_two_workers_train_as_one_process(records, tmp_path):
    import tensorflow as tf

    known, as_they_are = two_workers(records.folder, tmp_path)
    # Where each half knows as much, means of halves are the mean of all.
    expected = fit(records, True, tf.distribute.get_strategy())
    for name in expected:
        if "loss" in name:
            np.testing.assert_allclose(known[name], expected[name], rtol=1e-4)
        elif "weight" not in name:
            # Later, where heatmaps are flat, rounding moves their peaks.
            assert known[name][0] == pytest.approx(expected[name][0], abs=0.05)
    expected = by_hand(records)
    assert expected["loss"][-1] < 0.98 * expected["loss"][0]
    for name in expected:
        mine, theirs = as_they_are[name], expected[name]
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


if __name__ == "__main__":
    work(*sys.argv[1:])
