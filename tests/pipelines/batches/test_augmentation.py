import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines.annotations import make_vocabulary
from pipelines.batches.augmentation import Augmentation
from pipelines.batches.augmentation import change_color
from pipelines.batches.augmentation import erase
from pipelines.batches.geometry import jitter
from pipelines.batches.geometry import mirror
from pipelines.batches.geometry import rotate
from pipelines.batches.geometry import scale
from pipelines.batches.geometry import shift
from pipelines.batches.geometry import show_box
from pipelines.batches.load import draw
from pipelines.batches.load import load_split
from pipelines.batches.load import plan
from pipelines.batches.render import decode_crop
from pipelines.batches.render import render
from pipelines.images.files import ImageFile
from pipelines.images.resampling import show
from pipelines.records.encode import make_example
from pipelines.steps import chances

LANDMARKS_ALONE = make_vocabulary((), (), (), True)
# Without erasing, which may cover the dot.
ALL = Augmentation(
    flip=True, scale=0.25, shift=0.1, rotation=25.0, jitter=0.1, color=0.2
)
NONE = Augmentation()


def dot_record(x, y, box, size=(160, 120), sigma=2.0):
    """Makes a record of one bright dot on black, its left collar.

    x and y are its center in pixels from the image's corner.
    """
    width, height = size
    columns = np.exp(-((np.arange(width) + 0.5 - x) ** 2) / (2 * sigma**2))
    rows = np.exp(-((np.arange(height) + 0.5 - y) ** 2) / (2 * sigma**2))
    gray = np.rint(255 * np.outer(rows, columns)).astype(np.uint8)
    image = np.repeat(gray[..., None], 3, axis=2)
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    assert done
    landmarks = np.full((8, 3), 2.0)
    # Landmarks of the table are pixel indices: 0 is the first one's center.
    landmarks[0] = x - 0.5, y - 0.5, 0
    landmarks[1] = 12, 34, 1
    row = {
        "image": "dot.jpg",
        "category": -1,
        "attributes": np.zeros(0, np.int8),
    }
    file = ImageFile(encoded.tobytes(), None, 1, width, height, [])
    return make_example(row, file, np.array(box), landmarks)


def centroid(image):
    """Returns the center of the light, as fractions of the image."""
    gray = image.astype("float64").mean(-1)
    # JPEG artifacts on black must not shift the center.
    gray = np.clip(gray - 0.05 * gray.max(), 0, None)
    height, width = gray.shape
    columns = (np.arange(width) + 0.5) / width
    rows = (np.arange(height) + 0.5) / height
    total = gray.sum()
    return (
        np.array([(gray.sum(0) * columns).sum(), (gray.sum(1) * rows).sum()])
        / total
    )


def numbers(count, seed=0):
    """Returns the random numbers of the first images of an epoch."""
    return tf.stack(list(chances(seed).take(count)))


def augmented(record, augmentation, size, count, in_graph):
    """Returns images (count, size, size, 3) of one record, and landmarks."""
    steps = plan(LANDMARKS_ALONE, size, augmentation)
    examples = {
        "serialized": tf.fill([count], record),
        "chance": numbers(count),
    }
    if in_graph:
        dataset = tf.data.Dataset.from_tensor_slices(examples).batch(3)
        stages = draw(dataset.map(steps), size, augmentation, count)
        ((image, targets),) = stages["render"]
        return image.numpy(), targets["heatmaps"].numpy()
    images, landmarks = [], []
    for index in range(count):
        # A single example, without a batch dimension.
        example = {name: value[index] for name, value in examples.items()}
        example = steps(example)
        landmarks.append(example.pop("targets")["heatmaps"].numpy())
        if augmentation is None:
            images.append(show(**example, image_size=size).numpy())
            continue
        example = decode_crop(example)
        batch = {name: value[None] for name, value in example.items()}
        images.append(render(size)(batch)["image"][0].numpy())
    return np.stack(images), np.stack(landmarks)


def matrices(step, box, count=200):
    """Returns the matrices of a step for so many images."""
    example = {
        "window": tf.tile(tf.constant([box], tf.float32), [count, 1]),
        "chance": numbers(count),
    }
    return step(show_box(example))["matrix"].numpy().astype(float)


# Image and landmarks agree, whatever the steps do.


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(
    "augmentation",
    [
        NONE,
        Augmentation(flip=True),
        Augmentation(scale=0.3),
        Augmentation(shift=0.15),
        Augmentation(rotation=45.0),
        Augmentation(jitter=0.15),
        Augmentation(color=0.3),
        ALL,
    ],
    ids=["none", "flip", "scale", "shift", "turn", "jitter", "color", "all"],
)
def test_dot_is_found_at_its_landmark(augmentation, in_graph):
    x, y, box = 83.3, 58.8, (40.0, 30.0, 140.0, 100.0)
    record = dot_record(x, y, box)
    images, landmarks = augmented(record, augmentation, 96, 8, in_graph)
    sides = set()
    for image, points in zip(images, landmarks, strict=True):
        # In a mirrored image, the left collar is the right one.
        (landmark,) = np.flatnonzero(points[:, 2])
        sides.add(int(landmark))
        place = points[landmark, :2]
        assert np.abs(centroid(image) - place).max() * 96 <= 0.1
        if augmentation in (NONE, Augmentation(flip=True)):
            across = (x - 40) / 100
            expected = 1 - across if landmark else across
            assert place == pytest.approx([expected, (y - 30) / 70], abs=1e-5)
    assert sides == ({0, 1} if augmentation.flip else {0})


@pytest.mark.parametrize(
    ("size", "sigma"),
    [
        ((210, 150), 4.0),  # Strides of up to 2.2: smoothed.
        ((480, 400), 8.0),  # Decoded at a half,
        ((1111, 907), 20.0),  # at a quarter,
        ((4000, 3001), 80.0),  # at an eighth.
        ((1500, 190), 5.0),  # Much wider than it is high.
    ],
)
def test_dot_is_found_in_large_images(size, sigma):
    width, height = size
    x, y = 0.43 * width, 0.56 * height
    record = dot_record(x, y, (0, 0, width, height), size, sigma)
    turning = Augmentation(flip=True, rotation=20.0, scale=0.1)
    for augmentation in (NONE, turning):
        images, landmarks = augmented(record, augmentation, 96, 4, True)
        for image, points in zip(images, landmarks, strict=True):
            (place,) = points[points[:, 2] > 0]
            error = np.abs(centroid(image) - place[:2]) * 96
            assert error.max() <= 0.1


def test_alone_and_in_batches_of_tf_data_are_the_same():
    record = dot_record(80, 60, (40.0, 30.0, 140.0, 100.0))
    everything = Augmentation(True, 0.25, 0.1, 25.0, 0.1, 0.2, 0.3)
    eager = augmented(record, everything, 48, 7, in_graph=False)
    graph = augmented(record, everything, 48, 7, in_graph=True)
    # Rounding of the matrix may change the rounding of a pixel.
    np.testing.assert_allclose(eager[0], graph[0], atol=1)
    np.testing.assert_allclose(eager[1], graph[1], atol=1e-5)


def test_landmark_that_leaves_the_image_stops_counting():
    # It is 4 of 100 pixels inside the box, so some images lose it.
    record = dot_record(44, 60, (40.0, 30.0, 140.0, 100.0))
    images, landmarks = augmented(
        record, Augmentation(shift=0.15), 96, 24, True
    )
    shown = images[..., 0].max((1, 2)) > 200
    counts = landmarks[:, 0, 2] > 0
    assert 0 < counts.sum() < 24
    # Half a dot at the edge is bright, too.
    assert shown[counts].all()
    assert (landmarks[~counts] == 0).all()


def test_flip_without_the_other_side_has_no_label():
    """Mirrors a left hem without label to the right one's place."""
    vocabulary = LANDMARKS_ALONE.with_landmarks([1, 6, 7])
    points = np.array([[10, 20, 0], [30, 40, 0], [50, 60, 0]], float)
    row = {"image": "a.jpg", "category": -1, "attributes": np.zeros(0, np.int8)}
    file = ImageFile(b"", None, 1, 100, 100, [])
    record = make_example(row, file, np.array([0, 0, 100, 100]), points)
    step = plan(vocabulary, 32, Augmentation(flip=True))
    count = 40
    examples = tf.data.Dataset.zip(
        tf.data.Dataset.from_tensors({"serialized": record}).repeat(count),
        chances(0),
    ).map(lambda example, chance: example | {"chance": chance})
    (batch,) = examples.batch(count).map(step)
    found = batch["targets"]["heatmaps"].numpy().round(4)
    straight = [[0.105, 0.205, 1], [0.305, 0.405, 1], [0.505, 0.605, 1]]
    mirrored = [[0, 0, 0], [0.495, 0.605, 1], [0.695, 0.405, 1]]
    kinds = [
        [np.allclose(one, kind, atol=1e-3) for kind in (straight, mirrored)]
        for one in found
    ]
    assert {tuple(kind) for kind in kinds} == {(True, False), (False, True)}


def test_flip_swaps_every_left_and_right(records):
    plain = load_split(records, "train", image_size=32)
    flipping = load_split(
        records, "train", image_size=32, augmentation=Augmentation(flip=True)
    )
    ((images, expected),) = plain
    ((mirrored, found),) = flipping
    flips = 0
    for i in range(8):
        points = expected["heatmaps"][i].numpy()
        if np.array_equal(found["heatmaps"][i], points):
            continue
        flips += 1
        other = points[[1, 0, 3, 2, 5, 4, 7, 6]].copy()
        other[other[:, 2] > 0, 0] = 1 - other[other[:, 2] > 0, 0]
        np.testing.assert_allclose(found["heatmaps"][i], other, atol=1e-6)
    assert 0 < flips < 8
    np.testing.assert_allclose(mirrored, images, atol=2)


# Each step stays within its bounds, and reaches them.

BOX = (40.0, 30.0, 140.0, 100.0)


def test_shown_box_is_the_box():
    (matrix,) = matrices(lambda example: example, BOX, 1)
    assert matrix.tolist() == [[100, 0, 40], [0, 70, 30]]


def test_scale_is_about_the_middle_and_keeps_the_aspect():
    for (a, b, x), (c, d, y) in matrices(scale(0.2), BOX):
        assert (b, c) == (0, 0)
        assert a / 100 == pytest.approx(d / 70, rel=1e-5)
        assert x + a / 2 == pytest.approx(90, abs=1e-3)
        assert y + d / 2 == pytest.approx(65, abs=1e-3)
    factors = matrices(scale(0.2), BOX)[:, 0, 0] / 100
    assert 0.8 <= factors.min() < 0.85
    assert 1.15 < factors.max() <= 1.2 + 1e-6


def test_shift_is_in_units_of_the_box():
    found = matrices(shift(0.1), BOX)
    np.testing.assert_allclose(found[:, 0, 0], 100, rtol=1e-6)
    moves = (found[:, :, 2] - [40, 30]) / [100, 70]
    assert (np.abs(moves).max(0) > 0.09).all()
    assert np.abs(moves).max() <= 0.1 + 1e-6


def test_rotation_turns_in_pixels_about_the_middle():
    found = matrices(rotate(30.0), BOX)
    center = found @ [0.5, 0.5, 1]
    np.testing.assert_allclose(center, np.tile([90, 65], (200, 1)), atol=1e-3)
    # Columns are the window's sides: still 100 and 70 long, and square.
    np.testing.assert_allclose(np.hypot(*found[:, :, 0].T), 100, rtol=1e-5)
    np.testing.assert_allclose(np.hypot(*found[:, :, 1].T), 70, rtol=1e-5)
    dots = (found[:, :, 0] * found[:, :, 1]).sum(1)
    np.testing.assert_allclose(dots, 0, atol=1e-2)
    angles = np.degrees(np.arctan2(found[:, 1, 0], found[:, 0, 0]))
    assert -30 <= angles.min() < -27
    assert 27 < angles.max() <= 30


def test_jitter_moves_each_side_on_its_own():
    found = matrices(jitter(0.1), BOX)
    start = found[:, :, 2]
    end = start + np.stack([found[:, 0, 0], found[:, 1, 1]], -1)
    moves = np.hstack([start - [40, 30], end - [140, 100]])
    moves /= [100, 70, 100, 70]
    assert (moves.max(0) > 0.09).all()
    assert (moves.min(0) < -0.09).all()
    assert np.abs(moves).max() <= 0.1 + 1e-6
    together = np.corrcoef(moves.T) - np.eye(4)
    assert np.abs(together).max() < 0.25


def test_every_second_image_is_mirrored():
    found = matrices(mirror, BOX, 400)
    flipped = found[:, 0, 0] < 0
    assert 160 < flipped.sum() < 240
    assert found[flipped][0].tolist() == [[-100, 0, 140], [0, 70, 30]]


def colors_of(image, **given):
    """Renders an image at its own size, with the features `given`."""
    height, width = image.shape[:2]
    example = {
        "part": tf.constant(image)[None],
        "crop": tf.constant([[0, 0, width, height]]),
        "matrix": tf.constant([[[width, 0, 0], [0, height, 0]]], tf.float32),
    }
    example |= {name: tf.constant([v]) for name, v in given.items()}
    return render(width)(example)["image"][0].numpy()


def test_brightness_and_contrast():
    image = np.full((4, 4, 3), 80, np.uint8)
    image[::2] = 120
    # About the mean of 100: 100 +/- 10, then times 1.2.
    result = colors_of(image, color=[1.2, 0.5])
    np.testing.assert_array_equal(result[0], 132)
    np.testing.assert_array_equal(result[1], 108)
    result = colors_of(image, color=[3.0, 1.0])
    np.testing.assert_array_equal(result[0], 255)
    np.testing.assert_array_equal(result[1], 240)
    factors = change_color(0.2)({"chance": numbers(200)})["color"].numpy()
    assert 0.8 <= factors.min() < 0.82
    assert 1.18 < factors.max() <= 1.2


def test_erased_rectangle():
    image = np.full((10, 10, 3), 80, np.uint8)
    result = colors_of(
        image, erased=[0.2, 0.5, 0.6, 0.8], fill=[10.0, 20.0, 30.0]
    )
    expected = np.full((10, 10, 3), 80)
    expected[5:8, 2:6] = 10, 20, 30
    np.testing.assert_array_equal(result, expected)
    # An empty one changes nothing.
    result = colors_of(
        image, erased=[0.3, 0.5, 0.3, 0.5], fill=[10.0, 20.0, 30.0]
    )
    np.testing.assert_array_equal(result, image)

    found = erase(0.4)({"chance": numbers(400)})
    start, end = tf.split(found["erased"].numpy(), 2, -1)
    sides = (end - start).numpy()
    empty = (sides == 0).all(1)
    assert 160 < empty.sum() < 240
    assert 0.35 < sides.max() <= 0.4 + 1e-6
    assert (start.numpy() >= 0).all()
    assert (end.numpy() <= 1).all()


def test_landmark_under_an_erased_rectangle_stays():
    record = dot_record(90, 65, BOX)
    images, landmarks = augmented(
        record, Augmentation(erasing=1.0), 48, 40, True
    )
    plain, _ = augmented(record, NONE, 48, 1, True)
    middle = np.s_[:, 23:25, 23:25]
    covered = np.abs(images[middle] - plain[middle]).max((1, 2, 3)) > 20
    assert 0 < covered.sum() < 40
    np.testing.assert_allclose(landmarks[:, 0], [[0.5, 0.5, 1]] * 40, atol=1e-5)


def test_nothing_to_vary_is_no_step():
    assert NONE.steps() == []
