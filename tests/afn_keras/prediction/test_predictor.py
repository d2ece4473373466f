import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from conftest import write_image
from matplotlib import colormaps
from PIL import Image

from afn_keras.commands import predict
from afn_keras.drawing.maps import draw_attention
from afn_keras.drawing.maps import draw_maps
from afn_keras.drawing.marks import write
from afn_keras.drawing.predictions import draw_landmarks
from afn_keras.drawing.predictions import draw_prediction
from afn_keras.drawing.predictions import save_prediction
from afn_keras.loading import load_model
from afn_keras.prediction.cropping import crop
from afn_keras.prediction.inputs import ImageInput
from afn_keras.prediction.predictor import Maps
from afn_keras.prediction.predictor import Predictor
from afn_keras.prediction.result import Prediction
from exports.opening import open_model
from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations

# As a user has it, without what the tests set.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name != "TF_CPP_MIN_LOG_LEVEL"
}


class Pointing:
    """A fake network that predicts the same for every image."""

    image_size = 32

    def __init__(self, vocabulary, points):
        self.vocabulary = vocabulary
        self.points = np.array(points, np.float32)

    def predict_images(self, images):
        shape = (len(images), len(self.points))
        return {
            "landmarks": np.broadcast_to(self.points, (*shape, 2)),
            "landmark_scores": np.full(shape, 0.5, np.float32),
            "category": np.tile([0.2, 0.7, 0.1], (len(images), 1)),
        }


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor(load_model(run))


def test_landmarks_are_in_pixels_of_the_image(run):
    points = [[0.5, 0.25]] * 7 + [[0.0, 1.0]]
    predictor = Predictor(Pointing(load_model(run).vocabulary, points))
    image = run / "samples" / "00.jpg"  # 60 x 80 pixels.
    whole, boxed = predictor.predict([image] * 2)[0], None
    # Half of 60 pixels is the border between pixels 29 and 30.
    assert whole.landmarks["left_collar"] == pytest.approx((29.5, 19.5, 0.5))
    assert whole.landmarks["right_hem"] == pytest.approx((-0.5, 79.5, 0.5))
    boxed = predictor.predict([image], [(10, 20, 50, 70)])[0]
    assert boxed.landmarks["left_collar"] == pytest.approx((29.5, 32, 0.5))
    assert boxed.box == (10, 20, 50, 70)
    names = [name for name, _ in boxed.categories]
    assert names == ["Jeans", "Tee", "Long Dress"]


def test_boxes_and_paths_as_people_have_them(predictor, run):
    paths = sorted((run / "samples").glob("*.jpg"))[:2]
    boxes = [(10, 20, 50, 70), (0, 0, 30.5, 40)]
    expected = predictor.predict(paths, boxes)
    assert [one.box for one in expected] == boxes
    for kind in (np.array(boxes, "float32"), np.array(boxes), map(list, boxes)):
        kind = kind if isinstance(kind, np.ndarray) else list(kind)
        assert predictor.predict(paths, kind) == expected
    single = predictor.predict(paths[0], boxes[0])
    assert single[0].box == boxes[0]
    assert (
        predictor.predict(str(paths[0]), np.array(boxes[0]))[0].box
        == (boxes[0])
    )
    assert predictor.predict(paths[0])[0].box == (0, 0, 60, 80)
    assert predictor.maps(paths[0], np.array(boxes[0])).box == boxes[0]
    assert predictor.predict([], np.zeros((0, 4))) == []
    for wrong in ([boxes[0]], np.zeros((2, 3)), boxes[0]):
        with pytest.raises(ValueError, match=r"it should be \(2, 4\)"):
            predictor.predict(paths, wrong)


def test_predictions_do_not_depend_on_the_batch(predictor, run):
    images = sorted((run / "samples").glob("*.jpg")) * 3
    together = predictor.predict(images, batch_size=4)
    alone = [predictor.predict([path])[0] for path in images[:2]]
    for one, other in zip(together, alone * 3, strict=True):
        assert one.image == other.image
        for name, place in one.landmarks.items():
            assert place == pytest.approx(other.landmarks[name], abs=1e-3)
        assert dict(one.attributes) == (
            pytest.approx(dict(other.attributes), abs=1e-5)
        )
    assert predictor.predict([]) == []


def test_a_crop_is_the_box_of_the_upright_image(tmp_path):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 60:] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # Seen upright it is 40 x 80, red at the bottom.
    path = tmp_path / "turned.jpg"
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    image, box, size = crop(path, 32)
    assert size == (40, 80)
    assert box == (0, 0, 40, 80)
    assert image.shape == (32, 32, 3)
    assert image[4, 16].max() < 20
    assert image[28, 16, 0] > 230
    image = crop(path, 32, (0, 62, 40, 80)).image
    assert image[..., 0].min() > 200


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((-50, -50, -10, -10), "shows nothing of its 60 x 80 pixels"),
        ((60, 0, 70, 80), "shows nothing of its 60 x 80 pixels"),
        ((10, 10, 10, 20), "shows nothing of its 60 x 80 pixels"),
        ((float("nan"), 0, 60, 80), "shows nothing of its 60 x 80 pixels"),
        ((0, 0, float("inf"), float("inf")), "by more than they are wide"),
        ((0, 0, 60, 161), "by more than they are wide"),
        ((-61, 0, 60, 80), "by more than they are wide"),
    ],
)
def test_boxes_that_make_no_sense(tmp_path, box, message):
    path = tmp_path / "photo.jpg"
    write_image(path)
    with pytest.raises(InputError, match=message):
        crop(path, 32, box)


def test_a_box_may_leave_the_image(tmp_path):
    path = tmp_path / "photo.jpg"
    write_image(path, color=(200, 200, 200))
    shown = crop(path, 32, (-60, 0, 60, 80)).image
    # What is not there is black.
    assert shown[:, :15].max() < 2
    assert shown[:, 17:].min() > 190


def test_png_and_jpeg_of_one_picture_are_shown_alike(run, tmp_path):
    jpeg = run / "samples" / "00.jpg"
    png = tmp_path / "00.png"
    Image.open(jpeg).save(png)
    difference = np.abs(crop(jpeg, 32).image - crop(png, 32).image)
    assert difference.max() < 4


def test_json_lines_and_pictures(run, tmp_path, capsys):
    images = [str(path) for path in (run / "samples").glob("*.jpg")]
    predict.main(
        [str(run), *images, "--json", "--draw", str(tmp_path / "drawn")]
    )
    lines = capsys.readouterr().out.splitlines()
    results = [json.loads(line) for line in lines if line.startswith("{")]
    assert [result["image"] for result in results] == images
    assert len(results[0]["landmarks"]) == 8
    assert len(list((tmp_path / "drawn").glob("*.png"))) == len(images)


def test_bad_images_are_named_and_skipped(run, tmp_path, capsys):
    samples = sorted((run / "samples").glob("*.jpg"))
    notes = tmp_path / "notes.jpg"
    notes.write_text("no image at all")
    names = [samples[0], notes, tmp_path / "none.jpg", samples[1]]
    predict.main([str(run), *map(str, names), "--json"])
    out, errors = capsys.readouterr()
    predicted = [json.loads(line)["image"] for line in out.splitlines()]
    assert predicted == [str(samples[0]), str(samples[1])]
    first, second, last = errors.splitlines()
    assert first.startswith(f"skipped: {notes}: not an image")
    assert second.startswith(f"skipped: {tmp_path}/none.jpg: cannot be read")
    assert last == "skipped 2 of 4"
    with pytest.raises(SystemExit) as stop:
        predict.main([str(run), str(notes), str(notes)])
    assert stop.value.code == 2
    assert "none of 2 images can be used" in capsys.readouterr().err


def test_images_before_a_bad_name_are_predicted(predictor, run):
    samples = sorted((run / "samples").glob("*.jpg"))

    def listed():
        yield from map(ImageInput, samples)
        raise InputError("empty: has no image")

    results = predictor.stream(listed())
    for sample in samples:
        assert next(results).image == str(sample)
    with pytest.raises(InputError, match="has no image"):
        next(results)


def test_names_that_no_file_has(run, capsys, monkeypatch):
    sample = run / "samples" / "00.jpg"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"a\0.jpg\n{sample}\n"))
    predict.main([str(run), "-", "--json"])
    out, errors = capsys.readouterr()
    assert json.loads(out)["image"] == str(sample)
    assert "skipped: 'a\\x00.jpg': no file has such a name" in errors


def test_the_longest_name_is_drawn(run, tmp_path):
    path = tmp_path / f"{'x' * 251}.jpg"
    write_image(path)
    for _ in range(2):
        predict.main([str(run), str(path), "--draw", str(tmp_path / "drawn")])
    assert len(list((tmp_path / "drawn").glob("xxx*.png"))) == 2


@pytest.mark.parametrize(
    ("form", "name"), [("csv", "a.csv"), ("coco", "a.json")]
)
def test_predictions_in_another_folder_are_data(
    run, tmp_path, capsys, monkeypatch, form, name
):
    write_image(tmp_path / "shop" / "shoes" / "one.jpg")
    monkeypatch.chdir(tmp_path / "shop")
    given = str(tmp_path / "shop" / "shoes")
    predict.main([str(run), given, f"--{form}", "--output", f"../shop/{name}"])
    table = read_annotations(tmp_path / "shop" / name).table
    assert list(table["image"]) == ["shoes/one.jpg"]
    assert "outside" not in capsys.readouterr().err
    (tmp_path / "desk").mkdir()
    output = tmp_path / "desk" / name
    predict.main([str(run), given, f"--{form}", "--output", str(output)])
    assert (
        f"1 images are outside {tmp_path / 'desk'}: to train on the "
        "predictions, write --output into their folder"
    ) in capsys.readouterr().err


def test_paths_on_standard_input(run, tmp_path, capsys, monkeypatch):
    sample = run / "samples" / "00.jpg"
    lines = io.StringIO(f"{sample}\n{sample}\n")
    monkeypatch.setattr("sys.stdin", lines)
    output = tmp_path / "out.csv"
    predict.main([str(run), "-", "--csv", "--output", str(output)])
    assert capsys.readouterr().out == ""
    header, first, second = output.read_text().splitlines()
    assert header.startswith("image,x1,y1,x2,y2,category,category_score,attr")
    assert first == second


def test_twice_is_the_same_to_the_byte(run, capsys):
    for _ in range(2):
        predict.main([str(run), str(run / "samples"), "--json"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]


def test_no_more_than_a_few_batches_are_held(predictor, run):
    sample = ImageInput(run / "samples" / "00.jpg")
    taken = []

    def listed():
        for number in range(1000):
            taken.append(number)
            yield sample

    results = predictor.stream(listed(), batch_size=4)
    next(results)
    assert len(taken) <= 4 * 4
    results.close()


def test_maps_lie_over_the_box(run, tmp_path):
    path = tmp_path / "wide.png"
    cv2.imwrite(str(path), np.zeros((40, 120, 3), np.uint8))
    maps = Predictor(load_model(run)).maps(path, (20, 0, 60, 40))
    assert maps.box == (20, 0, 60, 40)
    # An eighth of 32 pixels, and a map for each landmark.
    assert maps.attention.shape[:2] == (4, 4)
    assert 0 <= maps.attention.min() <= maps.attention.max() <= 1
    assert maps.heatmaps.shape == (32, 32, 8)
    picture = draw_maps(maps)
    assert picture.dtype == np.uint8
    # Beyond the image there is nothing, not an error.
    draw_maps(maps._replace(box=(-5.5, -5, 200, 60)))
    draw_maps(maps._replace(heatmaps=None))
    draw_maps(maps._replace(attention=None))


def test_pictures_of_all_kinds(run, tmp_path, capsys):
    samples = run / "samples"
    count = len(list(samples.glob("*.jpg")))
    predict.main(
        [
            *(str(run), str(samples), "--draw", str(tmp_path / "drawn")),
            *("--maps", str(tmp_path / "maps")),
            *("--sheet", str(tmp_path / "sheet.png")),
        ]
    )
    assert len(list((tmp_path / "drawn").glob("*.png"))) == count
    assert len(list((tmp_path / "maps").glob("*-maps.png"))) == count
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[2] == 3
    tflite = run / "exports" / "tflite" / "afn_float32.tflite"
    with pytest.raises(SystemExit) as stop:
        predict.main([str(tflite), str(samples), "--maps", str(tmp_path / "m")])
    assert stop.value.code == 2
    assert "has no maps" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_maps_of_a_saved_model_are_the_run_s(run):
    sample, box = run / "samples" / "00.jpg", (5, 10, 55, 70)
    mine = Predictor(load_model(run)).maps(sample, box)
    theirs = Predictor(open_model(run / "exports" / "saved_model" / "1")).maps(
        sample, box
    )
    # It takes files, so pixels are rounded.
    np.testing.assert_allclose(mine.attention, theirs.attention, atol=0.01)
    np.testing.assert_allclose(mine.heatmaps, theirs.heatmaps, atol=0.01)


@pytest.mark.parametrize(
    "artifact", ["saved_model/1", "tflite/afn_float32.tflite"]
)
def test_artifacts_predict_like_the_run(run, artifact):
    samples = sorted((run / "samples").glob("*.jpg"))
    mine = Predictor(load_model(run)).predict(samples)
    theirs = Predictor(open_model(run / "exports" / artifact)).predict(samples)
    for one, other in zip(mine, theirs, strict=True):
        assert one.categories[0][0] == other.categories[0][0]
        for name, place in one.landmarks.items():
            assert place == pytest.approx(other.landmarks[name], abs=0.01)


def test_ctrl_c_keeps_predictions(run, tmp_path):
    """A real process, interrupted while it waits for more."""
    output = tmp_path / "out.jsonl"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "afn_keras.commands.predict", str(run)),
            *("-", "--json", "--output", str(output)),
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    sample = run / "samples" / "00.jpg"
    process.stdin.write(f"{sample}\n" * 100)
    process.stdin.flush()
    for _ in range(1200):
        if output.exists() and output.stat().st_size:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    lines = output.read_text().splitlines()
    assert lines
    assert all(json.loads(line)["image"] == str(sample) for line in lines)
    assert errors.strip() == (
        f"afn-predict: interrupted; {len(lines)} predictions are in {output}"
    )


def test_standard_output_on_a_full_disk(run):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "afn_keras.commands.predict"),
                *(str(run), str(run / "samples"), "--json"),
            ],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
    assert done.returncode == 2
    assert done.stderr == (
        "afn-predict: standard output: No space left on device\n"
    )


def test_text_for_a_person(run, capsys):
    predict.main([str(run), str(run / "samples" / "00.jpg")])
    text = capsys.readouterr().out
    for word in ("category", "attributes", "left_collar", "right_hem"):
        assert word in text


def test_landmarks_are_drawn_where_they_are():
    image = np.full((100, 50, 3), 128, np.uint8)
    prediction = Prediction(
        "photo.jpg",
        (50, 100),
        (0, 0, 50, 100),
        {"left_hem": (20.0, 70.0, 0.9)},
        (("Skirt", 0.9),),
        (("red", 0.3),),
    )
    picture = draw_prediction(image, prediction)
    # Scaled by 12.8; blue dots are left ones.
    blue = np.abs(picture.astype(int) - (86, 180, 233)).sum(-1) < 30
    blue[: int(70.5 * 12.8) - 16] = False  # The name stands above it.
    rows, columns = np.nonzero(blue[:, :640])
    assert columns.mean() == pytest.approx(20.5 * 12.8 - 0.5, abs=0.5)
    assert rows.mean() == pytest.approx(70.5 * 12.8 - 0.5, abs=0.5)
    # The image, a panel beside it and a line below.
    assert picture.shape == (1280 + 52, 640 + 680, 3)


def test_a_picture_says_the_file_and_the_model():
    image = np.full((100, 50, 3), 128, np.uint8)
    box = (0, 0, 50, 100)
    prediction = Prediction("a/photo.jpg", (50, 100), box, {}, (), ())
    picture = draw_prediction(image, prediction, "demo")
    expected = np.full((52, 640 + 680, 3), 255, np.uint8)
    write(expected, "photo.jpg, model: demo", (14, 36), 24, (30, 30, 30))
    np.testing.assert_array_equal(picture[1280:], expected)


def test_a_box_is_outlined_unless_it_is_all_of_the_image():
    image = np.full((100, 50, 3), 128, np.uint8)
    whole = Prediction("photo.jpg", (50, 100), (0, 0, 50, 100), {}, (), ())
    for box in ((0, 0, 50, 100), (-3.0, 0.0, 50.0, 101.5)):
        picture = draw_landmarks(image, dataclasses.replace(whole, box=box))
        assert (picture == 128).all()
    part = dataclasses.replace(whole, box=(0, 0, 50, 50))
    picture = draw_landmarks(image, part)
    # Two pixels of yellow inside, two dark ones outside.
    yellow, dark = (240, 228, 66), (30, 30, 30)
    assert picture[637:643, 320].tolist() == [
        [128] * 3,
        *(list(yellow), list(yellow), list(dark), list(dark)),
        [128] * 3,
    ]


def test_no_name_covers_a_point_or_another_name():
    # As on a pair of trousers: three pairs crowded at the top.
    image = np.full((1280, 640, 3), 128, np.uint8)
    landmarks = {
        f"{side}_{part}": (140.0 + 300 * column + 18 * row, 8.0 + 40 * row, 0.9)
        for row, part in enumerate(("collar", "sleeve", "waistline"))
        for column, side in enumerate(("left", "right"))
    }
    prediction = Prediction(
        "photo.jpg", (640, 1280), (0, 0, 640, 1280), landmarks, (), ()
    )
    picture = draw_landmarks(image, prediction).astype(int)
    for name, (x, y, _) in landmarks.items():
        ink = (86, 180, 233) if name.startswith("left") else (230, 159, 0)
        dot = picture[round(y) - 5 : round(y) + 6, round(x) - 5 : round(x) + 6]
        assert np.abs(dot - ink).sum(-1).max() < 30, name
    # Plates are of one color that nothing else has, around letters of 24
    # pixels; two that touched would be higher.
    plates = (np.abs(picture - 30).sum(-1) < 6).astype(np.uint8)
    _, _, found, _ = cv2.connectedComponentsWithStats(plates)
    heights = [
        int(height) for _, _, _, height, area in found[1:] if area > 1200
    ]
    assert heights == [38] * 4


@pytest.mark.parametrize(
    ("values", "shares"),
    [((0.25, 0.5), (0.25, 0.5)), ((-0.5, 0.75), (0.25, 0.875))],
)
def test_attention_has_one_scale_for_all_images(tmp_path, values, shares):
    """0..1, and -1..1 where it can be negative; not what one image has."""
    path = tmp_path / "black.png"
    cv2.imwrite(str(path), np.zeros((80, 80, 3), np.uint8))
    attention = np.empty((4, 4, 6), np.float32)
    attention[:2], attention[2:] = np.reshape(values, (2, 1, 1, 1))
    maps = Maps(str(path), (0, 0, 80, 80), attention, None, ())
    picture = draw_attention(maps).astype(int)
    # The upper and the lower quarter of the panel, which is between a title
    # and a color bar, and its colors 60% over black.
    for row, share in zip((70, 330), shares, strict=True):
        expected = 0.6 * 255 * np.array(colormaps["viridis"](share)[:3])
        np.testing.assert_allclose(picture[row, 210], expected, atol=4)


def test_pictures_overwrite_nothing(tmp_path):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.zeros((20, 20, 3), np.uint8))
    before = path.read_bytes()
    prediction = Prediction(str(path), (20, 20), (0, 0, 20, 20), {}, (), ())
    # Into the folder of the image itself, and again.
    written = [save_prediction(prediction, tmp_path) for _ in range(2)]
    assert [file.name for file in written] == ["photo-2.png", "photo-3.png"]
    assert path.read_bytes() == before
