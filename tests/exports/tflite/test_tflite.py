import shutil
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.interpreter import OpResolverType
from conftest import KERAS_3

from afn_keras.loading import load_model
from exports import verification
from exports.errors import VerificationError
from exports.opening import open_model
from exports.tflite.write import export_tflite
from exports.tflite.write import read_labels
from exports.verification import verify
from pipelines.vocabulary import Vocabulary

WRITTEN = ["float32", "float16", "dynamic", *["int8"] * KERAS_3]


@pytest.fixture(scope="module")
def trained(run):
    return load_model(run)


@pytest.fixture(scope="module")
def samples(run):
    return sorted((run / "samples").glob("*.jpg"))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    # Smooth, as images are.
    coarse = rng.uniform(0, 255, (12, 4, 4, 3))
    return coarse.repeat(8, 1).repeat(8, 2).astype(np.float32)


@pytest.fixture(scope="module")
def files(trained, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tflite")
    for kind in WRITTEN:
        export_tflite(trained, folder / f"afn_{kind}.tflite", kind, images)
    return folder


def interpreter(path):
    # Without delegates the operations stay those of the file.
    result = Interpreter(
        str(path),
        experimental_op_resolver_type=(
            OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    result.allocate_tensors()
    return result


@pytest.mark.parametrize("kind", WRITTEN)
def test_inputs_and_outputs(files, kind):
    runner = interpreter(files / f"afn_{kind}.tflite").get_signature_runner(
        "serving_default"
    )
    (name, image), *more = runner.get_input_details().items()
    assert (name, list(image["shape"]), more) == ("image", [1, 32, 32, 3], [])
    assert image["dtype"] == (np.uint8 if kind == "int8" else np.float32)
    # Of pixels in 8 bits each is its own value. Apps divide by the scale.
    assert image["quantization"] == ((1.0, 0) if kind == "int8" else (0.0, 0))
    outputs = runner.get_output_details()
    assert {name: list(o["shape"]) for name, o in outputs.items()} == {
        "landmarks": [1, 8, 2],
        "landmark_scores": [1, 8],
        "category": [1, 3],
        "attributes": [1, 5],
    }
    assert {o["dtype"] for o in outputs.values()} == {np.float32}


@pytest.mark.parametrize("kind", WRITTEN)
def test_no_flex_and_no_custom_operation(files, kind):
    path = files / f"afn_{kind}.tflite"
    names = [op["op_name"] for op in interpreter(path)._get_ops_details()]
    assert "CONV_2D" in names
    foreign = [n for n in names if n.startswith("Flex") or not n.isupper()]
    assert foreign == []
    assert b"Flex" not in path.read_bytes()


@pytest.mark.keras3
def test_the_network_is_in_8_bits(files):
    opened = interpreter(files / "afn_int8.tflite")
    kinds = {d["index"]: d["dtype"] for d in opened.get_tensor_details()}
    computed = {}
    for op in opened._get_ops_details():
        out = {kinds[index] for index in op["outputs"]}
        computed.setdefault(op["op_name"], set()).update(out)
    for name in ("CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "MAX_POOL_2D"):
        assert computed[name] == {np.int8}, name
    # What reads points off the heatmaps is not: it would divide by 0.
    assert computed["DIV"] == {np.float32}


def test_sizes(files, trained):
    weights = 4 * trained.model.count_params()
    # This tiny network's graph weighs more than its weights.
    size = {
        kind: (files / f"afn_{kind}.tflite").stat().st_size for kind in WRITTEN
    }
    half = size["float32"] - size["float16"]
    assert 0.4 * weights < half < 0.55 * weights
    assert size[WRITTEN[-1]] < size["float16"]


@pytest.mark.parametrize("kind", WRITTEN)
def test_labels_are_packed_in(files, trained, kind):
    path = files / f"afn_{kind}.tflite"
    assert read_labels(path) == trained.vocabulary
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [
            *("vocabulary.json", "training_data.json", "model_card.md")
        ]
        text = archive.read("vocabulary.json").decode()
    assert Vocabulary.from_json(text) == trained.vocabulary


@pytest.mark.parametrize("kind", WRITTEN)
def test_answers(files, trained, images, kind):
    answers = open_model(files / f"afn_{kind}.tflite").predict_images(images)
    expected = trained.predict_images(images)
    bound = {"float32": 1e-5, "float16": 1e-2, "dynamic": 0.1, "int8": 0.1}
    for name in ("category", "attributes", "landmark_scores"):
        np.testing.assert_allclose(
            answers[name], expected[name], atol=bound[kind]
        )


def test_checked_in_a_process_without_tensorflow(files, trained, samples):
    for kind in WRITTEN:
        check = verify(
            trained, files / f"afn_{kind}.tflite", samples, threads=(1, 2)
        )
        assert set(check.milliseconds) == {1, 2}
        if kind == "float32":
            assert check.difference < verification.BOUND


def test_another_network_is_refused(run, files, samples):
    other = load_model(run)
    layer = other.model.get_layer("category")
    layer.bias.assign(layer.bias + np.array([3.0, 0.0, 0.0]))
    with pytest.raises(VerificationError, match="differ from the network's"):
        verify(other, files / "afn_float32.tflite", samples)


def test_a_broken_file_is_refused(trained, samples, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    with pytest.raises(VerificationError, match="fails in a clean process"):
        verify(trained, broken, samples)


@pytest.mark.parametrize("kind", WRITTEN[::3])
def test_a_file_that_answers_nan_is_refused(
    run, files, samples, tmp_path, kind
):
    # The outputs of a network that lost a weight.
    other = load_model(run)
    other.model.get_layer("attributes").bias.assign(np.full(5, np.nan))
    path = shutil.copy(files / f"afn_{kind}.tflite", tmp_path)
    with pytest.raises(VerificationError, match="by nan"):
        verify(other, tmp_path / path, samples)


def test_mixed_precision_exports_too(run, trained):
    # The fixture's recipe is mixed; what is loaded and exported is not.
    assert "precision: mixed_bfloat16" in (run / "recipe.yaml").read_text()
    layer = trained.model.get_layer("block1_conv1")
    assert layer.compute_dtype == "float32"
