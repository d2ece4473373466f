"""Tests that a killed run is resumed and ends with the same result."""

import dataclasses
import gc
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from afn_keras.backend.versions import keras
from afn_keras.commands import train as command
from afn_keras.recipes import load_recipe
from afn_keras.training.fit import train
from pipelines.errors import InputError

# All that has a state: averages, dropout, schedule, shuffling, augmentation.
CHANGES = {
    "image_size": 32,
    "width": 0.05,
    "epochs": 4,
    "batch_size": 3,
    "dropout": 0.3,
    "ema": 0.9,
    "rotation": 10.0,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def undisturbed(records, tmp_path_factory):
    """Trains a run of four epochs without interruption."""
    folder = tmp_path_factory.mktemp("undisturbed")
    train(load_recipe("small", CHANGES), records, folder)
    return folder


def weights(path):
    return keras.models.load_model(path, compile=False).get_weights()


def check_same(folder, undisturbed):
    for name in ("model.keras", "last-4.keras"):
        for mine, theirs in zip(
            weights(folder / name), weights(undisturbed / name), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    mine, theirs = (
        pd.read_csv(path / "history.csv") for path in (folder, undisturbed)
    )
    assert list(mine["epoch"]) == [0, 1, 2, 3]
    np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
    assert [path.name for path in folder.glob("last-*")] == ["last-4.keras"]


@pytest.mark.timeout(600)
def test_killed_and_gone_on_with(hand_written, undisturbed, tmp_path):
    run = tmp_path / "run"
    settings = [f"{name}={value}" for name, value in CHANGES.items()]
    arguments = [sys.executable, "-m", "afn_keras.commands.train"]
    started = subprocess.Popen(
        [
            *arguments,
            *("--data", str(hand_written), "--recipe", "small"),
            *("--output", str(run), "--set", *settings),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # As soon as an epoch is done: somewhere in the next one, or behind it.
    while not list(run.glob("last-*.keras")):
        assert started.poll() is None
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert not (run / "evaluation.json").exists()
    # Half of what comes after training, and what is the user's own.
    stale = ("pictures/00.png", "exports/tflite/afn_float32.tflite")
    theirs = ("pictures/mine.png", "samples/mine.txt", "exports/mine.txt")
    for name in (*stale, *theirs):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("text")
    done = subprocess.run(
        [*arguments, "--output", str(run), "--resume"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "epoch 1/4" not in done.stdout
    assert "epoch 4/4" in done.stdout
    check_same(run, undisturbed)
    assert (run / "exports" / "report.md").exists()
    assert all((run / name).stat().st_size > 4 for name in stale)
    assert not (run / "pictures" / "00-2.png").exists()
    assert all((run / name).read_text() == "text" for name in theirs)
    again = subprocess.run(
        [*arguments, "--output", str(run), "--resume"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout == f"{run} is finished\n"


# What an exception leaves open, a real kill closes.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_killed_between_any_two_files(records, undisturbed, tmp_path):
    """After a kill, the best network may be newer than the last one."""

    class Killed(BaseException):
        pass

    def replace(source, target):
        # Of the second epoch: history, perhaps the best, not yet the last.
        if str(target).endswith("last-2.keras"):
            raise Killed
        os.rename(source, target)

    import afn_keras.training.checkpoints as keeping

    folder = tmp_path / "run"
    folder.mkdir()
    recipe = load_recipe("small", CHANGES)
    real = keeping.os.replace
    keeping.os.replace = replace
    try:
        with pytest.raises(Killed):
            train(recipe, records, folder)
    finally:
        keeping.os.replace = real
        gc.collect()
    assert len(pd.read_csv(folder / "history.csv")) == 2
    assert [path.name for path in folder.glob("last-*")] == ["last-1.keras"]
    train(recipe, records, folder, resume=True)
    check_same(folder, undisturbed)


def test_nothing_to_go_on_with_starts_anew(records, undisturbed, tmp_path):
    # Killed in the first epoch.
    (tmp_path / "history.csv").write_text("epoch,loss\n0,")
    (tmp_path / "partial-last-1.keras").write_bytes(b"PK")
    train(load_recipe("small", CHANGES), records, tmp_path, resume=True)
    check_same(tmp_path, undisturbed)


def test_patience_without_a_val_split_waits_for_nothing(records, tmp_path):
    alone = dataclasses.replace(
        records, images={"train": records.images["train"]}
    )
    changes = CHANGES | {"patience": 1, "ema": None}
    train(load_recipe("small", changes | {"epochs": 2}), alone, tmp_path)
    recipe = load_recipe("small", changes)
    train(recipe, alone, tmp_path, resume=True)
    assert len(pd.read_csv(tmp_path / "history.csv")) == 4


def test_loss_scale_of_float16_goes_on_too(records, tmp_path):
    changes = CHANGES | {"precision": "mixed_float16", "epochs": 2}
    train(load_recipe("small", changes | {"epochs": 1}), records, tmp_path)
    train(load_recipe("small", changes), records, tmp_path, resume=True)
    assert list(pd.read_csv(tmp_path / "history.csv")["epoch"]) == [0, 1]
    assert np.isfinite(pd.read_csv(tmp_path / "history.csv")["loss"]).all()


def test_a_network_that_cannot_be_written(records, tmp_path):
    # As on a full disk: the file cannot take its place.
    blocked = tmp_path / "last-2.keras"
    (blocked / "in the way").mkdir(parents=True)
    recipe = load_recipe("small", CHANGES | {"epochs": 3})
    with pytest.raises(InputError) as error:
        train(recipe, records, tmp_path)
    message = str(error.value)
    assert message.startswith(f"{blocked}: cannot be written (")
    assert message.endswith(f"resume: --output {tmp_path} --resume")
    assert not list(tmp_path.glob("partial-*"))
    # The best and the last network of the epoch before are there.
    assert (tmp_path / "model.keras").exists()
    assert (tmp_path / "last-1.keras").is_file()


def test_another_network_is_refused(records, undisturbed):
    recipe = load_recipe("small", CHANGES | {"width": 0.1})
    with pytest.raises(InputError, match=r"last-4.keras: does not match"):
        train(recipe, records, undisturbed, resume=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--resume: name the run with --output RUN"),
        (["--output", "{tmp}"], "{tmp}: no run to resume"),
        (
            ["--output", "{run}", "--set", "epochs=9"],
            "--resume: uses the settings in {run}/recipe.yaml",
        ),
        (
            ["--output", "{run}", "--recipe", "small"],
            "--resume: uses the settings in {run}/recipe.yaml",
        ),
    ],
)
def test_what_cannot_go_on(arguments, message, run, tmp_path, capsys):
    places = {"tmp": tmp_path, "run": run}
    arguments = [argument.format(**places) for argument in arguments]
    with pytest.raises(SystemExit) as stop:
        command.main([*arguments, "--resume"])
    assert stop.value.code == 2
    assert message.format(**places) in capsys.readouterr().err
