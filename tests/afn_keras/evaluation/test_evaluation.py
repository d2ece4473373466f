import dataclasses
import json

import numpy as np
import pytest
from conftest import write_image

from afn_keras.evaluation.scores import Scores
from afn_keras.evaluation.scores import evaluate
from afn_keras.evaluation.tables import paper_tables
from afn_keras.loading import load_model
from afn_keras.outputs import FlipAveraged
from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records


@pytest.fixture(scope="module")
def evaluation(run, records):
    return evaluate(load_model(run), records, "train")


def test_guesses_are_the_training_splits_means(evaluation, records):
    # Every box is the same and landmark k lies at pixel (14 + k, 24 + k),
    # where k counts the landmarks that the clothes type has.
    places = {0: (0, 1, 2, 3, 6, 7), 1: (4, 5, 6, 7), 2: range(8)}
    kinds = [0, 1, 2, 0, 0, 1, 2, 0]  # Images 0 to 3 and 6 to 9, modulo 3.
    points = {landmark: [] for landmark in range(8)}
    for kind in kinds:
        for k, landmark in enumerate(places[kind]):
            point = ((14 + k + 0.5 - 10) / 40, (24 + k + 0.5 - 20) / 50)
            points[landmark].append(point)
    errors = []
    for landmark in range(8):
        mean = np.mean(points[landmark], 0)
        distances = [np.hypot(*(mean - point)) for point in points[landmark]]
        errors.append(np.mean(distances))
    assert evaluation["landmarks"]["baseline_ne"] == (
        pytest.approx(np.mean(errors), abs=1e-6)
    )
    assert evaluation["baseline"]["category"]["top1"] == 4 / 8


def test_contract(evaluation):
    assert evaluation["protocol"] == "corrected"
    assert evaluation["split"] == "train"
    assert evaluation["images"] == 8
    assert list(evaluation["landmarks"]) == [
        *("ne", "baseline_ne", "per_landmark"),
        *("pck@0.1", "pck@0.2", "auc@0.2"),
    ]
    assert list(evaluation["category"]) == ["top1", "top3", "top5"]
    groups = ["all", "texture", "fabric", "shape", "part", "style"]
    for k in (3, 5):
        assert list(evaluation["attributes"][f"recall@{k}"]) == groups
    json.dumps(evaluation, allow_nan=False)


def test_batch_size_changes_no_score(evaluation, run, records):
    again = evaluate(load_model(run), records, "train", batch_size=3)
    assert again["landmarks"]["ne"] == (
        pytest.approx(evaluation["landmarks"]["ne"], abs=1e-6)
    )
    assert again["category"] == evaluation["category"]


def scores(ne, top3):
    return {
        "landmarks": {"ne": ne, "per_landmark": {"left_hem": ne}},
        "category": {"top1": 0.5, "top3": top3, "top5": 1.0},
        "attributes": {
            "recall@1": {"all": 0.125, "texture": 0.25, "neckline": None},
            "recall@3": {"all": 0.25, "texture": 0.5, "neckline": None},
            "recall@5": {"all": 0.375, "texture": 1.0, "neckline": None},
        },
    }


def test_tables_show_published_rows_above_the_run():
    evaluation = {
        "protocol": "corrected",
        "split": "test",
        "images": 12,
        "published": True,
        "warnings": [],
        **scores(0.0625, 0.75),
        "baseline": scores(0.125, 0.5),
    }
    text = paper_tables(evaluation, "mine")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    names = [row[0] for row in rows]
    assert names.index("AFN (paper), 2018") < names.index("mine")
    first = rows[names.index("mine")]
    assert first == [
        "mine",
        "-",
        "-",
        "-",
        "-",
        "-",
        "-",
        ".0625",
        "-",
        ".0625",
    ]
    third = rows[len(names) - 2]
    assert third == ["mine", "25.00", "-"]
    assert rows[len(names) - 4] == ["recall@1, %", "Texture", "Neckline"]
    second = rows[len(names) - 6]
    # A group that is not in the paper gets its own column.
    assert second == [
        *("mine", "75.00 / 100.00", "50.00 / 100.00", "-", "-", "-", "-"),
        *("-", "25.00 / 37.50"),
    ]
    published = rows[names.index("FashionNet, 2016")]
    assert published[-1] == ".0872"
    # Of later work only the averages are known.
    later = [rows[names.index(name)] for name in ("SANL, 2019", "MDDNet, 2020")]
    assert [row[1:] for row in later] == [
        [*["-"] * 8, ".0299"],
        [*["-"] * 8, ".0251"],
    ]
    above = names[2 : names.index("mine")]
    years = [int(name.rpartition(", ")[2]) for name in above]
    assert years == sorted(years) == [2016, 2016, 2017, 2018, 2018, 2019, 2020]
    assert "12 images of the test split, corrected protocol" in text


def test_other_data_have_no_published_rows():
    """Nor columns of groups that only the benchmark has."""
    evaluation = {
        "protocol": "corrected",
        "split": "test",
        "images": 12,
        "published": False,
        "warnings": [],
        **scores(0.0625, 0.75),
        "baseline": scores(0.125, 0.5),
    }
    text = paper_tables(evaluation, "mine")
    assert "DeepFashion" not in text
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and "---" not in line
    ]
    points, labels, first = rows[:3], rows[3:6], rows[6:]
    assert first == [
        ["recall@1, %", "Texture", "Neckline"],
        ["mine", "25.00", "-"],
        ["baseline", "25.00", "-"],
    ]
    assert [row[0] for row in points] == [
        *("normalized error", "mine", "baseline"),
    ]
    # The eight columns stay, whatever is labeled.
    assert points[2] == ["baseline", *["-"] * 6, ".1250", "-", ".1250"]
    assert labels == [
        ["top-3 / top-5, %", "Category", "Texture", "Neckline", "All"],
        ["mine", "75.00 / 100.00", "50.00 / 100.00", "-", "25.00 / 37.50"],
        ["baseline", "50.00 / 100.00", "50.00 / 100.00", "-", "25.00 / 37.50"],
    ]


def test_published_rows_are_of_the_benchmark_alone(run, records):
    model = load_model(run)
    assert evaluate(model, records, "val")["published"]
    for origin in ("synthetic", "other"):
        others = dataclasses.replace(records, origin=origin)
        assert not evaluate(model, others, "val")["published"]
        assert evaluate(model, others, "val", published=True)["published"]


def test_published_averages_agree_with_their_columns():
    # As printed, and so only nearly: FashionNet is .0003 off.
    from afn_keras.evaluation.tables import _PUBLISHED_NE

    for method, (each, average) in _PUBLISHED_NE.items():
        if None not in each:
            assert np.mean(each) == pytest.approx(average, abs=3e-4), method


def test_the_runs_baseline_where_the_data_have_none(evaluation, run, records):
    model = load_model(run)
    alone = dataclasses.replace(records, baseline=None)
    again = evaluate(model, alone, "train", trained_on=model.data)
    assert again == evaluation
    # It is never made up.
    unknown = evaluate(model, alone, "train")
    assert unknown["baseline"] is None
    assert unknown["landmarks"]["baseline_ne"] is None
    text = paper_tables(unknown, "mine")
    assert "| mine" in text
    assert "baseline" not in text.lower()


def test_data_with_a_part_of_the_labels(evaluation, run, tmp_path):
    """They are found by name, in another order too; the others are unknown."""
    colors = [(20 * i % 256, 90, 200) for i in (0, 1, 2)]
    rows = ["image,split,category,x1,y1,x2,y2,left_hem_x,left_hem_y"]
    for i, (color, name) in enumerate(
        zip(colors, ("Tee", "Jeans", "Tee"), strict=True)
    ):
        write_image(tmp_path / f"{i}.jpg", color=color)
        rows.append(f"{i}.jpg,test,{name},10,20,50,70,{20 + i},60")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    own = write_records(read_annotations(tmp_path), tmp_path / "records")
    assert own.vocabulary.categories == ("Jeans", "Tee")
    model = load_model(run)
    seen = []
    found = evaluate(
        model,
        own,
        "test",
        on_batch=lambda *batch: seen.append(batch),
        trained_on=model.data,
    )
    ((targets, predictions),) = seen
    # The benchmark names Tee, Jeans and Long Dress.
    assert targets["category"].tolist() == [0, 1, 0]
    assert (targets["attributes"] == -1).all()
    hem = model.vocabulary.landmarks.index("left_hem")
    truth = [[(20.5 + i - 10) / 40, 40.5 / 50, 1] for i in range(3)]
    np.testing.assert_allclose(targets["heatmaps"][:, hem], truth, rtol=1e-6)
    assert targets["heatmaps"][..., 2].sum() == 3
    distance = predictions["landmarks"][:, hem] - np.array(truth)[:, :2]
    error = np.linalg.norm(distance, axis=1).mean()
    assert found["landmarks"]["ne"] == pytest.approx(error, rel=1e-5)
    assert found["landmarks"]["per_landmark"]["right_hem"] is None
    assert found["attributes"] is None
    best = predictions["category"].argmax(1)
    assert found["category"]["top1"] == np.mean(best == [0, 1, 0])
    # Half of the training images are tees, a quarter jeans.
    assert found["baseline"]["category"]["top1"] == pytest.approx(2 / 3)
    assert "baseline" in paper_tables(found, "mine")


def test_a_label_the_network_does_not_know(run, records):
    other = dataclasses.replace(
        records.vocabulary,
        attributes=(*records.vocabulary.attributes, "a", "b", "c", "d"),
        attribute_groups=(*records.vocabulary.attribute_groups, *"wxyz"),
    )
    message = "not trained on the attributes a, b, c and 1 more; evaluate"
    with pytest.raises(InputError, match=message):
        evaluate(
            load_model(run),
            dataclasses.replace(records, vocabulary=other),
            "val",
        )


def test_no_such_protocol(run, records):
    with pytest.raises(ValueError, match="protocol must be one of"):
        evaluate(load_model(run), records, "val", protocol="mine")


class MeanColor:
    """Answers that depend on what is left and right in an image.

    Landmark k lies at the brightest column; the category's probability is
    the brightness of the left half.
    """

    name = "color"
    image_size = 8

    def __init__(self, vocabulary):
        self.vocabulary = vocabulary

    def predict_images(self, images):
        column = images.mean((1, 3)).argmax(1)
        points = np.zeros((len(images), 8, 2), "float32")
        # Each landmark half a column further to the right.
        points[..., 0] = (column[:, None] + 0.5 + 0.5 * np.arange(8)) / 8
        points[..., 1] = 0.25
        left = images[:, :, :4].mean((1, 2))
        return {
            "landmarks": points,
            "landmark_scores": points[..., 0],
            "category": left,
        }


def test_flipped_predictions_are_averaged(records):
    images = np.zeros((1, 8, 8, 3), "float32")
    images[0, :, 1] = 80  # Column 1; in the mirror image column 6.
    predictions = FlipAveraged(MeanColor(records.vocabulary)).predict_images(
        images
    )
    for k, (x, y) in enumerate(predictions["landmarks"][0]):
        # The pair's other landmark, which is the next or the one before.
        other = k + 1 if k % 2 == 0 else k - 1
        straight = (1.5 + 0.5 * k) / 8
        mirrored = 1 - (6.5 + 0.5 * other) / 8
        assert x == pytest.approx((straight + mirrored) / 2)
        assert y == pytest.approx(0.25)
    np.testing.assert_allclose(predictions["category"], [[10, 10, 10]])


def test_flipped_predictions_for_a_side_alone(records):
    """The mirror image knows nothing of a left landmark without its right."""

    class Fixed:
        vocabulary = records.vocabulary.with_landmarks([4, 6, 7])

        def predict_images(self, images):
            points = [[0.1, 0.5], [0.2, 0.5], [0.9, 0.7]]
            return {
                "landmarks": np.array([points], "float32"),
                "landmark_scores": np.array([[0.5, 0.25, 0.75]], "float32"),
            }

    predictions = FlipAveraged(Fixed()).predict_images(
        np.zeros((1, 8, 8, 3), "float32")
    )
    np.testing.assert_allclose(
        predictions["landmarks"][0],
        [[0.1, 0.5], [(0.2 + 0.1) / 2, 0.6], [(0.9 + 0.8) / 2, 0.6]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        predictions["landmark_scores"], [[0.5, 0.5, 0.5]], rtol=1e-6
    )


def test_scores_do_not_depend_on_how_images_come(records):
    """Forty thousand images are scored in blocks, whatever the batches."""
    random = np.random.default_rng(3)
    count, vocabulary = 1100, records.vocabulary
    targets = {
        "heatmaps": random.uniform(size=(count, 8, 3)).round(3),
        "category": random.integers(-1, 3, count),
        "attributes": random.integers(-1, 2, (count, 5)),
    }
    predictions = {
        "landmarks": random.uniform(size=(count, 8, 2)),
        "category": random.uniform(size=(count, 3)),
        "attributes": random.uniform(size=(count, 5)),
    }
    targets, predictions = (
        {name: value.astype("float32") for name, value in part.items()}
        for part in (targets, predictions)
    )
    results = []
    for size in (1, 37, 1100):
        scores = Scores(vocabulary)
        for first in range(0, count, size):
            block = slice(first, first + size)
            scores.update(
                {name: value[block] for name, value in targets.items()},
                {name: value[block] for name, value in predictions.items()},
            )
        results.append(scores.result())
    assert results[0]["category"] == results[1]["category"]
    assert results[0]["attributes"] == results[2]["attributes"]
    assert results[0]["landmarks"]["ne"] == (
        pytest.approx(results[2]["landmarks"]["ne"], rel=1e-5)
    )
