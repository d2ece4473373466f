"""Tests that `.keras` files are read as numbers and names, not code."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from afn_keras import build_afn
from afn_keras.backend.versions import keras
from afn_keras.backend.versions import precision
from afn_keras.loading import load_model
from afn_keras.loading import save_model
from afn_keras.rebuild import rebuild_network
from afn_keras.recipes import load_recipe
from afn_keras.recipes import load_run_recipe
from afn_keras.training_data import TrainingData
from pipelines.errors import InputError
from pipelines.vocabulary import LANDMARK_PAIRS
from pipelines.vocabulary import LANDMARKS
from pipelines.vocabulary import Vocabulary

VOCABULARY = Vocabulary(
    categories=("Jeans", "Tee"),
    attributes=("red", "long"),
    attribute_groups=("color", "length"),
    landmarks=LANDMARKS,
    landmark_pairs=LANDMARK_PAIRS,
)
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))


def network(**settings):
    keras.utils.set_random_seed(0)
    return build_afn(VOCABULARY, image_size=32, width=0.05, **settings)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "saved" / "afn.keras"
    path.parent.mkdir()
    save_model(network(), path, VOCABULARY, "argmax")
    return path


def change(path, name, edit):
    """Rewrites one member of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        members = {item: archive.read(item) for item in archive.namelist()}
    members[name] = edit(members[name])
    with zipfile.ZipFile(path, "w") as archive:
        for item, data in members.items():
            archive.writestr(item, data)


def change_layer(path, name, **fields):
    def edit(data):
        config = json.loads(data)
        for layer in config["config"]["layers"]:
            if layer["config"]["name"] == name:
                layer["config"] |= fields
        return json.dumps(config).encode()

    change(path, "config.json", edit)


def test_a_lone_file_answers_as_its_run(run, tmp_path):
    shutil.copy(run / "model.keras", tmp_path / "lone.keras")
    whole, lone = load_model(run), load_model(tmp_path / "lone.keras")
    assert lone.vocabulary == whole.vocabulary == Vocabulary.load(run)
    assert lone.decoding == whole.decoding
    assert lone.data == TrainingData.load(run)
    side = whole.image_size
    assert lone.image_size == side
    images = np.random.default_rng(1).uniform(0, 255, (2, side, side, 3))
    expected = whole.predict_images(images.astype("float32"))
    for name, value in lone.predict_images(images.astype("float32")).items():
        np.testing.assert_array_equal(value, expected[name])


def test_the_last_network_is_one_too(run):
    (last,) = run.glob("last-*.keras")
    assert load_model(last).vocabulary == Vocabulary.load(run)


def test_decoding_is_kept(saved):
    model = load_model(saved)
    assert model.decoding == "argmax"
    points = (
        model.predict_images(IMAGES.astype("float32"))["landmarks"] * 32 - 0.5
    )
    np.testing.assert_allclose(points, points.round(), atol=1e-4)


def test_keras_opens_it_still(saved):
    opened = keras.models.load_model(saved)
    expected = network().predict(IMAGES, verbose=0)
    for name, value in opened.predict(IMAGES, verbose=0).items():
        np.testing.assert_array_equal(value, expected[name])


def test_a_file_of_before_lies_beside_what_it_needs(tmp_path):
    network().save(tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"vocabulary.json: cannot be read"):
        load_model(tmp_path)
    VOCABULARY.save(tmp_path)
    (tmp_path / "recipe.yaml").write_text("decoding: argmax\n")
    assert load_model(tmp_path).decoding == "argmax"
    assert load_model(tmp_path).vocabulary == VOCABULARY


def test_what_another_version_wrote_in_a_recipe_is_named(tmp_path, capsys):
    network().save(tmp_path / "model.keras")
    VOCABULARY.save(tmp_path)
    (tmp_path / "recipe.yaml").write_text("decoding: argmax\nwarp: 9\n")
    assert load_model(tmp_path).decoding == "argmax"
    assert capsys.readouterr().err == (
        f"{tmp_path}/recipe.yaml: passed over warp, which another version "
        "wrote and this one does not know\n"
    )


def test_names_of_an_earlier_release(tmp_path, capsys):
    """0.1.0 wrote `colour`, `licence` and `guess`."""
    (tmp_path / "recipe.yaml").write_text("colour: 0.25\nlicence: CC0\n")
    recipes = [
        load_recipe(f"{tmp_path}/recipe.yaml"),
        load_run_recipe(tmp_path),
    ]
    for recipe in recipes:
        assert (recipe.color, recipe.license) == (0.25, "CC0")
    assert capsys.readouterr().err == ""
    baseline = {"landmarks": None, "category": [0.5, 0.5], "attributes": []}
    text = json.dumps({"origin": "other", "guess": baseline})
    assert TrainingData.from_json(text) == TrainingData("other", baseline)
    with pytest.raises(KeyError):
        TrainingData.from_json('{"origin": "other"}')


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_opened_in_float32_whatever_it_was_trained_in(tmp_path, policy):
    with precision(policy):
        model = network()
    save_model(model, tmp_path / "afn.keras", VOCABULARY)
    with precision(policy):
        opened = load_model(tmp_path / "afn.keras").model
    assert {layer.compute_dtype for layer in opened.layers} == {"float32"}


# Keras 2.15 warns of the old format.
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_hdf5_by_that_name_is_refused(tmp_path):
    network().save(tmp_path / "old.h5")
    (tmp_path / "old.h5").rename(tmp_path / "afn.keras")
    with pytest.raises(InputError, match="not a zip file"):
        load_model(tmp_path / "afn.keras")


def test_code_in_a_file_is_not_run(saved, tmp_path):
    """Names that a deserializer would import and call are ignored."""
    proof = tmp_path / "ran"
    reference = load_model(saved).predict_images(IMAGES.astype("float32"))

    def edit(data):
        config = json.loads(data)
        for layer in config["config"]["layers"]:
            layer["module"] = "os"
            layer["class_name"] = "system"
            layer["registered_name"] = "system"
            layer["config"]["activation"] = {
                "module": "builtins",
                "class_name": "function",
                "config": "exec",
                "registered_name": "function",
            }
        config["build_config"] = {"input_shape": f"touch {proof}"}
        config["compile_config"] = {
            "optimizer": {
                "class_name": "__lambda__",
                "config": {"value": f"open({str(proof)!r}, 'w')"},
            }
        }
        config["module"], config["class_name"] = "os", "system"
        return json.dumps(config).encode()

    change(saved, "config.json", edit)
    answers = load_model(saved).predict_images(IMAGES.astype("float32"))
    for name, value in answers.items():
        np.testing.assert_array_equal(value, reference[name])
    assert not proof.exists()


def test_a_lambda_is_no_network_of_ours(tmp_path):
    image = keras.Input((32, 32, 3), name="image")
    model = keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(image))
    model.save(tmp_path / "afn.keras")
    with pytest.raises(InputError, match="not a network of afn-keras") as error:
        load_model(tmp_path / "afn.keras")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layer", "fields"),
    [
        ("category", {"units": 10**9}),
        ("attributes", {"units": 10**12}),
        ("attributes", {"units": -3}),
        ("attributes", {"units": "many"}),
        ("heatmaps", {"filters": 10**9}),
        ("image", {"batch_shape": [None, 32_000, 32_000, 3]}),
        ("image", {"batch_shape": [None, 33, 33, 3]}),
        ("image", {"batch_shape": 7}),
        ("block1_conv1", {"filters": 10**6}),
        ("category_hidden", {"units": 51_000}),
    ],
)
def test_sizes_that_the_file_does_not_hold(saved, layer, fields):
    if layer == "image" and keras.__version__.startswith("2."):
        fields = {"batch_input_shape": fields["batch_shape"]}
    change_layer(saved, layer, **fields)
    with pytest.raises(InputError, match="not a network of afn-keras"):
        load_model(saved)


def test_weights_that_unpack_to_more_than_they_are(saved):
    with zipfile.ZipFile(saved) as archive:
        members = {item: archive.read(item) for item in archive.namelist()}
    members["model.weights.h5"] = bytes(100_000_000)
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for item, data in members.items():
            archive.writestr(item, data)
    with pytest.raises(InputError, match="unpacks to far more than its size"):
        load_model(saved)


@pytest.mark.parametrize(
    "member", ["config.json", "inference.json", "vocabulary.json"]
)
@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b'{"a": 1}'])
def test_damaged_members(saved, member, data):
    change(saved, member, lambda _: data)
    with pytest.raises(InputError, match="not a network of afn-keras"):
        load_model(saved)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"attention": "released"},
        {"attention": "none"},
        {"upsampling": False},
        {"dropout": 0.3},
    ],
)
def test_every_kind_of_network_is_rebuilt(settings, tmp_path):
    model = network(**settings)
    model.save(tmp_path / "afn.keras")
    again = rebuild_network(tmp_path / "afn.keras")
    expected = model.predict(IMAGES, verbose=0)
    for name, value in again.predict(IMAGES, verbose=0).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize("width", [0.05, 0.1, 0.37])
@pytest.mark.parametrize("labels", [(0, 0, 1), (3, 0, 0), (0, 2, 0)])
def test_networks_of_one_task_are_rebuilt(labels, width, tmp_path):
    categories, attributes, landmarks = labels
    model = build_afn(
        num_categories=categories,
        num_attributes=attributes,
        num_landmarks=landmarks,
        image_size=32,
        width=width,
    )
    model.save(tmp_path / "afn.keras")
    again = rebuild_network(tmp_path / "afn.keras")
    for mine, theirs in zip(
        again.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
