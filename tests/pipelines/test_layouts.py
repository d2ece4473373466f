import functools

import numpy as np
import pytest
from layouts import ATTRIBUTES
from layouts import garments
from layouts import table
from layouts import write_coarse
from layouts import write_coco
from layouts import write_csv
from layouts import write_fine

from pipelines.batches.load import load_split
from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records

WRITERS = {
    "coarse": write_coarse,
    "fine": write_fine,
    "fine, places from 0": functools.partial(write_fine, first_place=0),
    "fine, places from 1": functools.partial(write_fine, first_place=1),
    "csv": write_csv,
    "coco": write_coco,
}


def batches(folder, output):
    records = write_records(read_annotations(folder), output)
    return {
        split: next(
            iter(load_split(records, split, image_size=32).as_numpy_iterator())
        )
        for split in ("train", "val", "test")
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    return batches(write_csv(folder / "data"), folder / "records")


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_same_batches(layout, expected, tmp_path):
    folder = WRITERS[layout](tmp_path / "data")
    assert read_annotations(folder, strict=True).problems == []
    found = batches(folder, tmp_path / "records")
    for split, (images, targets) in expected.items():
        assert np.array_equal(found[split][0], images)
        assert set(found[split][1]) == set(targets)
        for name, values in targets.items():
            assert np.array_equal(found[split][1][name], values), (split, name)


def test_batches_have_the_labels_of_the_garments(expected, tmp_path):
    rows = [r for r in garments(tmp_path) if r["split"] == "val"]
    _, targets = expected["val"]
    names = ["Jeans", "Long Dress", "Tee"]
    assert targets["category"].tolist() == [
        names.index(row["category"]) for row in rows
    ]
    for row, points, labels in zip(
        rows, targets["heatmaps"], targets["attributes"], strict=True
    ):
        x1, y1, x2, y2 = row["box"]
        # The right collar is always absent.
        for index, place in enumerate((0, 2, 3, 4, 5, 6, 7)):
            x, y, counts = points[index]
            assert counts == (place in row["landmarks"])
            if counts:
                left, top = row["landmarks"][place]
                assert x == pytest.approx((left + 0.5 - x1) / (x2 - x1))
                assert y == pytest.approx((top + 0.5 - y1) / (y2 - y1))
        present = row["attributes"].values()
        assert labels.tolist() == [name in present for name in ATTRIBUTES]


@pytest.mark.parametrize("layout", ["coarse", "fine", "coco"])
def test_groups_and_unused_categories(layout, tmp_path):
    vocabulary = read_annotations(WRITERS[layout](tmp_path)).vocabulary
    assert vocabulary.categories == ("Jeans", "Long Dress", "Tee")
    assert vocabulary.attributes == tuple(ATTRIBUTES)
    groups = ("texture", "sleeve", "length", "neckline", "fabric", "fit")
    assert vocabulary.attribute_groups == (
        ("any",) * 12
        if layout == "coco"
        else tuple(groups[group - 1] for group in ATTRIBUTES.values())
    )


def test_order_of_layouts_in_a_folder_with_several(tmp_path):
    for write in (write_csv, write_coco):
        write(tmp_path)
    (tmp_path / "labels.csv").write_text("image,split\nimg/drawn/0.jpg,train\n")
    assert len(read_annotations(tmp_path).table) == 1
    write_fine(tmp_path)
    path = tmp_path / "Anno_fine" / "test"
    for name in ("", "_bbox", "_cate", "_attr", "_landmarks"):
        path.with_name(f"test{name}.txt").unlink()
    assert len(read_annotations(tmp_path).table) == 7
    write_coarse(tmp_path)
    assert len(read_annotations(tmp_path).table) == 9
    # Each can be named explicitly.
    for name, images in (
        ("Anno_coarse", 9),
        ("Anno_fine", 7),
        ("labels.csv", 1),
        ("annotations/keypoints_train2017.json", 5),
    ):
        annotations = read_annotations(tmp_path / name)
        assert annotations.folder == tmp_path
        assert len(annotations.table) == images


def test_unknown_layout_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"looked for Anno/.*labels\.csv"):
        read_annotations(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        read_annotations(tmp_path / "nowhere")


def test_from_within(tmp_path, monkeypatch):
    write_fine(tmp_path)
    monkeypatch.chdir(tmp_path / "Anno_fine")
    assert read_annotations(".").folder == tmp_path
    assert read_annotations("..").folder == tmp_path


def test_records_are_no_annotations(records):
    with pytest.raises(InputError, match="holds records; name what they were"):
        read_annotations(records.folder)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("list_bbox_inshop.txt", "In-shop"),
        ("list_bbox_consumer2shop.txt", "Consumer-to-shop"),
    ],
)
def test_other_benchmarks_are_named(tmp_path, file, name):
    table(tmp_path / "Anno" / file, ["img/1.jpg 3 1 10 10 100 140"])
    table(tmp_path / "Anno" / "list_attr_cloth.txt", ["red 5"])
    for data in (tmp_path, tmp_path / "Anno"):
        with pytest.raises(InputError) as error:
            read_annotations(data)
        assert str(error.value) == (
            f"{tmp_path}: is DeepFashion's {name} Clothes Retrieval benchmark "
            f"(it has {file}), which lacks a category of each image and a "
            "train, val and test split of images; download Category and "
            "Attribute Prediction or Fashion Landmark Detection"
        )


def test_deepfashion2_is_named(tmp_path):
    (tmp_path / "train" / "annos").mkdir(parents=True)
    with pytest.raises(InputError, match="is DeepFashion2, which has other"):
        read_annotations(tmp_path)


def test_coarse_lists_in_the_folder_of_the_fine_annotation(tmp_path):
    anno = tmp_path / "Anno_fine"
    table(anno / "list_attr_img.txt", ["img/1.jpg 1"])
    with pytest.raises(InputError) as error:
        read_annotations(tmp_path)
    assert str(error.value) == (
        f"{anno}: has no train.txt, val.txt or test.txt, as the fine "
        "annotation does, but lists as the coarse one; rename the folder to "
        "Anno_coarse to read those"
    )
