import json

import numpy as np
import pytest
from conftest import write_image

from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records
from pipelines.vocabulary import LANDMARKS


def keypoints(*points):
    """Lists keypoints of a lower garment: waistline, hems."""
    return [value for point in points for value in point]


GOOD = keypoints((12, 22, 2), (30, 22, 1), (0, 0, 0), (30, 60, 2))


def content():
    return {
        "images": [
            {"id": 1, "file_name": "a.jpg"},
            {"id": 2, "file_name": "b.jpg"},
        ],
        "annotations": [
            {
                "image_id": 1,
                "category_id": 5,
                "bbox": [10, 20, 30, 50],
                "keypoints": GOOD,
                "attribute_ids": [9],
            },
            {"image_id": 2, "category_id": 3, "attribute_ids": []},
        ],
        "categories": [
            {"id": 2, "name": "cape"},
            {"id": 5, "name": "jeans"},
            {"id": 3, "name": "tee shirt "},
        ],
        "attributes": [
            {"id": 9, "name": "denim", "supercategory": "fabric"},
            {"id": 4, "name": "loose"},
        ],
    }


def write(path, change=lambda content: None):
    data = content()
    change(data)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps(data))
    return path


def problems(annotations):
    return [
        (problem.kind.value, problem.image, problem.source, problem.detail)
        for problem in annotations.problems
    ]


def test_reads_every_label(tmp_path):
    path = write(tmp_path / "train.json")
    annotations = read_annotations(path, strict=True)
    table, vocabulary = annotations.table, annotations.vocabulary
    assert vocabulary.categories == ("jeans", "tee shirt")
    assert vocabulary.attributes == ("denim", "loose")
    assert vocabulary.attribute_groups == ("fabric", "other")
    assert vocabulary.landmarks == LANDMARKS
    assert table["image"].tolist() == ["a.jpg", "b.jpg"]
    assert table["category"].tolist() == [0, 1]
    assert table["source"].tolist() == [
        f"{path}, annotations[0]",
        f"{path}, annotations[1]",
    ]
    boxes = table[["x1", "y1", "x2", "y2"]].to_numpy()
    assert boxes[0].tolist() == [10, 20, 40, 70]
    assert np.isnan(boxes[1]).all()
    landmarks = np.stack(table["landmarks"])
    # 2, 1, 0 there are visible, occluded, truncated: 0, 1, 2 here.
    assert landmarks[0, :, 2].tolist() == [2, 2, 2, 2, 0, 1, 2, 0]
    assert landmarks[0, 7].tolist() == [30, 60, 0]
    assert (landmarks[1, :, 2] == 2).all()
    assert [list(row) for row in table["attributes"]] == [[1, 0], [0, 0]]


def test_without_attribute_ids_attributes_are_unknown(tmp_path):
    def change(data):
        del data["annotations"][1]["attribute_ids"]

    path = write(tmp_path / "train.json", change)
    labels = read_annotations(path, strict=True).table["attributes"]
    assert [list(row) for row in labels] == [[1, 0], [-1, -1]]


def test_one_file_a_split(tmp_path):
    """Reads files with their own ids, and images in COCO's folders."""

    def change(data):
        data["images"][0].update(file_name="c.jpg")
        data["images"][1].update(file_name="d.jpg")
        data["categories"].reverse()
        data["categories"][0]["id"] = 77
        data["annotations"][1]["category_id"] = 77
        data["attributes"].reverse()

    write(tmp_path / "annotations" / "person_keypoints_val2017.json", change)
    write(tmp_path / "annotations" / "person_keypoints_train2017.json")
    write_image(tmp_path / "images" / "train2017" / "a.jpg")
    write_image(tmp_path / "val2017" / "c.jpg")
    annotations = read_annotations(tmp_path, strict=True)
    assert annotations.folder == tmp_path
    assert annotations.vocabulary.categories == ("jeans", "tee shirt")
    assert annotations.vocabulary.attributes == ("denim", "loose")
    table = annotations.table
    assert table["image"].tolist() == [
        *("images/train2017/a.jpg", "images/train2017/b.jpg"),
        *("val2017/c.jpg", "val2017/d.jpg"),
    ]
    assert table["split"].tolist() == ["train", "train", "val", "val"]
    assert table["category"].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("validation", "val"),
        ("my-test-set", "test"),
        ("Valid", "val"),
        ("attrain", None),
        ("latest", None),
    ],
)
def test_split_by_the_name_of_the_file(tmp_path, name, split):
    path = write(tmp_path / f"{name}.json")
    table = read_annotations(path).table
    # By the MD5 of "a.jpg" and "b.jpg", both would be train.
    assert table["split"].tolist() == [split or "train"] * 2


def test_roboflow_has_a_folder_for_each_split(tmp_path):
    for folder in ("train", "valid", "test"):
        write(tmp_path / folder / "_annotations.coco.json")
        write_image(tmp_path / folder / "a.jpg")
        # macOS puts this next to a file that it packs.
        (tmp_path / folder / "._annotations.coco.json").write_bytes(b"\0\5")
    table = read_annotations(tmp_path, strict=True).table
    assert table["image"].tolist() == [
        *("train/a.jpg", "train/b.jpg", "valid/a.jpg", "valid/b.jpg"),
        *("test/a.jpg", "test/b.jpg"),
    ]
    assert table["split"].tolist() == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    table = read_annotations(tmp_path / "valid", strict=True).table
    assert table["image"].tolist() == ["a.jpg", "b.jpg"]
    assert table["split"].tolist() == ["val", "val"]


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("train.json", ""),
        ("train.json", "images/"),
        ("annotations/train.json", "annotations/"),
        ("annotations/fld_upper_train.json", "img/"),
        ("annotations/instances_Train.json", "Images/Train/"),
        ("annotations/instances_default.json", "images/default/"),
        ("annotations/instances_val2017.json", "val2017/"),
        ("annotations/instances_attributes_val2020.json", "test/"),
        ("labels.json", "data/"),
        ("train.json", "training/image/"),
    ],
)
def test_where_images_lie(tmp_path, file, place):
    """Finds the folder even if the first image is missing."""

    def change(data):
        data["images"] += [
            {"id": 3, "file_name": "c.jpg"},
            {"id": 4, "file_name": "d.jpg"},
        ]
        data["annotations"] += [{"image_id": 3}, {"image_id": 4}]

    path = write(tmp_path / file, change)
    (tmp_path / "images").mkdir(exist_ok=True)
    for name in "bcd":
        write_image(tmp_path / place / f"{name}.jpg")
    # Images of another split with the same name.
    write_image(tmp_path / "test" / "a.jpg")
    table = read_annotations(path, strict=True).table
    assert table["image"].tolist() == [f"{place}{name}.jpg" for name in "abcd"]


def test_images_of_another_split_with_the_same_name(tmp_path):
    path = write(tmp_path / "annotations" / "instances_train.json")
    for name in "ab":
        write_image(tmp_path / "images" / "val" / f"{name}.jpg")
    table = read_annotations(path, strict=True).table
    assert table["image"].tolist() == ["a.jpg", "b.jpg"]


def test_names_as_windows_writes_them_relative_to_the_file(tmp_path):
    path = write(
        tmp_path / "annotations" / "train.json",
        lambda data: [
            image.update(file_name="..\\photos\\" + image["file_name"])
            for image in data["images"]
        ],
    )
    for name in "ab":
        write_image(tmp_path / "photos" / f"{name}.jpg")
    records = write_records(read_annotations(path), tmp_path / "records")
    assert records.images == {"train": 2}


def test_split_from_the_name_of_the_folder(tmp_path):
    def change(data):
        data["images"][0]["file_name"] = "images/Training/a.jpg"
        data["images"][1]["file_name"] = "images\\valid\\test_1.jpg"

    path = write(tmp_path / "labels.json", change)
    assert read_annotations(path).table["split"].tolist() == ["train", "val"]


def test_files_without_annotations_are_left_out(tmp_path):
    """Reads test splits like those of COCO and Fashionpedia."""
    write(tmp_path / "annotations" / "train.json")
    other = write(
        tmp_path / "annotations" / "info_test2020.json",
        lambda data: data.pop("annotations"),
    )
    annotations = read_annotations(tmp_path)
    assert len(annotations.table) == 2
    assert problems(annotations) == [
        (
            "file without labels of garments",
            *("", str(other), "it has no list 'annotations'"),
        )
    ]
    with pytest.raises(InputError, match="is no COCO file, it has no list"):
        read_annotations(other)


@pytest.mark.parametrize("count", [4, 6, 8])
def test_keypoints_without_names(tmp_path, count):
    def change(data):
        data["annotations"][0]["keypoints"] = keypoints(
            *((15 + i, 25, 2) for i in range(count))
        )

    path = write(tmp_path / "train.json", change)
    landmarks = read_annotations(path, strict=True).table["landmarks"].iloc[0]
    places = {4: [4, 5, 6, 7], 6: [0, 1, 2, 3, 6, 7], 8: list(range(8))}
    assert np.flatnonzero(landmarks[:, 2] == 0).tolist() == places[count]
    assert landmarks[places[count], 0].tolist() == [
        15 + i for i in range(count)
    ]


def test_keypoints_by_name(tmp_path):
    def change(data):
        data["categories"][1]["keypoints"] = ["Left Hem", "left-collar"]
        data["annotations"][0]["keypoints"] = [15, 30, 2, 20, 30, 1]

    path = write(tmp_path / "train.json", change)
    landmarks = read_annotations(path, strict=True).table["landmarks"].iloc[0]
    assert landmarks[:, 2].tolist() == [1, 2, 2, 2, 2, 2, 0, 2]
    assert landmarks[6, :2].tolist() == [15, 30]


def test_a_category_with_an_empty_list_of_keypoints_names_none(tmp_path):
    def change(data):
        data["categories"][1]["keypoints"] = []

    path = write(tmp_path / "train.json", change)
    landmarks = read_annotations(path, strict=True).table["landmarks"].iloc[0]
    assert landmarks[:, 2].tolist() == [2, 2, 2, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("name", ["train.json", "labels.json"])
def test_a_name_that_is_no_text_leaves_one_image_out(tmp_path, name):
    # Half of a surrogate pair, which JSON can encode, but not UTF-8.
    path = write(tmp_path / name, image(1, file_name="\ud800.jpg"))
    write_image(tmp_path / "a.jpg")
    annotations = read_annotations(path)
    assert annotations.table["image"].tolist() == ["a.jpg", "\\ud800.jpg"]
    annotations.table["split"] = "train"
    records = write_records(annotations, tmp_path / "records")
    assert records.images == {"train": 1}
    listed = (tmp_path / "records" / "problems.csv").read_text("utf-8")
    assert "\\ud800.jpg" in listed


def test_polygons_are_the_box_of_a_garment_without_bbox(tmp_path):
    def change(data):
        garment = data["annotations"][0]
        del garment["bbox"], garment["keypoints"]
        garment["segmentation"] = [
            [30, 20, 40, 45, 35, 60],
            [10.5, 50, 20, 50, 15, 70],
        ]
        # A second garment of the same image, as a flat list.
        data["annotations"].append(
            {
                "image_id": 1,
                "category_id": 3,
                "segmentation": [1, 2, 9, 2, 9, 8],
            }
        )

    path = write(tmp_path / "train.json", change)
    table = read_annotations(path, strict=True).table
    boxes = table[["x1", "y1", "x2", "y2"]].to_numpy()
    assert boxes[0].tolist() == [10.5, 20, 40, 70]
    assert boxes[2].tolist() == [1, 2, 9, 8]
    assert table["category"].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("names", "pairs", "points"),
    [
        (
            None,
            [15, 25, 16, 26, 17, 27, 18, 28],
            {4: (15, 25), 5: (16, 26), 6: (17, 27), 7: (18, 28)},
        ),
        (
            ["left hem", "right hem"],
            [15, 25, 18, 28],
            {6: (15, 25), 7: (18, 28)},
        ),
        # For three named keypoints, six numbers are pairs, nine are not.
        (
            ["left collar", "left hem", "right hem"],
            [11, 21, 15, 25, 18, 28],
            {0: (11, 21), 6: (15, 25), 7: (18, 28)},
        ),
    ],
)
def test_keypoints_without_visibility_are_visible(
    tmp_path, names, pairs, points
):
    def change(data):
        data["categories"][1]["keypoints"] = names
        data["annotations"][0]["keypoints"] = pairs

    path = write(tmp_path / "train.json", change)
    landmarks = read_annotations(path, strict=True).table["landmarks"].iloc[0]
    visible = np.flatnonzero(landmarks[:, 2] == 0)
    assert {i: tuple(landmarks[i, :2]) for i in visible} == points


def test_a_pair_of_zeros_is_no_landmark(tmp_path):
    path = write(
        tmp_path / "train.json",
        first(keypoints=[15, 25, 0, 0, 17, 27, 18, 28]),
    )
    annotations = read_annotations(path)
    assert [kind for kind, *_ in problems(annotations)] == [
        "absent landmark at (0, 0)"
    ]
    landmarks = annotations.table["landmarks"].iloc[0]
    assert landmarks[4:, 2].tolist() == [0, 2, 0, 0]


def test_ids_may_be_text_in_one_place_and_numbers_in_another(tmp_path):
    def change(data):
        data["images"][0]["id"] = "1"
        data["images"][1]["id"] = 2.0
        data["annotations"][1].update(image_id="2", category_id="3")
        data["annotations"][0].update(attribute_ids=["9"])
        data["categories"][1]["id"] = "5"

    path = write(tmp_path / "train.json", change)
    table = read_annotations(path, strict=True).table
    assert table["image"].tolist() == ["a.jpg", "b.jpg"]
    assert table["category"].tolist() == [0, 1]
    assert [list(row) for row in table["attributes"]] == [[1, 0], [0, 0]]


def test_attributes_as_cvat_writes_them(tmp_path):
    def change(data):
        del data["attributes"], data["annotations"][0]["attribute_ids"]
        one, other = data["annotations"]
        del other["attribute_ids"]
        tool = {"occluded": True, "rotation": 0.0, "track_id": 3}
        one["attributes"] = {"color": "red", "floral": True, **tool}
        other["attributes"] = {"color": "blue", "length": "__undefined__"}
        data["images"].append({"id": 3, "file_name": "c.jpg"})
        data["annotations"] += [
            {
                "image_id": 3,
                "bbox": [0, 0, 9, 9],
                "attributes": {
                    "floral": "false",
                    "length": "red",
                    "parts": ["hood", "zip"],
                },
            },
            {"image_id": 3, "bbox": [9, 9, 9, 9]},
        ]

    path = write(tmp_path / "train.json", change)
    annotations = read_annotations(path, strict=True)
    vocabulary = annotations.vocabulary
    assert list(
        zip(vocabulary.attribute_groups, vocabulary.attributes, strict=True)
    ) == [
        *(("color", "red"), ("other", "floral"), ("color", "blue")),
        *(("length", "red"), ("parts", "hood"), ("parts", "zip")),
    ]
    # A group with a value is known, all others are unknown.
    assert [list(row) for row in annotations.table["attributes"]] == [
        [1, 1, 0, -1, -1, -1],
        [0, -1, 1, -1, -1, -1],
        [-1, 0, -1, 1, 1, 1],
        [-1, -1, -1, -1, -1, -1],
    ]


def test_attributes_that_a_file_does_not_list_are_unknown_in_it(tmp_path):
    write(tmp_path / "train.json")

    def change(data):
        data["images"][0]["file_name"] = "c.jpg"
        data["images"][1]["file_name"] = "d.jpg"
        data["attributes"].append({"id": 1, "name": "red"})

    write(tmp_path / "val.json", change)
    labels = read_annotations(tmp_path, strict=True).table["attributes"]
    assert [list(row) for row in labels] == [
        *([1, 0, -1], [0, 0, -1]),
        *([1, 0, 0], [0, 0, 0]),
    ]


def test_captions_are_no_garments(tmp_path):
    write(tmp_path / "annotations" / "instances_train2017.json")

    def change(data):
        del data["categories"]
        data["annotations"] = [{"id": 7, "image_id": 1, "caption": "jeans"}]

    path = write(tmp_path / "annotations" / "captions_train2017.json", change)
    annotations = read_annotations(tmp_path)
    assert len(annotations.table) == 2
    assert problems(annotations) == [
        (
            "file without labels of garments",
            *("", str(path)),
            "no annotation has any of bbox, segmentation, keypoints, "
            "category_id, attributes, attribute_ids",
        )
    ]


def first(**values):
    return lambda data: data["annotations"][0].update(values)


def image(index, **values):
    return lambda data: data["images"][index].update(values)


@pytest.mark.parametrize(
    ("change", "kind", "where", "detail", "kept"),
    [
        (
            first(bbox=[10, 20, 0, 50]),
            *("box without area", "annotations[0]", "10 20 10 70", 1),
        ),
        (
            first(bbox=[40, 70, -30, -50]),
            *("box swapped", "annotations[0]", "40 70 10 20", 2),
        ),
        (
            first(bbox=[10, 20, 30]),
            "row does not parse",
            "annotations[0]",
            "not enough values to unpack (expected 4, got 3)",
            1,
        ),
        (
            first(bbox=[10, 20, 30, 1e300]),
            "row does not parse",
            "annotations[0]",
            "bbox [10, 20, 30, 1e+300] is no place",
            1,
        ),
        (
            first(keypoints=[1, float("nan"), 2] * 4),
            *("row does not parse", "annotations[0]"),
            *("a keypoint is at no place", 1),
        ),
        (
            first(bbox="wide"),
            "row does not parse",
            "annotations[0]",
            "could not convert string to float: 'w'",
            1,
        ),
        (
            first(keypoints=[1, 2, 2, 3, 4, 2]),
            *("row does not parse", "annotations[0]"),
            *("2 keypoints without names", 1),
        ),
        (
            first(keypoints=[1, 2, 3] * 4),
            "row does not parse",
            "annotations[0]",
            "a keypoint's visibility is none of 0, 1, 2",
            1,
        ),
        (
            first(keypoints=[0, 0, 2, *GOOD[3:]]),
            "absent landmark at (0, 0)",
            "annotations[0]",
            "left_waistline 0 0",
            2,
        ),
        (
            first(keypoints=[8, 30, 2, *GOOD[3:]]),
            "landmark beyond the box",
            "annotations[0]",
            "left_waistline 8 30 off 10 20 40 70",
            2,
        ),
        (
            first(keypoints=[1, 2, 2, 3, 4]),
            *("row does not parse", "annotations[0]"),
            "5 numbers of keypoints are no rows of x, y and visibility",
            1,
        ),
        (
            first(bbox=None, segmentation={"counts": [1, 2], "size": [3, 4]}),
            *("row does not parse", "annotations[0]"),
            "has no bbox, and its segmentation is no polygon",
            1,
        ),
        (
            first(iscrowd=1),
            *("crowd of garments", "annotations[0]"),
            "iscrowd is set; take that out if it is one garment",
            1,
        ),
        (
            first(attributes={"size": 38, "color": "red"}),
            *("attribute value", "annotations[0]"),
            *("size is 38, neither a name nor true or false", 2),
        ),
        (
            first(attributes="red"),
            *("attribute value", "annotations[0]"),
            *("attributes are 'red', no dict of names and values", 2),
        ),
        (
            first(attributes=[1, 0]),
            *("attribute value", "annotations[0]"),
            *("other is [1, 0], neither a name nor true or false", 2),
        ),
        (
            first(color="red"),
            *("unknown column", "annotations[0]", "'color'", 2),
        ),
        (
            first(category_id=[5]),
            *("row does not parse", "annotations[0]", "[5] is no id", 1),
        ),
        (
            first(category_id=8),
            *("category out of range", "annotations[0]"),
            *("no category has the id 8", 2),
        ),
        (
            first(attribute_ids=[4, 8]),
            *("attribute out of range", "annotations[0]"),
            *("no attribute has the id 8", 2),
        ),
        (
            lambda data: data["annotations"].append(data["annotations"][0]),
            "duplicate row",
            "annotations[2]",
            "also in {path}, annotations[0]",
            2,
        ),
        (
            image(0, file_name=7),
            *("row does not parse", "images[0]"),
            *("TypeError('file_name is no text')", 1),
        ),
        (
            lambda data: data["images"].append({"id": 1, "file_name": "c.jpg"}),
            *("duplicate row", "images[2]", "id 1 again", 2),
        ),
        (
            lambda data: data["images"].append({"id": 3, "file_name": "c.jpg"}),
            *("row missing", None, "has no annotation", 2),
        ),
        (
            lambda data: data["annotations"].append({"image_id": 3}),
            *("row missing", "annotations[2]"),
            *("no image has the id 3", 2),
        ),
        (
            lambda data: data["annotations"].append({"category_id": 3}),
            *("row does not parse", "annotations[2]"),
            *("KeyError('image_id')", 2),
        ),
    ],
)
def test_problem(tmp_path, change, kind, where, detail, kept):
    path = write(tmp_path / "train.json", change)
    annotations = read_annotations(path)
    assert len(annotations.table) == kept
    source = f"{path}, {where}" if where else str(path)
    found = [(k, s, d) for k, _, s, d in problems(annotations)]
    assert (kind, source, detail.format(path=path)) in found
    with pytest.raises(InputError, match="leave out --strict"):
        read_annotations(path, strict=True)


def test_what_is_unknown_stays_unknown(tmp_path):
    path = write(
        tmp_path / "train.json", first(category_id=8, attribute_ids=[4, 8])
    )
    row = read_annotations(path).table.iloc[0]
    assert row["category"] == -1
    # The garment has the known one, and not the other.
    assert row["attributes"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", ": is no JSON ("),
        ("[]", ": is no COCO file, it has no list 'images'"),
        ('{"images": []}', ": is no COCO file, it has no list 'annotations'"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1}]}',
            ", categories[0]: needs an id and a name",
        ),
        (
            '{"images": [], "annotations": [], "categories": '
            '[{"id": 1, "name": "person", "keypoints": ["nose"]}]}',
            ", categories[0]: the keypoint 'nose' is none of left_collar",
        ),
        (
            '{"images": [], "annotations": []}',
            ": no row can be used; none is named",
        ),
    ],
)
def test_file_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_annotations(path)
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


def test_an_image_in_two_splits(tmp_path):
    for split, box in (("train", [1, 2, 9, 9]), ("test", [20, 2, 9, 9])):
        content = {
            "images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"image_id": 1, "category_id": 1, "bbox": box}],
            "categories": [{"id": 1, "name": "Tee"}],
        }
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    annotations = read_annotations(tmp_path)
    assert annotations.table["split"].tolist() == ["train", "test"]
    (problem,) = annotations.problems
    assert problem[:2] == ("image in two splits", "a.jpg")
    source = tmp_path / "train.json"
    assert problem.detail == f"test, but train in {source}, annotations[0]"
