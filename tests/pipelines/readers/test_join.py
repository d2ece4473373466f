import json

import numpy as np
import pytest

from pipelines.readers.detect import read_annotations
from pipelines.vocabulary import LANDMARKS

BOX = [10, 20, 30, 40]
KEYPOINTS = [12, 30, 2, 14, 30, 1, 0, 0, 0, 16, 50, 2]
# Left and right waistline, no left hem.
POINTS = [(12, 30, 0), (14, 30, 1), (0, 0, 2), (16, 50, 0)]


def write_coco(path, annotations):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "tee"}, {"id": 2, "name": "skirt"}],
        "attributes": [{"id": 5, "name": "red"}, {"id": 6, "name": "long"}],
        "annotations": [{"image_id": 1, **a} for a in annotations],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def kinds(annotations):
    return [(p.kind.value, p.source, p.detail) for p in annotations.problems]


def test_coco_files_of_the_same_garments(tmp_path):
    """Joins files like COCO's, in the order of their names."""
    folder = tmp_path / "annotations"
    first = write_coco(
        folder / "attributes_train.json",
        [{"id": 1, "bbox": BOX, "attribute_ids": [5]}],
    )
    second = write_coco(
        folder / "instances_train.json",
        [{"id": 1, "bbox": BOX, "category_id": 2}],
    )
    third = write_coco(
        folder / "person_keypoints_train.json",
        [{"id": 9, "bbox": BOX, "category_id": 2, "keypoints": KEYPOINTS}],
    )
    annotations = read_annotations(tmp_path)
    table = annotations.table
    assert table["source"].tolist() == [f"{first}, annotations[0]"]
    assert annotations.vocabulary.categories == ("skirt",)
    assert table["category"].tolist() == [0]
    assert table["attributes"].iloc[0].tolist() == [1, 0]
    assert table["landmarks"].iloc[0][4:].tolist() == [[*p] for p in POINTS]
    detail = f"also in {first}, annotations[0]"
    assert kinds(annotations) == [
        ("garment in several rows", f"{path}, annotations[0]", detail)
        for path in (second, third)
    ]


@pytest.mark.parametrize(
    ("one", "other", "boxes"),
    [
        # A box of 30 x 40 and one of 30 x 30 in it: 3 / 4 of the area.
        (
            {"id": 1, "bbox": BOX, "category_id": 1},
            {"id": "1", "bbox": [10, 20, 30, 30], "keypoints": KEYPOINTS},
            [[10, 20, 40, 60]],
        ),
        (
            {"id": 1, "category_id": 1},
            {"id": 1, "bbox": BOX, "keypoints": KEYPOINTS},
            [[10, 20, 40, 60]],
        ),
        # Two garments, each with the id 1 in its file.
        (
            {"id": 1, "bbox": BOX, "category_id": 1},
            {"id": 1, "bbox": [10, 50, 30, 40], "keypoints": KEYPOINTS},
            [[10, 20, 40, 60], [10, 50, 40, 90]],
        ),
        (
            {"id": 1, "bbox": BOX, "category_id": 1},
            {"id": 1, "bbox": [10, 20, 30, 41], "category_id": 2},
            [[10, 20, 40, 60], [10, 20, 40, 61]],
        ),
        (
            {"id": 1, "bbox": BOX, "category_id": 1},
            {"id": 2, "bbox": [10, 20, 30, 41], "category_id": 1},
            [[10, 20, 40, 60], [10, 20, 40, 61]],
        ),
    ],
)
def test_the_same_id_in_two_files(tmp_path, one, other, boxes):
    write_coco(tmp_path / "a_train.json", [one])
    write_coco(tmp_path / "b_train.json", [other])
    table = read_annotations(tmp_path).table
    assert table[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == boxes
    if len(boxes) == 1:
        assert table["category"].tolist() == [0]
        assert table["landmarks"].iloc[0][4, :2].tolist() == [12, 30]


def test_the_same_id_twice_in_one_file_joins_nothing(tmp_path):
    path = write_coco(
        tmp_path / "train.json",
        [{"id": 1, "bbox": BOX}, {"id": 1, "bbox": [10, 20, 30, 41]}],
    )
    assert len(read_annotations(path, strict=True).table) == 2


def test_a_row_for_each_label(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(
        "image,split,category,attributes,left_hem_x,left_hem_y\n"
        "a.jpg,train,,red,,\n"
        "b.jpg,train,,blue,,\n"
        "a.jpg,train,Tee,long,,\n"
        "a.jpg,train,Tee,,5,6\n"
        "b.jpg,train,,,,\n"
    )
    annotations = read_annotations(path)
    table = annotations.table
    assert annotations.vocabulary.attributes == ("blue", "long", "red")
    assert table["image"].tolist() == ["a.jpg", "b.jpg"]
    assert table["category"].tolist() == [0, -1]
    assert [list(row) for row in table["attributes"]] == [[0, 1, 1], [1, 0, 0]]
    assert table["landmarks"].iloc[0][6].tolist() == [5, 6, 0]
    assert kinds(annotations) == [
        (
            "garment in several rows",
            *(f"{path}, line 4", f"also in {path}, line 2"),
        ),
        (
            "garment in several rows",
            *(f"{path}, line 5", f"also in {path}, line 2"),
        ),
        ("duplicate row", f"{path}, line 6", f"also in {path}, line 3"),
    ]


def test_rows_that_differ_are_not_mixed(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(
        "image,split,category,attributes,left_hem_x,left_hem_y\n"
        "a.jpg,train,Tee,red,5,6\n"
        "a.jpg,train,Skirt,long,5,7\n"
        "a.jpg,train,,dotted,5,7\n"
    )
    annotations = read_annotations(path)
    table, vocabulary = annotations.table, annotations.vocabulary
    # Labels that only left-out rows have are not in the vocabulary.
    assert vocabulary.categories == ("Tee",)
    assert vocabulary.attributes == ("red",)
    assert [list(row) for row in table["attributes"]] == [[1]]
    assert np.array(table["landmarks"].iloc[0])[6].tolist() == [5, 6, 0]
    earlier = f"also in {path}, line 2, differs in"
    assert LANDMARKS[6] == "left_hem"
    assert kinds(annotations) == [
        (
            "labels of one garment differ",
            *(f"{path}, line 3", f"{earlier} category, left_hem"),
        ),
        (
            "labels of one garment differ",
            *(f"{path}, line 4", f"{earlier} left_hem"),
        ),
    ]
