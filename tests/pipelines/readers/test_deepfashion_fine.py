import numpy as np
import pytest
from layouts import write_fine

from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations


@pytest.fixture
def fine(tmp_path):
    """Writes nine garments: train 0 to 4, val 5 and 6, test 7 and 8."""
    return write_fine(tmp_path)


def problems(annotations):
    return [
        (problem.kind.value, problem.image, problem.source, problem.detail)
        for problem in annotations.problems
    ]


def set_row(folder, file, number, row):
    path = folder / "Anno_fine" / file
    lines = path.read_text().splitlines()
    lines[number - 1] = row
    path.write_text("\n".join([*lines, ""]))
    return f"{path}, line {number}"


def test_reads_every_label(fine):
    annotations = read_annotations(fine, strict=True)
    table = annotations.table
    assert annotations.folder == fine
    assert table["split"].tolist() == ["train"] * 5 + ["val"] * 2 + ["test"] * 2
    row = table.iloc[5]
    assert row["image"] == "img/drawn/5.jpg"
    assert row["source"] == f"{fine}/Anno_fine/val.txt, line 1"
    # Garment 5 is a long dress, the second of the remaining categories.
    assert row["category"] == 1
    assert row[["x1", "y1", "x2", "y2"]].tolist() == [10, 10, 50, 65]
    # Its right collar is (0, 0) in the file, which is not a problem.
    assert row["landmarks"][:, 2].tolist() == [0, 2, 0, 0, 0, 0, 0, 0]
    assert row["landmarks"][7].tolist() == [27, 41, 0]
    # Garment 0 is a tee: its hems are the fifth and sixth in the file.
    assert table.iloc[0]["landmarks"][:, 2].tolist() == [0, 2, 0, 0, 2, 2, 0, 0]


@pytest.mark.parametrize(
    ("file", "row", "detail"),
    [
        ("val_bbox.txt", "1 2 3", "should be 4 numbers, is '1 2 3'"),
        ("val_bbox.txt", "", "should be 4 numbers, is ''"),
        ("val_cate.txt", "Tee", "should be 1 number, is 'Tee'"),
        ("val_attr.txt", "0 1 0", "should be 6 or 12 numbers, is '0 1 0'"),
        (
            "val_landmarks.txt",
            "1 2 3 4 5 6",
            "should be 8 or 12 or 16 numbers, is '1 2 3 4 5 6'",
        ),
    ],
)
def test_row_that_does_not_parse_is_left_out(fine, file, row, detail):
    source = set_row(fine, file, 1, row)
    annotations = read_annotations(fine)
    image = "img/drawn/5.jpg"
    assert problems(annotations) == [
        ("row does not parse", image, source, detail)
    ]
    assert len(annotations.table) == 8
    assert image not in set(annotations.table["image"])
    with pytest.raises(InputError) as error:
        read_annotations(fine, strict=True)
    assert str(error.value) == (
        f"{source}: {image}: row does not parse ({detail}); "
        "mend it or leave out --strict"
    )


def test_files_of_other_lengths_are_not_matched(fine):
    # Only their order says which rows belong together.
    path = fine / "Anno_fine" / "train_bbox.txt"
    path.write_text("\n".join(path.read_text().splitlines()[1:]))
    with pytest.raises(InputError) as error:
        read_annotations(fine)
    assert str(error.value) == (
        f"{path}: has 4 rows for 5 images; rows and images belong together "
        "by their order alone: copy the file again"
    )


@pytest.mark.parametrize(
    "name", ["list_attr_cloth.txt", "train_landmarks.txt", "test_cate.txt"]
)
def test_missing_file_is_named(fine, name):
    (fine / "Anno_fine" / name).unlink()
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        read_annotations(fine)


def test_same_image_in_two_splits(fine):
    set_row(fine, "test.txt", 2, "img/drawn/0.jpg")
    annotations = read_annotations(fine)
    anno = fine / "Anno_fine"
    assert problems(annotations) == [
        (
            "duplicate row",
            "img/drawn/0.jpg",
            f"{anno}/test.txt, line 2",
            f"also in {anno}/train.txt, line 1",
        )
    ]
    assert annotations.table["split"].tolist().count("test") == 1


def test_line_without_an_image(fine):
    set_row(fine, "train.txt", 2, "")
    annotations = read_annotations(fine)
    source = f"{fine}/Anno_fine/train.txt, line 2"
    assert problems(annotations) == [
        ("row does not parse", "", source, "no image is named")
    ]
    assert len(annotations.table) == 8


def test_boxes(fine):
    swapped = set_row(fine, "train_bbox.txt", 1, "50 70 11 21")
    empty = set_row(fine, "train_bbox.txt", 2, "0 0 0 0")
    annotations = read_annotations(fine)
    assert [problem[:3] for problem in problems(annotations)[:2]] == [
        ("box swapped", "img/drawn/0.jpg", swapped),
        ("box without area", "img/drawn/1.jpg", empty),
    ]
    row = annotations.table.iloc[0]
    assert row[["x1", "y1", "x2", "y2"]].tolist() == [10, 20, 50, 70]


def test_landmark_beyond_the_box(fine):
    # Garment 1: jeans, box (7, 11) to (46, 69) in the files.
    numbers = "17 33 0 0 21 39 47 42" + " 0" * 8
    source = set_row(fine, "train_landmarks.txt", 2, numbers)
    annotations = read_annotations(fine)
    assert problems(annotations) == [
        (
            "landmark beyond the box",
            "img/drawn/1.jpg",
            source,
            "right_hem 47 42 off 7 11 46 69",
        )
    ]
    landmarks = annotations.table["landmarks"].iloc[1]
    assert landmarks[:, 2].tolist() == [2, 2, 2, 2, 0, 2, 0, 0]


def test_landmarks_of_another_clothes_type(fine):
    # Garment 1 is jeans, with four landmarks; here are five.
    numbers = "11 22 11 22 11 22 11 22 11 22" + " 0" * 6
    source = set_row(fine, "train_landmarks.txt", 2, numbers)
    category = set_row(fine, "train_cate.txt", 1, "9")
    annotations = read_annotations(fine)
    assert problems(annotations) == [
        (
            "category out of range",
            "img/drawn/0.jpg",
            category,
            "9 is not in 1..4",
        ),
        (
            "landmarks of another clothes type",
            "img/drawn/0.jpg",
            f"{fine}/Anno_fine/train_landmarks.txt, line 1",
            "6 landmarks, clothes type unknown has 0",
        ),
        (
            "landmarks of another clothes type",
            "img/drawn/1.jpg",
            source,
            "5 landmarks, clothes type 2 has 4",
        ),
    ]
    landmarks = np.stack(annotations.table["landmarks"])
    assert (landmarks[:2, :, 2] == 2).all()
    assert annotations.table["category"].tolist()[:3] == [-1, 0, 1]


def test_attribute_columns_are_0_and_1(fine):
    row = "1 0 -1 0 2 0 0 0 0 0 0 1"
    source = set_row(fine, "val_attr.txt", 2, row)
    annotations = read_annotations(fine)
    assert problems(annotations) == [
        (
            "attribute value",
            "img/drawn/6.jpg",
            source,
            "-1 for denim, 2 for long_sleeve",
        )
    ]
    labels = annotations.table["attributes"].iloc[6].tolist()
    assert labels == [1, 0, -1, 0, -1, 0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(("first", "wrong"), [(0, "-1 2"), (1, "0 3")])
def test_places_in_groups(tmp_path, first, wrong):
    """Checks texture (floral, solid) and sleeve (long, sleeveless)."""
    write_fine(tmp_path, first_place=first)
    rest = " ".join([str(first)] * 4)
    source = set_row(tmp_path, "val_attr.txt", 2, f"{wrong} {rest}")
    annotations = read_annotations(tmp_path)
    texture, sleeve = wrong.split()
    assert problems(annotations) == [
        (
            "attribute out of range",
            "img/drawn/6.jpg",
            source,
            f"{group} {value} is not in {first}..{first + 1}",
        )
        for group, value in (("texture", texture), ("sleeve", sleeve))
    ]
    labels = annotations.table["attributes"].iloc[6].tolist()
    # In alphabetical order: the first of each of four groups, and floral,
    # solid, long_sleeve and sleeveless unknown.
    assert labels == [1, 1, 0, -1, -1, 1, 1, 0, -1, -1, 0, 0]
