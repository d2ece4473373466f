import numpy as np
import pytest

from afn_keras.loading import load_model
from exports import verification
from exports.opening import open_model
from exports.verification import verify
from pipelines.vocabulary import Vocabulary

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.keras3


@pytest.fixture(scope="module")
def trained(run):
    return load_model(run)


@pytest.fixture(scope="module")
def path(trained, tmp_path_factory):
    from exports.onnx.write import export_onnx

    path = tmp_path_factory.mktemp("onnx") / "afn.onnx"
    export_onnx(trained, path)
    return path


def test_it_is_valid_and_self_contained(path, run):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.name for entry in model.graph.input] == ["image"]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert Vocabulary.from_json(metadata["vocabulary.json"]) == (
        Vocabulary.load(run)
    )
    assert metadata["model_card.md"] == (run / "model_card.md").read_text()
    domains = {node.domain for node in model.graph.node}
    assert domains <= {"", "ai.onnx"}


@pytest.mark.parametrize("batch", [1, 3])
def test_answers(path, trained, batch):
    images = np.random.default_rng(0).uniform(0, 255, (batch, 32, 32, 3))
    images = images.astype(np.float32)
    answers = open_model(path).predict_images(images)
    expected = trained.predict_images(images)
    assert set(answers) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(answers[name], value, atol=1e-5)


def test_checked_in_a_clean_process(path, trained, run):
    samples = sorted((run / "samples").glob("*.jpg"))
    assert verify(trained, path, samples).difference < verification.BOUND
