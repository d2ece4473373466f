import json

import numpy as np
import pytest

from afn_keras.evaluation import evaluate
from afn_keras.runs import load_model
from afn_keras.tables import paper_tables


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
    assert evaluation["landmarks"]["mean_guess_ne"] == (
        pytest.approx(np.mean(errors), abs=1e-6)
    )
    assert evaluation["guess"]["category"]["top1"] == 4 / 8


def test_contract(evaluation):
    assert evaluation["protocol"] == "corrected"
    assert evaluation["split"] == "train"
    assert evaluation["images"] == 8
    assert list(evaluation["landmarks"]) == [
        *("ne", "mean_guess_ne", "per_landmark", "pck@0.1"),
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
            "recall@3": {"all": 0.25, "texture": 0.5, "neckline": None},
            "recall@5": {"all": 0.375, "texture": 1.0, "neckline": None},
        },
    }


def test_tables_show_published_rows_above_the_run():
    evaluation = {
        "protocol": "corrected",
        "split": "test",
        "images": 12,
        **scores(0.0625, 0.75),
        "guess": scores(0.125, 0.5),
    }
    text = paper_tables(evaluation, "mine")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    names = [row[0] for row in rows]
    assert names.index("AFN (paper)") < names.index("mine")
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
    second = rows[len(names) - 2]
    # A group that the paper has not gets a column of its own.
    assert second == [
        *("mine", "75.00 / 100.00", "50.00 / 100.00", "-", "-", "-", "-"),
        *("-", "25.00 / 37.50"),
    ]
    published = rows[names.index("FashionNet")]
    assert published[-1] == ".0872"
    assert "12 images of the test split, corrected protocol" in text


def test_published_averages_agree_with_their_columns():
    # As printed, and so only nearly: FashionNet is .0003 off.
    from afn_keras.tables import _PUBLISHED_NE

    for method, (each, average) in _PUBLISHED_NE.items():
        assert np.mean(each) == pytest.approx(average, abs=3e-4), method
