"""Numbers and pictures of single images; expected values worked out by hand."""

import base64
import re

import numpy as np
import pytest

from afn_keras.commands import evaluate
from afn_keras.evaluation.charts import calibration_chart
from afn_keras.evaluation.charts import confusion_chart
from afn_keras.evaluation.image_results import ImageResults
from afn_keras.evaluation.image_results import attribute_scores
from afn_keras.evaluation.image_results import calibration
from afn_keras.evaluation.image_results import calibration_error
from afn_keras.evaluation.worst_cases import category_mistakes
from afn_keras.evaluation.worst_cases import landmark_mistakes
from pipelines.batches.load import load_split
from pipelines.vocabulary import Vocabulary


def test_distances_in_units_of_the_box():
    results = ImageResults(
        Vocabulary((), (), (), ("left_hem", "right_hem"), ())
    )
    truth = np.array([[[0.5, 0.5, 1], [0.2, 0.2, 0]]], np.float32)
    points = np.array([[[0.8, 0.9], [0.2, 0.2]]], np.float32)
    results.add({"heatmaps": truth}, {"landmarks": points})
    results.add({"heatmaps": truth}, {"landmarks": truth[..., :2]})
    # 3, 4, 5; the second landmark does not count.
    expected = [[0.5, np.nan], [0.0, np.nan]]
    np.testing.assert_allclose(results.distances, expected, atol=1e-6)


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
    results = ImageResults(
        Vocabulary((), ("red", "blue", "rare"), ("style", "style", "part"))
    )
    truth = np.array([[1, 1, 0], [0, 1, 0], [1, -1, -1], [0, 1, 0]])
    scores = np.array([[0.9, 0.2, 0.1], [0.8, 0.6, 0.1]] * 2)
    results.add({"attributes": truth}, {"attributes": scores})
    blue, red = attribute_scores(results)
    # Nobody has the rare one; blue is the more frequent.
    assert (blue.name, blue.images, blue.known) == ("blue", 3, 3)
    assert (blue.precision, blue.recall) == (1.0, pytest.approx(2 / 3))
    assert (red.images, red.known, red.group) == (2, 4, "style")
    # Said of all four. At .9 both that have it come first.
    assert (red.precision, red.recall) == (0.5, 1.0)
    assert red.average_precision == 1.0
    # The bin from .8 predicts .8 and is never right; the next, .9, always.
    assert red.calibration_error == pytest.approx((2 * 0.8 + 2 * 0.1) / 4)


def test_confusion_counts():
    results = ImageResults(Vocabulary(("Tee", "Skirt", "Hat"), (), ()))
    truth = np.array([0, 0, 0, 1, -1])
    scores = np.eye(3)[[0, 0, 1, 1, 2]]
    results.add({"category": truth}, {"category": scores})
    axes = confusion_chart(results).axes[0]
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
    results = ImageResults(records.vocabulary)
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
    results.add(
        targets,
        {
            "landmarks": points,
            "landmark_scores": sure,
            "category": category,
        },
    )
    error = np.nanmean(results.distances, axis=1)
    # 0.25 to the right and down.
    assert error[3] == pytest.approx(0.25 * 2**0.5, abs=1e-6)
    sheet = landmark_mistakes(results, records, "train")
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
    wrong = category_mistakes(results, records, "train")
    assert abs(wrong[60, 60, 0] - reds[2]) < 6
    results = ImageResults(records.vocabulary)
    results.add(
        targets,
        {
            "landmarks": targets["heatmaps"][..., :2],
            "landmark_scores": np.ones(points.shape[:2]),
            "category": np.eye(3)[targets["category"]],
        },
    )
    assert category_mistakes(results, records, "train") is None
    assert landmark_mistakes(results, records, "train") is None


@pytest.fixture(scope="module")
def page(run, records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "report"
    evaluate.main(arguments(run, records, folder))
    return folder / "report.html"


def arguments(run, records, folder):
    return [
        *(str(run), "--data", str(records.folder), "--split", "train"),
        *("--report", str(folder)),
    ]


def test_a_page_that_needs_no_other_file(page, run, records, capsys):
    folder = page.parent
    page = page.read_text(encoding="utf-8")
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
        evaluate.main(arguments(run, records, folder))
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


def test_bins_of_few_predictions_are_marked():
    results = ImageResults(Vocabulary(("Tee", "Skirt"), (), ()))
    # Ten predictions with 95%, nine of them right; nine with 75%, all right.
    best = np.array([0.95] * 10 + [0.75] * 9)
    truth = np.array([0] * 9 + [1] + [0] * 9)
    scores = np.stack([best, 1 - best], axis=1)
    results.add({"category": truth}, {"category": scores})
    figure = calibration_chart(results)
    above, below = figure.axes
    points = {line.get_marker(): line.get_xydata() for line in above.lines}
    np.testing.assert_allclose(points["o"], [[0.95, 0.9]])
    np.testing.assert_allclose(points["x"], [[0.75, 1.0]])
    (label,) = above.get_legend().get_texts()
    assert label.get_text() == "fewer than 10 predictions"
    bars = {bar.get_height(): bar.get_facecolor() for bar in below.patches}
    assert bars[9][0] == pytest.approx(0xCC / 255)
    assert bars[10][0] == pytest.approx(0x77 / 255)
    # No formula, which would be shown as it is written.
    figure.canvas.draw()
    labels = [label.get_text() for label in below.get_yticklabels()]
    assert {"1", "10"} <= set(labels)
    assert not any("$" in label for label in labels)


def test_category_and_attributes_have_their_own_tables(page):
    """Each is below its heading, without empty rows."""
    text = page.read_text(encoding="utf-8")
    tables = {}
    for section in text.split("<h2 ")[1:]:
        first = section.split("<table>")[1].split("</table>")[0]
        tables[re.search(r">(\w+)</h2>", section)[1]] = [
            re.findall(r"<t[hd]>([^<]*)", row) for row in first.split("<tr")[1:]
        ]
        if section.startswith('id="attributes"'):
            break
    assert tables["Category"][0] == ["top-3 / top-5, %", "Category"]
    methods = [row[0] for row in tables["Category"]]
    assert "Lu et al., 2017" in methods
    header, *body = tables["Attributes"]
    assert header[1:4] == ["Texture", "Fabric", "Shape"]
    assert "Category" not in header
    # It was published for categories alone.
    methods = [row[0] for row in body]
    assert "Lu et al., 2017" not in methods
    paper = body[methods.index("AFN (paper), 2018")]
    assert paper[1] == "56.17 / 65.83"


def test_a_phone_scrolls_no_page_sideways(page, browser):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        browser.get(page.as_uri())
        script = "return document.documentElement.scrollWidth"
        assert browser.execute_script(script) == 390
        # All that is wider scrolls in a place of its own; what is not is one
        # column.
        script = """
        const sizes = [...document.querySelectorAll("SELECTOR")].map(
            e => e.getBoundingClientRect());
        return sizes.map(size => [size.left, size.right]);
        """
        boxes = browser.execute_script(script.replace("SELECTOR", ".wide"))
        assert len(boxes) > 8
        assert max(right for _, right in boxes) <= 390
        images = browser.execute_script(script.replace("SELECTOR", ".wide img"))
        assert max(right for _, right in images) > 800
        numbers = browser.execute_script(
            script.replace("SELECTOR", ".numbers div")
        )
        assert len(numbers) == 5
        assert len({left for left, _ in numbers}) == 1
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_names_are_escaped(records, tmp_path):
    from afn_keras.evaluation.html_report import write_report_page
    from afn_keras.evaluation.scores import evaluate as score

    class Knowing:
        name = "<b>mine</b>"
        image_size = 32
        vocabulary = records.vocabulary
        predict_encoded = None

        def predict_images(self, images):
            return {
                "landmarks": np.full((len(images), 8, 2), 0.5, np.float32),
                "landmark_scores": np.ones((len(images), 8), np.float32),
                "category": np.full((len(images), 3), 1 / 3, np.float32),
                "attributes": np.full((len(images), 5), 0.5, np.float32),
            }

    results = ImageResults(records.vocabulary)
    evaluation = score(Knowing(), records, "val", on_batch=results.add)
    page = write_report_page(
        evaluation, results, records, Knowing.name, tmp_path / "page"
    ).read_text()
    assert "<b>mine" not in page
    assert "&lt;b&gt;mine" in page
