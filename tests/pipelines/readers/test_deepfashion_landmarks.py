"""The Fashion Landmark Detection benchmark, and sets that cannot be read."""

import numpy as np
import pytest
from conftest import write_image
from layouts import table

from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations


@pytest.fixture
def benchmark(tmp_path):
    """Four images, 60 x 80: upper, lower and full clothes, and upper again."""
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
        table(tmp_path / path, listed)

    write("Anno/list_landmarks.txt", rows)
    write("Anno/list_bbox.txt", ["011 021 050 070"] * 4)
    write("Anno/list_joints.txt", ["0 1 1"] * 4)
    write("Eval/list_eval_partition.txt", splits)
    return tmp_path


@pytest.mark.parametrize("name", ["", "Anno"])
def test_landmark_benchmark(benchmark, name):
    annotations = read_annotations(benchmark / name, strict=True)
    vocabulary, rows = annotations.vocabulary, annotations.table
    assert (vocabulary.categories, vocabulary.attributes) == ((), ())
    assert annotations.folder == benchmark
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


def test_row_without_a_variation_type_is_listed(benchmark):
    path = benchmark / "Anno" / "list_landmarks.txt"
    path.write_text(path.read_text().replace("2  1  0 011", "2  0 011"))
    annotations = read_annotations(benchmark)
    assert len(annotations.table) == 3
    (problem,) = annotations.problems
    assert problem.kind.value == "row does not parse"
    assert problem.source == f"{path}, line 4"
    assert problem.detail.startswith("should be 14 or 20 or 26 numbers")


def test_landmark_benchmark_without_boxes(benchmark):
    (benchmark / "Anno" / "list_bbox.txt").unlink()
    with pytest.raises(InputError, match="list_bbox.txt: cannot be read"):
        read_annotations(benchmark)


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
