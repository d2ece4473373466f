import csv
import hashlib
import json
import os
import shutil
from importlib import metadata

import numpy as np
import PIL
import pytest
import tensorflow as tf
from conftest import write_image

from pipelines.errors import InputError
from pipelines.open_data import open_records
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records
from pipelines.records.manifest import VERSION
from pipelines.records.manifest import count_problems
from pipelines.records.manifest import is_records
from pipelines.records.manifest import load_records
from pipelines.synthetic.benchmark import draw_benchmark


def examples(records, split):
    """Returns the features of a split's records, as plain lists."""
    result = []
    for name in records.shards[split]:
        for record in tf.data.TFRecordDataset(str(records.folder / name)):
            features = tf.train.Example.FromString(record.numpy()).features
            result.append(
                {
                    name: list(
                        getattr(feature, feature.WhichOneof("kind")).value
                    )
                    for name, feature in features.feature.items()
                }
            )
    return result


def problems(folder):
    with (folder / "problems.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_labels(folder, *lines):
    """Writes a labels file, and missing images of 60 x 80."""
    folder.mkdir(exist_ok=True)
    for line in lines[1:]:
        path = folder / line.split(",")[0]
        if not path.exists():
            write_image(path)
    path = folder / "labels.csv"
    path.write_text("\n".join([*lines, ""]))
    return path


def test_every_feature_of_a_record(records, hand_written):
    by_name = {
        example["image/filename"][0].decode(): example
        for split in records.shards
        for example in examples(records, split)
    }
    assert len(by_name) == 12
    # Image 6 has category 1 and attribute 2, an upper garment: it has all
    # landmarks except the two of the waistline.
    example = by_name["img/a_b/006.jpg"]
    places = {0: 0, 1: 1, 2: 2, 3: 3, 6: 4, 7: 5}
    x, y, visibility = [], [], []
    for landmark in range(8):
        k = places.get(landmark)
        # 1-based pixel 15 is 14.5 pixels from the left edge.
        x.append(0.5 / 60 if k is None else (14.5 + k) / 60)
        y.append(0.5 / 80 if k is None else (24.5 + k) / 80)
        visibility.append(2 if k is None else 0)
    floats = {
        "image/object/bbox/xmin": [10 / 60],
        "image/object/bbox/ymin": [20 / 80],
        "image/object/bbox/xmax": [50 / 60],
        "image/object/bbox/ymax": [70 / 80],
        "image/object/landmark/x": x,
        "image/object/landmark/y": y,
    }
    exact = {
        "image/encoded": [(hand_written / "img/a_b/006.jpg").read_bytes()],
        "image/format": [b"jpeg"],
        "image/filename": [b"img/a_b/006.jpg"],
        "image/source_id": [b"img/a_b/006.jpg"],
        "image/orientation": [1],
        "image/width": [60],
        "image/height": [80],
        "image/object/class/label": [0],
        "image/object/landmark/visibility": visibility,
        "image/object/attributes": [np.eye(5, dtype=np.int8)[1].tobytes()],
    }
    assert set(example) == set(floats) | set(exact)
    for name, values in exact.items():
        assert example[name] == values, name
    for name, values in floats.items():
        assert example[name] == pytest.approx(values, rel=1e-6), name


def test_jpegs_are_stored_untouched(records, hand_written):
    for split in records.shards:
        for example in examples(records, split):
            name = example["image/filename"][0].decode()
            stored = example["image/encoded"][0]
            assert stored == (hand_written / name).read_bytes()


def test_counts_and_checksums(records):
    assert records.images == {"train": 8, "val": 2, "test": 2}
    content = json.loads((records.folder / "records.json").read_text())
    assert content["images"] == records.images
    assert content["problems"] == count_problems(records.folder) == {}
    assert content["versions"] == {
        "records": 1,
        "afn-keras": metadata.version("afn-keras"),
        "pillow": PIL.__version__,
        "tensorflow": tf.__version__,
    }
    for split, shards in content["shards"].items():
        assert [shard["file"] for shard in shards] == records.shards[split]
        assert sum(shard["images"] for shard in shards) == len(
            examples(records, split)
        )
        for shard in shards:
            stored = (records.folder / shard["file"]).read_bytes()
            assert shard["sha256"] == hashlib.sha256(stored).hexdigest()
    assert records.vocabulary.categories == ("Tee", "Jeans", "Long Dress")
    assert sorted(path.name for path in records.folder.iterdir()) == [
        "problems.csv",
        "records.json",
        "test-00000-of-00001.tfrecord",
        "train-00000-of-00001.tfrecord",
        "val-00000-of-00001.tfrecord",
        "vocabulary.json",
    ]


def test_splits_are_those_of_the_data(records):
    # Of every six images, the fifth is val and the sixth test.
    for split, rests in {
        "train": {0, 1, 2, 3},
        "val": {4},
        "test": {5},
    }.items():
        numbers = sorted(
            int(example["image/filename"][0][-7:-4])
            for example in examples(records, split)
        )
        assert numbers == [i for i in range(12) if i % 6 in rests]


def test_origin_of_records(records, tmp_path):
    # Synthetic images have the benchmark's layout.
    assert records.origin == "deepfashion"
    draw_benchmark(tmp_path / "drawn", 10)
    drawn = write_records(
        read_annotations(tmp_path / "drawn"), tmp_path / "records"
    )
    assert drawn.origin == "synthetic"
    write_image(tmp_path / "own" / "a.jpg")
    (tmp_path / "own" / "labels.csv").write_text("image,category\na.jpg,Tee")
    own = write_records(read_annotations(tmp_path / "own"), tmp_path / "mine")
    assert own.origin == "other"


def test_baseline_of_the_train_split(records):
    # Images 0..3 and 6..9 have categories 0 1 2 0 0 1 2 0.
    assert records.baseline["category"] == [4 / 8, 2 / 8, 2 / 8]
    # Their attributes, i % 5, are 0 1 2 3 1 2 3 4.
    assert records.baseline["attributes"] == [1 / 8, 2 / 8, 2 / 8, 2 / 8, 1 / 8]
    left_collar = [(14.5 - 10) / 40, (24.5 - 20) / 50]
    assert records.baseline["landmarks"][0] == pytest.approx(left_collar)
    # Left waistline: first landmark of Jeans (twice), fifth of Long Dress.
    waistline = [(14.5 + 2 - 10) / 40, (24.5 + 2 - 20) / 50]
    assert records.baseline["landmarks"][4] == pytest.approx(waistline)


def test_bad_images_are_listed_and_left_out(benchmark, tmp_path):
    images = benchmark / "img/a_b"
    (images / "000.jpg").unlink()
    (images / "002.jpg").write_bytes(b"")
    (images / "003.jpg").write_bytes(b"hello")
    whole = (images / "006.jpg").read_bytes()
    (images / "006.jpg").write_bytes(whole[: len(whole) // 2])
    records = write_records(read_annotations(benchmark), tmp_path / "records")
    assert records.images == {"train": 4, "val": 2, "test": 2}
    kept = {e["image/filename"][0] for e in examples(records, "train")}
    assert kept == {f"img/a_b/{i:03d}.jpg".encode() for i in (1, 7, 8, 9)}

    found = {row["image"]: row for row in problems(records.folder)}
    assert count_problems(records.folder) == {
        "image missing": 1,
        "image empty": 1,
        "not an image": 1,
        "image truncated": 1,
    }
    # In the order of the annotations, not in that of the shuffled records.
    assert list(found) == [f"img/a_b/{i:03d}.jpg" for i in (0, 2, 3, 6)]
    partition = benchmark / "Eval" / "list_eval_partition.txt"
    # A count and a header stand before the rows.
    for number, (kind, detail) in {
        0: ("image missing", "no such file"),
        2: ("image empty", "the file has no bytes"),
        3: ("not an image", "no known image format"),
        6: ("image truncated", ""),
    }.items():
        row = found[f"img/a_b/{number:03d}.jpg"]
        assert row["source"] == f"{partition}, line {number + 3}"
        assert row["kind"] == kind
        assert row["detail"].startswith(detail)
        assert row["action"] == "left out"


def test_a_folder_whose_name_is_not_utf_8(tmp_path):
    path = write_labels(tmp_path / "data", "image,split", "good.jpg,train")
    path.write_text("image,split\ngood.jpg,train\nnone.jpg,train\n")
    folder = path.parent.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    annotations = read_annotations(folder / "labels.csv")
    write_records(annotations, tmp_path / "records")
    (row,) = problems(tmp_path / "records")
    assert row["source"] == f"{tmp_path}/caf\\udce9/labels.csv, line 3"


def test_boxes_outside_and_over_the_edge(tmp_path):
    path = write_labels(
        tmp_path / "data",
        "image,split,x1,y1,x2,y2",
        "inside.jpg,train,0,0,60,80",
        "beyond.jpg,train,60,10,90,70",
        "over.jpg,train,-5,10,30.5,95",
        "empty.jpg,train,20,20,20,40",
        "none.jpg,train,,,,",
    )
    records = write_records(read_annotations(path), tmp_path / "records")
    boxes = {
        example["image/filename"][0].decode(): [
            example[f"image/object/bbox/{name}"][0] * side
            for name, side in zip(
                ("xmin", "ymin", "xmax", "ymax"), (60, 80, 60, 80), strict=True
            )
        ]
        for example in examples(records, "train")
    }
    assert set(boxes) == {"inside.jpg", "over.jpg", "none.jpg"}
    assert boxes["inside.jpg"] == pytest.approx([0, 0, 60, 80])
    assert boxes["none.jpg"] == pytest.approx([0, 0, 60, 80])
    assert boxes["over.jpg"] == pytest.approx([0, 10, 30.5, 80])
    found = {row.pop("image"): row for row in problems(records.folder)}
    assert found == {
        "beyond.jpg": {
            "source": f"{path}, line 3",
            "kind": "box without area",
            "detail": "60 10 90 70 in 60 x 80 pixels",
            "action": "left out",
        },
        "over.jpg": {
            "source": f"{path}, line 4",
            "kind": "box beyond the image",
            "detail": "-5 10 30.5 95 in 60 x 80 pixels",
            "action": "cut to the image",
        },
        "empty.jpg": {
            "source": f"{path}, line 5",
            "kind": "box without area",
            "detail": "20 20 20 40",
            "action": "left out",
        },
    }


def test_landmark_outside_becomes_truncated(tmp_path):
    # There are pixels 0 to 59 and 0 to 79, each a square of side 1.
    path = write_labels(
        tmp_path / "data",
        "image,split,left_collar_x,left_collar_y,right_collar_x,"
        "right_collar_y,right_collar_visibility,left_hem_x,left_hem_y",
        "a.jpg,train,59.4,79.4,70,10,1,-0.4,-0.4",
        "b.jpg,train,59.6,10,10,10,0,10,90",
    )
    records = write_records(read_annotations(path), tmp_path / "records")
    visibility = {
        example["image/filename"][0].decode(): example[
            "image/object/landmark/visibility"
        ]
        for example in examples(records, "train")
    }
    assert visibility == {
        "a.jpg": [0, 2, 0],
        "b.jpg": [2, 0, 2],
    }
    assert problems(records.folder) == [
        {
            "image": image,
            "source": f"{path}, line {line}",
            "kind": "landmark beyond the image",
            "detail": f"{places} in 60 x 80 pixels",
            "action": "made truncated",
        }
        for line, image, places in (
            (2, "a.jpg", "right_collar 70 10"),
            (3, "b.jpg", "left_collar 59.6 10, left_hem 10 90"),
        )
    ]


def test_no_baseline_without_a_train_split(tmp_path):
    path = write_labels(
        tmp_path / "data", "image,split,category", "a.jpg,test,Tee"
    )
    records = write_records(read_annotations(path), tmp_path / "records")
    assert records.baseline is None


def test_baseline_when_the_box_is_the_whole_image(tmp_path):
    """Computes the baseline with the image's size, 60 x 80."""
    path = write_labels(
        tmp_path / "data",
        "image,split,left_hem_x,left_hem_y,right_hem_x,right_hem_y,x1,y1,x2,y2",
        "a.jpg,train,10,70,50,70,,,,",
        "b.jpg,train,20,60,,,10,40,50,80",
        "c.jpg,val,30,30,30,30,,,,",
    )
    annotations = read_annotations(path)
    records = write_records(annotations, tmp_path / "records")
    left, right = records.baseline["landmarks"]
    x = (10.5 / 60 + (20.5 - 10) / 40) / 2
    y = (70.5 / 80 + (60.5 - 40) / 40) / 2
    assert left == pytest.approx([x, y], abs=1e-6)
    assert right == pytest.approx([50.5 / 60, 70.5 / 80], abs=1e-6)
    # The images of the train split are not read here.
    val = write_records(annotations, tmp_path / "val", ["val"])
    assert val.baseline["landmarks"] is None


def test_landmarks_without_labels_are_left_out(tmp_path):
    path = write_labels(
        tmp_path / "data",
        "image,split,left_collar_x,left_collar_y,left_hem_x,left_hem_y,"
        "right_hem_x,right_hem_y,left_sleeve_x,left_sleeve_y,"
        "left_sleeve_visibility",
        "a.jpg,train,,,10,70,,,,,",
        "b.jpg,train,,,,,,,20,30,1",
        "c.jpg,val,,,12,70,50,60,,,",
    )
    records = write_records(read_annotations(path), tmp_path / "records")
    assert records.vocabulary.landmarks == ("left_hem",)
    assert records.vocabulary.landmark_pairs == ()
    (found,) = examples(records, "val")
    assert found["image/object/landmark/visibility"] == [0]
    assert found["image/object/landmark/x"] == [pytest.approx(12.5 / 60)]
    # Only labeled landmarks that are left out are listed.
    assert [
        (problem["source"], problem["kind"], problem["detail"])
        for problem in problems(records.folder)
    ] == [
        (
            f"{path}, line {line}",
            "landmark never visible in train",
            f"{name}, labeled in 1 of 3 rows",
        )
        for line, name in ((3, "left_sleeve"), (4, "right_hem"))
    ]


def test_without_a_train_split_all_images_count(tmp_path):
    path = write_labels(
        tmp_path / "data",
        "image,split,left_hem_x,left_hem_y,right_hem_x,right_hem_y",
        "a.jpg,val,,,40,70",
        "b.jpg,test,10,70,,",
    )
    records = write_records(read_annotations(path), tmp_path / "records")
    assert records.vocabulary.landmarks == ("left_hem", "right_hem")
    assert records.vocabulary.landmark_pairs == ((0, 1),)


def test_other_formats_are_listed_and_kept(tmp_path):
    path = write_labels(tmp_path / "data", "image,split", "a.png,train")
    records = write_records(read_annotations(path), tmp_path / "records")
    (example,) = examples(records, "train")
    assert example["image/encoded"][0].startswith(b"\x89PNG")
    assert example["image/format"] == [b"png"]
    assert (example["image/width"], example["image/height"]) == ([60], [80])
    (problem,) = problems(records.folder)
    assert problem == {
        "image": "a.png",
        "source": f"{path}, line 2",
        "kind": "another format",
        "detail": "PNG",
        "action": "stored as PNG",
    }


def test_split_without_a_usable_image_leaves_no_folder(benchmark, tmp_path):
    for number in (4, 10):
        (benchmark / f"img/a_b/{number:03d}.jpg").write_bytes(b"")
    before = set(tmp_path.iterdir())
    with pytest.raises(InputError) as error:
        write_records(read_annotations(benchmark), tmp_path / "records")
    assert str(error.value) == (
        f"{benchmark}: no image of the split val can be used; the first is "
        "img/a_b/004.jpg: image empty (the file has no bytes)"
    )
    assert set(tmp_path.iterdir()) == before
    # Without the val split, the rest can be converted.
    records = write_records(
        read_annotations(benchmark), tmp_path / "records", ("train", "test")
    )
    assert records.images == {"train": 8, "test": 2}


def test_output_that_holds_something_is_left_alone(hand_written, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError) as error:
        write_records(read_annotations(hand_written), tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: exists already; choose another output folder "
        "or remove this one"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_same_input_gives_the_same_bytes(records, hand_written, tmp_path):
    empty = tmp_path / "records"
    empty.mkdir()
    write_records(read_annotations(hand_written), empty)
    names = sorted(path.name for path in records.folder.iterdir())
    assert sorted(path.name for path in empty.iterdir()) == names
    for name in names:
        again = (empty / name).read_bytes()
        assert again == (records.folder / name).read_bytes(), name


def test_images_inside_a_zip_file(records, benchmark, tmp_path):
    shutil.make_archive(str(benchmark / "img"), "zip", benchmark, "img")
    shutil.rmtree(benchmark / "img")
    zipped = write_records(read_annotations(benchmark), tmp_path / "records")
    for names in records.shards.values():
        for name in names:
            made = (zipped.folder / name).read_bytes()
            assert made == (records.folder / name).read_bytes()


def test_names_that_lead_elsewhere(tmp_path):
    write_image(tmp_path / "secret.jpg")
    path = write_labels(
        tmp_path / "data",
        "image,split",
        "../secret.jpg,train",
        f"{tmp_path}/secret.jpg,train",
        "Folder/a.jpg,train",
    )
    path.write_text(path.read_text().replace("Folder", "folder"))
    records = write_records(read_annotations(path), tmp_path / "records")
    (example,) = examples(records, "train")
    # By its name in the annotations.
    assert example["image/filename"] == [b"folder/a.jpg"]
    found = [(row["kind"], row["action"]) for row in problems(records.folder)]
    assert found == [
        ("path leaves the folder", "left out"),
        ("path leaves the folder", "left out"),
        ("path differs by case", "read from the folder that is there"),
    ]


def test_records_of_another_version(records, tmp_path):
    folder = tmp_path / "records"
    shutil.copytree(records.folder, folder)
    path = folder / "records.json"
    path.write_text(path.read_text().replace('"records": 1', '"records": 0'))
    with pytest.raises(InputError) as error:
        load_records(folder)
    assert str(error.value) == (
        f"{path}: is of version 0, this is for 1; run afn-convert again"
    )


def test_several_shards_hold_every_image_once(
    records, hand_written, tmp_path, monkeypatch
):
    paths = [hand_written / f"img/a_b/{i:03d}.jpg" for i in range(12)]
    size = sum(paths[i].stat().st_size for i in (0, 1, 2, 3, 6, 7, 8, 9))
    monkeypatch.setattr("pipelines.records.shard_plan.SHARD_BYTES", size / 3)
    # Of 2 and 4, powers of two, 4 is nearer by ratio.
    several = write_records(read_annotations(hand_written), tmp_path / "many")
    assert several.images == records.images
    assert several.shards["train"] == [
        f"train-{i:05d}-of-00004.tfrecord" for i in range(4)
    ]
    for split in records.shards:
        # In the same order, too.
        assert examples(several, split) == examples(records, split)
    content = json.loads((several.folder / "records.json").read_text())
    counts = [shard["images"] for shard in content["shards"]["train"]]
    assert sum(counts) == 8
    assert max(counts) - min(counts) <= 1

    (several.folder / several.shards["train"][1]).unlink()
    with pytest.raises(InputError) as error:
        load_records(several.folder)
    assert str(error.value) == (
        f"{several.folder / 'train-00001-of-00004.tfrecord'}: the shard is "
        "missing; copy it again or rerun afn-convert"
    )


def test_more_shards_than_images_hold_every_image_once(
    hand_written, records, tmp_path, monkeypatch
):
    monkeypatch.setattr("pipelines.records.shard_plan.SHARD_BYTES", 300)
    many = write_records(read_annotations(hand_written), tmp_path / "many")
    assert many.images == records.images
    assert len(many.shards["train"]) > 8
    for split in records.shards:
        assert examples(many, split) == examples(records, split)


def test_open_records_makes_what_is_missing(records, hand_written, tmp_path):
    assert is_records(records.folder)
    assert not is_records(hand_written)
    scratch = tmp_path / "scratch"
    assert open_records(records.folder, scratch) == records
    assert not scratch.exists()
    made = open_records(hand_written, scratch, ("test",))
    assert made.folder == scratch
    assert made.images == {"test": 2}
    labels = write_labels(tmp_path / "own", "image,split", "a.jpg,train")
    for data in (labels, labels.parent):
        made = open_records(data, tmp_path / f"from_{data.name}")
        assert made.images == {"train": 1}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "missing: no such file or folder"),
        ("empty", "empty: is no data set; looked for Anno/"),
    ],
)
def test_data_that_cannot_be_opened(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as error:
        open_records(tmp_path / name, tmp_path / "scratch")
    assert str(error.value).startswith(f"{tmp_path}/{message}")
    assert not (tmp_path / "scratch").exists()


def test_not_a_folder_of_records(tmp_path):
    with pytest.raises(InputError) as error:
        load_records(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'records.json'}: cannot be read (No such file or "
        "directory); afn-convert DATA RECORDS makes it"
    )
    for text in (
        *("", "[]", "{}", '{"shards": {"train": [1]}}'),
        json.dumps({"versions": {"records": VERSION}, "shards": []}),
    ):
        (tmp_path / "records.json").write_text(text)
        with pytest.raises(InputError, match="does not describe records"):
            load_records(tmp_path)


def test_a_split_that_no_row_names(hand_written, tmp_path):
    annotations = read_annotations(hand_written)
    table = annotations.table
    annotations.table = table[table["split"] == "train"]
    with pytest.raises(InputError, match="no image of the split test is named"):
        write_records(annotations, tmp_path / "records", ["test"])
    assert not list(tmp_path.iterdir())


def test_records_of_an_earlier_release_have_their_baseline(records, tmp_path):
    """Reads the old name, `guess`, of 0.1.0."""
    folder = tmp_path / "records"
    shutil.copytree(records.folder, folder)
    path = folder / "records.json"
    content = json.loads(path.read_text())
    content["guess"] = content.pop("baseline")
    path.write_text(json.dumps(content))
    assert load_records(folder).baseline == records.baseline
    assert records.baseline["category"] == [4 / 8, 2 / 8, 2 / 8]
