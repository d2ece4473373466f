"""What the machine and the user have set up, and what it must not change."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from conftest import ROOT
from conftest import write_image

from afn_keras.commands import convert
from afn_keras.commands import inspect
from afn_keras.commands import predict
from afn_keras.commands.command import Parser
from afn_keras.commands.command import run_command
from afn_keras.prediction.inputs import list_images
from exports.opening import open_model


def as_a_process(*arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.keras3
def test_settings_of_other_projects_change_nothing(run, tmp_path, capsys):
    """A keras.json as another project left it, and no log of TensorFlow."""
    settings = {
        "backend": "torch",
        "image_data_format": "channels_first",
        "floatx": "float16",
        "epsilon": 1e-3,
    }
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    photo = run / "samples" / "00.jpg"
    done = as_a_process(
        *("-m", "afn_keras.commands.predict", run, photo, "--json"),
        folder=tmp_path,
        KERAS_HOME=str(tmp_path),
        TF_CPP_MIN_LOG_LEVEL="3",
    )
    assert (done.returncode, done.stderr) == (0, "")
    predict.main([str(run), str(photo), "--json"])
    here = json.loads(capsys.readouterr().out)
    there = json.loads(done.stdout)
    assert set(there["landmarks"]) == set(here["landmarks"])
    for name, place in here["landmarks"].items():
        assert there["landmarks"][name] == pytest.approx(place, abs=0.011)
    assert dict(there["categories"]) == pytest.approx(
        dict(here["categories"]), abs=1e-3
    )


@pytest.mark.keras3
def test_a_backend_that_the_network_does_not_run_on(run, tmp_path):
    done = as_a_process(
        *("-m", "afn_keras.commands.predict", run, run / "samples"),
        folder=tmp_path,
        KERAS_BACKEND="torch",
    )
    assert done.returncode == 2
    assert done.stderr == (
        "afn-predict: KERAS_BACKEND=torch: the network runs on tensorflow or "
        "jax\n"
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_terminal_without_the_letters(tmp_path, monkeypatch, encoding):
    write_image(tmp_path / "a.jpg")
    labels = tmp_path / "labels.csv"
    labels.write_text("image,split,category\na.jpg,train,毛衣\n", "utf-8")
    shown = io.BytesIO()
    monkeypatch.setattr(
        sys, "stdout", io.TextIOWrapper(shown, encoding=encoding)
    )
    inspect.main([str(labels)])
    sys.stdout.flush()
    assert rb"\u6bdb\u8863" in shown.getvalue()


def test_brackets_in_paths(run, hand_written, tmp_path, capsys):
    """They stand for themselves where there is such a folder."""
    folder = tmp_path / "data[1]"
    shutil.copytree(hand_written, folder / "a[b]*")
    convert.main([str(folder / "a[b]*"), str(folder / "records")])
    capsys.readouterr()
    shop = folder / "shop[2]"
    shop.mkdir()
    for name in ("x.jpg", "y[1].jpg"):
        shutil.copy(run / "samples" / "00.jpg", shop / name)
    for asked, count in (
        (shop, 2),
        (shop / "*.jpg", 2),
        (shop / "y[1].jpg", 1),
        (tmp_path / "data[1]" / "shop*" / "x.jpg", 1),
    ):
        assert len(list(list_images([str(asked)]))) == count, asked
    saved = shutil.copytree(
        run / "exports" / "saved_model", folder / "saved[1]"
    )
    images = np.full((1, 32, 32, 3), 99, np.float32)
    expected = open_model(run / "exports" / "saved_model").predict_images(
        images
    )
    for name, value in open_model(saved).predict_images(images).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize("hiding", ["pipelines.py", "exports/__init__.py"])
def test_a_file_of_the_users_that_hides_ours(tmp_path, hiding):
    file = tmp_path / hiding
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    name = hiding.removesuffix(".py").removesuffix("/__init__")
    reason = (
        f"{file} hides the package {name} of afn-keras; rename it, or work in "
        "another folder\n"
    )
    command = as_a_process(
        *("-m", "afn_keras.commands.inspect", "--help"), folder=tmp_path
    )
    assert (command.returncode, command.stderr) == (2, f"afn-keras: {reason}")
    imported = as_a_process("-c", "import afn_keras", folder=tmp_path)
    assert imported.stderr.endswith(f"ImportError: {reason}")


def test_no_folder_for_temporary_files(monkeypatch, capsys):
    monkeypatch.setattr(
        tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"]
    )
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(SystemExit) as stopped:
        run_command(
            Parser("afn-test", "", "Needs a temporary file.", "afn-test"),
            lambda options: tempfile.TemporaryFile().close(),
            [],
        )
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "afn-test: no folder for temporary files can be written; set TMPDIR "
        "to one that can\n"
    )
