import numpy as np
import pytest
from conftest import write_image
from layouts import table as write_table

from pipelines.errors import InputError
from pipelines.problems import ProblemLog
from pipelines.readers.deepfashion_names import read_names
from pipelines.readers.detect import read_annotations


def test_reads_every_label(hand_written):
    annotations = read_annotations(hand_written)
    table, vocabulary = annotations.table, annotations.vocabulary
    assert list(table["split"].iloc[:6]) == ["train"] * 4 + ["val", "test"]
    assert vocabulary.categories == ("Tee", "Jeans", "Long Dress")
    assert vocabulary.attributes[0] == "floral print"
    assert vocabulary.attribute_groups == (
        *("texture", "fabric", "shape", "part", "style"),
    )
    assert list(table["category"].iloc[:4]) == [0, 1, 2, 0]
    assert list(table["attributes"].iloc[2]) == [0, 0, 1, 0, 0]
    # 1-based and inclusive there, 0-based and half-open here.
    assert table[["x1", "y1", "x2", "y2"]].iloc[0].tolist() == [10, 20, 50, 70]


def test_unpacks_landmarks_by_clothes_type(hand_written):
    landmarks = read_annotations(hand_written).table["landmarks"]
    upper, lower, full = landmarks.iloc[:3]
    # Upper: collars, sleeves, hems; the waistline is absent.
    assert upper[:, 2].tolist() == [0, 0, 0, 0, 2, 2, 0, 0]
    assert upper[6].tolist() == [18, 28, 0]
    # Lower: waistline, hems.
    assert lower[:, 2].tolist() == [2, 2, 2, 2, 0, 0, 0, 0]
    assert lower[4].tolist() == [14, 24, 0]
    assert full[:, 0].tolist() == list(range(14, 22))


def test_minus_one_means_no_and_zero_unknown(benchmark):
    path = benchmark / "Anno" / "list_attr_img.txt"
    path.write_text(path.read_text().replace("1 -1 -1 -1 -1", "1 0 -1 -1 -1"))
    labels = read_annotations(benchmark).table["attributes"].iloc[0]
    assert labels.tolist() == [1, -1, 0, 0, 0]


def test_six_groups_are_the_fine_annotation(benchmark):
    path = benchmark / "Anno" / "list_attr_cloth.txt"
    path.write_text(path.read_text().replace("red  5", "tight  6"))
    groups = read_annotations(benchmark).vocabulary.attribute_groups
    assert groups == ("texture", "sleeve", "length", "neckline", "fit")


def test_order_of_other_files_does_not_matter(benchmark):
    path = benchmark / "Anno" / "list_category_img.txt"
    count, header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([count, header, *reversed(rows), ""]))
    table = read_annotations(benchmark).table
    assert list(table["category"].iloc[:4]) == [0, 1, 2, 0]


def problems(annotations):
    return [
        (problem.kind.value, problem.image, problem.source, problem.detail)
        for problem in annotations.problems
    ]


def change(folder, file, old, new):
    path = next(folder.glob(f"*/{file}"))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("kind", "change_bytes"),
    [
        ("CRLF line ends", lambda text: text.replace(b"\n", b"\r\n")),
        ("byte order mark", lambda text: b"\xef\xbb\xbf" + text),
        ("tabs for blanks", lambda text: text.replace(b" ", b"\t")),
    ],
)
def test_line_ends_tabs_and_byte_order_marks(benchmark, kind, change_bytes):
    before = read_annotations(benchmark)
    paths = sorted((benchmark / "Anno").iterdir())
    for path in paths:
        path.write_bytes(change_bytes(path.read_bytes()))
    after = read_annotations(benchmark)
    assert (before.table["category"] == after.table["category"]).all()
    for name in ("landmarks", "attributes"):
        assert np.array_equal(
            np.stack(before.table[name]), np.stack(after.table[name])
        )
    # Once per file, in the first such line: the header, if it has blanks.
    number = 2 if kind == "tabs for blanks" else 1
    assert {(k, image, source) for k, image, source, _ in problems(after)} == {
        (kind, "", f"{path}, line {number}") for path in paths
    }
    assert after.vocabulary == before.vocabulary


@pytest.mark.parametrize(
    ("file", "old", "new", "number", "detail"),
    [
        (
            "list_bbox.txt",
            "011 021 050 070",
            "011 021 050",
            0,
            "should be 4 numbers, is '011 021 050'",
        ),
        (
            "list_bbox.txt",
            "011 021 050 070",
            "011 x 050 070",
            0,
            "should be 4 numbers, is '011 x 050 070'",
        ),
        (
            "list_bbox.txt",
            "011 021 050 070",
            "011 nan 050 1e99",
            0,
            "should be 4 numbers, is '011 nan 050 1e99'",
        ),
        (
            "list_eval_partition.txt",
            "000.jpg   train",
            "000.jpg   dev",
            0,
            "should be one of train, val, test, is 'dev'",
        ),
        (
            "list_landmarks.txt",
            "001.jpg  2  0",
            "001.jpg  7  0",
            1,
            "clothes type is none of 1, 2, 3",
        ),
        (
            "list_landmarks.txt",
            "001.jpg  2  0",
            "001.jpg  3  0",
            1,
            "number of landmarks does not fit the type",
        ),
        (
            "list_landmarks.txt",
            "001.jpg  2  0",
            "001.jpg  2  5",
            1,
            "visibility is none of 0, 1, 2",
        ),
        (
            "list_attr_img.txt",
            "000.jpg  1 -1 -1 -1 -1",
            "000.jpg  1 -1 -1 -1-1",
            0,
            "4 values for 5 attributes",
        ),
        (
            "list_attr_img.txt",
            "000.jpg  1 -1 -1 -1 -1",
            "000.jpg",
            0,
            "0 values for 5 attributes",
        ),
    ],
)
def test_row_that_does_not_parse_is_left_out(
    benchmark, file, old, new, number, detail
):
    path = change(benchmark, file, old, new)
    annotations = read_annotations(benchmark)
    image = f"img/a_b/{number:03d}.jpg"
    source = f"{path}, line {number + 3}"
    assert problems(annotations) == [
        ("row does not parse", image, source, detail)
    ]
    assert len(annotations.table) == 11
    assert image not in set(annotations.table["image"])
    # The other rows keep their labels.
    row = annotations.table.set_index("image").loc["img/a_b/004.jpg"]
    assert row["category"] == 1
    assert row["attributes"].tolist() == [0, 0, 0, 0, 1]
    assert row["landmarks"][4].tolist() == [14, 24, 0]
    with pytest.raises(InputError) as error:
        read_annotations(benchmark, strict=True)
    assert str(error.value) == (
        f"{source}: {image}: row does not parse ({detail}); "
        "mend it or leave out --strict"
    )


def test_duplicate_row(benchmark):
    path = change(benchmark, "list_bbox.txt", "12\n", "13\n")
    path.write_text(path.read_text() + "img/a_b/003.jpg  001 002 003 004\n")
    annotations = read_annotations(benchmark)
    assert problems(annotations) == [
        (
            "duplicate row",
            "img/a_b/003.jpg",
            f"{path}, line 15",
            "also in line 6",
        )
    ]
    table = annotations.table.set_index("image")
    assert table.loc["img/a_b/003.jpg", "x1"] == 10
    assert len(table) == 12


def test_row_missing_from_one_file(benchmark):
    path = change(benchmark, "list_bbox.txt", "001.jpg", "999.jpg")
    annotations = read_annotations(benchmark)
    partition = benchmark / "Eval" / "list_eval_partition.txt"
    missing = [
        (image, source)
        for kind, image, source, _ in problems(annotations)
        if kind == "row missing"
    ]
    assert len(missing) == len(annotations.problems) == 5
    assert missing[1] == ("img/a_b/001.jpg", str(path))
    assert {source for image, source in missing if "999" in image} == {
        str(partition),
        *(
            str(benchmark / "Anno" / f"list_{name}.txt")
            for name in ("landmarks", "category_img", "attr_img")
        ),
    }
    details = {problem.detail for problem in annotations.problems}
    assert details == {
        f"{path}, line 4 names it",
        f"{partition}, line 4 names it",
    }
    assert len(annotations.table) == 11


def test_wrong_count_line(benchmark):
    path = benchmark / "Anno" / "list_bbox.txt"
    count, *rest = path.read_text().splitlines()
    path.write_text("\n".join(["17", *rest, "", ""]))
    annotations = read_annotations(benchmark)
    assert problems(annotations) == [
        (
            "count line is wrong",
            "",
            f"{path}, line 1",
            f"says 17 rows, but {count} follow",
        )
    ]
    assert len(annotations.table) == 12


@pytest.mark.parametrize("number", ["0", "4", "-1", "1.5"])
def test_category_out_of_range(benchmark, number):
    path = change(
        benchmark, "list_category_img.txt", "003.jpg  1", f"003.jpg  {number}"
    )
    annotations = read_annotations(benchmark)
    assert problems(annotations) == [
        (
            "category out of range",
            "img/a_b/003.jpg",
            f"{path}, line 6",
            f"{number} is not in 1..3",
        )
    ]
    assert annotations.table["category"].tolist()[:5] == [0, 1, 2, -1, 1]


@pytest.mark.parametrize("value", ["2", "-2", "x", "11", "1.0"])
def test_attribute_value(benchmark, value):
    path = change(
        benchmark,
        "list_attr_img.txt",
        "001.jpg  -1 1 -1 -1 -1",
        f"001.jpg  {value} 1 -1 7 -1",
    )
    annotations = read_annotations(benchmark)
    assert problems(annotations) == [
        (
            "attribute value",
            "img/a_b/001.jpg",
            f"{path}, line 4",
            f"'{value}' for floral print and 1 more",
        )
    ]
    labels = annotations.table["attributes"].iloc[1]
    assert labels.tolist() == [-1, 1, 0, -1, 0]


def test_swapped_box_and_box_without_area(benchmark):
    # Counted from 1 and inclusive, one column from 50 to 50 is a box.
    for number, box in enumerate(
        ["050 021 011 070", "050 021 050 070", "000 021 000 070"]
    ):
        path = change(
            benchmark,
            "list_bbox.txt",
            f"{number:03d}.jpg  011 021 050 070",
            f"{number:03d}.jpg  {box}",
        )
    annotations = read_annotations(benchmark)
    assert problems(annotations)[:2] == [
        ("box swapped", "img/a_b/000.jpg", f"{path}, line 3", "50 21 11 70"),
        ("box without area", "img/a_b/002.jpg", f"{path}, line 5", "0 21 0 70"),
    ]
    table = annotations.table.set_index("image")
    boxes = table[["x1", "y1", "x2", "y2"]]
    assert boxes.loc["img/a_b/000.jpg"].tolist() == [10, 20, 50, 70]
    assert boxes.loc["img/a_b/001.jpg"].tolist() == [49, 20, 50, 70]
    assert "img/a_b/002.jpg" not in table.index
    # The sources still are those of the images.
    partition = benchmark / "Eval" / "list_eval_partition.txt"
    assert table.loc["img/a_b/003.jpg", "source"] == f"{partition}, line 6"
    assert table.loc["img/a_b/003.jpg", "attributes"].tolist() == [
        0,
        0,
        0,
        1,
        0,
    ]


def test_landmarks_at_the_origin_and_beyond_the_box(benchmark):
    path = change(
        benchmark,
        "list_landmarks.txt",
        "000.jpg  1  0 015 025 0 016 026 0 017 027 0 018 028",
        "000.jpg  1  0 000 000 1 000 000 0 051 027 1 099 028",
    )
    change(
        benchmark,
        "list_landmarks.txt",
        "001.jpg  2  0 015 025",
        "001.jpg  2  2 000 000",
    )
    annotations = read_annotations(benchmark)
    source = f"{path}, line 3"
    assert problems(annotations) == [
        (
            "absent landmark at (0, 0)",
            "img/a_b/000.jpg",
            source,
            "left_collar 0 0, right_collar 0 0",
        ),
        (
            "landmark beyond the box",
            "img/a_b/000.jpg",
            source,
            "left_sleeve 51 27 off 11 21 50 70",
        ),
    ]
    landmarks = annotations.table["landmarks"].iloc[0]
    assert landmarks[:, 2].tolist() == [2, 2, 0, 1, 2, 2, 0, 0]
    assert landmarks[2, :2].tolist() == [50, 26]


def test_categories_without_an_image_are_dropped(benchmark):
    change(
        benchmark,
        "list_category_cloth.txt",
        "3\ncategory_name  category_type\nTee      1\nJeans   2",
        "5\ncategory_name  category_type\nTee      1\nCape  3\nRobe 3\n"
        "Jeans   2",
    )
    path = benchmark / "Anno" / "list_category_img.txt"
    text = path.read_text()
    # Robes only in the test split, images 5 and 11; capes nowhere.
    text = text.replace("  3\n", "  5\n").replace("  2\n", "  4\n")
    for number in ("005", "011"):
        text = text.replace(f"{number}.jpg  5", f"{number}.jpg  3")
    path.write_text(text)
    annotations = read_annotations(benchmark)
    assert annotations.vocabulary.categories == (
        *("Tee", "Robe", "Jeans", "Long Dress"),
    )
    assert annotations.table["category"].tolist() == [
        *(0, 2, 3, 0, 2, 1),
        *(0, 2, 3, 0, 2, 1),
    ]


def test_real_annotations_have_no_problem(real_data):
    annotations = read_annotations(
        real_data / "deepfashion_sample", strict=True
    )
    counts = annotations.table["split"].value_counts().to_dict()
    assert counts == {"train": 4853, "val": 250, "test": 250}
    # The smallest pixel is 1 in the files, and 0 in the table.
    assert annotations.table["x1"].min() == 0


def test_the_benchmarks_own_lists(real_data, benchmark):
    lists = real_data / "deepfashion_lists"
    if not lists.is_dir():
        pytest.skip("the lists are not there")
    for kind in ("category", "attr"):
        name = f"list_{kind}_cloth.txt"
        (benchmark / "Anno" / name).write_bytes((lists / name).read_bytes())
    log = ProblemLog(strict=True)
    names = read_names(benchmark / "Anno", log)
    assert len(names.categories) == len(set(names.categories)) == 50
    assert len(names.attributes) == 1000
    assert names.categories[4] == "Button-Down"
    assert names.attributes[2] == "abstract chevron"
    assert not any(name != name.strip() for name in names.attributes)
    sizes = [names.groups.count(group) for group in names.group_order]
    assert sizes == [156, 218, 180, 216, 230]


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        ("list_bbox.txt", "12\n", "twelve\n", "line 1: should be the number"),
        # Without one name, all later numbers mean another category.
        ("list_category_cloth.txt", "Tee      1\n", "", "says 3 rows, but 2"),
        ("list_attr_cloth.txt", "denim  2", "denim", "line 4: does not parse"),
        (
            "list_attr_cloth.txt",
            "denim  2",
            "denim 0",
            "line 4: does not parse",
        ),
        ("list_attr_cloth.txt", "maxi  3", "denim 2", "has 'denim 2' twice"),
        ("list_category_cloth.txt", "Jeans   2", "Tee 2", "has 'Tee' twice"),
    ],
)
def test_file_that_cannot_be_read(benchmark, file, old, new, line):
    path = change(benchmark, file, old, new)
    with pytest.raises(InputError) as error:
        read_annotations(benchmark)
    assert str(path) in str(error.value)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_is_named(benchmark):
    path = benchmark / "Anno" / "list_landmarks.txt"
    path.unlink()
    with pytest.raises(InputError, match="list_landmarks.txt: cannot be read"):
        read_annotations(benchmark)


def test_no_row_can_be_used(benchmark):
    path = benchmark / "Anno" / "list_bbox.txt"
    path.write_text("0\nheader\n")
    with pytest.raises(InputError) as error:
        read_annotations(benchmark)
    assert str(error.value).startswith(
        f"{benchmark}: no row can be used; the first problem is {path}: "
        "img/a_b/000.jpg: row missing ("
    )


@pytest.fixture
def landmark_benchmark(tmp_path):
    """Writes four images, 60 x 80: upper, lower, full and upper clothes."""
    names = [f"img/img_{i:08d}.jpg" for i in range(1, 5)]
    for name in names:
        write_image(tmp_path / name)
    rows = [
        "1  3  0 011 021 1 012 022 2 000 000 0 014 024 0 015 025 0 016 026",
        "2  1  0 011 021 0 012 022 0 013 023 0 014 024",
        "3  5  " + " ".join(f"0 {11 + k:03d} {21 + k:03d}" for k in range(8)),
        "1  2  " + " ".join("0 030 040" for _ in range(6)),
    ]
    splits = ["train", "val", "test", "train"]

    def write(path, values):
        listed = [f"{n}  {v}" for n, v in zip(names, values, strict=True)]
        write_table(tmp_path / path, listed)

    write("Anno/list_landmarks.txt", rows)
    write("Anno/list_bbox.txt", ["011 021 050 070"] * 4)
    write("Anno/list_joints.txt", ["0 1 1"] * 4)
    write("Eval/list_eval_partition.txt", splits)
    return tmp_path


@pytest.mark.parametrize("name", ["", "Anno"])
def test_landmark_benchmark(landmark_benchmark, name):
    annotations = read_annotations(landmark_benchmark / name, strict=True)
    vocabulary, rows = annotations.vocabulary, annotations.table
    assert (vocabulary.categories, vocabulary.attributes) == ((), ())
    assert annotations.folder == landmark_benchmark
    assert rows["image"].iat[3] == "img/img_00000004.jpg"
    assert rows["split"].tolist() == ["train", "val", "test", "train"]
    assert rows["category"].tolist() == [-1] * 4
    # 1-based and inclusive there, 0-based and half-open here.
    assert (
        rows[["x1", "y1", "x2", "y2"]].to_numpy().tolist()
        == [[10, 20, 50, 70]] * 4
    )
    landmarks = np.stack(rows["landmarks"])
    # Upper: collars, sleeves, hems. Lower: waistline, hems.
    assert landmarks[0, :, 2].tolist() == [0, 1, 2, 0, 2, 2, 0, 0]
    assert landmarks[0, [0, 1, 6], :2].tolist() == [
        *([10, 20], [11, 21], [14, 24])
    ]
    assert landmarks[1, :, 2].tolist() == [2, 2, 2, 2, 0, 0, 0, 0]
    assert landmarks[1, 4, :2].tolist() == [10, 20]
    assert landmarks[2, 7].tolist() == [17, 27, 0]


def test_row_without_a_variation_type_is_listed(landmark_benchmark):
    path = landmark_benchmark / "Anno" / "list_landmarks.txt"
    path.write_text(path.read_text().replace("2  1  0 011", "2  0 011"))
    annotations = read_annotations(landmark_benchmark)
    assert len(annotations.table) == 3
    (problem,) = annotations.problems
    assert problem.kind.value == "row does not parse"
    assert problem.source == f"{path}, line 4"
    assert problem.detail.startswith("should be 14 or 20 or 26 numbers")


def test_landmark_benchmark_without_boxes(landmark_benchmark):
    (landmark_benchmark / "Anno" / "list_bbox.txt").unlink()
    with pytest.raises(InputError, match="list_bbox.txt: cannot be read"):
        read_annotations(landmark_benchmark)
