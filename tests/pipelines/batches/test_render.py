import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines.batches.render import _antialiasing
from pipelines.batches.render import decode_crop
from pipelines.batches.render import plan_crop
from pipelines.batches.render import render
from pipelines.images.resampling import show


def soft_image(width, height, grain=12):
    """Encodes a JPEG with soft colors that change every `grain` pixels."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (height // grain, width // grain, 3))
    image = cv2.resize(
        small.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    quality = [cv2.IMWRITE_JPEG_QUALITY, 100]
    return tf.constant(cv2.imencode(".jpg", image, quality)[1].tobytes())


def drawn(encoded, size, matrix, image_size):
    example = {
        "encoded": encoded,
        "orientation": tf.constant(1),
        "size": tf.constant(size),
        "matrix": tf.constant(matrix, tf.float32),
    }
    example = decode_crop(plan_crop(image_size)(example))
    batch = {name: value[None] for name, value in example.items()}
    return example, render(image_size)(batch)["image"][0].numpy()


def upright(window):
    x1, y1, x2, y2 = window
    return [[x2 - x1, 0, x1], [0, y2 - y1, y1]]


@pytest.mark.parametrize(
    ("window", "largest", "mean"),
    [
        # Enlarged, both are bilinear: OpenCV rounds positions to 1/32 pixel.
        ((40, 30, 160, 140), 3, 0.4),
        ((40.3, 30.6, 159.2, 139.9), 3, 0.6),
        # Reduced, the filters differ, but not their widths.
        ((3, 8, 237, 291), 6, 1.0),
    ],
)
def test_shows_nearly_what_prediction_shows(window, largest, mean):
    encoded = soft_image(240, 300)
    expected = show(
        encoded,
        tf.constant(1),
        tf.constant([240, 300]),
        tf.constant(window, tf.float32),
        160,
    ).numpy()
    _, result = drawn(encoded, [240, 300], upright(window), 160)
    # The outermost pixels may use a neighbor that the other one cuts off.
    difference = np.abs(result - expected)[1:-1, 1:-1]
    assert difference.max() <= largest
    assert difference.mean() <= mean


def test_decodes_no_more_than_the_crop():
    encoded = soft_image(240, 300)
    example, _ = drawn(encoded, [240, 300], upright((40.2, 30, 160, 140)), 160)
    assert example["part"].shape == (110, 120, 3)
    # Turned by 45 degrees, a square of 100 is as wide as its diagonal.
    half = 50 * 2**0.5
    turned = [[half, -half, 120], [half, half, 150 - half]]
    example, _ = drawn(encoded, [240, 300], turned, 160)
    assert example["part"].shape == (142, 142, 3)
    # Every 2.4th pixel: decoded at a half. Every 9th: at an eighth.
    example, _ = drawn(encoded, [240, 300], upright((0, 0, 240, 300)), 100)
    assert example["part"].shape == (150, 120, 3)
    example, _ = drawn(encoded, [240, 300], upright((1, 0, 240, 300)), 26)
    assert example["part"].shape == (38, 30, 3)


@pytest.mark.parametrize("image_size", [150, 80, 50, 33, 20])
def test_decoded_smaller_shows_the_same(image_size):
    encoded = soft_image(480, 480, grain=80)
    whole = tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE").numpy()
    expected = cv2.resize(
        whole, (image_size, image_size), interpolation=cv2.INTER_AREA
    )
    _, result = drawn(
        encoded, [480, 480], upright((0, 0, 480, 480)), image_size
    )
    assert np.abs(result - expected).mean() < 2


@pytest.mark.parametrize(
    "window", [(-60, 0, 60, 120), (180, 240, 300, 360), (-120, 0, 360, 300)]
)
def test_outside_the_image_is_black(window):
    image = np.full((300, 240, 3), 200, np.uint8)
    encoded = tf.constant(cv2.imencode(".jpg", image)[1].tobytes())
    _, result = drawn(encoded, [240, 300], upright(window), 120)
    x1, y1, x2, y2 = window
    xs = x1 + (np.arange(120) + 0.5) * (x2 - x1) / 120
    ys = y1 + (np.arange(120) + 0.5) * (y2 - y1) / 120
    stride = max(x2 - x1, y2 - y1) / 120
    # Within a pixel of the edge it may fade.
    deep = np.minimum.outer(np.minimum(ys, 300 - ys), np.minimum(xs, 240 - xs))
    np.testing.assert_allclose(result[deep > 0], 200, atol=1)
    np.testing.assert_array_equal(result[deep < -1.5 * stride], 0)


@pytest.mark.parametrize("window", [(300, 10, 400, 80), (-90, -90, -10, -20)])
def test_window_beside_the_image_is_black(window):
    encoded = soft_image(240, 300)
    _, result = drawn(encoded, [240, 300], upright(window), 40)
    np.testing.assert_array_equal(result, 0)


@pytest.mark.parametrize("stride", [0.4, 1.0, 1.21, 1.34, 1.7, 2.0])
def test_smoothing_moves_nothing_and_is_as_wide_as_a_triangle(stride):
    kernel = _antialiasing(stride)
    places = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel.sum() == pytest.approx(1)
    # With a mean of 0, the bilinear step takes a gradient to that gradient.
    assert (kernel * places).sum() == pytest.approx(0)
    # Variances: stride^2 / 6 of the triangle, 1 / 6 of the bilinear step.
    wide = max(stride, 1) ** 2 / 6 - 1 / 6
    assert (kernel * places**2).sum() == pytest.approx(wide, abs=1e-3)
