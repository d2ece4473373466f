import csv
import dataclasses
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from conftest import write_image

from afn_keras.prediction.formats import FORMATS
from afn_keras.prediction.result import Prediction
from afn_keras.prediction.writer import write_results
from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations
from pipelines.vocabulary import LANDMARK_PAIRS
from pipelines.vocabulary import LANDMARKS
from pipelines.vocabulary import Vocabulary

VOCABULARY = Vocabulary(
    ("Dress", "Tee"),
    ("red", "v-neck", "long sleeve"),
    ("style", "part", "part"),
    LANDMARKS,
    LANDMARK_PAIRS,
)


def predicted(name, box=(2.0, 3.0, 50.0, 70.0), category="Tee"):
    return Prediction(
        name,
        (60, 80),
        box,
        {
            landmark: (10.0 + i, 20.25 + i, 0.1 * i)
            for i, landmark in enumerate(LANDMARKS)
        },
        ((category, 0.75), ("Dress", 0.25)),
        (("v-neck", 0.9), ("red", 0.5), ("long sleeve", 0.49)),
    )


def written(name, predictions):
    form = FORMATS[name]()
    parts = [form.start(VOCABULARY), *map(form.add, predictions), form.end()]
    return "".join(parts)


def test_json_lines():
    lines = written("json", [predicted("a.jpg"), predicted("b.jpg")])
    first, second = map(json.loads, lines.splitlines())
    assert first["image"] == "a.jpg"
    assert first["size"] == [60, 80]
    assert first["landmarks"]["right_collar"] == [11.0, 21.25, 0.1]
    assert second["attributes"][0] == ["v-neck", 0.9]


def test_csv_cells():
    text = written("csv", [predicted('quoted "a", b.jpg')])
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["image"] == 'quoted "a", b.jpg'
    assert (row["x1"], row["y2"]) == ("2", "70")
    assert (row["category"], row["category_score"]) == ("Tee", "0.7500")
    # From one half on an attribute is there.
    assert row["attributes"] == "v-neck|red"
    assert row["left_hem_y"] == "26.25"
    assert row["left_hem_visibility"] == "0"
    # Less likely there than not: no place.
    assert (row["left_sleeve_x"], row["left_sleeve_y"]) == ("", "")
    assert row["left_sleeve_visibility"] == "2"
    assert row["left_sleeve_score"] == "0.2000"


@pytest.mark.parametrize(
    ("form", "name"), [("csv", "labels.csv"), ("coco", "predicted.json")]
)
def test_what_is_written_can_be_trained_on(form, name, tmp_path):
    """Corrected by hand it is data like any other."""
    for image in ("a.jpg", "b.jpg"):
        write_image(tmp_path / image)
    predictions = [
        predicted("a.jpg"),
        predicted("b.jpg", category="Dress"),
        predicted("b.jpg", box=(1.0, 1.0, 20.5, 30.0)),
    ]
    (tmp_path / name).write_text(written(form, predictions))
    data = read_annotations(tmp_path / name)
    names = [kind.value for kind in {p.kind for p in data.problems}]
    # The third garment's landmarks lie outside its box.
    assert names in ([], ["landmark beyond the box"])
    table = data.table
    assert list(table["image"]) == ["a.jpg", "b.jpg", "b.jpg"]
    vocabulary = data.vocabulary
    assert [vocabulary.categories[i] for i in table["category"]] == (
        ["Tee", "Dress", "Tee"]
    )
    boxes = table[["x1", "y1", "x2", "y2"]].to_numpy()
    np.testing.assert_allclose(boxes[0], [2, 3, 50, 70])
    np.testing.assert_allclose(boxes[2], [1, 1, 20.5, 30])
    assert [len(points) for points in table["landmarks"]] == [8, 8, 8]
    # Scores from one half on: the right end of the waistline, and the hem.
    for points in table["landmarks"][:2]:
        np.testing.assert_array_equal(points[:, 2], [2] * 5 + [0] * 3)
    np.testing.assert_allclose(table["landmarks"][0][6, :2], [16, 26.25])
    for row in table["attributes"]:
        found = {vocabulary.attributes[i] for i in np.flatnonzero(row == 1)}
        assert found == {"v-neck", "red"}


def test_coco_numbers():
    content = json.loads(
        written("coco", [predicted("a.jpg"), predicted("a.jpg")])
    )
    assert [image["id"] for image in content["images"]] == [1]
    first, second = content["annotations"]
    assert first["bbox"] == [2, 3, 48, 67]
    assert first["area"] == 48 * 67
    assert first["keypoints"][3:6] == [0, 0, 0]
    assert first["keypoints"][15:] == [
        *(15.0, 25.25, 2, 16.0, 26.25, 2),
        *(17.0, 27.25, 2),
    ]
    assert first["num_keypoints"] == 3
    assert first["segmentation"] == [[2, 3, 50, 3, 50, 70, 2, 70]]
    assert first["score"] == 0.75
    assert (second["id"], second["image_id"]) == (2, 1)
    (name,) = {
        category["name"]
        for category in content["categories"]
        if category["id"] == first["category_id"]
    }
    assert name == "Tee"


def test_numbers_have_the_digits_that_they_mean():
    single = dataclasses.replace(
        predicted("a.jpg", box=(1.23456, 2.0, 30.98765, 41.5)),
        landmarks={"left_hem": (10.123456, 20.987654, 0.7654321)},
        categories=(("Tee", 1 / 3),),
    )
    answer = json.loads(single.to_json())
    assert answer["box"] == [1.23, 2.0, 30.99, 41.5]
    assert answer["landmarks"]["left_hem"] == [10.12, 20.99, 0.7654]
    assert answer["categories"] == [["Tee", 0.3333]]
    (annotation,) = json.loads(written("coco", [single]))["annotations"]
    assert annotation["bbox"] == [1.23, 2.0, 29.76, 39.5]
    assert annotation["keypoints"] == [10.12, 20.99, 2]
    assert annotation["score"] == 0.3333


def test_pycocotools_reads_coco(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    path = tmp_path / "predicted.json"
    path.write_text(written("coco", [predicted("a.jpg"), predicted("b.jpg")]))
    data = coco.COCO(path)
    (image,) = data.getImgIds(imgIds=[2])
    (annotation,) = data.loadAnns(data.getAnnIds(imgIds=[image]))
    # The box's own pixels: 48 x 67.
    assert data.annToMask(annotation).sum() == 48 * 67
    (category,) = data.loadCats([annotation["category_id"]])
    names = category["keypoints"]
    lines = [[names[i - 1] for i in pair] for pair in category["skeleton"]]
    assert ["left_hem", "right_hem"] in lines
    assert data.dataset["licenses"][0]["id"] == data.imgs[2]["license"]
    # Its own evaluation takes them as results too.
    keypoints = data.loadRes(data.dataset["annotations"])
    assert len(keypoints.getAnnIds()) == 2


def test_a_network_with_landmarks_alone():
    bare = Vocabulary((), (), (), LANDMARKS, VOCABULARY.landmark_pairs)
    single = predicted("a.jpg")
    single = Prediction(
        "a.jpg", single.size, single.box, single.landmarks, (), ()
    )
    for name in FORMATS:
        form = FORMATS[name]()
        text = form.start(bare) + form.add(single) + form.end()
        assert "a.jpg" in text
        assert ("garment" in text) == (name == "coco")


def test_a_table_for_a_person():
    one = written("table", [predicted("a.jpg")])
    assert "left_sleeve     x   12.0  y   22.2  20%" in one
    many = written("table", [predicted("a.jpg"), predicted("b.jpg")])
    header, _, first, second = many.splitlines()
    assert header.split("  ")[0] == "image"
    assert "Tee 75%" in first
    assert "v-neck 90%, red 50%, long sleeve 49%" in first
    # Peaks of .5, .6 and .7.
    assert second.rstrip().endswith("3 of 8")
    assert written("table", []) == ""


def test_ctrl_c_keeps_what_is_there(tmp_path):
    def answers():
        yield predicted("a.jpg")
        raise KeyboardInterrupt

    path = tmp_path / "out.json"
    with pytest.raises(
        KeyboardInterrupt, match="1 predictions are in .*out.json"
    ):
        write_results(answers(), FORMATS["coco"](), VOCABULARY, path)
    assert len(json.loads(path.read_text())["annotations"]) == 1


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_results([], FORMATS["csv"](), VOCABULARY, path)
    assert path.read_text() == "mine"
    with pytest.raises(InputError, match="there is no folder"):
        write_results([], FORMATS["csv"](), VOCABULARY, tmp_path / "no" / "x")


_FILL = """
from pathlib import Path
from test_writer import *
write_results(
    (predicted(f"{i:04d}.jpg") for i in range(1000)),
    FORMATS["json"](), VOCABULARY, Path(PATH),
)
"""


def test_a_full_disk_leaves_whole_lines(tmp_path):
    path = tmp_path / "out.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", _FILL.replace("PATH", repr(str(path)))],
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        # A file may not grow beyond this: writing fails as on a full disk.
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (20_000, 20_000)
        ),
    )
    message = done.stderr.splitlines()[-1]
    assert f"--output {path}: writing failed" in message
    lines = path.read_text().splitlines()
    assert len(lines) > 10
    assert [json.loads(line)["image"] for line in lines] == [
        f"{i:04d}.jpg" for i in range(len(lines))
    ]
    assert 20_000 - path.stat().st_size < len(lines[0]) + 2
