"""Tests that backends, devices and processes train the same network."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import write_benchmark

from afn_keras.backend.versions import keras
from afn_keras.loading import load_model
from afn_keras.network import build_afn
from afn_keras.recipes import load_recipe
from afn_keras.runs import InterruptedTrainingError
from afn_keras.runs import new_run
from afn_keras.training.fit import check_shares
from afn_keras.training.fit import train
from afn_keras.training.jax_process import train_on_jax
from pipelines.batches.order import Part
from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records

pytest.importorskip("jax")
pytestmark = pytest.mark.keras3

# Four steps an epoch, twenty in all, with all that may depend on how a batch
# is shared: labels that not all images have, batch normalization, averages.
CHANGES = {
    "image_size": 32,
    "width": 0.1,
    "epochs": 5,
    "batch_size": 8,
    "attention": "released",
    "ema": 0.9,
    "weight_decay": 0.1,
    "clip_norm": 1.0,
    "flip": True,
    "color": 0.2,
    "learning_rate": 3e-5,
}


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """JAX's processes take from each other what they have compiled."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("compiled")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
        yield


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Records of 32 images to train on, in eight shards."""
    folder = tmp_path_factory.mktemp("data")
    write_benchmark(folder / "benchmark", images=48)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.records.shard_plan.SHARD_BYTES", 3000)
        annotations = read_annotations(folder / "benchmark")
        records = write_records(annotations, folder / "records")
    assert len(records.shards["train"]) == 8
    return records


@pytest.fixture(scope="module")
def recipe(shards, tmp_path_factory):
    """Starts from weights, as the backends' chance is not the same."""
    start = tmp_path_factory.mktemp("runs") / "start"
    start.mkdir()
    keras.utils.set_random_seed(1)
    model = build_afn(
        shards.vocabulary, image_size=32, width=0.1, attention="released"
    )
    model.save(start / "model.keras")
    shards.vocabulary.save(start)
    changes = {"data": str(shards.folder), "weights": str(start)}
    return load_recipe("paper", CHANGES | changes)


@pytest.fixture(scope="module")
def alone(recipe, shards, tmp_path_factory):
    """Trains the run on TensorFlow and one device."""
    folder = tmp_path_factory.mktemp("alone")
    train(recipe, shards, folder)
    return folder


def prepared(recipe, folder):
    folder.mkdir()
    recipe.save(folder)
    return folder


def check_same(folder, alone):
    """Losses, scores and weights."""
    mine, theirs = (
        pd.read_csv(path / "history.csv") for path in (folder, alone)
    )
    assert len(theirs) == 5
    assert theirs["loss"].iat[-1] < 0.99 * theirs["loss"].iat[0]
    losses = [name for name in theirs if "loss" in name]
    assert len(losses) == 8
    np.testing.assert_allclose(mine[losses], theirs[losses], rtol=1e-4)
    # Where heatmaps are flat, rounding moves their peaks.
    assert mine["val_category_top3"].equals(theirs["val_category_top3"])
    for a, b in zip(
        load_model(folder).model.get_weights(),
        load_model(alone).model.get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=2e-4)


def test_jax_trains_as_tensorflow(recipe, alone, tmp_path, capfd):
    run = prepared(recipe, tmp_path / "run")
    train_on_jax(run, resume=False)
    assert "training on cpu: " in capfd.readouterr().out
    check_same(run, alone)


@pytest.mark.slow
def test_two_devices_of_jax_train_as_one(recipe, alone, tmp_path, capfd):
    run = prepared(recipe, tmp_path / "run")
    train_on_jax(run, resume=False, devices=2)
    assert "training on 2 x cpu: " in capfd.readouterr().out
    check_same(run, alone)


ON_TWO = """
import sys
from pathlib import Path

from afn_keras.recipes import load_recipe
from afn_keras.training import train
from pipelines.records import load_records

run, records = map(Path, sys.argv[1:])
recipe = load_recipe(str(run / "recipe.yaml"))
train(recipe, load_records(records), run, devices=2)
"""


@pytest.mark.slow
def test_two_devices_of_tensorflow_train_as_one(
    recipe, alone, shards, tmp_path, capfd
):
    run = prepared(recipe, tmp_path / "run")
    # In a process of its own, as this one has one device already.
    subprocess.run(
        [sys.executable, "-c", ON_TWO, run, shards.folder], check=True
    )
    assert "training on 2 x cpu: " in capfd.readouterr().out
    check_same(run, alone)
    # JAX, too, opens what was saved.
    config = keras.models.load_model(run / "model.keras").get_config()
    assert '"synchronized": true' not in str(config).lower()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start(i, run, log, *arguments):
    """Starts one process of afn-train, with Slurm's variables."""
    environment = os.environ | {
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_JOB_ID": str(start.job),
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(i),
        "SLURM_LOCALID": str(i),
        "SLURM_NNODES": "1",
    }
    command = [sys.executable, "-m", "afn_keras.commands.train"]
    with log.open("w") as file:
        return subprocess.Popen(
            [*command, "--cluster", "auto", "--output", run, *arguments],
            env=environment,
            stdout=file,
            stderr=file,
        )


start.job = os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.timeout(600)
def test_two_processes_train_as_one(recipe, alone, victim, tmp_path):
    start.job += 1
    run = tmp_path / "run"
    logs = [tmp_path / f"{i}.log" for i in range(2)]
    recipe.save(tmp_path)
    given = ("--recipe", tmp_path / "recipe.yaml")
    processes = [start(i, run, logs[i], *given) for i in range(2)]
    while not list(run.glob("last-*.keras")):
        for i, process in enumerate(processes):
            assert process.poll() is None, logs[i].read_text()
        time.sleep(0.02)
    processes[victim].kill()
    processes[victim].wait()
    other = 1 - victim
    # It is notified within a minute.
    assert processes[other].wait(60) == 2
    # Python's own tracker of semaphores may print something after it.
    said = logs[other].read_text().splitlines()
    last = [line for line in said if line.startswith("afn-train: ")][-1]
    assert re.fullmatch(
        "afn-train: --cluster: another of the 2 processes was lost, so process "
        rf"{other} stopped \(.+\); see the output of the lost one, then "
        f"restart all of them: --output {run} --resume",
        last,
    )
    assert not (run / "evaluation.json").exists()
    if victim:
        return
    processes = [start(i, run, logs[i], "--resume") for i in range(2)]
    for i, process in enumerate(processes):
        assert process.wait(200) == 0, logs[i].read_text()
    assert "epoch 1/5" not in logs[0].read_text()
    assert "process 1 of 2 is finished" in logs[1].read_text()
    # The first one alone wrote, judged and exported.
    assert (run / "exports" / "report.md").exists()
    assert [path.name for path in run.glob("*last*")] == ["last-5.keras"]
    check_same(run, alone)


def test_a_network_of_tensorflow_answers_on_jax(run, tmp_path):
    def predict(backend):
        return subprocess.run(
            [
                *(sys.executable, "-m", "afn_keras.commands.predict"),
                *(run, run / "samples", "--json"),
            ],
            env=os.environ | {"KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    import json

    mine, theirs = predict("jax"), predict("tensorflow")
    assert mine.count("\n") == theirs.count("\n") > 0
    for a, b in zip(mine.splitlines(), theirs.splitlines(), strict=True):
        a, b = json.loads(a), json.loads(b)
        for name, point in a["landmarks"].items():
            assert point == pytest.approx(b["landmarks"][name], abs=1e-2)


def test_more_devices_than_there_are(recipe, shards, tmp_path):
    with pytest.raises(InputError, match=r"--devices 5: there are \d \("):
        train(recipe, shards, tmp_path / "run", devices=5)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (9, "batch_size=9: cannot be shared by 2 devices; choose 10"),
        (
            40,
            "batch_size=40: there are only 32 images to train on; choose "
            "fewer, a multiple of 2 devices",
        ),
    ],
)
def test_batches_that_devices_cannot_share(size, message, shards):
    recipe = load_recipe("paper", {**CHANGES, "batch_size": size})
    with pytest.raises(InputError) as error:
        check_shares(recipe, shards, 2)
    assert str(error.value) == message


def test_processes_do_not_share_on_tensorflow(recipe, shards, tmp_path):
    with pytest.raises(InputError, match="together only on JAX"):
        train(recipe, shards, tmp_path / "run", part=Part(0, 2))


def test_a_run_is_kept_for_those_that_are_told_to_go_on(tmp_path):
    for error, kept in (
        (InterruptedTrainingError("gone"), True),
        (InputError("no such data"), False),
    ):
        run = tmp_path / type(error).__name__
        with contextlib.suppress(InputError), new_run(run):
            raise error
        assert run.exists() == kept


@pytest.mark.slow
def test_a_process_that_is_killed_alone(recipe, tmp_path):
    run = prepared(recipe, tmp_path / "run")
    script = (
        "import sys; from pathlib import Path\n"
        "from afn_keras.training.jax_process import train_on_jax\n"
        "train_on_jax(Path(sys.argv[1]), False)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, run],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(run.glob("last-*.keras")):
        assert process.poll() is None
        time.sleep(0.02)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True
    ).stdout.split()
    for child in children:
        os.kill(int(child), 9)
    _, error = process.communicate(timeout=60)
    assert f"resume: --output {run} --resume" in error
