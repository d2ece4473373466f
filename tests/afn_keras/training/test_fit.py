import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from afn_keras.backend.versions import keras
from afn_keras.drawing.marks import LEFT
from afn_keras.drawing.marks import RIGHT
from afn_keras.loading import load_model
from afn_keras.network import build_afn
from afn_keras.recipes import RECIPES
from afn_keras.recipes import load_recipe
from afn_keras.training.fit import compiled_model
from afn_keras.training.fit import train
from afn_keras.training.monitor import PredictionMonitor
from afn_keras.training.monitor import constant_heads
from afn_keras.training.optimizers import AdamW
from afn_keras.training.optimizers import make_optimizer
from afn_keras.training.pretrained import load_weights
from afn_keras.training.progress import score
from pipelines.annotations import make_vocabulary
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


def test_released_recipe_is_the_released_code():
    recipe = load_recipe("released")
    paper = load_recipe("paper")
    assert recipe.attention == "released"
    assert (recipe.target, recipe.sigma) == ("exponential", 8.0)
    assert recipe.decoding == "argmax"
    for field in ("learning_rate", "decay", "epochs", "batch_size", "weights"):
        assert getattr(recipe, field) == getattr(paper, field)


def test_small_is_the_best_recipe_made_smaller():
    small, best = load_recipe("small"), load_recipe("best")
    changed = {
        name
        for name, value in dataclasses.asdict(small).items()
        if value != getattr(best, name)
    }
    assert changed == {
        *("name", "weights", "image_size", "width", "precision"),
        *("epochs", "dropout"),
    }


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
        folder = tmp_path / "runs" / name
        train(load_recipe("small", TINY), records, folder)
        # Nobody had to put names or recipe beside it.
        trained = load_model(folder)
        assert trained.vocabulary == records.vocabulary
        assert load_recipe(str(folder / "recipe.yaml")).image_size == 32
        model = trained.model
        kernels.append(model.get_layer("category").kernel.numpy())
    np.testing.assert_allclose(*kernels, rtol=1e-5, atol=1e-6)
    warning, start, line, *_ = capsys.readouterr().out.splitlines()
    assert warning.startswith("warning: no more than 5 attributes (5)")
    assert start.startswith("training on ")
    assert start.endswith(
        f": 8 images of 32 pixels, {model.count_params():,} parameters"
    )
    for word in ("epoch 1/1", "loss", "NE", "top-1", "top-5", "recall@5"):
        assert word in line


def test_learns_what_is_easy(records):
    """Forty steps on eight images of three plain colors."""
    from pipelines.batches.load import load_split

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


def test_another_run_lends_every_layer_that_fits(run, tmp_path):
    source = keras.models.load_model(run / "model.keras", compile=False)
    model = build_afn(
        num_categories=7, num_attributes=5, image_size=32, width=0.1
    )
    before = model.get_layer("category").kernel.numpy()
    line = load_weights(model, str(run))
    layers = [layer for layer in model.layers if layer.weights]
    assert line == (
        f"weights: {len(layers) - 1} layers from {run}; "
        "left as they started: category"
    )
    for layer in layers:
        if layer.name != "category":
            theirs = source.get_layer(layer.name)
            assert np.array_equal(layer.kernel, theirs.kernel), layer.name
            assert np.array_equal(layer.bias, theirs.bias), layer.name
    assert np.array_equal(model.get_layer("category").kernel, before)


def test_a_run_that_does_not_fit_at_all(run):
    model = build_afn(
        num_categories=7, num_attributes=6, num_landmarks=0, width=0.3
    )
    with pytest.raises(InputError, match="no layer of it fits"):
        load_weights(model, str(run))


def step(optimizer, gradients, variables):
    gradients = map(tf.convert_to_tensor, gradients)
    optimizer.apply_gradients(list(zip(gradients, variables, strict=True)))


def averages(optimizer):
    return optimizer._momentums + optimizer._velocities


def test_a_fused_step_is_kerass():
    random = np.random.default_rng(6)
    kernels = []
    gradients = random.normal(size=(5, 4, 3)).astype("float32")
    for kind in (AdamW, keras.optimizers.AdamW):
        dense = keras.layers.Dense(3, use_bias=False, kernel_initializer="ones")
        dense.build((None, 4))
        optimizer = kind(1e-2, weight_decay=0.1, global_clipnorm=1.0)
        optimizer.build([dense.kernel])
        for gradient in gradients:
            step(optimizer, [gradient], [dense.kernel])
        kernels.append(dense.kernel.numpy())
        shapes = [tuple(average.shape) for average in averages(optimizer)]
        assert shapes == [(4, 3), (4, 3)]
    np.testing.assert_allclose(*kernels, rtol=1e-6)


def test_pretrained_layers_learn_more_slowly_and_do_not_decay():
    dense = [
        keras.layers.Dense(3, use_bias=False, name=name)
        for name in ("block1_conv1", "head")
    ]
    image = keras.Input((2,))
    model = keras.Model(image, dense[1](dense[0](image)))
    start = [layer.kernel.numpy() for layer in dense]
    optimizer = AdamW(1e-2, weight_decay=0.5, backbone_rate=0.1)
    optimizer.build(model.trainable_variables)
    gradients = [np.full(kernel.shape, 3.0, "float32") for kernel in start]
    step(optimizer, gradients, model.trainable_variables)
    # Adam's first step is the learning rate, whatever the gradient.
    np.testing.assert_allclose(
        dense[0].kernel, start[0] - 1e-3, atol=1e-6, rtol=0
    )
    np.testing.assert_allclose(
        dense[1].kernel, start[1] * (1 - 0.5e-2) - 1e-2, atol=1e-6, rtol=0
    )


def test_biases_and_normalization_do_not_decay():
    image = keras.Input((2,))
    x = keras.layers.Dense(3, name="head", bias_initializer="ones")(image)
    model = keras.Model(image, keras.layers.BatchNormalization()(x))
    kernel = model.layers[1].kernel.numpy()
    optimizer = AdamW(1e-2, weight_decay=0.5)
    optimizer.build(model.trainable_variables)
    nothing = [np.zeros(v.shape, "float32") for v in model.trainable_variables]
    step(optimizer, nothing, model.trainable_variables)
    dense, normalization = model.layers[1:]
    np.testing.assert_allclose(dense.kernel, kernel * (1 - 0.5e-2), rtol=1e-6)
    np.testing.assert_array_equal(dense.bias, np.ones(3))
    np.testing.assert_array_equal(normalization.gamma, np.ones(3))
    np.testing.assert_array_equal(normalization.beta, np.zeros(3))


@pytest.mark.keras3
def test_average_moves_with_the_weights_when_gradients_accumulate():
    # Gradients of one size: each step of Adam is the learning rate.
    image = keras.Input((1,))
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Model(image, dense(image))
    optimizer = AdamW(
        0.1,
        weight_decay=0.0,
        use_ema=True,
        ema_momentum=0.5,
        gradient_accumulation_steps=3,
    )
    optimizer.build(model.trainable_variables)
    for _ in range(9):
        step(optimizer, [np.ones((1, 1), "float32")], [dense.kernel])
    assert dense.kernel.numpy().item() == pytest.approx(0.7, abs=1e-5)
    # It begins with the first step: 0.9, (0.9 + 0.8) / 2, (0.85 + 0.7) / 2.
    (average,) = optimizer._model_variables_moving_average
    assert average.numpy().item() == pytest.approx(0.775, abs=1e-5)


def test_backbone_rate_is_for_weights_that_were_trained(records, run):
    def slow(**changes):
        recipe = load_recipe("best", TINY | changes)
        model = compiled_model(recipe, records.vocabulary, steps_per_epoch=2)
        key = model.optimizer._var_key
        return [
            layer.name
            for layer in model.layers
            for variable in layer.trainable_variables
            if key(variable) in model.optimizer._slow
        ]

    assert slow(weights="none") == []
    names = slow(weights=str(run))
    assert len(names) == 2 * 13  # VGG16's convolutions.
    assert all(name.startswith("block") for name in names)


@pytest.mark.keras3
def test_accumulated_gradients_are_averaged():
    def network():
        image = keras.Input((2,))
        dense = keras.layers.Dense(3, use_bias=False, kernel_initializer="ones")
        return keras.Model(image, dense(image))

    changes = {"schedule": "decay", "decay": 1.0, "clip_norm": None}
    random = np.random.default_rng(4)
    halves = random.normal(size=(2, 2, 3)).astype("float32")
    one, two = network(), network()
    recipe = load_recipe("paper", TINY | changes)
    optimizer = make_optimizer(recipe, one, steps_per_epoch=1)
    step(optimizer, [halves.mean(0)], one.trainable_variables)
    recipe = load_recipe("paper", TINY | changes | {"accumulate": 2})
    optimizer = make_optimizer(recipe, two, steps_per_epoch=2)
    step(optimizer, [halves[0]], two.trainable_variables)
    np.testing.assert_array_equal(two.get_weights()[0], 1)
    step(optimizer, [halves[1]], two.trainable_variables)
    assert not (two.get_weights()[0] == 1).any()
    np.testing.assert_allclose(
        two.get_weights()[0], one.get_weights()[0], atol=1e-7
    )


def test_training_stops_where_the_loss_is_no_number(records, tmp_path):
    recipe = load_recipe(
        "demo", TINY | {"learning_rate": 1e30, "warmup": 0.0, "epochs": 4}
    )
    with pytest.raises(InputError) as error:
        train(recipe, records, tmp_path)
    message = str(error.value)
    assert "the loss became NaN in epoch" in message
    assert "lower learning_rate (now 1e+30)" in message
    assert not list(tmp_path.glob("*.keras"))


def test_training_stops_without_a_better_score(records, tmp_path, capsys):
    # Nothing is learned, so the first epoch stays the best.
    recipe = load_recipe(
        "demo",
        TINY | {"learning_rate": 1e-30, "patience": 2, "epochs": 9},
    )
    train(recipe, records, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("epoch") for line in lines) == 3
    assert lines[-1] == (
        "no better score in 2 epochs: stopped after epoch 3, kept epoch 1"
    )
    assert [path.name for path in tmp_path.glob("last-*")] == ["last-3.keras"]
    # Nor does it go on after that.
    train(recipe, records, tmp_path, resume=True)
    assert capsys.readouterr().out == ""


def test_head_that_answers_the_same_is_named():
    vocabulary = make_vocabulary(["a", "b"], ["c", "d"], ["part", "part"], True)
    random = np.random.default_rng(0)
    answers = {
        "landmarks": random.uniform(size=(8, 8, 2)),
        "category": random.uniform(size=(8, 2)),
        "attributes": random.uniform(size=(8, 2)),
    }
    assert constant_heads(answers, vocabulary) == []
    answers["landmarks"][:, 3] = [0.2, 0.8]
    answers["category"][:] = [0.3, 0.7]
    assert constant_heads(answers, vocabulary) == ["right_sleeve", "category"]
    few = {name: value[:2] for name, value in answers.items()}
    assert constant_heads(few, vocabulary) == []


def test_unsure_predictions_are_rings_in_tensorboard(tmp_path):
    """Below the truth, which is drawn as dots."""
    vocabulary = make_vocabulary((), (), (), True)
    truth = np.zeros((1, 8, 3), np.float32)
    truth[0, :2] = [[0.25, 0.5, 1], [0.75, 0.5, 1]]
    image = np.zeros((1, 32, 32, 3), np.float32)
    watch = PredictionMonitor(
        image, {"heatmaps": truth}, vocabulary, "argmax", tmp_path
    )
    scores = np.full((1, 8), 0.49, np.float32)
    scores[0, 1] = 0.5
    picture = watch._draw(
        {"landmarks": truth[..., :2], "landmark_scores": scores}
    )
    assert picture.shape == (512, 256, 3)
    np.testing.assert_array_equal(picture[128, 64], LEFT)
    np.testing.assert_array_equal(picture[128, 192], RIGHT)
    # A ring around what is black; and a dot.
    assert picture[256 + 128, 64].max() < 60
    np.testing.assert_array_equal(picture[256 + 128, 192], RIGHT)


def test_tensorboard_has_every_metric_and_pictures(run):
    names = {}
    for path in sorted((run / "logs").rglob("*tfevents*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                names.setdefault(value.tag, []).append(value)
    for name in ("heatmaps_ne", "category_top1", "attributes_recall@5"):
        assert f"evaluation_{name}_vs_iterations" in names or (
            f"epoch_{name}" in names
        )
    assert "epoch_heatmaps_ne_left_collar" in names
    assert "epoch_attributes_recall@3_texture" in names
    # One picture an epoch, of the val split's images.
    assert len(names["predictions"]) == 2
    width, height, picture = names["predictions"][0].tensor.string_val
    assert (width, height) == (b"512", b"512")
    assert tf.io.decode_png(picture).shape == (512, 512, 3)
