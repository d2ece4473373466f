import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines.annotations import Annotations
from pipelines.annotations import make_vocabulary
from pipelines.augmentation import Augmentation
from pipelines.augmentation import mirror
from pipelines.augmentation import move_window
from pipelines.augmentation import show
from pipelines.batches import load_split
from pipelines.errors import InputError
from pipelines.resampling import resample

ALL = Augmentation(flip=True, scale=0.3, shift=0.2, colour=0.2)


def arrays(dataset):
    """All of a dataset as (images, targets)."""
    batches = list(dataset)
    images = np.concatenate([image for image, _ in batches])
    targets = {
        name: np.concatenate([target[name] for _, target in batches])
        for name in batches[0][1]
    }
    return images, targets


def test_contract(records):
    dataset = load_split(records, "test", image_size=32, batch_size=5)
    assert len(dataset) == 1
    image, targets = next(iter(dataset))
    assert image.shape == (2, 32, 32, 3)
    assert image.dtype == tf.float32
    assert 0 <= image.numpy().min() <= image.numpy().max() <= 255
    assert targets["heatmaps"].shape == (2, 8, 3)
    assert targets["category"].dtype == tf.int32
    assert targets["attributes"].shape == (2, 5)
    # Images 5 and 11 are of the third category: all eight landmarks.
    assert targets["category"].numpy().tolist() == [2, 2]
    expected = [
        [(14 + k + 0.5 - 10) / 40, (24 + k + 0.5 - 20) / 50, 1]
        for k in range(8)
    ]
    np.testing.assert_allclose(targets["heatmaps"][0], expected, atol=1e-5)


def test_a_landmark_that_does_not_count_has_no_place(records):
    _, targets = arrays(load_split(records, "val", image_size=32))
    # Images 4 and 10 are of the second category: waistline and hem.
    assert targets["heatmaps"][0, :, 2].tolist() == [0] * 4 + [1] * 4
    assert not targets["heatmaps"][0, :4].any()


def test_colours_are_rgb(records):
    images, _ = arrays(load_split(records, "val", image_size=32))
    # Image 4 is (80, 90, 200), image 10 is (200, 90, 200).
    for image, colour in zip(
        images, [(80, 90, 200), (200, 90, 200)], strict=True
    ):
        assert np.abs(image[16, 16] - colour).max() < 4


def test_evaluation_keeps_the_order(records):
    first, _ = arrays(load_split(records, "train", image_size=32))
    second, _ = arrays(
        load_split(records, "train", image_size=32, batch_size=3)
    )
    np.testing.assert_array_equal(first, second)


def test_same_seed_same_batches_in_every_epoch(records):
    def epochs(seed):
        dataset = load_split(
            records,
            "train",
            image_size=32,
            batch_size=3,
            training=True,
            augmentation=ALL,
            seed=seed,
        )
        return [arrays(dataset)[0] for _ in range(2)]

    first, again, other = epochs(1), epochs(1), epochs(2)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_a_split_that_is_not_there(records):
    with pytest.raises(InputError, match="no image of the split dev"):
        load_split(records, "dev")


def test_one_resampling_of_a_gradient():
    # Brightness x at pixel centres: a window's pixels follow by arithmetic.
    image = np.tile(np.arange(100.0)[None, :, None], (50, 1, 3))
    window = tf.constant([10.25, 5.0, 74.25, 37.0])
    shown = resample(tf.constant(image), window, 16).numpy()
    # Each of 16 pixels covers 4 of 64; pixel i's centre is x = i + 0.5.
    expected = 10.25 + (np.arange(16) + 0.5) * 4 - 0.5
    np.testing.assert_allclose(shown[8, 1:-1, 0], expected[1:-1], atol=1e-3)


def test_what_lies_outside_is_black():
    image = tf.fill([20, 20, 3], 200.0)
    shown = resample(image, tf.constant([-20.0, 0.0, 20.0, 20.0]), 32).numpy()
    assert not shown[:, :15].any()
    np.testing.assert_allclose(shown[:, 17:], 200, atol=1e-3)


STEPS = {
    "nothing": [],
    "flip": [mirror],
    "scale": [move_window(0.4, 0.0)],
    "shift": [move_window(0.0, 0.2)],
    "all": [move_window(0.2, 0.1), mirror],
}


@pytest.mark.parametrize("inside", [False, True], ids=["eager", "tf.data"])
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_a_dot_and_its_landmark_move_alike(steps, inside):
    """Draws a dot at a landmark and finds it again in what is shown."""
    vocabulary = make_vocabulary((), (), (), True)
    place = np.array([83.3, 61.8])
    rows, columns = np.mgrid[:150, :160]
    square = (columns - place[0]) ** 2 + (rows - place[1]) ** 2
    dot = 255 * np.exp(-square / (2 * 3.0**2))
    photograph = np.repeat(dot[..., None].round().astype(np.uint8), 3, -1)
    _, encoded = cv2.imencode(".jpg", photograph, [1, 100])
    names = vocabulary.landmarks
    left, right = names.index("left_hem"), names.index("right_hem")
    landmarks = np.zeros((8, 2), np.float32)
    landmarks[left] = place + 0.5
    visible = np.arange(8) == left

    def shown(seed):
        example = {
            "seed": seed,
            "encoded": tf.constant(encoded.tobytes()),
            "size": tf.constant([160, 150]),
            "window": tf.constant([20.0, 10.0, 145.0, 120.0]),
            "landmarks": tf.constant(landmarks),
            "visible": tf.constant(visible),
        }
        for step in [*steps, show(vocabulary, 96)]:
            example = step(example)
        return example["image"], example["landmarks"], example["visible"]

    seeds = tf.data.Dataset.range(12).map(lambda seed: tf.cast(seed, tf.int32))
    results = list(seeds.map(shown)) if inside else list(map(shown, seeds))
    mirrored = 0
    for image, points, seen in results:
        landmark = right if seen[right] else left
        mirrored += landmark == right
        assert seen.numpy().sum() == 1
        weight = image.numpy()[..., 0]
        weight = np.where(weight > 12, weight, 0)  # Without JPEG's noise.
        rows, columns = np.mgrid[:96, :96]
        found = (
            np.array([(weight * columns).sum(), (weight * rows).sum()])
            / weight.sum()
        )
        expected = points[landmark].numpy() * 96 - 0.5
        np.testing.assert_allclose(found, expected, atol=0.1)
    assert (0 < mirrored < 12) == (mirror in steps)


def test_colour_changes_neither_shape_nor_range(records):
    dataset = load_split(
        records,
        "train",
        image_size=32,
        training=True,
        augmentation=Augmentation(colour=0.5),
    )
    plain, _ = arrays(load_split(records, "train", image_size=32))
    images, _ = arrays(dataset)
    assert images.shape == plain.shape
    assert 0 <= images.min() <= images.max() <= 255
    assert not np.allclose(
        np.sort(images.mean((1, 2, 3))), np.sort(plain.mean((1, 2, 3)))
    )


def test_annotations_may_lack_every_task_but_one(tmp_path):
    import pandas as pd

    from conftest import write_photograph
    from pipelines.conversion import write_records

    write_photograph(tmp_path / "a.jpg")
    table = pd.DataFrame(
        {
            "image": ["a.jpg"],
            "split": ["train"],
            "source": ["here"],
            "category": [1],
            "attributes": [np.zeros(0, np.int8)],
            "landmarks": [np.zeros((0, 3), np.float32)],
            **{name: [np.nan] for name in ("x1", "y1", "x2", "y2")},
        }
    )
    vocabulary = make_vocabulary(("Hat", "Shoe"), (), (), False)
    annotations = Annotations(tmp_path, table, vocabulary)
    records = write_records(annotations, tmp_path / "records")
    _, targets = next(iter(load_split(records, "train", image_size=32)))
    assert list(targets) == ["category"]
    assert targets["category"].numpy().tolist() == [1]
