import numpy as np
import pytest

from afn_keras.backend import keras
from afn_keras.network import build_afn
from afn_keras.pretrained import load_backbone
from afn_keras.progress import score
from afn_keras.recipes import RECIPES
from afn_keras.recipes import load_recipe
from afn_keras.training import compiled_model
from afn_keras.training import train
from pipelines.errors import InputError

TINY = {"image_size": 32, "width": 0.05, "epochs": 1, "batch_size": 4}


@pytest.mark.parametrize("name", list(RECIPES))
def test_recipe_comes_back_from_its_file(name, tmp_path):
    recipe = load_recipe(name, {"seed": 7})
    recipe.save(tmp_path)
    assert load_recipe(str(tmp_path / "recipe.yaml")) == recipe
    assert recipe.seed == 7


def test_paper_recipe_is_what_its_authors_did():
    recipe = load_recipe("paper")
    assert (recipe.image_size, recipe.width) == (224, 1.0)
    assert (recipe.learning_rate, recipe.decay) == (1e-4, 0.8)
    assert (recipe.epochs, recipe.batch_size) == (20, 16)
    weights = recipe.category_weight, recipe.attribute_weight
    assert (*weights, recipe.landmark_weight) == (1, 20, 10)
    assert recipe.negative_weight == 0.1
    assert recipe.weights == "imagenet"


def test_recipe_files_that_are_none(tmp_path):
    path = tmp_path / "recipe.yaml"
    with pytest.raises(InputError, match="recipe.yaml: cannot be read"):
        load_recipe(str(path))
    path.write_text("- 1\n- 2\n")
    with pytest.raises(InputError, match="should map names of fields"):
        load_recipe(str(path))
    path.write_text("a: [")
    with pytest.raises(InputError, match="is no YAML"):
        load_recipe(str(path))


def test_learning_rate_falls_after_each_epoch(records):
    recipe = load_recipe("paper", TINY | {"weights": "none"})
    model = compiled_model(recipe, records.vocabulary, steps_per_epoch=10)
    rate = model.optimizer._learning_rate
    rates = [float(rate(step)) for step in (0, 9, 10, 20)]
    assert rates == pytest.approx([1e-4, 1e-4, 0.8e-4, 0.64e-4])


def test_learning_rate_warms_up_and_falls_to_nothing(records):
    recipe = load_recipe("small", TINY | {"epochs": 10, "warmup": 2.0})
    model = compiled_model(recipe, records.vocabulary, steps_per_epoch=10)
    rate = model.optimizer._learning_rate
    assert float(rate(0)) == pytest.approx(1e-3 / 20)
    assert float(rate(20)) == pytest.approx(1e-3)
    # Half of the cosine is half-way between warm-up and end.
    assert float(rate(60)) == pytest.approx(0.5e-3)
    assert float(rate(100)) == pytest.approx(0, abs=1e-9)


def test_score_is_the_mean_of_what_there_is():
    assert score({"NE": 0.1, "top-1": 0.8, "top-3": 1, "recall@5": 0.4}) == (
        pytest.approx((0.9 + 0.8 + 0.4) / 3)
    )
    assert score({"top-1": 0.8}) == pytest.approx(0.8)


def test_same_seed_same_network(records, tmp_path, capsys):
    kernels = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        train(load_recipe("small", TINY), records, folder)
        model = keras.models.load_model(folder / "model.keras", compile=False)
        kernels.append(model.get_layer("category").kernel.numpy())
    np.testing.assert_allclose(*kernels, rtol=1e-5, atol=1e-6)
    line = capsys.readouterr().out.splitlines()[0]
    for word in ("epoch 1/1", "loss", "NE", "top-1", "top-5", "recall@5"):
        assert word in line


def test_learns_what_is_easy(records):
    """Forty steps on eight photographs of three plain colours."""
    from pipelines.batches import load_split

    recipe = load_recipe("demo", TINY | {"warmup": 0.0})
    model = compiled_model(recipe, records.vocabulary, steps_per_epoch=40)
    data = load_split(records, "train", image_size=32, batch_size=8)
    before = model.evaluate(data, verbose=0, return_dict=True)
    model.fit(data.repeat(40), verbose=0, steps_per_epoch=40, shuffle=False)
    after = model.evaluate(data, verbose=0, return_dict=True)
    assert after["loss"] < 0.7 * before["loss"]
    # Every head has learnt something.
    for task in ("heatmaps", "category", "attributes"):
        assert after[f"{task}_loss"] < before[f"{task}_loss"], task


def test_backbone_comes_from_a_file_by_name(tmp_path):
    vgg16 = keras.applications.VGG16(include_top=False, weights=None)
    path = tmp_path / "vgg16.weights.h5"
    vgg16.save_weights(path)
    model = build_afn(num_categories=2, num_attributes=0, image_size=32)
    load_backbone(model, str(path))
    for layer in vgg16.layers:
        if layer.weights:
            mine = model.get_layer(layer.name)
            assert np.array_equal(mine.kernel, layer.kernel)
            assert np.array_equal(mine.bias, layer.bias)

    small = build_afn(num_categories=2, num_attributes=0, width=0.5)
    with pytest.raises(InputError, match="need width=1"):
        load_backbone(small, str(path))
    path.write_text("no weights")
    with pytest.raises(InputError, match="holds no weights of VGG16"):
        load_backbone(model, str(path))
    with pytest.raises(InputError, match="no such file"):
        load_backbone(model, str(tmp_path / "none.h5"))


def test_no_connection_says_where_to_put_the_file(monkeypatch, tmp_path):
    # An address that refuses at once, as on a machine without a network.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.config, "_KERAS_DIR", str(tmp_path), False)
    model = build_afn(num_categories=2, num_attributes=0, image_size=32)
    with pytest.raises(InputError, match=r"put vgg16_weights.*\.keras/models"):
        load_backbone(model, "imagenet")
