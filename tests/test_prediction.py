import json

import cv2
import numpy as np
import pytest
from PIL import Image

from afn_keras.commands import predict
from afn_keras.pictures import draw_prediction
from afn_keras.pictures import draw_predictions
from afn_keras.prediction import Prediction
from afn_keras.prediction import Predictor
from afn_keras.prediction import shown
from afn_keras.runs import load_model


class Pointing:
    """Stands where a trained network would: answers the same each time."""

    image_size = 32

    def __init__(self, vocabulary, points):
        self.vocabulary = vocabulary
        self.points = np.array(points, np.float32)

    def answer(self, images):
        shape = (len(images), len(self.points))
        return {
            "landmarks": np.broadcast_to(self.points, (*shape, 2)),
            "landmark_scores": np.full(shape, 0.5, np.float32),
            "category": np.tile([0.2, 0.7, 0.1], (len(images), 1)),
        }


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor(load_model(run))


def test_landmarks_are_in_pixels_of_the_photograph(run):
    points = [[0.5, 0.25]] * 7 + [[0.0, 1.0]]
    predictor = Predictor(Pointing(load_model(run).vocabulary, points))
    photograph = run / "samples" / "00.jpg"  # 60 x 80 pixels.
    whole, boxed = predictor.predict([photograph] * 2)[0], None
    # Half of 60 pixels is the border between pixels 29 and 30.
    assert whole.landmarks["left_collar"] == pytest.approx((29.5, 19.5, 0.5))
    assert whole.landmarks["right_hem"] == pytest.approx((-0.5, 79.5, 0.5))
    boxed = predictor.predict([photograph], [(10, 20, 50, 70)])[0]
    assert boxed.landmarks["left_collar"] == pytest.approx((29.5, 32, 0.5))
    assert boxed.box == (10, 20, 50, 70)
    names = [name for name, _ in boxed.categories]
    assert names == ["Jeans", "Tee", "Long Dress"]


def test_alone_or_in_any_batch_the_answer_is_the_same(predictor, run):
    photographs = sorted((run / "samples").glob("*.jpg")) * 3
    together = predictor.predict(photographs, batch_size=4)
    alone = [predictor.predict([path])[0] for path in photographs[:2]]
    for one, other in zip(together, alone * 3, strict=True):
        assert one.photograph == other.photograph
        for name, place in one.landmarks.items():
            assert place == pytest.approx(other.landmarks[name], abs=1e-3)
        assert dict(one.attributes) == (
            pytest.approx(dict(other.attributes), abs=1e-5)
        )
    assert predictor.predict([]) == []


def test_shown_is_the_box_of_the_upright_photograph(tmp_path):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 60:] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # Seen upright it is 40 x 80, red at the bottom.
    path = tmp_path / "turned.jpg"
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    image, box = shown(path, 32)
    assert box == (0, 0, 40, 80)
    assert image.shape == (32, 32, 3)
    assert image[4, 16].max() < 20
    assert image[28, 16, 0] > 230
    image, _ = shown(path, 32, (0, 62, 40, 80))
    assert image[..., 0].min() > 200


def test_png_and_jpeg_of_one_picture_are_shown_alike(run, tmp_path):
    jpeg = run / "samples" / "00.jpg"
    png = tmp_path / "00.png"
    Image.open(jpeg).save(png)
    difference = np.abs(shown(jpeg, 32)[0] - shown(png, 32)[0])
    assert difference.max() < 4


def test_json_lines_and_pictures(run, tmp_path, capsys):
    photographs = [str(path) for path in (run / "samples").glob("*.jpg")]
    predict.main(
        [str(run), *photographs, "--json", "--draw", str(tmp_path / "drawn")]
    )
    lines = capsys.readouterr().out.splitlines()
    answers = [json.loads(line) for line in lines if line.startswith("{")]
    assert [answer["photograph"] for answer in answers] == photographs
    assert len(answers[0]["landmarks"]) == 8
    assert len(list((tmp_path / "drawn").glob("*.png"))) == len(photographs)


def test_text_for_a_person(run, capsys):
    predict.main([str(run), str(run / "samples" / "00.jpg")])
    text = capsys.readouterr().out
    for word in ("category", "attributes", "left_collar", "right_hem"):
        assert word in text


def test_landmarks_are_drawn_where_they_are():
    photograph = np.full((100, 50, 3), 128, np.uint8)
    prediction = Prediction(
        "photo.jpg",
        (0, 0, 50, 100),
        {"left_hem": (20.0, 70.0, 0.9)},
        (("Skirt", 0.9),),
        (("red", 0.3),),
    )
    picture = draw_prediction(photograph, prediction)
    # Scaled by 6.4; blue dots are left ones.
    blue = np.abs(picture.astype(int) - (86, 180, 233)).sum(-1) < 30
    blue[: int(70.5 * 6.4) - 8] = False  # The name stands above it.
    rows, columns = np.nonzero(blue[:, :320])
    assert columns.mean() == pytest.approx(20.5 * 6.4 - 0.5, abs=0.5)
    assert rows.mean() == pytest.approx(70.5 * 6.4 - 0.5, abs=0.5)
    assert picture.shape[0] == 640


def test_pictures_of_equal_names_do_not_overwrite(tmp_path):
    predictions = []
    for name in ("a", "b"):
        path = tmp_path / name / "photo.jpg"
        path.parent.mkdir()
        cv2.imwrite(str(path), np.zeros((20, 20, 3), np.uint8))
        predictions.append(Prediction(str(path), (0, 0, 20, 20), {}, (), ()))
    written = draw_predictions(predictions, tmp_path / "drawn")
    assert [path.name for path in written] == ["photo.png", "photo-2.png"]
    assert all(path.is_file() for path in written)
