import cv2
import numpy as np
import pytest
import tensorflow as tf
from conftest import write_photograph

from pipelines.annotations import make_vocabulary
from pipelines.augmentation import Augmentation
from pipelines.augmentation import show
from pipelines.batches import load_split
from pipelines.batches import targets
from pipelines.conversion import write_records
from pipelines.errors import InputError
from pipelines.examples import parse
from pipelines.resampling import decode_window
from pipelines.resampling import resample
from pipelines.sources import read_annotations
from pipelines.tfrecords import make_example

LANDMARKS_ALONE = make_vocabulary((), (), (), True)
ALL = Augmentation(flip=True, scale=0.25, shift=0.1, colour=0.2)


def numbers(images):
    """Which hand-written photographs these are; its red says so."""
    return [round(float(image[..., 0].mean()) / 20) for image in images]


def epoch(dataset):
    """One pass over the data: [(image, targets)] of arrays."""
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


def run(steps, example, in_graph):
    """What comes out of the steps, eagerly or inside tf.data."""

    def through(example):
        for step in steps:
            example = step(example)
        return example

    if not in_graph:
        return through(example)
    tensors = {
        name: tf.constant(value)[None] for name, value in example.items()
    }
    dataset = tf.data.Dataset.from_tensor_slices(tensors).map(through)
    (result,) = dataset
    return result


def blob_record(x, y, box, width=160, height=120):
    """A record of one bright blob on black, its left collar.

    x and y are its centre in pixels from the photograph's corner.
    """
    columns = np.arange(width) + 0.5 - x
    rows = np.arange(height) + 0.5 - y
    squares = rows[:, None] ** 2 + columns[None] ** 2
    grey = np.rint(255 * np.exp(-squares / (2 * 2.0**2))).astype(np.uint8)
    image = np.repeat(grey[..., None], 3, axis=2)
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    assert done
    landmarks = np.full((8, 3), 2.0)
    # Landmarks of the table are pixel indices: 0 is the first one's centre.
    landmarks[0] = x - 0.5, y - 0.5, 0
    landmarks[1] = 12, 34, 1
    row = {
        "image": "blob.jpg",
        "category": -1,
        "attributes": np.zeros(0, np.int8),
    }
    return make_example(
        row, encoded.tobytes(), width, height, np.array(box), landmarks
    )


def centroid(image):
    """Centre of the light, as fractions of the image."""
    grey = image.astype("float64").mean(-1)
    # What JPEG leaves on black must not pull.
    grey = np.clip(grey - 0.05 * grey.max(), 0, None)
    height, width = grey.shape
    columns = (np.arange(width) + 0.5) / width
    rows = (np.arange(height) + 0.5) / height
    total = grey.sum()
    return (
        np.array([(grey.sum(0) * columns).sum(), (grey.sum(1) * rows).sum()])
        / total
    )


def triangle_weights(start, end, length, size):
    """(size, length) weights of an antialiased bilinear resampling."""
    step = (end - start) / size
    radius = max(1.0, step)
    weights = np.zeros((size, length))
    for i in range(size):
        centre = start + (i + 0.5) * step
        if not 0 <= centre <= length:
            continue
        for j in range(length):
            distance = abs(j + 0.5 - centre) / radius
            weights[i, j] = max(0.0, 1 - distance)
        weights[i] /= weights[i].sum()
    return weights


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
            # Left out, not merely small: it is 0 where it does not count.
            unseen = expected[:, 2] == 0
            assert not y["heatmaps"][i][unseen].any()
            # The photographs' other colours: 90 and 200.
            middle = image[i, 16, 16]
            np.testing.assert_allclose(middle[1:], [90, 200], atol=3)
    assert sorted(seen) == [i for i in range(12) if i % 6 in rests]


def test_only_tasks_of_the_vocabulary(tmp_path):
    write_photograph(tmp_path / "a.jpg")
    write_photograph(tmp_path / "b.jpg")
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
    # A folder is as good as what was read from it.
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


# Order and chance.


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
    monkeypatch.setattr("pipelines.sharding.SHARD_BYTES", 2000)
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
    # In record order, so that nothing but the augmentation can differ.
    dataset = load_split(
        records, "train", image_size=32, batch_size=8, augmentation=ALL
    )
    (_, one), (_, two) = epoch(dataset)[0], epoch(dataset)[0]
    np.testing.assert_array_equal(one["category"], two["category"])
    assert not np.array_equal(one["heatmaps"], two["heatmaps"])
    # Nor do images of one batch share their chance.
    boxes = one["heatmaps"][one["category"] == 0][:, 0]
    assert len(np.unique(boxes, axis=0)) == len(boxes)


# Resampling.


@pytest.mark.parametrize(
    ("window", "size"),
    [
        ((10, 20, 50, 60), 8),  # Smaller: antialiased.
        ((10.3, 5.7, 33.9, 41.2), 16),
        ((12.25, 8.5, 17.5, 14.75), 16),  # Larger: bilinear.
        ((-9.5, 30.5, 40.5, 72.25), 16),  # Beyond two edges.
        ((0, 0, 60, 70), 16),
    ],
)
def test_resampled_is_an_antialiased_bilinear_crop(window, size):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (70, 60, 3)).astype("uint8")
    x1, y1, x2, y2 = window
    rows = triangle_weights(y1, y2, 70, size)
    columns = triangle_weights(x1, x2, 60, size)
    expected = np.einsum("ih,hwc,jw->ijc", rows, image.astype(float), columns)
    result = resample(tf.constant(image), tf.constant(window, tf.float32), size)
    assert result.shape == (size, size, 3)
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, expected, atol=0.02)


@pytest.mark.parametrize(
    ("window", "tolerance"),
    [
        # Whole factors, 2 and 3: exact at any sub-pixel position.
        ((5.25, 0.6, 37.25, 48.6), 1e-3),
        ((6.25, 8.5, 17.75, 23.0), 1e-3),  # Enlarged: exact, too.
        # Otherwise the filter's few taps are off by a part of a pixel.
        ((6.25, 8.5, 33.75, 41.0), 0.1),
    ],
)
def test_resampled_gradient_is_a_gradient(window, tolerance):
    # Green grows by 3 a column, blue by 2 a row.
    image = np.zeros((50, 40, 3), np.uint8)
    image[..., 1] = 3 * np.arange(40)
    image[..., 2] = 2 * np.arange(50)[:, None]
    result = resample(
        tf.constant(image), tf.constant(window, tf.float32), 16
    ).numpy()
    x1, y1, x2, y2 = window
    # The filter of the outermost pixels may leave the photograph.
    for i in range(1, 15):
        for j in range(1, 15):
            # A pixel's value is that of its centre.
            x = x1 + (j + 0.5) / 16 * (x2 - x1) - 0.5
            y = y1 + (i + 0.5) / 16 * (y2 - y1) - 0.5
            red, green, blue = result[i, j]
            assert red == 0
            assert green / 3 == pytest.approx(x, abs=tolerance)
            assert blue / 2 == pytest.approx(y, abs=tolerance)


def test_outside_the_photograph_is_black():
    image = tf.fill([20, 20, 3], tf.constant(200, tf.uint8))
    result = resample(image, tf.constant([-10.0, 0, 10, 20]), 10).numpy()
    np.testing.assert_array_equal(result[:, :5], 0)
    np.testing.assert_allclose(result[:, 5:], 200, atol=1e-3)


@pytest.mark.parametrize(
    "window",
    [
        (0, 0, 40, 30),
        (3.4, 5.6, 21.2, 17.1),
        (-7.5, -3, 60, 50),
        (39.5, 29.5, 45, 40),
        (50, 50, 60, 60),  # Misses the photograph.
        (-20, -20, -10, -10),
    ],
)
def test_decoded_part_stands_for_the_whole(window):
    random = np.random.default_rng(1)
    image = cv2.resize(
        random.integers(0, 256, (6, 8, 3)).astype("uint8"), (40, 30)
    )
    encoded = tf.constant(cv2.imencode(".jpg", image)[1].tobytes())
    size = tf.constant([40, 30])
    window = tf.constant(window, tf.float32)
    part, moved = decode_window(encoded, window, size)
    assert part.shape[0] <= 30
    assert part.shape[1] <= 40
    whole, unmoved = decode_window(
        encoded, tf.constant([0.0, 0.0, 40.0, 30.0]), size
    )
    assert whole.shape == (30, 40, 3)
    assert unmoved.numpy().tolist() == [0, 0, 40, 30]
    expected = resample(whole, window, 12).numpy()
    result = resample(part, moved, 12).numpy()
    # A pixel at the edge may weigh what is cut off beside it; away from
    # there nothing may differ.
    inner = np.s_[1:-1, 1:-1]
    np.testing.assert_allclose(result[inner], expected[inner], atol=1e-3)
    if window[0] >= 40 or window[2] <= 0:
        np.testing.assert_array_equal(result, 0)


# Image and landmarks stay together, whatever the steps do.


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(),
        Augmentation(flip=True),
        Augmentation(scale=0.3),
        Augmentation(shift=0.15),
        ALL,
    ],
    ids=["none", "flip", "scale", "shift", "all"],
)
def test_landmark_stays_on_its_spot(augmentation, in_graph):
    size = 96
    x, y, box = 83.3, 58.8, (40.0, 30.0, 140.0, 100.0)
    steps = [
        parse(LANDMARKS_ALONE),
        *augmentation.window_steps(),
        show(LANDMARKS_ALONE, size),
        *augmentation.colour_steps(),
    ]
    mirrored = []
    for seed in range(8):
        example = {
            "serialized": blob_record(x, y, box),
            "seed": np.int32(seed),
        }
        result = run(steps, example, in_graph)
        image = result["image"].numpy()
        assert image.shape == (size, size, 3)
        visible = result["visible"].numpy()
        # Seen from the other side, the left collar is the right one.
        assert visible.sum() == 1
        landmark = int(visible.argmax())
        assert landmark in (0, 1)
        mirrored.append(landmark)
        place = result["landmarks"].numpy()[landmark]
        error = np.abs(centroid(image) - place) * size
        assert error.max() <= 0.1
        if augmentation in (Augmentation(), Augmentation(flip=True)):
            across = (x - 40) / 100
            expected = 1 - across if landmark else across
            assert place == pytest.approx([expected, (y - 30) / 70], abs=1e-5)
    assert set(mirrored) == ({0, 1} if augmentation.flip else {0})


def test_eager_and_tf_data_agree():
    steps = [
        parse(LANDMARKS_ALONE),
        *ALL.window_steps(),
        show(LANDMARKS_ALONE, 48),
        *ALL.colour_steps(),
    ]
    record = blob_record(80, 60, (40.0, 30.0, 140.0, 100.0))
    for seed in range(3):
        example = {"serialized": record, "seed": np.int32(seed)}
        eager, graph = (run(steps, example, mode) for mode in (False, True))
        assert set(eager) == set(graph)
        for name in ("image", "landmarks", "visible", "window"):
            np.testing.assert_allclose(eager[name], graph[name], atol=1e-3)


def test_flip_swaps_every_left_and_right(records):
    plain = load_split(records, "train", image_size=32)
    flipping = load_split(
        records, "train", image_size=32, augmentation=Augmentation(flip=True)
    )
    ((images, expected),) = epoch(plain)
    ((mirrored, found),) = epoch(flipping)
    flips = 0
    for i in range(8):
        points = expected["heatmaps"][i]
        if np.array_equal(found["heatmaps"][i], points):
            continue
        flips += 1
        other = points[[1, 0, 3, 2, 5, 4, 7, 6]].copy()
        other[other[:, 2] > 0, 0] = 1 - other[other[:, 2] > 0, 0]
        np.testing.assert_allclose(found["heatmaps"][i], other, atol=1e-6)
    assert 0 < flips < 8
    np.testing.assert_allclose(mirrored, images, atol=2)


def test_window_keeps_its_aspect_and_within_its_bounds():
    (step,) = Augmentation(scale=0.2, shift=0.1).window_steps()
    window = tf.constant([40.0, 30.0, 140.0, 100.0])
    factors, moves = [], []
    for seed in range(100):
        example = step({"window": window, "seed": tf.constant(seed)})
        x1, y1, x2, y2 = example["window"].numpy().astype(float)
        assert (x2 - x1) / 100 == pytest.approx((y2 - y1) / 70, rel=1e-5)
        factors.append((x2 - x1) / 100)
        moves.append([(x1 + x2 - 180) / 200, (y1 + y2 - 130) / 140])
    factors, moves = np.array(factors), np.abs(moves)
    assert 0.8 <= factors.min() < 0.85
    assert 1.15 < factors.max() <= 1.2
    assert 0.09 < moves.max(0).min() <= moves.max() <= 0.1 + 1e-6


def test_colours_change_within_their_bounds():
    (step,) = Augmentation(colour=0.2).colour_steps()
    image = np.full((4, 4, 3), 80, "float32")
    image[::2] = 120
    for seed in range(50):
        example = step({"image": tf.constant(image), "seed": tf.constant(seed)})
        result = example["image"].numpy()
        brightness = result.mean() / 100
        contrast = (result[0, 0, 0] - result[1, 0, 0]) / 40 / brightness
        assert 0.8 <= brightness <= 1.2
        assert 0.8 - 1e-5 <= contrast <= 1.2 + 1e-5
    bright = step({"image": tf.fill([2, 2, 3], 255.0), "seed": tf.constant(1)})
    assert tf.reduce_max(bright["image"]) <= 255


def test_nothing_to_vary_is_no_step():
    assert Augmentation().window_steps() == []
    assert Augmentation().colour_steps() == []
