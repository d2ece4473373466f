"""Tests afn-inspect: numbers, sheets and errors."""

import numpy as np
import pytest
from conftest import write_image
from PIL import Image

from afn_keras.commands.inspect import main
from afn_keras.drawing.marks import BOX
from afn_keras.drawing.marks import LEFT
from afn_keras.drawing.marks import RIGHT
from afn_keras.drawing.sheets import _key
from afn_keras.drawing.sheets import draw_sheet
from afn_keras.drawing.tiles import Tile
from pipelines.annotations import OCCLUDED
from pipelines.annotations import TRUNCATED
from pipelines.annotations import VISIBLE
from pipelines.annotations import make_vocabulary
from pipelines.batches.samples import augment
from pipelines.batches.samples import draw_lots
from pipelines.records.summary import describe


def cells(text, first):
    """Returns the cells of a table's row, by its first cell."""
    (row,) = [
        line for line in text.splitlines() if line.startswith(f"| {first} ")
    ]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def near(image, color):
    """Returns where pixels have a color, except for anti-aliasing."""
    return (np.abs(image.astype(int) - color) < 25).all(-1)


def test_summary_counts(records):
    text = describe(records)
    # 12 images, every third of a category; of six, four train.
    assert cells(text, "images") == ["train", "val", "test"]
    assert cells(text, "Tee") == ["4", "0", "0"]
    assert cells(text, "Jeans") == ["2", "2", "0"]
    assert cells(text, "Long Dress") == ["2", "0", "2"]
    assert cells(text, "all") == ["8", "2", "2"]
    assert cells(text, "train") == ["1.00", "1", "0%"]
    # Collars are of the four tees and the four dresses.
    assert cells(text, "left collar") == ["8", "0", "4"]
    # Waistlines are of the four pairs of jeans and the four dresses.
    assert cells(text, "right waistline") == ["8", "0", "4"]
    assert cells(text, "right hem") == ["12", "0", "0"]
    assert cells(text, "image's width") == ["60", "60", "60"]
    assert cells(text, "box's height") == ["50", "50", "50"]
    assert "floral print 3" in text
    assert text.endswith("Problems: none.")


def test_what_is_not_labeled_has_no_table(tmp_path, capsys):
    write_image(tmp_path / "a.jpg")
    (tmp_path / "labels.csv").write_text(
        "image,split,category\na.jpg,train,Skirt\n"
    )
    main([str(tmp_path), "--draw", str(tmp_path / "sheet.png")])
    text = capsys.readouterr().out
    assert cells(text, "Skirt") == ["1"]
    assert "landmark" not in text
    assert "attribute" not in text
    assert (tmp_path / "sheet.png").is_file()


def test_marks_of_a_sheet_lie_where_the_labels_are():
    vocabulary = make_vocabulary((), (), (), True)
    image = np.zeros((130, 260, 3), np.uint8)
    points = np.zeros((8, 2))
    points[:4] = (50, 40), (150, 40), (60, 100), (200, 100)
    visibility = [VISIBLE, VISIBLE, OCCLUDED, TRUNCATED] + [TRUNCATED] * 4
    tile = Tile(
        image, np.array([20, 10, 240, 120]), points, visibility, ["caption"]
    )
    sheet = draw_sheet([tile], vocabulary.landmarks, "")
    rows, columns = np.nonzero(near(sheet, 0))
    # The image keeps its size, 260 wide; it is where the picture is black.
    assert columns.max() - columns.min() == 259
    top, left = rows.min(), columns.min()
    shown = sheet[top : top + 130, left : left + 260]
    for (x, y), color in zip(points, (LEFT, RIGHT, LEFT), strict=False):
        region = np.s_[int(y) - 8 : int(y) + 8, int(x) - 8 : int(x) + 8]
        spot = np.argwhere(near(shown[region], color))
        assert len(spot) > 20
        np.testing.assert_allclose(spot.mean(0) + 0.5, 8, atol=0.5)
    # Filled if visible, hollow if occluded, not there if truncated.
    assert near(shown[40, 50], LEFT)
    assert near(shown[100, 60], 0)
    assert near(shown[100, 200], 0)
    np.testing.assert_array_equal(shown[10, 25], BOX)
    np.testing.assert_array_equal(shown[119, 25], BOX)
    np.testing.assert_array_equal(shown[60, 20], BOX)
    np.testing.assert_array_equal(shown[60, 239], BOX)


def test_truth_is_a_cross_beside_the_prediction():
    """A ring is what cannot be seen, in every picture, never the truth."""
    image = np.zeros((260, 260, 3), np.uint8)
    points = np.array([[50.5, 50.5], [200.5, 50.5], [100.5, 200.5]])
    truth = np.array([[50.5, 150.5], [200.5, 150.5], [100.5, 200.5]])
    names = ("left_hem", "right_hem", "left_sleeve")
    tile = Tile(image, None, points, [VISIBLE] * 3, ["error"], truth=truth)
    sheet = draw_sheet([tile], names, "")
    rows, columns = np.nonzero(near(sheet, 0))
    shown = sheet[rows.min() :, columns.min() :]
    for (x, y), color in ((points[0], LEFT), (points[1], RIGHT)):
        # A dot is filled beside its middle, too.
        assert near(shown[int(y), int(x) - 3], color)
    for (x, y), color in zip(truth, (LEFT, RIGHT, LEFT), strict=True):
        x, y = int(x), int(y)
        # Both strokes, up to their ends, where a ring has nothing.
        for down in (-4, 0, 4):
            for across in {-down, down}:
                assert near(shown[y + down, x + across], color)
    # Between the strokes there is nothing, and the dot if they meet.
    assert near(shown[150, 45], 0)
    assert near(shown[200, 105], LEFT)


def test_a_key_explains_each_mark_that_is_there():
    image, point = np.zeros((9, 9, 3), np.uint8), np.ones((1, 2))
    seen = Tile(image, None, point, [VISIBLE], [])
    hidden = seen._replace(visibility=[OCCLUDED])
    judged = seen._replace(truth=point)
    names = ("left_hem",)
    sides = [("left", "left", "dot"), ("right", "right", "dot")]
    assert _key([seen], names, "occluded") == sides
    assert _key([seen, hidden], names, "unsure: below 50%") == [
        *sides,
        ("unsure: below 50%", "left", "ring"),
    ]
    assert _key([judged], names, "occluded") == [
        ("predicted left", "left", "dot"),
        ("predicted right", "right", "dot"),
        ("truth", "left", "cross"),
    ]


def test_long_labels_stay_on_their_tiles():
    vocabulary = make_vocabulary((), (), (), False)
    empty = np.zeros((0, 2)), np.zeros(0)
    image = np.full((100, 100, 3), 128, np.uint8)
    words = "a very long list of attributes, " * 20
    tiles = [
        Tile(image, None, *empty, [text]) for text in (words, "", "x" * 90)
    ]
    sheet = draw_sheet(tiles, vocabulary.landmarks, "")
    # Between the tiles nothing is written, and nothing at the edges.
    dark = np.nonzero((sheet < 255).any((0, 2)))[0]
    assert dark.min() >= 14
    assert dark.max() < 14 + 3 * 274
    for column in (1, 2):
        gap = 14 + column * 274 - 10
        assert (sheet[:, gap : gap + 8] == 255).all()


def test_same_seed_same_sheet(records, tmp_path, capsys):
    def sheet(name, *flags):
        path = tmp_path / name
        arguments = [str(records.folder), "--draw", str(path)]
        main([*arguments, "--images", "4", *flags])
        return np.array(Image.open(path))

    one = sheet("one.png", "--augmented", "--seed", "3")
    assert np.array_equal(one, sheet("two.png", "--augmented", "--seed", "3"))
    assert not np.array_equal(one, sheet("3.png", "--augmented"))
    assert not np.array_equal(one, sheet("4.png", "--seed", "3"))
    turned = sheet("5.png", "--augmented", "--seed", "3", "--set", "scale=0.5")
    assert not np.array_equal(one, turned)


def test_augmented_samples_are_what_load_split_makes(records):
    serialized = draw_lots(records, "train", 5, seed=1)
    assert len(set(serialized)) == 5
    image, targets = augment(serialized, records.vocabulary, 32, None, 0)
    assert image.shape == (5, 32, 32, 3)
    # The hand-written image i is of red 20 i and category i mod 3.
    numbers = [round(float(red) / 20) for red in image[..., 0].mean((1, 2))]
    assert [i % 3 for i in numbers] == targets["category"].tolist()
    assert len(draw_lots(records, "test", 5, seed=1)) == 2


def fails(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_bad_input_is_named(records, tmp_path, capsys):
    folder = records.folder
    taken = tmp_path / "taken.png"
    taken.write_text("mine")
    assert fails([folder, "--draw", taken], capsys) == (
        f"afn-inspect: --draw {taken}: exists already; choose another file "
        "or remove it\n"
    )
    assert taken.read_text() == "mine"
    lost = tmp_path / "no" / "sheet.png"
    assert fails([folder, "--draw", lost], capsys) == (
        f"afn-inspect: --draw {lost}: there is no folder {lost.parent}; "
        "make it first\n"
    )
    sheet = tmp_path / "sheet.gif"
    assert fails([folder, "--draw", sheet], capsys) == (
        f"afn-inspect: --draw {sheet}: should end in .png\n"
    )
    assert fails([folder, "--images", 0], capsys) == (
        "afn-inspect: --images 0: should be 1 or more\n"
    )
    assert fails([folder, "--seed", -1], capsys) == (
        "afn-inspect: --seed -1: should be 0 or more\n"
    )
    assert fails([folder, "--set", "rotation=200"], capsys) == (
        "afn-inspect: rotation of the recipe: input should be less than or "
        "equal to 180, got 200\n"
    )
    assert fails([folder, "--split", "minival"], capsys).startswith(
        "afn-inspect: argument --split: invalid choice: 'minival'"
    )
    assert fails([tmp_path / "nowhere"], capsys) == (
        f"afn-inspect: {tmp_path / 'nowhere'}: no such file or folder\n"
    )
    assert sorted(tmp_path.iterdir()) == [taken]


def test_split_without_images(tmp_path, capsys):
    write_image(tmp_path / "a.jpg")
    (tmp_path / "labels.csv").write_text("image,split\na.jpg,train\n")
    sheet = tmp_path / "sheet.png"
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--split", "val", "--draw", str(sheet)])
    # Below the progress bar.
    message = capsys.readouterr().err.splitlines(keepends=True)[-1]
    assert message == (
        f"afn-inspect: {tmp_path}: no image of the split val; it has train\n"
    )
    assert not sheet.exists()
