import shutil
import sys
import zipfile

import h5py
import pytest

from afn_keras.loading import load_model
from exports.opening import open_model
from pipelines.errors import InputError


def refused(path):
    with pytest.raises(InputError) as error:
        open_model(path)
    return str(error.value)


def test_runs_and_keras_files(run):
    assert open_model(run).name == run.name
    assert open_model(run / "model.keras").image_size == 32


def test_the_baseline_goes_with_every_artifact(run, records):
    exports = run / "exports"
    for path in (
        *(run, run / "model.keras", exports / "saved_model"),
        exports / "tflite" / "afn_float32.tflite",
    ):
        data = open_model(path).data
        assert data.baseline == records.baseline, path
        assert data.origin == "deepfashion"


def test_of_an_older_run_the_data_are_not_known(run, tmp_path):
    # As Keras alone writes it.
    load_model(run).model.save(tmp_path / "model.keras")
    shutil.copy(run / "vocabulary.json", tmp_path)
    assert open_model(tmp_path).data is None
    (tmp_path / "training_data.json").write_text("[]")
    assert "training_data.json: does not describe" in refused(tmp_path)


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.KERAS"])
def test_what_keras_would_take_for_hdf5(run, tmp_path, name):
    """Two files in one: HDF5, which has no safe mode, and a zip behind it."""
    path = tmp_path / name
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "anything"
    with (
        zipfile.ZipFile(run / "model.keras") as network,
        zipfile.ZipFile(path, "a") as archive,
    ):
        for entry in network.namelist():
            archive.writestr(entry, network.read(entry))
    shutil.copy(run / "vocabulary.json", tmp_path)
    assert refused(path) == (
        f"{path}: not a network of afn-keras (its name does not end in .keras)"
    )


@pytest.mark.parametrize("entry", ["config.json", "model.weights.h5"])
def test_a_damaged_network(run, tmp_path, entry):
    content = bytearray((run / "model.keras").read_bytes())
    with zipfile.ZipFile(run / "model.keras") as archive:
        info = archive.getinfo(entry)
    # Behind the entry's header, which has its name, begins what it holds.
    content[info.header_offset + 30 + len(entry) + info.compress_size // 2] ^= 1
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    shutil.copy(run / "vocabulary.json", tmp_path)
    message = refused(path)
    assert message.startswith(f"{path}: not a network of afn-keras (")
    assert "\n" not in message


def test_of_versions_the_highest(run, tmp_path):
    folder = tmp_path / "saved_model"
    for version in ("2", "10"):
        shutil.copytree(run / "exports/saved_model/1", folder / version)
    opened = open_model(folder)
    assert opened.name == "saved_model/10"
    assert opened.image_size == 32


def test_not_there(tmp_path):
    assert refused(tmp_path / "none") == (
        f"{tmp_path / 'none'}: no such run or model"
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a.tflite", "TFLite file"),
        pytest.param("a.onnx", "ONNX file", marks=pytest.mark.keras3),
    ],
)
@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_another_projects_file(tmp_path, name, what, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert refused(path) == (
        f"{path}: not a valid {what} from afn-export, with its labels inside"
    )


def test_labels_of_something_else(run, tmp_path):
    path = tmp_path / "other.tflite"
    path.write_bytes(b"\0" * 64)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("vocabulary.json", '{"labels": []}')
    assert "not a valid TFLite file from afn-export" in refused(path)


def test_a_saved_model_without_labels(run, tmp_path):
    copy = shutil.copytree(run / "exports/saved_model/1", tmp_path / "1")
    (copy / "assets.extra" / "vocabulary.json").unlink()
    assert "vocabulary.json: cannot be read" in refused(copy)


def test_another_projects_saved_model(run, tmp_path):
    import tensorflow as tf

    folder = tmp_path / "1"
    tf.saved_model.save(tf.Module(), str(folder))
    extra = run / "exports" / "saved_model" / "1" / "assets.extra"
    shutil.copytree(extra, folder / "assets.extra")
    assert refused(folder) == (
        f"{folder}: not a valid SavedModel from afn-export, with its labels "
        "inside"
    )


@pytest.mark.keras3
def test_without_the_extra(run, tmp_path, monkeypatch):
    from exports.onnx.write import export_onnx

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    path = tmp_path / "afn.onnx"
    line = (
        f"{path}: ONNX needs the package onnxruntime; "
        "pip install 'afn-keras[onnx]'"
    )
    with pytest.raises(InputError) as error:
        export_onnx(open_model(run), path)
    assert str(error.value) == line
    path.write_bytes(b"")
    assert refused(path) == line
