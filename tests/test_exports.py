import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from afn_keras.commands import export
from afn_keras.prediction import Predictor
from afn_keras.runs import load_model
from exports import verification
from exports.errors import VerificationError
from exports.saved_model import next_version
from exports.tflite import export_tflite
from exports.verification import verify_saved_model
from exports.verification import verify_tflite
from pipelines.errors import InputError
from pipelines.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def served(run):
    folder = run / "exports" / "saved_model" / "1"
    return tf.saved_model.load(str(folder)).signatures["serving_default"]


def ask(served, contents):
    answers = served(image_bytes=tf.constant(contents, tf.string))
    return {name: value.numpy() for name, value in answers.items()}


def test_answers_points_and_names(served, run):
    path = run / "samples" / "00.jpg"
    answers = ask(served, [path.read_bytes()])
    expected = Predictor(load_model(run)).predict([path])[0]
    points = np.array(list(expected.landmarks.values()))
    np.testing.assert_allclose(
        answers["landmarks"][0], points[:, :2], atol=1e-2
    )
    np.testing.assert_allclose(
        answers["landmark_scores"][0], points[:, 2], atol=1e-4
    )
    names = [name.decode() for name in answers["category_names"][0]]
    assert names == [name for name, _ in expected.categories]
    names = [name.decode() for name in answers["attribute_names"][0]]
    assert names == [name for name, _ in expected.attributes]
    assert answers["attribute_scores"].shape == (1, 5)
    assert answers["valid"].tolist() == [True]


def test_a_bad_photograph_leaves_its_neighbours_alone(served, run, tmp_path):
    good = (run / "samples" / "00.jpg").read_bytes()
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(bomb)
    alone = ask(served, [good])
    bad = [b"", b"hello", good[: len(good) // 2], bomb.read_bytes()]
    answers = ask(served, [bad[0], good, *bad[1:], good])
    # Half a JPEG may decode to half a picture; TensorFlow refuses it.
    assert answers["valid"].tolist() == [
        *(False, True, False, False, False, True),
    ]
    for row in (1, 5):
        for name, value in alone.items():
            if value.dtype == object:
                assert value[0].tolist() == answers[name][row].tolist()
            else:
                np.testing.assert_allclose(
                    value[0], answers[name][row], atol=1e-3
                )
    assert not answers["landmark_scores"][0].any()
    assert answers["category_names"][0].tolist() == [b"", b"", b""]


@pytest.mark.parametrize("count", [0, 1, 64])
def test_any_batch(served, run, count):
    good = (run / "samples" / "00.jpg").read_bytes()
    answers = ask(served, [good] * count)
    assert answers["landmarks"].shape == (count, 8, 2)
    assert answers["valid"].tolist() == [True] * count


def test_all_bad(served):
    answers = ask(served, [b"no", b"none"])
    assert answers["valid"].tolist() == [False, False]
    assert answers["landmarks"].shape == (2, 8, 2)


def test_png_is_a_photograph_too(served, run, tmp_path):
    Image.open(run / "samples" / "00.jpg").save(tmp_path / "00.png")
    answers = ask(served, [(tmp_path / "00.png").read_bytes()])
    assert answers["valid"].tolist() == [True]


def test_weights_are_stored_once(run):
    model = load_model(run).model
    weights = 4 * model.count_params()
    folder = run / "exports" / "saved_model" / "1" / "variables"
    stored = sum(path.stat().st_size for path in folder.iterdir())
    assert weights <= stored < 1.05 * weights + 10_000


def test_labels_go_with_every_artifact(run):
    expected = Vocabulary.load(run)
    exports = run / "exports"
    extra = exports / "saved_model" / "1" / "assets.extra"
    assert Vocabulary.load(extra) == expected
    assert Vocabulary.load(exports / "tflite") == expected


def test_tflite_needs_no_flex_and_no_custom_op(run):
    content = (run / "exports" / "tflite" / "afn_float32.tflite").read_bytes()
    assert b"Flex" not in content
    details = tf_lite_details(content)
    assert details["inputs"] == {"image": [1, 32, 32, 3]}
    assert details["outputs"] == {
        "landmarks": [1, 8, 2],
        "landmark_scores": [1, 8],
        "category": [1, 3],
        "attributes": [1, 5],
    }


def tf_lite_details(content):
    from ai_edge_litert.interpreter import Interpreter

    # Allocating fails if an op is not built in.
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner("serving_default")
    return {
        "inputs": {
            name: list(detail["shape"])
            for name, detail in runner.get_input_details().items()
        },
        "outputs": {
            name: list(detail["shape"])
            for name, detail in runner.get_output_details().items()
        },
    }


def test_versions_count_up(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "copy")
    export.main([str(copy), "--formats", "saved_model"])
    assert "saved_model/2: largest difference" in capsys.readouterr().out
    assert next_version(copy / "exports" / "saved_model") == 3
    names = {path.name for path in (copy / "exports/saved_model").iterdir()}
    assert names == {"1", "2"}


def test_a_tflite_file_is_not_overwritten(run, capsys):
    with pytest.raises(SystemExit) as stop:
        export.main([str(run), "--formats", "tflite"])
    assert stop.value.code == 2
    assert "afn_float32.tflite: exists already" in capsys.readouterr().err


def test_no_samples_to_check_with(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(copy / "samples")
    from exports.artifacts import export_run

    with pytest.raises(InputError, match="samples: holds no photograph"):
        list(export_run(copy))


def test_an_artifact_of_another_network_is_refused(run, tmp_path):
    trained = load_model(run)
    samples = sorted((run / "samples").glob("*.jpg"))
    layer = trained.model.get_layer("category")
    layer.bias.assign(layer.bias + np.array([3.0, 0.0, 0.0]))
    saved_model = run / "exports" / "saved_model" / "1"
    with pytest.raises(VerificationError, match="differ from the network's"):
        verify_saved_model(trained, saved_model, samples)
    tflite = run / "exports" / "tflite" / "afn_float32.tflite"
    with pytest.raises(VerificationError, match="differ from the network's"):
        verify_tflite(trained, tflite, samples)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    with pytest.raises(VerificationError, match="fails in a clean process"):
        verify_tflite(trained, broken, samples)


def test_a_file_that_answers_nan_is_refused(run, tmp_path):
    trained = load_model(run)
    path = export_tflite(trained, tmp_path / "afn.tflite")
    layer = trained.model.get_layer("attributes")
    layer.bias.assign(np.full(5, np.nan))
    samples = sorted((run / "samples").glob("*.jpg"))
    with pytest.raises(VerificationError, match="by nan"):
        verify_tflite(trained, path, samples)


def test_mixed_precision_exports_too(run, tmp_path):
    # The fixture's recipe is mixed; what is loaded and exported is not.
    text = (run / "recipe.yaml").read_text()
    assert "precision: mixed_bfloat16" in text
    trained = load_model(run)
    assert trained.model.get_layer("block1_conv1").compute_dtype == "float32"
    path = export_tflite(trained, tmp_path / "afn.tflite")
    samples = sorted((run / "samples").glob("*.jpg"))
    assert verify_tflite(trained, path, samples) < verification.BOUND
