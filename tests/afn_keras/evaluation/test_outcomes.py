"""Numbers and pictures of single images; expected values worked out by hand."""

import base64
import re

import numpy as np
import pytest

from afn_keras.commands import evaluate
from afn_keras.evaluation.charts import confusion_chart
from afn_keras.evaluation.outcomes import Outcomes
from afn_keras.evaluation.outcomes import attribute_scores
from afn_keras.evaluation.outcomes import calibration
from afn_keras.evaluation.outcomes import calibration_error
from afn_keras.evaluation.worst_cases import category_mistakes
from afn_keras.evaluation.worst_cases import landmark_mistakes
from pipelines.batches.load import load_split
from pipelines.vocabulary import Vocabulary


def test_distances_in_units_of_the_box():
    outcomes = Outcomes(Vocabulary((), (), (), ("left_hem", "right_hem"), ()))
    truth = np.array([[[0.5, 0.5, 1], [0.2, 0.2, 0]]], np.float32)
    points = np.array([[[0.8, 0.9], [0.2, 0.2]]], np.float32)
    outcomes.add({"heatmaps": truth}, {"landmarks": points})
    outcomes.add({"heatmaps": truth}, {"landmarks": truth[..., :2]})
    # 3, 4, 5; the second landmark does not count.
    expected = [[0.5, np.nan], [0.0, np.nan]]
    np.testing.assert_allclose(outcomes.distances, expected, atol=1e-6)


def test_calibration_by_hand():
    score = np.array([0.95, 0.91, 1.0, 0.05, 0.25, 0.29])
    right = np.array([True, False, True, False, False, True])
    count, said, so = calibration(right, score)
    assert count.tolist() == [1, 0, 2, 0, 0, 0, 0, 0, 0, 3]
    np.testing.assert_allclose(said[[0, 2, 9]], [0.05, 0.27, 2.86 / 3])
    np.testing.assert_allclose(so[[0, 2, 9]], [0, 0.5, 2 / 3])
    # (1 x .05 + 2 x .23 + 3 x (.95333 - .66667)) / 6
    assert calibration_error(right, score) == pytest.approx(1.37 / 6)


def test_attribute_scores_by_hand():
    outcomes = Outcomes(
        Vocabulary((), ("red", "blue", "rare"), ("style", "style", "part"))
    )
    truth = np.array([[1, 1, 0], [0, 1, 0], [1, -1, -1], [0, 1, 0]])
    scores = np.array([[0.9, 0.2, 0.1], [0.8, 0.6, 0.1]] * 2)
    outcomes.add({"attributes": truth}, {"attributes": scores})
    blue, red = attribute_scores(outcomes)
    # Nobody has the rare one; blue is the more frequent.
    assert (blue.name, blue.images, blue.known) == ("blue", 3, 3)
    assert (blue.precision, blue.recall) == (1.0, pytest.approx(2 / 3))
    assert (red.images, red.known, red.group) == (2, 4, "style")
    # Said of all four. At .9 both that have it come first.
    assert (red.precision, red.recall) == (0.5, 1.0)
    assert red.average_precision == 1.0
    # In the bin from .8 on it is said with .8 and never so; above, .9 always.
    assert red.calibration_error == pytest.approx((2 * 0.8 + 2 * 0.1) / 4)


def test_confusion_counts():
    outcomes = Outcomes(Vocabulary(("Tee", "Skirt", "Hat"), (), ()))
    truth = np.array([0, 0, 0, 1, -1])
    scores = np.eye(3)[[0, 0, 1, 1, 2]]
    outcomes.add({"category": truth}, {"category": scores})
    axes = confusion_chart(outcomes).axes[0]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    # x is the prediction. Of the hat nothing is known: it is left out.
    assert texts == {(0, 0): "2", (1, 0): "1", (1, 1): "1"}
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["Tee", "Skirt"]
    np.testing.assert_allclose(
        axes.images[0].get_array(), [[2 / 3, 1 / 3], [0, 1]]
    )


def test_the_worst_come_first(records):
    """Answers are the truth, but for two images."""
    outcomes = Outcomes(records.vocabulary)
    (image, targets) = next(iter(load_split(records, "train", image_size=32)))
    targets = {name: value.numpy() for name, value in targets.items()}
    points = targets["heatmaps"][..., :2].copy()
    points[3] += 0.25
    points[1] += 0.125
    category = np.eye(3)[targets["category"]]
    category[2] = np.roll(category[2], 1)
    # Unsure of the worst, whose landmarks are to be rings.
    sure = np.ones(points.shape[:2])
    sure[3] = 0.4
    outcomes.add(
        targets,
        {
            "landmarks": points,
            "landmark_scores": sure,
            "category": category,
        },
    )
    error = np.nanmean(outcomes.distances, axis=1)
    # 0.25 to the right and down.
    assert error[3] == pytest.approx(0.25 * 2**0.5, abs=1e-6)
    sheet = landmark_mistakes(outcomes, records, "train")
    # Each image has a color of its own.
    reds = image.numpy()[:, 16, 16, 0]
    assert abs(sheet[60, 60, 0] - reds[3]) < 6
    assert abs(sheet[60, 60 + 274, 0] - reds[1]) < 6
    for column, index, is_dot in ((0, 3, False), (1, 1, True)):
        # The last is drawn above the others: orange, for it is a right one.
        last = np.flatnonzero(targets["heatmaps"][index, :, 2])[-1]
        x, y = points[index, last] * (40, 50) + (10, 20)
        # Images of 60 x 80 are drawn 195 pixels wide, in the middle of 260.
        place = np.array((y, x)) * 3.25 + (44, 14 + 32 + 274 * column)
        row, at = np.floor(place).astype(int)
        middle = sheet[row, at].astype(int)
        assert (np.abs(middle - (230, 159, 0)).max() < 25) == is_dot
    wrong = category_mistakes(outcomes, records, "train")
    assert abs(wrong[60, 60, 0] - reds[2]) < 6
    outcomes = Outcomes(records.vocabulary)
    outcomes.add(
        targets,
        {
            "landmarks": targets["heatmaps"][..., :2],
            "landmark_scores": np.ones(points.shape[:2]),
            "category": np.eye(3)[targets["category"]],
        },
    )
    assert category_mistakes(outcomes, records, "train") is None
    assert landmark_mistakes(outcomes, records, "train") is None


def test_a_page_that_needs_no_other_file(run, records, tmp_path, capsys):
    folder = tmp_path / "report"
    arguments = [
        *(str(run), "--data", str(records.folder), "--split", "train"),
        *("--report", str(folder)),
    ]
    evaluate.main(arguments)
    page = (folder / "report.html").read_text(encoding="utf-8")
    # Everything it shows is inside it.
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', page)
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", page)
    stored = [path.read_bytes() for path in folder.glob("*.png")]
    assert sorted(map(base64.b64decode, pictures)) == sorted(stored)
    for name in ("landmarks", "confusion", "precision", "calibration"):
        assert (folder / f"{name}.png").is_file()
    assert (folder / "evaluation.json").is_file()
    for text in ("floral print", "normalized error", "AFN (paper)"):
        assert text in page
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        evaluate.main(arguments)
    assert stop.value.code == 2
    assert "report: exists already" in capsys.readouterr().err


def test_scores_outlive_a_page_that_cannot_be_written(
    run, hand_written, tmp_path, capsys
):
    taken = tmp_path / "file"
    taken.write_text("no folder")
    with pytest.raises(SystemExit) as stop:
        evaluate.main(
            [
                *(str(run), "--data", str(hand_written)),
                *("--report", str(taken / "report")),
                *("--output", str(tmp_path / "scores")),
            ]
        )
    assert stop.value.code == 2
    out, errors = capsys.readouterr()
    assert "AFN (paper)" in out
    assert errors.count("\n") == 1
    assert (tmp_path / "scores" / "evaluation.json").is_file()


def test_names_are_escaped(records, tmp_path):
    from afn_keras.evaluation.html_report import write_report_page
    from afn_keras.evaluation.scores import evaluate as score

    class Knowing:
        name = "<b>mine</b>"
        image_size = 32
        vocabulary = records.vocabulary
        answer_encoded = None

        def answer(self, images):
            return {
                "landmarks": np.full((len(images), 8, 2), 0.5, np.float32),
                "landmark_scores": np.ones((len(images), 8), np.float32),
                "category": np.full((len(images), 3), 1 / 3, np.float32),
                "attributes": np.full((len(images), 5), 0.5, np.float32),
            }

    outcomes = Outcomes(records.vocabulary)
    evaluation = score(Knowing(), records, "val", watch=outcomes.add)
    page = write_report_page(
        evaluation, outcomes, records, Knowing.name, tmp_path / "page"
    ).read_text()
    assert "<b>mine" not in page
    assert "&lt;b&gt;mine" in page
