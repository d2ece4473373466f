import io

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.images.jpeg import decode_whole
from pipelines.images.resampling import decode_window
from pipelines.images.resampling import resample
from pipelines.images.resampling_numpy import resample_array


def triangle_weights(start, end, length, size):
    """Returns (size, length) weights of antialiased bilinear resampling."""
    step = (end - start) / size
    radius = max(1.0, step)
    weights = np.zeros((size, length))
    for i in range(size):
        center = start + (i + 0.5) * step
        if not 0 <= center <= length:
            continue
        for j in range(length):
            distance = abs(j + 0.5 - center) / radius
            weights[i, j] = max(0.0, 1 - distance)
        weights[i] /= weights[i].sum()
    return weights


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
    other = resample_array(image, window, size)
    assert other.dtype == np.float32
    np.testing.assert_allclose(other, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("window", "tolerance"),
    [
        # Whole factors, 2 and 3: exact at any sub-pixel position.
        ((5.25, 0.6, 37.25, 48.6), 1e-3),
        ((6.25, 8.5, 17.75, 23.0), 1e-3),  # Enlarged: exact, too.
        # Otherwise the filter's few taps are off by a fraction of a pixel.
        ((6.25, 8.5, 33.75, 41.0), 0.1),
    ],
)
def test_resampled_gradient_is_a_gradient(window, tolerance):
    # Green grows by 3 per column, blue by 2 per row.
    image = np.zeros((50, 40, 3), np.uint8)
    image[..., 1] = 3 * np.arange(40)
    image[..., 2] = 2 * np.arange(50)[:, None]
    result = resample(
        tf.constant(image), tf.constant(window, tf.float32), 16
    ).numpy()
    x1, y1, x2, y2 = window
    # The filter of the outermost pixels may leave the image.
    for i in range(1, 15):
        for j in range(1, 15):
            # A pixel's value is that of its center.
            x = x1 + (j + 0.5) / 16 * (x2 - x1) - 0.5
            y = y1 + (i + 0.5) / 16 * (y2 - y1) - 0.5
            red, green, blue = result[i, j]
            assert red == 0
            assert green / 3 == pytest.approx(x, abs=tolerance)
            assert blue / 2 == pytest.approx(y, abs=tolerance)


def test_outside_the_image_is_black():
    image = tf.fill([20, 20, 3], tf.constant(200, tf.uint8))
    result = resample(image, tf.constant([-10.0, 0, 10, 20]), 10).numpy()
    np.testing.assert_array_equal(result[:, :5], 0)
    np.testing.assert_allclose(result[:, 5:], 200, atol=1e-3)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    "window",
    [
        (0, 0, 90, 70),
        (13.4, 5.6, 61.2, 57.1),
        (32, 16, 48, 64),
        (-7.5, -3, 160, 50),
        (89.5, 69.5, 95, 80),
        (150, 150, 160, 160),  # Outside the image.
        (-20, -20, -10, -10),
    ],
)
def test_decoded_part_equals_the_whole(window, orientation, subsampling):
    random = np.random.default_rng(1)
    image = cv2.resize(
        random.integers(0, 256, (14, 18, 3)).astype("uint8"), (90, 70)
    )
    stored = Image.fromarray(np.rot90(image) if orientation == 6 else image)
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=95, subsampling=subsampling)
    encoded = tf.constant(file.getvalue())
    upright = tf.constant(orientation)
    window = tf.constant(window, tf.float32)
    part, moved = decode_window(
        encoded, upright, tf.constant([90, 70]), window, 12
    )
    whole = decode_whole(encoded, upright)
    assert whole.shape == (70, 90, 3)
    expected = resample(whole, window, 12).numpy()
    # At the edge of a part, libjpeg may lack a neighbor to blend colors with.
    result = resample(part, moved, 12).numpy()
    np.testing.assert_allclose(result, expected, atol=0.5)
    other = resample_array(whole.numpy(), window.numpy(), 12)
    np.testing.assert_allclose(other, expected, atol=1e-2)
    if window[0] >= 90 or window[2] <= 0:
        np.testing.assert_array_equal(result, 0)


def test_decodes_no_more_than_the_window_needs():
    image = np.zeros((300, 240, 3), np.uint8)
    encoded = tf.constant(cv2.imencode(".jpg", image)[1].tobytes())
    part, inside = decode_window(
        encoded,
        tf.constant(1),
        tf.constant([240, 300]),
        tf.constant([40.5, 30, 160, 141]),
        60,
    )
    # The triangle reaches 119.5 / 60 and 111 / 60 pixels beyond: 38 to 162,
    # 28 to 143.
    assert part.shape == (115, 124, 3)
    assert inside.numpy().tolist() == [2.5, 2, 122, 113]
