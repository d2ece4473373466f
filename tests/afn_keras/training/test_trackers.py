"""Tests that training logs to the tracker in the recipe."""

import dataclasses

import pandas as pd
import pytest
from conftest import TINY

from afn_keras.commands import train as command
from afn_keras.recipes import load_recipe
from afn_keras.recipes import parse_changes
from afn_keras.training import trackers
from afn_keras.training.fit import train
from pipelines.errors import InputError


def tracked(name):
    recipe = load_recipe("small", parse_changes(TINY))
    return dataclasses.replace(recipe, tracker=name, precision="float32")


@pytest.mark.slow
@pytest.mark.keras3
def test_mlflow_has_every_epoch(records, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    # Its database needs more packages than the tests install.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    train(tracked("mlflow"), records, tmp_path / "run")
    client = mlflow.MlflowClient()
    (experiment,) = client.search_experiments(
        filter_string="name = 'afn-keras'"
    )
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["image_size"] == "32"
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    logged = client.get_metric_history(run.info.run_id, "loss")
    assert [metric.step for metric in logged] == [0, 1]
    assert [metric.value for metric in logged] == pytest.approx(
        history["loss"].tolist(), rel=1e-5
    )
    assert "attributes_recall_at_5" in run.data.metrics


@pytest.mark.slow
@pytest.mark.keras3
def test_wandb_offline(records, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(tracked("wandb"), records, tmp_path / "run")
    (log,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    assert b"val_heatmaps_ne" in log.read_bytes()


def test_a_tracker_that_is_not_installed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        command.main(
            [
                *("--tracker", "mlflow", "--data", str(tmp_path)),
                *("--output", str(tmp_path / "run")),
            ]
        )
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "afn-train: --tracker mlflow: not installed; pip install "
        "'afn-keras[mlflow]'\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_does_not_start(tmp_path, monkeypatch):
    def start(fields, folder):
        raise OSError("no route to host\nand a page more")

    monkeypatch.setattr(trackers, "check_tracker", lambda name: None)
    monkeypatch.setattr(trackers, "_wandb", start)
    with (
        pytest.raises(InputError, match="^--tracker wandb: no route to host$"),
        trackers.tracking(tracked("wandb"), tmp_path),
    ):
        pass


def test_a_folder_of_its_name_is_no_tracker(tmp_path, monkeypatch):
    """Earlier runs leave `wandb/` and `mlflow/` where they were started."""
    (tmp_path / "some_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="^--tracker some_tracker: not inst"):
        trackers.check_tracker("some_tracker")
