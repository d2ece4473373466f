import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from conftest import write_benchmark
from conftest import write_image

from pipelines.annotations import make_vocabulary
from pipelines.batches.augmentation import Augmentation
from pipelines.batches.load import epoch_steps
from pipelines.batches.load import load_split
from pipelines.batches.load import targets
from pipelines.batches.order import ALONE
from pipelines.batches.order import Part
from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records

LANDMARKS_ALONE = make_vocabulary((), (), (), True)
ALL = Augmentation(
    flip=True,
    scale=0.25,
    shift=0.1,
    rotation=15.0,
    jitter=0.05,
    color=0.2,
    erasing=0.3,
)


def numbers(images):
    """Returns the numbers of hand-written images, encoded in their red."""
    return [round(float(image[..., 0].mean()) / 20) for image in images]


def epoch(dataset):
    """Collects an epoch as [(image, targets)] of arrays."""
    return [
        (image.numpy(), {name: value.numpy() for name, value in y.items()})
        for image, y in dataset
    ]


def same(one, two):
    return all(
        np.array_equal(image, other)
        and all(np.array_equal(y[name], others[name]) for name in y)
        for (image, y), (other, others) in zip(one, two, strict=True)
    )


# Contract of DESIGN.md.


def test_shapes_and_types(records):
    dataset = load_split(records, "train", image_size=32, batch_size=3)
    assert len(dataset) == 3
    image, y = dataset.element_spec
    assert image == tf.TensorSpec((None, 32, 32, 3), tf.float32)
    assert y == {
        "heatmaps": tf.TensorSpec((None, 8, 3), tf.float32),
        "category": tf.TensorSpec((None,), tf.int32),
        "attributes": tf.TensorSpec((None, 5), tf.float32),
    }
    batches = epoch(dataset)
    assert [len(image) for image, _ in batches] == [3, 3, 2]
    for image, y in batches:
        assert image.min() >= 0
        assert image.max() <= 255
        assert {len(value) for value in y.values()} == {len(image)}


@pytest.mark.parametrize(
    ("split", "batch_size", "count"),
    [("train", 8, 1), ("train", 5, 2), ("train", 100, 1), ("val", 1, 2)],
)
@pytest.mark.parametrize("training", [False, True])
def test_length(records, split, batch_size, count, training):
    dataset = load_split(
        records,
        split,
        image_size=32,
        batch_size=batch_size,
        training=training,
    )
    assert len(dataset) == count
    assert len(list(dataset)) == count


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_values_are_those_that_were_written(records, split):
    rests = {"train": (0, 1, 2, 3), "val": (4,), "test": (5,)}[split]
    places = {  # Of the packed landmarks of upper, lower and full garments.
        0: {0: 0, 1: 1, 2: 2, 3: 3, 6: 4, 7: 5},
        1: {4: 0, 5: 1, 6: 2, 7: 3},
        2: {landmark: landmark for landmark in range(8)},
    }
    seen = []
    for image, y in epoch(load_split(records, split, image_size=32)):
        for i, number in enumerate(numbers(image)):
            seen.append(number)
            assert y["category"][i] == number % 3
            assert y["attributes"][i].tolist() == [
                float(j == number % 5) for j in range(5)
            ]
            expected = np.zeros((8, 3))
            for landmark, k in places[number % 3].items():
                expected[landmark] = (
                    (14 + k + 0.5 - 10) / (50 - 10),
                    (24 + k + 0.5 - 20) / (70 - 20),
                    1,
                )
            np.testing.assert_allclose(y["heatmaps"][i], expected, atol=1e-5)
            # Exactly 0 where it does not count.
            unseen = expected[:, 2] == 0
            assert not y["heatmaps"][i][unseen].any()
            # The images' other colors: 90 and 200.
            middle = image[i, 16, 16]
            np.testing.assert_allclose(middle[1:], [90, 200], atol=3)
    assert sorted(seen) == [i for i in range(12) if i % 6 in rests]


def test_only_tasks_of_the_vocabulary(tmp_path):
    write_image(tmp_path / "a.jpg")
    write_image(tmp_path / "b.jpg")
    (tmp_path / "labels.csv").write_text(
        "image,split,category\na.jpg,train,Skirt\nb.jpg,train,\n"
    )
    annotations = read_annotations(tmp_path)
    records = write_records(annotations, tmp_path / "records")
    dataset = load_split(
        records, "train", image_size=32, augmentation=ALL, training=True
    )
    assert set(dataset.element_spec[1]) == {"category"}
    labels = [target["category"].numpy() for _, target in dataset]
    assert sorted(np.concatenate(labels)) == [-1, 0]
    # A folder gives the same batches as its Records.
    assert len(load_split(tmp_path / "records", "train", image_size=32)) == 1


def test_landmark_outside_the_crop_does_not_count():
    points = [[0, 0], [1, 0.5], [0.5, 1], [-0.01, 0.5], [0.99, 0.99]]
    points += [[0.5, 0.5], [2e9, -3], [0.3, 0.7]]
    visible = [True, True, True, True, True, False, True, True]
    example = {
        "landmarks": tf.constant(points, tf.float32),
        "visible": tf.constant(visible),
    }
    (name, values), *rest = targets(LANDMARKS_ALONE, example).items()
    assert (name, rest) == ("heatmaps", [])
    expected = np.zeros((8, 3), "float32")
    for index in (0, 4, 7):
        expected[index] = *points[index], 1
    np.testing.assert_array_equal(values, expected)


def test_split_without_images_is_named(records, tmp_path):
    folder = records.folder
    with pytest.raises(InputError) as error:
        load_split(records, "minival")
    assert str(error.value) == (
        f"{folder}: no image of the split minival; it has train, val, test"
    )
    with pytest.raises(InputError, match="records.json: cannot be read"):
        load_split(tmp_path, "train")


# Order and randomness.


def test_evaluation_is_in_record_order(records):
    names = [str(records.folder / name) for name in records.shards["train"]]
    stored = [
        int(
            tf.train.Example.FromString(record.numpy())
            .features.feature["image/filename"]
            .bytes_list.value[0][-7:-4]
        )
        for record in tf.data.TFRecordDataset(names)
    ]
    dataset = load_split(records, "train", image_size=32, batch_size=3)
    for _ in range(2):
        seen = [i for image, _ in epoch(dataset) for i in numbers(image)]
        assert seen == stored


def test_evaluation_reads_shards_in_order(hand_written, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.records.shard_plan.SHARD_BYTES", 2000)
    annotations = read_annotations(hand_written)
    many = write_records(annotations, tmp_path / "records")
    assert len(many.shards["train"]) > 1
    one = load_split(many, "train", image_size=32)
    stored = [
        int(
            tf.train.Example.FromString(record.numpy())
            .features.feature["image/filename"]
            .bytes_list.value[0][-7:-4]
        )
        for name in many.shards["train"]
        for record in tf.data.TFRecordDataset(str(many.folder / name))
    ]
    assert [i for image, _ in epoch(one) for i in numbers(image)] == stored
    shuffled = load_split(many, "train", image_size=32, training=True)
    seen = [i for image, _ in epoch(shuffled) for i in numbers(image)]
    assert sorted(seen) == sorted(stored)


def test_training_shows_every_image_once_an_epoch_in_another_order(records):
    dataset = load_split(
        records, "train", image_size=32, batch_size=3, training=True
    )
    orders = [
        [i for image, _ in epoch(dataset) for i in numbers(image)]
        for _ in range(3)
    ]
    for order in orders:
        assert sorted(order) == [0, 1, 2, 3, 6, 7, 8, 9]
    assert len(set(map(tuple, orders))) > 1


def test_same_seed_gives_the_same_batches(records):
    def two_epochs(seed):
        dataset = load_split(
            records,
            "train",
            image_size=32,
            batch_size=3,
            training=True,
            augmentation=ALL,
            seed=seed,
        )
        return epoch(dataset), epoch(dataset)

    first, second = two_epochs(seed=5)
    again = two_epochs(seed=5)
    other = two_epochs(seed=6)
    assert same(first, again[0])
    assert same(second, again[1])
    assert not same(first, second)
    assert not same(first, other[0])


def test_augmentation_differs_from_epoch_to_epoch(records):
    # In record order, so that only the augmentation can differ.
    dataset = load_split(
        records, "train", image_size=32, batch_size=8, augmentation=ALL
    )
    (_, one), (_, two) = epoch(dataset)[0], epoch(dataset)[0]
    np.testing.assert_array_equal(one["category"], two["category"])
    assert not np.array_equal(one["heatmaps"], two["heatmaps"])
    # Images of one batch do not share random numbers.
    boxes = one["heatmaps"][one["category"] == 0][:, 0]
    assert len(np.unique(boxes, axis=0)) == len(boxes)


@pytest.mark.parametrize("training", [False, True])
def test_batch_size_changes_no_image(records, training):
    def images(batch_size):
        dataset = load_split(
            records,
            "train",
            image_size=32,
            batch_size=batch_size,
            training=training,
            augmentation=ALL,
            seed=3,
        )
        return [
            np.concatenate([image for image, _ in epoch(dataset)])
            for _ in range(2)
        ]

    # Of both epochs.
    np.testing.assert_array_equal(images(3), images(5))
    np.testing.assert_array_equal(images(3), images(8))


@pytest.fixture(scope="module")
def of_32(tmp_path_factory):
    """Returns annotations with 32 training images, and their bytes."""
    folder = write_benchmark(tmp_path_factory.mktemp("data") / "b", images=48)
    paths = [folder / f"img/a_b/{i:03d}.jpg" for i in range(48) if i % 6 < 4]
    return read_annotations(folder), sum(p.stat().st_size for p in paths)


def shares(records, part, batch_size=4):
    """Collects two epochs of batches."""
    dataset = load_split(
        records,
        "train",
        image_size=32,
        batch_size=batch_size,
        training=True,
        augmentation=ALL,
        seed=3,
        epochs=range(2),
        part=part,
    )
    return epoch(dataset)


@pytest.mark.parametrize("shards", [1, 4, 8, 16])
@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_batches_of_one(
    shards, count, of_32, tmp_path, monkeypatch
):
    annotations, size = of_32
    monkeypatch.setattr(
        "pipelines.records.shard_plan.SHARD_BYTES", size / shards
    )
    records = write_records(annotations, tmp_path / "records")
    assert len(records.shards["train"]) == shards
    whole = shares(records, ALONE)
    assert len(whole) == 2 * 32 / 4
    parts = []
    for i in range(count):
        aside = []
        if shards >= 8:
            # Each reads its own shards, so the others may be missing.
            names = records.shards["train"]
            aside = [n for j, n in enumerate(names) if j % count != i]
        for name in aside:
            (records.folder / name).rename(tmp_path / name)
        parts.append(shares(records, Part(i, count)))
        for name in aside:
            (tmp_path / name).rename(records.folder / name)
    if shards == 16:
        # A number of processes that does not divide the lanes.
        three = [shares(records, Part(i, 3), 6) for i in range(3)]
        for k, (image, _) in enumerate(shares(records, ALONE, 6)):
            for i, part in enumerate(three):
                np.testing.assert_array_equal(part[k][0], image[i::3])
    for k, (image, labels) in enumerate(whole):
        for i, part in enumerate(parts):
            # Element j of a batch is for process j % count.
            np.testing.assert_array_equal(part[k][0], image[i::count])
            for task, values in part[k][1].items():
                np.testing.assert_array_equal(values, labels[task][i::count])
    seen = [
        {image.tobytes() for image, _ in half for image in image}
        for half in (whole[:8], whole[8:])
    ]
    # Augmented, so that no image is the same twice.
    assert len(seen[0] | seen[1]) == 64


def test_lanes_leave_nothing_out_where_shards_differ(
    of_32, tmp_path, monkeypatch
):
    annotations, size = of_32
    table = annotations.table
    train = table.index[table["split"] == "train"]
    # 35 images: the shortest of eight lanes has four.
    table = table.assign(split=table["split"].mask(table.index == 4, "train"))
    table = table.assign(split=table["split"].mask(table.index == 5, "train"))
    table = table.assign(split=table["split"].mask(table.index == 10, "train"))
    assert (table["split"] == "train").sum() == len(train) + 3
    annotations = dataclasses.replace(annotations, table=table)
    monkeypatch.setattr("pipelines.records.shard_plan.SHARD_BYTES", size / 8)
    records = write_records(annotations, tmp_path / "records")
    assert len(records.shards["train"]) == 8
    assert epoch_steps(records, "train", 5) == 7


def test_the_last_batch_is_filled_with_unlabeled_images(records):
    options = {"image_size": 32, "batch_size": 6, "whole": True}
    first, second = epoch(load_split(records, "train", **options))
    # Eight images, and four again.
    assert numbers(second[0])[2:] == numbers(first[0])[:4]
    assert (second[1]["category"][2:] == -1).all()
    assert (second[1]["attributes"][2:] == -1).all()
    assert (second[1]["heatmaps"][2:, :, 2] == 0).all()
    known = epoch(load_split(records, "train", image_size=32, batch_size=8))
    for task, values in known[0][1].items():
        np.testing.assert_array_equal(first[1][task], values[:6])
        np.testing.assert_array_equal(second[1][task][:2], values[6:])
    for i in range(3):
        shared = epoch(load_split(records, "train", part=Part(i, 3), **options))
        np.testing.assert_array_equal(shared[0][0], first[0][i::3])
        np.testing.assert_array_equal(shared[1][0], second[0][i::3])


@pytest.mark.parametrize(
    "options", [{"batch_size": 3, "whole": True}, {"batch_size": 4}]
)
def test_a_batch_that_cannot_be_shared(options, records):
    with pytest.raises(ValueError, match=r"a batch of \d for Part\(index=0"):
        load_split(records, "train", part=Part(0, 2), **options)
