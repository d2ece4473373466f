import math

import numpy as np
import pytest
import tensorflow as tf

from afn_keras.backend.versions import keras
from afn_keras.losses import AttributesLoss
from afn_keras.losses import CategoryLoss
from afn_keras.losses import HeatmapLoss


def value_and_gradient(loss, y_true, y_pred):
    y_pred = tf.Variable(y_pred, dtype="float32")
    with tf.GradientTape() as tape:
        value = loss(y_true, y_pred)
    assert value.shape == ()
    return value.numpy(), tape.gradient(value, y_pred).numpy()


@pytest.fixture
def heatmaps():
    """Landmarks of two images of which one does not count; predictions."""
    random = np.random.default_rng(0)
    y_true = random.uniform(0, 1, (2, 3, 3)).astype("float32")
    y_true[..., 2] = [[1, 0, 1], [1, 1, 1]]
    return y_true, random.normal(size=(2, 5, 7, 3)).astype("float32")


@pytest.fixture
def category():
    """Categories of four images, the third unknown; logits."""
    random = np.random.default_rng(1)
    y_true = np.array([2, 0, -1, 1], "int32")
    return y_true, random.normal(0, 3, (4, 3)).astype("float32")


@pytest.fixture
def attributes():
    """Returns five attributes of three images; the second has no labels."""
    random = np.random.default_rng(2)
    y_true = np.array([[1, 0, -1, 0, 1], [-1] * 5, [0, -1, 1, 0, 0]], "float32")
    return y_true, random.normal(0, 3, (3, 5)).astype("float32")


def squared_errors(y_true, y_pred, sigma):
    """Returns {(image, landmark): mean over pixels} where it counts."""
    batch, height, width, count = y_pred.shape
    spread = sigma * width / 224
    errors = {}
    for b in range(batch):
        for k in range(count):
            if y_true[b, k, 2] == 0:
                continue
            total = 0.0
            for i in range(height):
                for j in range(width):
                    dx = j + 0.5 - float(y_true[b, k, 0]) * width
                    dy = i + 0.5 - float(y_true[b, k, 1]) * height
                    target = math.exp(-(dx**2 + dy**2) / 2 / spread**2)
                    total += (target - float(y_pred[b, i, j, k])) ** 2
            errors[b, k] = total / (height * width)
    return errors


@pytest.mark.parametrize("sigma", [4.0, 50.0])
def test_heatmap_loss(heatmaps, sigma):
    y_true, y_pred = heatmaps
    errors = squared_errors(y_true, y_pred, sigma)
    assert len(errors) == 5
    value, _ = value_and_gradient(HeatmapLoss(sigma), y_true, y_pred)
    assert value == pytest.approx(sum(errors.values()) / 5, rel=1e-5)


def test_heatmap_loss_is_the_papers_where_every_landmark_counts(heatmaps):
    y_true, y_pred = heatmaps
    y_true[..., 2] = 1
    errors = squared_errors(y_true, y_pred, 50.0)
    # (1/N) sum (M - M')^2, N the number of elements.
    value, _ = value_and_gradient(HeatmapLoss(50.0), y_true, y_pred)
    total = sum(errors.values()) * 5 * 7
    assert value == pytest.approx(total / (2 * 5 * 7 * 3), rel=1e-5)


def test_sigma_is_in_pixels_of_224():
    y_true = np.array([[[(3 + 0.5) / 8, (2 + 0.5) / 8, 1]]], "float32")
    y_pred = np.zeros((1, 8, 8, 1), "float32")
    # 56 pixels of 224 are 2 of 8.
    expected = sum(
        math.exp(-((j - 3) ** 2 + (i - 2) ** 2) / 2 / 2**2) ** 2
        for i in range(8)
        for j in range(8)
    )
    value, _ = value_and_gradient(HeatmapLoss(56.0), y_true, y_pred)
    assert value == pytest.approx(expected / 64, rel=1e-5)


def test_category_loss(category):
    y_true, y_pred = category
    expected = 0.0
    for label, logits in zip(y_true, y_pred.astype("float64"), strict=True):
        if label >= 0:
            total = sum(math.exp(logit) for logit in logits)
            expected -= math.log(math.exp(logits[label]) / total)
    value, _ = value_and_gradient(CategoryLoss(), y_true, y_pred)
    assert value == pytest.approx(expected / 3, rel=1e-5)
    # Keras hands labels over with an axis of 1.
    value, _ = value_and_gradient(CategoryLoss(), y_true[:, None], y_pred)
    assert value == pytest.approx(expected / 3, rel=1e-5)


def attribute_error(kind, label, logit):
    """Computes the loss of a label by the papers' formulas (4 and 7)."""
    p = 1 / (1 + math.exp(-float(logit)))
    if kind == "focal":
        if label == 1:
            return -((1 - p) ** 2) * math.log(p)
        return -(p**2) * math.log(1 - p)
    if kind == "asymmetric":
        if label == 1:
            return -math.log(p)
        shifted = max(p - 0.05, 0)
        return -(shifted**4) * math.log(1 - shifted)
    return -math.log(p if label == 1 else 1 - p)


@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "asymmetric"])
@pytest.mark.parametrize("weight", [0.1, 1.0, 0.0])
def test_attributes_loss(attributes, weight, kind):
    y_true, y_pred = attributes
    total, undecided = 0.0, 0.0
    for labels, logits in zip(y_true, y_pred, strict=True):
        for label, logit in zip(labels, logits, strict=True):
            if label >= 0:
                share = 1 if label == 1 else weight
                total += share * attribute_error(kind, label, logit)
                undecided += share * attribute_error(kind, label, 0)
    loss = AttributesLoss(weight, kind)
    value, _ = value_and_gradient(loss, y_true, y_pred)
    assert value == pytest.approx(total / undecided * math.log(2), rel=1e-5)


def test_cross_entropy_of_attributes_is_the_mean_by_weights():
    # As PyTorch's CrossEntropyLoss(weight), which the released code uses.
    y_true = np.array([[1, 0, 0]], "float32")
    y_pred = np.log([[0.25 / 0.75, 0.5 / 0.5, 0.2 / 0.8]]).astype("float32")
    expected = -(math.log(0.25) + 0.1 * math.log(0.5) + 0.1 * math.log(0.8))
    value, _ = value_and_gradient(AttributesLoss(0.1), y_true, y_pred)
    assert value == pytest.approx(expected / 1.2, rel=1e-5)


@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "asymmetric"])
@pytest.mark.parametrize("weight", [0.1, 1.0])
@pytest.mark.parametrize("present", [1, 7])
def test_who_knows_nothing_has_the_same_loss(kind, weight, present):
    y_true = np.zeros((1, 20), "float32")
    y_true[0, :present] = 1
    loss = AttributesLoss(weight, kind)
    value = float(loss(y_true, np.zeros((1, 20), "float32")))
    assert value == pytest.approx(math.log(2), rel=1e-6)


def test_exponential_target_is_the_released_codes():
    y_true = np.array([[[(3 + 0.5) / 8, (2 + 0.5) / 8, 1]]], "float32")
    y_pred = np.zeros((1, 8, 8, 1), "float32")
    # exp(-0.5 d / 8) with d in pixels of 224, of which 28 are one of 8.
    expected = sum(
        math.exp(-0.5 * 28 * math.hypot(j - 3, i - 2) / 8) ** 2
        for i in range(8)
        for j in range(8)
    )
    loss = HeatmapLoss(8.0, "exponential")
    value, _ = value_and_gradient(loss, y_true, y_pred)
    assert value == pytest.approx(expected / 64, rel=1e-4)


def wing(y, guess):
    """Computes adaptive wing over omega: formulas 5 and 6, epsilon 1."""
    error, power = abs(y - guess), 2.1 - y
    if error < 0.5:
        return math.log(1 + error**power)
    slope = power * 0.5 ** (power - 1) / (1 + 0.5**power)
    constant = 0.5 * slope - math.log(1 + 0.5**power)
    return slope * error - constant


def test_adaptive_wing():
    random = np.random.default_rng(7)
    y_true = np.array([[[0.4, 0.6, 1], [0.1, 0.1, 0]]], "float32")
    y_pred = random.normal(0.3, 1, (1, 6, 6, 2)).astype("float32")
    expected = 0.0
    for i in range(6):
        for j in range(6):
            d = (j + 0.5 - 0.4 * 6) ** 2 + (i + 0.5 - 0.6 * 6) ** 2
            target = math.exp(-d / 2 / (60 * 6 / 224) ** 2)
            expected += wing(target, float(y_pred[0, i, j, 0]))
    loss = HeatmapLoss(60.0, error="adaptive_wing")
    value, gradient = value_and_gradient(loss, y_true, y_pred)
    assert value == pytest.approx(expected / 36, rel=1e-4)
    assert not gradient[..., 1].any()


def test_adaptive_wing_of_a_perfect_and_a_wild_heatmap_has_gradients():
    y_true = np.array([[[0.5, 0.5, 1]]], "float32")
    from afn_keras.heatmaps import render_heatmaps

    loss = HeatmapLoss(60.0, error="adaptive_wing")
    perfect = np.array(render_heatmaps(y_true[..., :2], 6, 6, 60 * 6 / 224))
    value, gradient = value_and_gradient(loss, y_true, perfect)
    assert value == pytest.approx(0, abs=1e-6)
    assert np.isfinite(gradient).all()
    _, gradient = value_and_gradient(loss, y_true, perfect + 1e30)
    assert np.isfinite(gradient).all()


def test_label_smoothing(category):
    y_true, y_pred = category
    expected = 0.0
    for label, logits in zip(y_true, y_pred.astype("float64"), strict=True):
        if label >= 0:
            logs = logits - math.log(sum(math.exp(logit) for logit in logits))
            for k, value in enumerate(logs):
                share = 0.2 / len(logs) + (0.8 if k == label else 0)
                expected -= share * value
    value, _ = value_and_gradient(CategoryLoss(0.2), y_true, y_pred)
    assert value == pytest.approx(expected / 3, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HeatmapLoss(target="square"), "target must be one of"),
        (lambda: HeatmapLoss(error="l1"), "error must be one of"),
        (lambda: AttributesLoss(kind="hinge"), "kind must be one of"),
    ],
)
def test_no_such_loss(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_attributes_of_any_integer_type(attributes):
    y_true, y_pred = attributes
    expected, _ = value_and_gradient(AttributesLoss(), y_true, y_pred)
    for kind in ("int8", "int32", "int64"):
        value, _ = value_and_gradient(
            AttributesLoss(), y_true.astype(kind), y_pred
        )
        assert value == expected


def test_gradients_are_those_of_differences(heatmaps, category, attributes):
    for loss, (y_true, y_pred) in (
        (HeatmapLoss(60.0), heatmaps),
        (HeatmapLoss(60.0, "exponential"), heatmaps),
        (HeatmapLoss(60.0, error="adaptive_wing"), heatmaps),
        (CategoryLoss(), category),
        (CategoryLoss(0.3), category),
        (AttributesLoss(), attributes),
        (AttributesLoss(kind="focal"), attributes),
        (AttributesLoss(kind="asymmetric"), attributes),
    ):
        value, gradient = value_and_gradient(loss, y_true, y_pred)
        step = 1e-2
        for place in np.ndindex(y_pred.shape):
            above, below = y_pred.copy(), y_pred.copy()
            above[place] += step
            below[place] -= step
            slope = (
                float(loss(y_true, above)) - float(loss(y_true, below))
            ) / (2 * step)
            assert gradient[place] == pytest.approx(slope, abs=2e-4)


@pytest.mark.parametrize("place", [1e30, math.inf, -math.inf, -5.0])
def test_landmark_that_does_not_count_changes_nothing(heatmaps, place):
    y_true, y_pred = heatmaps
    value, gradient = value_and_gradient(HeatmapLoss(50.0), y_true, y_pred)
    y_true[0, 1, :2] = place
    y_pred[0, :, :, 1] = 1e15
    changed = value_and_gradient(HeatmapLoss(50.0), y_true, y_pred)
    assert changed[0] == value
    np.testing.assert_array_equal(changed[1], gradient)
    assert not gradient[0, ..., 1].any()


@pytest.mark.parametrize("logit", [1e30, -1e30])
def test_unknown_category_changes_nothing(category, logit):
    y_true, y_pred = category
    value, gradient = value_and_gradient(CategoryLoss(), y_true, y_pred)
    y_pred[2, 0] = logit
    changed = value_and_gradient(CategoryLoss(), y_true, y_pred)
    assert changed[0] == value
    np.testing.assert_array_equal(changed[1], gradient)
    assert not gradient[2].any()


@pytest.mark.parametrize("logit", [1e30, -1e30, math.inf, -math.inf])
def test_unknown_attribute_changes_nothing(attributes, logit):
    y_true, y_pred = attributes
    value, _ = value_and_gradient(AttributesLoss(), y_true, y_pred)
    y_pred[y_true < 0] = logit
    loss = AttributesLoss()
    assert float(loss(y_true, y_pred)) == value


def test_unknown_attribute_has_no_gradient(attributes):
    y_true, y_pred = attributes
    _, before = value_and_gradient(AttributesLoss(), y_true, y_pred)
    y_pred[y_true < 0] = 1e30
    _, gradient = value_and_gradient(AttributesLoss(), y_true, y_pred)
    np.testing.assert_array_equal(gradient, before)
    assert not gradient[y_true < 0].any()


def test_nothing_known_is_exactly_zero(heatmaps, category, attributes):
    heatmaps[0][..., 2] = 0
    category[0][:] = -1
    attributes[0][:] = -1
    for loss, (y_true, y_pred) in (
        (HeatmapLoss(), heatmaps),
        (HeatmapLoss(error="adaptive_wing"), heatmaps),
        (CategoryLoss(0.1), category),
        (AttributesLoss(), attributes),
        (AttributesLoss(kind="asymmetric"), attributes),
    ):
        value, gradient = value_and_gradient(loss, y_true, y_pred)
        assert value == 0
        assert not gradient.any()


def test_large_logits_stay_finite():
    far = np.array([[-1e4, 1e4]], "float32")
    for loss, y_true, expected in (
        (CategoryLoss(), [0], 2e4),
        (CategoryLoss(), [1], 0),
        # Both are wrong by 1e4; weights 1 and 0.1 of 1.1.
        (AttributesLoss(), [[1.0, 0.0]], 1e4),
        (AttributesLoss(), [[0.0, 1.0]], 0),
    ):
        value, gradient = value_and_gradient(loss, np.array(y_true), far)
        assert value == pytest.approx(expected, rel=1e-5)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        (HeatmapLoss(7.0, name="points"), {"sigma": 7.0, "name": "points"}),
        (HeatmapLoss(), {"sigma": 12.0, "name": "heatmap_loss"}),
        (CategoryLoss(), {"name": "category_loss"}),
        (
            AttributesLoss(0.3),
            {"negative_weight": 0.3, "name": "attributes_loss"},
        ),
        (AttributesLoss(), {"negative_weight": 0.1}),
        (AttributesLoss(kind="focal"), {"kind": "focal"}),
        (CategoryLoss(0.1), {"label_smoothing": 0.1}),
        (
            HeatmapLoss(8.0, "exponential", "adaptive_wing"),
            {"target": "exponential", "error": "adaptive_wing"},
        ),
    ],
)
def test_comes_back_from_its_config(loss, settings):
    config = loss.get_config()
    assert settings.items() <= config.items()
    again = type(loss).from_config(config)
    assert again.get_config() == config
    stored = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(stored)
    assert type(again) is type(loss)
    assert again.get_config() == config
