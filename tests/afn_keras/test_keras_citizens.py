"""Tests that losses, metrics and the optimizer fulfill Keras's contracts."""

import numpy as np
import pytest

from afn_keras.backend.versions import keras
from afn_keras.losses import AttributesLoss
from afn_keras.losses import CategoryLoss
from afn_keras.losses import HeatmapLoss
from afn_keras.metrics import AreaUnderCurve
from afn_keras.metrics import AttributeRecall
from afn_keras.metrics import CorrectKeypoints
from afn_keras.metrics import NormalizedError
from afn_keras.metrics import TopKAccuracy
from afn_keras.network import build_afn
from afn_keras.recipes import load_recipe
from afn_keras.training.fit import compiled_model
from afn_keras.training.optimizers import AdamW

IMAGES = 4
RANDOM = np.random.default_rng(0)
LANDMARKS = RANDOM.uniform(0, 1, (IMAGES, 2, 3)).astype("float32")
LANDMARKS[..., 2] = [[1, 1], [1, 0], [0, 1], [1, 1]]
CATEGORY = np.array([0, 2, 1, 2], "int32")
ATTRIBUTES = np.array([[1, 0, -1], [0, 1, 1], [1, -1, 0], [0, 0, 1]], "float32")
# Each with settings that are none of its defaults, and the labels it takes.
LOSSES = [
    (HeatmapLoss(20.0, "exponential", "adaptive_wing"), LANDMARKS),
    (CategoryLoss(0.2), CATEGORY),
    (AttributesLoss(0.7, "focal"), ATTRIBUTES),
]
METRICS = [
    (
        NormalizedError(
            2, decoding="argmax", protocol="released", image_size=8
        ),
        LANDMARKS,
    ),
    (CorrectKeypoints(0.3, 2), LANDMARKS),
    (AreaUnderCurve(0.7, 2, "area"), LANDMARKS),
    (TopKAccuracy(2, "two"), CATEGORY),
    (AttributeRecall(1, [2, 0], "style"), ATTRIBUTES),
]
named = pytest.mark.parametrize(
    ("ours", "labels"),
    LOSSES + METRICS,
    ids=[type(x).__name__ for x, _ in LOSSES + METRICS],
)


def network(labels):
    """Builds a network from four numbers to 8x8 heatmaps or three logits."""
    keras.utils.set_random_seed(1)
    image = keras.Input((4,))
    if labels.ndim == 3:
        x = keras.layers.Dense(8 * 8 * 2)(image)
        return keras.Model(image, keras.layers.Reshape((8, 8, 2))(x))
    return keras.Model(image, keras.layers.Dense(3)(image))


def compiled(ours, labels):
    model = network(labels)
    if isinstance(ours, keras.losses.Loss):
        model.compile(AdamW(1e-2, backbone_rate=0.5), loss=ours)
    else:
        loss = next(loss for loss, y in LOSSES if y is labels)
        model.compile(AdamW(1e-2), loss=loss, weighted_metrics=[ours])
    return model


def scores(model, x, labels, **weights):
    return list(
        model.evaluate(
            x, labels, verbose=0, batch_size=IMAGES, return_dict=True, **weights
        ).values()
    )


@named
def test_of_every_class(ours, labels, tmp_path):
    x = np.random.default_rng(2).normal(size=(IMAGES, 4)).astype("float32")
    # The config makes the same again.
    again = type(ours).from_config(ours.get_config())
    assert again.get_config() == ours.get_config()
    model = compiled(again, labels)
    model.fit(x, labels, verbose=0, batch_size=2)
    # Keras opens what Keras saved, and fits it as if nothing had been.
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert scores(opened, x, labels) == pytest.approx(scores(model, x, labels))
    for each in (model, opened):
        each.fit(x, labels, verbose=0, shuffle=False)
    assert scores(opened, x, labels) == pytest.approx(scores(model, x, labels))
    # A weight of 0 is as if the image were not there.
    if isinstance(ours, keras.losses.Loss):
        first = np.array([1, 1, 0, 0], "float32")
        halves = [
            scores(model, x, labels, sample_weight=weight)[0]
            for weight in (first, 1 - first)
        ]
        whole = scores(model, x, labels)[0]
        assert sum(halves) == pytest.approx(whole, rel=1e-5)
        assert min(halves) > 0
    else:
        weight = np.array([2, 0, 1, 0], "float32")
        again.reset_state()
        predicted = model.predict(x, verbose=0)
        again.update_state(labels, predicted, sample_weight=weight)
        weighted = float(again.result())
        again.reset_state()
        chosen = [0, 0, 2]  # A weight of 2 is the same image twice.
        again.update_state(labels[chosen], predicted[chosen])
        assert weighted == pytest.approx(float(again.result()), rel=1e-6)


def test_class_weight_counts():
    x = np.eye(4, dtype="float32")
    model = compiled(CategoryLoss(), CATEGORY)
    model.optimizer.learning_rate = 0.0
    plain = model.fit(x, CATEGORY, verbose=0).history["loss"][0]
    doubled = model.fit(
        x, CATEGORY, verbose=0, class_weight={0: 2.0, 1: 2.0, 2: 2.0}
    ).history["loss"][0]
    assert doubled == pytest.approx(2 * plain, rel=1e-5)


def test_optimizer_remembers_its_settings(tmp_path):
    optimizer = AdamW(
        0.02, weight_decay=0.3, backbone_rate=0.25, backbone="stem"
    )
    again = AdamW.from_config(optimizer.get_config())
    assert again.backbone_rate == 0.25
    assert again.backbone == ("stem",)
    assert again.weight_decay == 0.3
    image = keras.Input((3,))
    x = keras.layers.Dense(4, name="stem1", use_bias=False)(image)
    model = keras.Model(image, keras.layers.Dense(3, use_bias=False)(x))
    model.compile(again, loss=CategoryLoss())
    x, y = np.ones((2, 3), "float32"), np.array([0, 2])
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert opened.optimizer.backbone_rate == 0.25
    before = opened.get_weights()
    for each in (model, opened):
        each.fit(x, y, verbose=0)
    for ours, theirs, start in zip(
        opened.get_weights(), model.get_weights(), before, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        assert np.abs(ours - start).max() > 0


@pytest.mark.parametrize("attention", ["paper", "released", "none"])
def test_whole_network_as_training_compiles_it(records, tmp_path, attention):
    changes = {
        "image_size": 32,
        "width": 0.05,
        "attention": attention,
        "dropout": 0.2,
        "ema": 0.9,
    }
    recipe = load_recipe("best", changes)
    model = compiled_model(recipe, records.vocabulary, 2)
    model.save(tmp_path / "last.keras")
    opened = keras.models.load_model(tmp_path / "last.keras")
    image = RANDOM.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    for name, value in model.predict(image, verbose=0).items():
        np.testing.assert_allclose(
            opened.predict(image, verbose=0)[name], value, atol=1e-5
        )
    assert opened.optimizer.get_config() == model.optimizer.get_config()
    assert opened.loss["heatmaps"].get_config() == (
        model.loss["heatmaps"].get_config()
    )


def test_checkpoint_of_a_fit_with_callbacks(tmp_path):
    keras.utils.set_random_seed(0)
    model = build_afn(
        num_categories=3,
        num_attributes=3,
        num_landmarks=2,
        image_size=32,
        width=0.05,
    )
    model.compile(
        keras.optimizers.Adam(1e-3, clipnorm=1.0),
        loss={
            "heatmaps": HeatmapLoss(sigma=12),
            "category": CategoryLoss(),
            "attributes": AttributesLoss(),
        },
        metrics={
            "heatmaps": NormalizedError(2),
            "category": TopKAccuracy(3),
            "attributes": AttributeRecall(5),
        },
    )
    image = RANDOM.uniform(0, 255, (IMAGES, 32, 32, 3)).astype("float32")
    labels = {
        "heatmaps": LANDMARKS,
        "category": CATEGORY,
        "attributes": ATTRIBUTES,
    }
    path = tmp_path / "best.keras"
    model.fit(
        image,
        labels,
        verbose=0,
        callbacks=[keras.callbacks.ModelCheckpoint(str(path))],
    )
    opened = keras.models.load_model(path)
    expected = model.evaluate(image, labels, verbose=0)
    assert opened.evaluate(image, labels, verbose=0) == pytest.approx(expected)
    opened.fit(image, labels, verbose=0)
