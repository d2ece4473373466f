"""Tests afn-export: files, report and errors."""

import json
import resource
import shutil
import subprocess
import sys

import pytest
from conftest import KERAS_3

from afn_keras.commands import evaluate
from afn_keras.commands import export
from afn_keras.commands import predict


def leave(main, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return stop.value.code


WRITTEN = ["saved_model", "tflite", "tflite_float16", "tflite_dynamic"]
KINDS = ["float32", "float16", "dynamic"]
OTHERS = []
if KERAS_3:
    WRITTEN += ["tflite_int8", "onnx"]
    KINDS += ["int8"]
    OTHERS += ["onnx/afn.onnx"]


@pytest.fixture
def copy(run, tmp_path):
    """Copies a run without artifacts, which a test may change."""
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(copy / "exports")
    return copy


@pytest.fixture(scope="module")
def complete(run, tmp_path_factory):
    """Exports every artifact; returns the run and the printed lines."""
    folder = tmp_path_factory.mktemp("complete") / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("exports"))
    command = [sys.executable, "-m", "afn_keras.commands.export", folder]
    done = subprocess.run(
        [*command, "--formats", *WRITTEN, "--split", "train"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def table(text):
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    return cells[0], {cell[0]: cell[1:] for cell in cells[1:]}


def test_the_report(complete):
    folder, printed = complete
    text = (folder / "exports" / "report.md").read_text()
    assert text in printed
    header, rows = table(text)
    assert header[0] == "artifact"
    names = ["saved_model/1", *OTHERS]
    for kind in KINDS:
        names.append(f"tflite/afn_{kind}.tflite")
    assert set(rows) == {"network (Keras)", *names}
    own = rows["network (Keras)"]
    assert own[1:4] == ["-", "-", "-"]
    for name in ("saved_model/1", *OTHERS, "tflite/afn_float32.tflite"):
        assert float(rows[name][3]) < 1e-3
        assert rows[name][4:] == own[4:]
    for name in names:
        size, one, two = map(float, rows[name][:3])
        assert size > 0
        assert one > 0
        assert two > 0
    assert "Scored on 8 images of the train split." in text


@pytest.mark.parametrize(
    "artifact",
    [
        *("exports/saved_model", "exports/saved_model/1"),
        "exports/tflite/afn_float32.tflite",
        *(f"exports/{other}" for other in OTHERS),
    ],
)
def test_evaluate_takes_artifacts(complete, run, tmp_path, artifact, capsys):
    folder, _ = complete
    scores = {}
    for name, model in (("run", folder), ("artifact", folder / artifact)):
        evaluate.main(
            [
                *(str(model), "--data", str(run / "records")),
                *("--output", str(tmp_path / name)),
            ]
        )
        text = (tmp_path / name / "evaluation.json").read_text()
        scores[name] = json.loads(text)
    assert scores["artifact"]["landmarks"]["ne"] == (
        pytest.approx(scores["run"]["landmarks"]["ne"], abs=1e-5)
    )
    assert scores["artifact"]["category"] == scores["run"]["category"]
    assert scores["artifact"]["attributes"] == scores["run"]["attributes"]


def test_predict_takes_artifacts(complete, capsys):
    folder, _ = complete
    image = str(folder / "samples" / "00.jpg")
    answers = []
    for artifact in (
        "",
        "exports/saved_model",
        f"exports/tflite/afn_{KINDS[-1]}.tflite",
    ):
        predict.main([str(folder / artifact), image, "--json"])
        answers.append(json.loads(capsys.readouterr().out))
    names = [[name for name, _ in answer["categories"]] for answer in answers]
    assert names[0] == names[1] == names[2]
    for name, point in answers[0]["landmarks"].items():
        assert answers[1]["landmarks"][name] == pytest.approx(point, abs=0.01)


def test_versions_count_up_and_none_is_overwritten(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "copy")
    export.main([str(copy), "--formats", "saved_model"])
    assert "saved_model/2: largest difference" in capsys.readouterr().out
    before = {path.name for path in (copy / "exports/saved_model").iterdir()}
    assert before == {"1", "2"}
    for arguments, name in (
        (["--formats", "saved_model", "--model-version", "2"], "saved_model/2"),
        (["--formats", "tflite"], "tflite/afn_float32.tflite"),
    ):
        assert leave(export.main, copy, *arguments) == 2
        assert capsys.readouterr().err == (
            f"afn-export: {copy}/exports/{name}: exists already; choose "
            "another output folder or remove this one\n"
        )
    assert leave(export.main, copy, "--model-version", "0") == 2
    assert capsys.readouterr().err == (
        "afn-export: --model-version 0: count from 1\n"
    )


def test_a_run_without_a_model(copy, capsys):
    (copy / "model.keras").unlink()
    assert leave(export.main, copy) == 2
    assert capsys.readouterr().err == (
        f"afn-export: {copy}: has no model.keras; give a folder that "
        "afn-train wrote\n"
    )
    assert not (copy / "exports").exists()


def test_an_unknown_format(copy, capsys):
    assert leave(export.main, copy, "--formats", "coreml") == 2
    # Python's versions differ in how they quote what there is to choose.
    assert capsys.readouterr().err.startswith(
        "afn-export: argument --formats: invalid choice: 'coreml' (choose from"
    )


@pytest.mark.keras3
def test_nothing_to_calibrate_with(copy, capsys):
    shutil.rmtree(copy / "records")
    assert leave(export.main, copy, "--formats", "tflite_int8") == 2
    assert capsys.readouterr().err == (
        "afn-export: --formats tflite_int8: needs training images to "
        "calibrate with; name the data that the run was trained on with "
        "--data\n"
    )
    assert not (copy / "exports").exists()


def test_no_samples_to_check_with(copy, capsys):
    shutil.rmtree(copy / "samples")
    assert leave(export.main, copy) == 2
    assert capsys.readouterr().err == (
        f"afn-export: {copy}/samples: has no image to check the "
        "artifacts with; put some JPEG files there\n"
    )


@pytest.mark.parametrize("name", ["saved_model", "tflite", *WRITTEN[5:]])
def test_no_room_on_the_disk(copy, name):
    # A process that may write files of 20 kB only: the same failure, in the
    # same calls, as on a full disk.
    command = [sys.executable, "-m", "afn_keras.commands.export", copy]
    done = subprocess.run(
        [*command, "--formats", name],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (20_000, 20_000)
        ),
    )
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"afn-export: {copy}/exports/{name}")
    assert "cannot be written" in line
    assert line.endswith("free disk space, or copy the run to another disk")
    assert "Traceback" not in done.stderr
    assert not (copy / "exports").exists()
