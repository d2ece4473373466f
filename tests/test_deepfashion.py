import numpy as np
import pytest

from pipelines.deepfashion import read_deepfashion
from pipelines.errors import InputError
from pipelines.sources import read_annotations


def test_reads_every_label(hand_written):
    annotations = read_deepfashion(hand_written)
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
    landmarks = read_deepfashion(hand_written).table["landmarks"]
    upper, lower, full = landmarks.iloc[:3]
    # Upper: collars, sleeves, hems; the waistline is not there.
    assert upper[:, 2].tolist() == [0, 0, 0, 0, 2, 2, 0, 0]
    assert upper[6].tolist() == [18, 28, 0]
    # Lower: waistline, hems.
    assert lower[:, 2].tolist() == [2, 2, 2, 2, 0, 0, 0, 0]
    assert lower[4].tolist() == [14, 24, 0]
    assert full[:, 0].tolist() == list(range(14, 22))


def test_minus_one_means_no_and_zero_unknown(benchmark):
    path = benchmark / "Anno" / "list_attr_img.txt"
    path.write_text(path.read_text().replace("1 -1 -1 -1 -1", "1 0 -1 -1 -1"))
    labels = read_deepfashion(benchmark).table["attributes"].iloc[0]
    assert labels.tolist() == [1, -1, 0, 0, 0]


def test_six_groups_are_the_fine_annotation(benchmark):
    path = benchmark / "Anno" / "list_attr_cloth.txt"
    path.write_text(path.read_text().replace("red  5", "tight  6"))
    groups = read_deepfashion(benchmark).vocabulary.attribute_groups
    assert groups == ("texture", "sleeve", "length", "neckline", "fit")


def test_order_of_other_files_does_not_matter(benchmark):
    path = benchmark / "Anno" / "list_category_img.txt"
    count, header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([count, header, *reversed(rows), ""]))
    table = read_deepfashion(benchmark).table
    assert list(table["category"].iloc[:4]) == [0, 1, 2, 0]


def test_windows_line_ends_and_byte_order_mark(benchmark):
    before = read_deepfashion(benchmark).table
    for path in (benchmark / "Anno").iterdir():
        text = path.read_text().replace("\n", "\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    after = read_deepfashion(benchmark).table
    assert (before["category"] == after["category"]).all()
    assert np.array_equal(
        np.stack(before["landmarks"]), np.stack(after["landmarks"])
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        ("list_bbox.txt", "011 021 050 070", "011 021 050", "line 3: does not"),
        ("list_bbox.txt", "011 021 050 070", "011 x 050 070", "line 3: does n"),
        ("list_category_img.txt", "003.jpg  1", "003.jpg  4", "line 6: does n"),
        ("list_attr_img.txt", "1 -1 -1 -1 -1", "2 -1 -1 -1 -1", "line 3: does"),
        ("list_landmarks.txt", "jpg  2  0", "jpg  7  0", "line 4: does not pa"),
        ("list_landmarks.txt", "jpg  2  0", "jpg  2  5", "line 4: does not pa"),
        ("list_bbox.txt", "12\n", "13\n", "line 1: says 13 rows, but 12"),
        ("list_bbox.txt", "12\n", "twelve\n", "line 1: should be the number"),
        ("list_bbox.txt", "001.jpg", "000.jpg", "line 4: img/a_b/000.jpg is a"),
        ("list_bbox.txt", "001.jpg", "999.jpg", "has no row for img/a_b/001"),
        ("list_attr_cloth.txt", "denim  2", "denim", "line 4: does not parse"),
    ],
)
def test_bad_row_is_named_by_file_and_line(benchmark, file, old, new, line):
    path = benchmark / "Anno" / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError) as error:
        read_deepfashion(benchmark)
    assert str(path) in str(error.value)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_is_named(benchmark):
    path = benchmark / "Anno" / "list_landmarks.txt"
    path.unlink()
    with pytest.raises(InputError, match="list_landmarks.txt: cannot be read"):
        read_deepfashion(benchmark)


def test_what_is_no_data_set_says_what_was_looked_for(tmp_path):
    with pytest.raises(InputError, match=r"looked for Anno/.*labels\.csv"):
        read_annotations(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        read_annotations(tmp_path / "nowhere")
