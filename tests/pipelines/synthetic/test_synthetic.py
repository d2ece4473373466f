"""Tests layout, labels and reproducibility of the synthetic benchmark."""

import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.synthetic import benchmark
from pipelines.synthetic.benchmark import draw_benchmark
from pipelines.synthetic.categories import CATEGORIES
from pipelines.synthetic.designs import ATTRIBUTES
from pipelines.synthetic.designs import choose_design
from pipelines.synthetic.outlines import choose_pose
from pipelines.synthetic.outlines import make_garment
from pipelines.synthetic.pen import Pen
from pipelines.synthetic.scenes import draw_picture

IMAGES = 190  # Ten of each category, so all are in every split.
LANDMARKS_OF = {1: 6, 2: 4, 3: 8}

# Copied by hand from the benchmark's list, with their clothes types.
TYPE_OF = {
    "Cardigan": 1,
    "Hoodie": 1,
    "Jacket": 1,
    "Poncho": 1,
    "Sweater": 1,
    "Tank": 1,
    "Tee": 1,
    "Turtleneck": 1,
    "Culottes": 2,
    "Jeans": 2,
    "Joggers": 2,
    "Leggings": 2,
    "Shorts": 2,
    "Skirt": 2,
    "Coat": 3,
    "Dress": 3,
    "Jumpsuit": 3,
    "Kimono": 3,
    "Romper": 3,
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "benchmark"
    draw_benchmark(folder, IMAGES, seed=3)
    return folder


def rows(path):
    """Returns rows of an annotation file, without count and header."""
    count, header, *lines = path.read_text().splitlines()
    assert int(count) == len(lines)
    assert header.split()[0] in (
        "image_name",
        "category_name",
        "attribute_name",
    )
    return lines


def columns(path):
    return {line.split()[0]: line.split()[1:] for line in rows(path)}


def names(path):
    return [line.rsplit(None, 1) for line in rows(path)]


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_image_has_a_row_in_every_file(drawn):
    images = [
        path.relative_to(drawn).as_posix()
        for path in (drawn / "img").rglob("*.jpg")
    ]
    assert len(images) == IMAGES
    for file in (
        "Anno/list_category_img.txt",
        "Anno/list_attr_img.txt",
        "Anno/list_bbox.txt",
        "Anno/list_landmarks.txt",
        "Eval/list_eval_partition.txt",
    ):
        assert sorted(columns(drawn / file)) == sorted(images)


def test_category_is_the_folder_and_has_its_clothes_type(drawn):
    types = names(drawn / "Anno/list_category_cloth.txt")
    landmarks = columns(drawn / "Anno/list_landmarks.txt")
    for image, (label,) in columns(
        drawn / "Anno/list_category_img.txt"
    ).items():
        name, clothes_type = types[int(label) - 1]
        assert image.split("/")[1] == name
        assert landmarks[image][0] == clothes_type


def test_every_split_has_every_category(drawn):
    splits = columns(drawn / "Eval/list_eval_partition.txt")
    seen = {(split, image.split("/")[1]) for image, (split,) in splits.items()}
    assert seen == {
        (split, name)
        for split in ("train", "val", "test")
        for name in CATEGORIES
    }
    counts = [
        sum(split == [name] for split in splits.values())
        for name in ("train", "val", "test")
    ]
    assert counts == [152, 19, 19]


def test_ten_images_fill_three_splits(tmp_path):
    draw_benchmark(tmp_path / "ten", 10)
    splits = columns(tmp_path / "ten/Eval/list_eval_partition.txt").values()
    assert sorted(split for (split,) in splits) == (
        ["test"] + 8 * ["train"] + ["val"]
    )


def test_attributes_are_few_and_all_occur(drawn):
    listed = names(drawn / "Anno/list_attr_cloth.txt")
    assert len(listed) >= 24
    assert {number for _, number in listed} == set("12345")
    # In the benchmark's list these are in unexpected groups.
    assert {"plaid": "2", "heart": "1", "stars": "5"}.items() <= dict(
        map(tuple, listed)
    ).items()
    labels = columns(drawn / "Anno/list_attr_img.txt").values()
    labels = np.array(list(labels), int)
    assert labels.shape == (IMAGES, len(listed))
    assert set(labels.flat) == {-1, 1}
    positives = (labels == 1).sum(axis=1)
    assert positives.min() >= 2
    assert positives.max() <= 6


def test_landmarks_lie_in_the_box_and_the_box_in_the_image(drawn):
    boxes = columns(drawn / "Anno/list_bbox.txt")
    seen = set()
    for image, numbers in columns(drawn / "Anno/list_landmarks.txt").items():
        height, width = cv2.imread(str(drawn / image)).shape[:2]
        assert max(height, width) == 300
        x1, y1, x2, y2 = map(int, boxes[image])
        # Pixels count from 1, and the box includes its last row and column.
        assert 1 <= x1 < x2 <= width
        assert 1 <= y1 < y2 <= height
        clothes_type, *packed = map(int, numbers)
        packed = np.array(packed).reshape(-1, 3)
        assert len(packed) == LANDMARKS_OF[clothes_type]
        for visibility, x, y in packed:
            seen.add(visibility)
            if visibility == 2:
                assert (x, y) == (0, 0)
            else:
                assert x1 <= x <= x2
                assert y1 <= y <= y2
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("turn", [0.0, 0.3])
@pytest.mark.parametrize("name", CATEGORIES)
def test_landmarks_lie_on_the_outline_drawn(name, turn):
    rng = np.random.default_rng(7)
    cos, sin = 40 * np.cos(turn), 40 * np.sin(turn)
    to_pixels = np.array([[cos, -sin, 200.0], [sin, cos, 40.0]])
    for _ in range(10):
        design = choose_design(rng, name)
        garment = make_garment(
            design.cut, design.clothes_type, choose_pose(rng)
        )
        outlines = {}
        for piece, polygon in garment.pieces.items():
            canvas = np.zeros((400, 400, 3), np.uint8)
            pen = Pen(canvas, to_pixels)
            pen.area(polygon, (255, 255, 255))
            (outline,), _ = cv2.findContours(
                (canvas[..., 0] > 127).astype(np.uint8),
                cv2.RETR_EXTERNAL,
                cv2.CHAIN_APPROX_NONE,
            )
            outlines[piece] = outline[:, 0]
        points = pen.pixels(garment.landmarks)
        assert len(points) == LANDMARKS_OF[design.clothes_type]
        for place, (point, on_sleeve) in enumerate(
            zip(points, garment.on_sleeve, strict=True)
        ):
            sleeve = ("sleeve_left", "sleeve_right")[place % 2]
            outline = outlines[sleeve if on_sleeve else "body"]
            assert np.linalg.norm(outline - point, axis=1).min() < 2
        left, right = points[::2], points[1::2]
        if not turn:
            assert (left[:, 0] < right[:, 0]).all()
            # From top to bottom: collar, waistline, hem.
            rows_down = left[[not s for s in garment.on_sleeve[::2]], 1]
            rows_down = rows_down if name != "Poncho" else left[[0, 2], 1]
            assert (np.diff(rows_down) > 0).all()


def test_length_attributes_say_how_long():
    rng = np.random.default_rng(0)
    lengths = {"mini": set(), "midi": set(), "maxi": set()}
    for _ in range(60):
        design = choose_design(rng, "Dress")
        (length,) = lengths.keys() & design.attributes
        lengths[length].add(design.cut.hem_y)
    # In heads: the knee is at 6, the ankle at 7.7.
    assert max(lengths["mini"]) < 5.5
    assert min(lengths["midi"]) > 5.5
    assert max(lengths["midi"]) < 6.5
    assert min(lengths["maxi"]) > 7


@pytest.mark.parametrize("name", ["Culottes", "Romper", "Shorts"])
def test_a_length_that_tells_the_category_is_never_cut_off(name):
    for seed in range(20):
        picture = draw_picture(np.random.default_rng(seed), name)
        hems = picture.landmarks[-2:]
        # A side of the image may hide one hem; its bottom hides both.
        assert (hems[:, 0] != 2).any()


def test_categories_are_the_benchmarks():
    assert {
        name: row.clothes_type for name, row in CATEGORIES.items()
    } == TYPE_OF


def test_every_attribute_occurs_often_enough_to_be_learned():
    rng = np.random.default_rng(1)
    designs = [
        choose_design(rng, name) for name in CATEGORIES for _ in range(500)
    ]
    counts = Counter(
        attribute for design in designs for attribute in design.attributes
    )
    assert len(counts) >= 40
    assert min(counts.values()) >= 0.01 * len(designs), counts


def test_every_attribute_can_be_drawn():
    rng = np.random.default_rng(0)
    drawn = {
        attribute
        for name in CATEGORIES
        for _ in range(100)
        for attribute in choose_design(rng, name).attributes
    }
    assert drawn == {name for group in ATTRIBUTES.values() for name in group}


def test_same_seed_draws_the_same_bytes(tmp_path, monkeypatch):
    draw_benchmark(tmp_path / "one", 24, seed=5)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    draw_benchmark(tmp_path / "two", 24, seed=5)
    draw_benchmark(tmp_path / "other", 24, seed=6)
    one, two, other = (
        contents(tmp_path / name) for name in ("one", "two", "other")
    )
    assert one == two
    assert one.keys() == other.keys()
    pictures = [name for name in one if name.endswith(".jpg")]
    assert len(pictures) == 24
    assert all(one[name] != other[name] for name in pictures)


@pytest.mark.parametrize(
    ("images", "seed", "message"),
    [
        (
            9,
            0,
            "--images 9: too few for train, val and test; draw 10 or more",
        ),
        (20, -1, "--seed -1: negative; choose 0 or more"),
    ],
)
def test_bad_numbers_are_refused(tmp_path, images, seed, message):
    with pytest.raises(InputError) as error:
        draw_benchmark(tmp_path / "out", images, seed)
    assert str(error.value) == message
    assert not list(tmp_path.iterdir())


def test_folder_in_use_is_refused(tmp_path):
    (tmp_path / "kept.txt").write_text("kept")
    with pytest.raises(InputError, match="exists already; choose another"):
        draw_benchmark(tmp_path, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_nothing_is_left_when_drawing_fails(tmp_path, monkeypatch):
    written = []

    def fail_at_the_eighth(rng, name):
        written.extend(Path(tmp_path).rglob("*.jpg"))
        if name == "Skirt":
            raise RuntimeError("stopped")
        return draw_picture(rng, name)

    monkeypatch.setattr(benchmark, "draw_picture", fail_at_the_eighth)
    with pytest.raises(RuntimeError, match="stopped"):
        draw_benchmark(tmp_path / "out", 40)
    assert written
    assert not list(tmp_path.iterdir())
