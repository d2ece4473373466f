import math

import numpy as np
import pytest

from afn_keras.backend.versions import keras
from afn_keras.heatmaps import render_heatmaps
from afn_keras.losses import AttributesLoss
from afn_keras.losses import CategoryLoss
from afn_keras.losses import HeatmapLoss
from afn_keras.metrics import AreaUnderCurve
from afn_keras.metrics import AttributeRecall
from afn_keras.metrics import CorrectKeypoints
from afn_keras.metrics import NormalizedError
from afn_keras.metrics import TopKAccuracy
from afn_keras.metrics import headline_metrics
from pipelines.annotations import make_vocabulary

BATCHES = [(0, 4), (4, 5), (5, 11)]


def judge(metric, y_true, y_pred):
    """Returns the metric of data in batches of different sizes."""
    for first, last in BATCHES:
        metric.update_state(y_true[first:last], y_pred[first:last])
    return float(metric.result())


@pytest.fixture
def landmarks():
    """Landmarks of 11 images, of which some count; guesses nearby.

    The third landmark counts nowhere, the fourth once.
    """
    random = np.random.default_rng(0)
    y_true = random.uniform(0.2, 0.8, (11, 4, 3)).astype("float32")
    y_true[..., 2] = random.uniform(size=(11, 4)) < 0.7
    y_true[:, 2, 2] = 0
    y_true[:, 3, 2] = np.arange(11) == 6
    y_true[y_true[..., 2] == 0] = 0
    noise = random.normal(0, 0.08, (11, 4, 2))
    return y_true, (y_true[..., :2] + noise).astype("float32")


@pytest.fixture
def category():
    random = np.random.default_rng(1)
    y_true = random.integers(-1, 6, 11).astype("int32")
    assert (y_true == -1).any()
    return y_true, random.normal(size=(11, 6)).astype("float32")


@pytest.fixture
def attributes():
    random = np.random.default_rng(2)
    y_true = random.integers(-1, 2, (11, 7)).astype("float32")
    y_true[3] = -1
    y_true[5] = 0
    return y_true, random.normal(size=(11, 7)).astype("float32")


def distances(y_true, points):
    """Returns each landmark's distances in the images where it counts."""
    images, count, _ = y_true.shape
    result = [[] for _ in range(count)]
    for i in range(images):
        for k in range(count):
            if y_true[i, k, 2]:
                dx = float(points[i, k, 0]) - float(y_true[i, k, 0])
                dy = float(points[i, k, 1]) - float(y_true[i, k, 1])
                result[k].append(math.sqrt(dx * dx + dy * dy))
    return result


def rank(scores, label):
    """Returns the number of better scores than the label's; first wins ties."""
    better = 0
    for other, score in enumerate(scores):
        if score > scores[label] or (score == scores[label] and other < label):
            better += 1
    return better


def recall(y_true, y_pred, k, columns):
    hits = present = 0
    for labels, scores in zip(y_true, y_pred, strict=True):
        known = [column for column in columns if labels[column] >= 0]
        for place, column in enumerate(known):
            if labels[column] == 1:
                present += 1
                hits += rank([scores[j] for j in known], place) < k
    return hits / present


def test_normalized_error_of_points(landmarks):
    y_true, points = landmarks
    metric = NormalizedError(4)
    value = judge(metric, y_true, points)
    per_landmark = [
        np.mean(d) if d else math.nan for d in distances(*landmarks)
    ]
    assert [len(d) for d in distances(*landmarks)][2:] == [0, 1]
    np.testing.assert_allclose(metric.ratios(), per_landmark, rtol=1e-5)
    # Per landmark, then over those that are known.
    expected = sum(per_landmark[k] for k in (0, 1, 3)) / 3
    assert value == pytest.approx(expected, rel=1e-5)


def test_normalized_error_of_heatmaps(landmarks):
    y_true, points = landmarks
    heatmaps = np.array(render_heatmaps(points, 56, 48, 2.0))
    value = judge(NormalizedError(4), y_true, heatmaps)
    known = [np.mean(d) for d in distances(y_true, points) if d]
    assert value == pytest.approx(sum(known) / 3, abs=0.0005)


def test_correct_keypoints(landmarks):
    y_true, points = landmarks
    for threshold in (0.05, 0.1):
        metric = CorrectKeypoints(threshold, 4)
        assert metric.name == f"pck@{threshold}"
        value = judge(metric, y_true, points)
        shares = [
            sum(d < threshold for d in near) / len(near)
            for near in distances(y_true, points)
            if near
        ]
        assert value == pytest.approx(sum(shares) / 3, rel=1e-5)
        assert 0 < value < 1


def test_area_under_the_curve_of_correct_keypoints(landmarks):
    y_true, points = landmarks
    value = judge(AreaUnderCurve(0.2, 4), y_true, points)
    # The area that PCK encloses, by a fine sum over thresholds.
    thresholds = (np.arange(20_000) + 0.5) / 20_000 * 0.2
    areas = [
        np.mean([(d < thresholds).mean() for d in near])
        for near in distances(y_true, points)
        if near
    ]
    assert value == pytest.approx(np.mean(areas), abs=1e-4)


def test_released_protocol_divides_by_one_pixel_less():
    # A perfect prediction of pixel i, counted from 0, of 8: the released
    # evaluator compares i / 7 with i / 8.
    pixels = np.array([[[0, 0], [7, 0], [4, 2]]])
    y_true = np.ones((1, 3, 3), "float32")
    y_true[..., :2] = (pixels + 0.5) / 8
    error = [math.hypot(x / 7 - x / 8, y / 7 - y / 8) for x, y in pixels[0]]
    metric = NormalizedError(3, protocol="released", image_size=8)
    metric.update_state(y_true, y_true[..., :2])
    np.testing.assert_allclose(metric.ratios(), error, atol=1e-6)
    heatmaps = np.zeros((1, 8, 8, 3), "float32")
    for landmark, (x, y) in enumerate(pixels[0]):
        heatmaps[0, y, x, landmark] = 1
    metric = NormalizedError(3, protocol="released", decoding="argmax")
    metric.update_state(y_true, heatmaps)
    np.testing.assert_allclose(metric.ratios(), error, atol=1e-6)


def test_released_protocol_adds_what_the_paper_says():
    # Anywhere in 224 pixels, with correct predictions.
    random = np.random.default_rng(5)
    points = random.uniform(0.2, 0.8, (1000, 8, 2)).astype("float32")
    y_true = np.concatenate([points, np.ones((1000, 8, 1))], -1)
    metric = NormalizedError(8, protocol="released", image_size=224)
    metric.update_state(y_true.astype("float32"), points)
    assert float(metric.result()) == pytest.approx(0.003, abs=0.001)


def test_place_that_does_not_count_may_be_anything(landmarks):
    y_true, points = landmarks
    expected = judge(NormalizedError(4), y_true, points)
    points = points.copy()
    points[y_true[..., 2] == 0] = math.inf
    assert judge(NormalizedError(4), y_true, points) == expected


@pytest.mark.parametrize("k", [1, 3, 5, 6, 20])
def test_top_k_accuracy(category, k):
    y_true, y_pred = category
    hits = [
        rank(scores, label) < k
        for label, scores in zip(y_true, y_pred, strict=True)
        if label >= 0
    ]
    metric = TopKAccuracy(k)
    assert metric.name == f"top{k}"
    value = judge(metric, y_true, y_pred)
    assert value == pytest.approx(sum(hits) / len(hits), rel=1e-6)
    # More guesses than categories hit always.
    assert value == 1 or k < 6
    again = TopKAccuracy(k)
    assert judge(again, y_true[:, None], y_pred) == value


def test_of_equal_scores_the_first_is_better():
    y_true, y_pred = np.array([0, 1, 2, 3]), np.zeros((4, 4), "float32")
    for k, expected in ((1, 0.25), (2, 0.5), (3, 0.75)):
        metric = TopKAccuracy(k)
        metric.update_state(y_true, y_pred)
        assert float(metric.result()) == expected
    metric = AttributeRecall(1)
    metric.update_state(np.array([[0.0, 1.0], [1.0, 0.0]]), y_pred[:2, :2])
    assert float(metric.result()) == 0.5


@pytest.mark.parametrize("k", [1, 3, 5, 7, 20])
def test_attribute_recall(attributes, k):
    y_true, y_pred = attributes
    metric = AttributeRecall(k)
    assert metric.name == f"recall@{k}"
    value = judge(metric, y_true, y_pred)
    expected = recall(y_true, y_pred, k, range(7))
    assert value == pytest.approx(expected, rel=1e-6)
    assert value == 1 or k < 7


def test_unknown_attributes_take_no_place():
    # The two highest scores are of attributes that may be there or not.
    y_true = np.array([[-1.0, -1.0, 1.0, 0.0]])
    y_pred = np.array([[9.0, 8.0, 2.0, 1.0]], "float32")
    assert judge(AttributeRecall(1), y_true, y_pred) == 1


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("columns", [[1, 4, 6], [5, 2, 0]])
def test_attribute_recall_of_a_group(attributes, k, columns):
    y_true, y_pred = attributes
    metric = AttributeRecall(k, columns, "recall_of_style")
    assert metric.name == "recall_of_style"
    value = judge(metric, y_true, y_pred)
    expected = recall(y_true, y_pred, k, columns)
    assert value == pytest.approx(expected, rel=1e-6)
    # The rest of the attributes takes no place among the k best.
    far = y_pred.copy()
    far[:, [j for j in range(7) if j not in columns]] = 1e6
    assert judge(AttributeRecall(k, columns), y_true, far) == value


@pytest.mark.parametrize(
    ("metric", "y_true", "y_pred"),
    [
        (NormalizedError(2), np.zeros((3, 2, 3)), np.ones((3, 2, 2))),
        (NormalizedError(2), np.zeros((3, 2, 3)), np.ones((3, 8, 8, 2))),
        (CorrectKeypoints(0.1, 2), np.zeros((3, 2, 3)), np.ones((3, 2, 2))),
        (AreaUnderCurve(0.2, 2), np.zeros((3, 2, 3)), np.ones((3, 2, 2))),
        (TopKAccuracy(2), np.full(3, -1), np.ones((3, 4))),
        (AttributeRecall(2), np.full((3, 4), -1.0), np.ones((3, 4))),
        # Known to be absent is nothing to recall either.
        (AttributeRecall(2), np.zeros((3, 4)), np.ones((3, 4))),
        (AttributeRecall(2, [0]), np.eye(4)[1:], np.ones((3, 4))),
    ],
)
def test_nothing_known_is_nan(metric, y_true, y_pred):
    assert math.isnan(metric.result())
    metric.update_state(y_true.astype("float32"), y_pred.astype("float32"))
    assert math.isnan(metric.result())
    assert np.isnan(metric.ratios()).all()


def test_reset_forgets_everything(landmarks, category, attributes):
    for metric, (y_true, y_pred) in (
        (NormalizedError(4), landmarks),
        (CorrectKeypoints(0.1, 4), landmarks),
        (TopKAccuracy(3), category),
        (AttributeRecall(3), attributes),
    ):
        first = judge(metric, y_true, y_pred)
        assert not math.isnan(first)
        metric.reset_state()
        assert math.isnan(metric.result())
        assert judge(metric, y_true, y_pred) == first


def test_headline_metrics_are_those_of_the_vocabulary():
    full = make_vocabulary(("Tee",), ("red",), ("style",), True)
    names = {
        task: [metric.name for metric in metrics]
        for task, metrics in headline_metrics(full).items()
    }
    assert names == {
        "heatmaps": ["ne"],
        "category": ["top1", "top3", "top5"],
        "attributes": ["recall@3", "recall@5"],
    }
    assert set(headline_metrics(make_vocabulary(("Tee",), (), (), False))) == {
        "category"
    }


def test_inside_fit_and_evaluate(landmarks, category, attributes):
    def output(name, shape):
        dense = keras.layers.Dense(math.prod(shape))(image)
        return keras.layers.Reshape(shape, name=name)(dense)

    keras.utils.set_random_seed(0)
    image = keras.Input((5,))
    model = keras.Model(
        image,
        {
            "heatmaps": output("heatmaps", (8, 8, 4)),
            "category": output("category", (6,)),
            "attributes": output("attributes", (7,)),
        },
    )
    model.compile(
        "sgd",
        loss={
            "heatmaps": HeatmapLoss(),
            "category": CategoryLoss(),
            "attributes": AttributesLoss(),
        },
        metrics={
            "heatmaps": [NormalizedError(4), CorrectKeypoints(0.5, 4)],
            "category": [TopKAccuracy(3)],
            "attributes": [AttributeRecall(3), AttributeRecall(2, [0, 4, 5])],
        },
    )
    x = np.random.default_rng(3).normal(size=(11, 5)).astype("float32")
    y = {
        "heatmaps": landmarks[0],
        "category": category[0],
        "attributes": attributes[0],
    }
    found = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    answer = model.predict(x, batch_size=4, verbose=0)
    hits = [
        rank(scores, label) < 3
        for label, scores in zip(y["category"], answer["category"], strict=True)
        if label >= 0
    ]
    assert found["category_top3"] == pytest.approx(sum(hits) / len(hits))
    assert found["attributes_recall@3"] == pytest.approx(
        recall(y["attributes"], answer["attributes"], 3, range(7))
    )
    assert found["attributes_recall@2"] == pytest.approx(
        recall(y["attributes"], answer["attributes"], 2, [0, 4, 5])
    )
    eager = NormalizedError(4)
    assert found["heatmaps_ne"] == pytest.approx(
        judge(eager, y["heatmaps"], answer["heatmaps"]), rel=1e-5
    )
    assert 0 <= found["heatmaps_pck@0.5"] <= 1

    history = model.fit(
        x, y, batch_size=4, epochs=2, verbose=0, validation_data=(x, y)
    ).history
    assert set(found) | {f"val_{name}" for name in found} == set(history)
    # Each epoch counts anew: whole images of those that are known.
    for name in ("category_top3", "val_category_top3"):
        images = len(hits) * np.array(history[name])
        assert len(images) == 2
        np.testing.assert_allclose(images, images.round(), atol=1e-4)
