import math

import numpy as np
import pytest

from afn_keras.heatmaps import decode_heatmaps
from afn_keras.heatmaps import render_exponentials
from afn_keras.heatmaps import render_heatmaps


def decode(heatmaps):
    points, scores = decode_heatmaps(np.asarray(heatmaps, "float32"))
    return np.array(points), np.array(scores)


def test_rendered_is_a_gaussian_at_each_point():
    points = np.array(
        [[[0.5, 0.5], [0.0, 1.0]], [[0.3, 0.71], [1.4, -0.2]]], "float32"
    )
    height, width, sigma = 5, 7, 1.3
    rendered = np.array(render_heatmaps(points, height, width, sigma))
    assert rendered.shape == (2, 5, 7, 2)
    assert rendered.dtype == np.float32
    for image in range(2):
        for landmark in range(2):
            x, y = (float(value) for value in points[image, landmark])
            for i in range(height):
                for j in range(width):
                    # Pixel centers lie at (i + 0.5) / H, (j + 0.5) / W.
                    dx, dy = j + 0.5 - x * width, i + 0.5 - y * height
                    expected = math.exp(-(dx**2 + dy**2) / (2 * sigma**2))
                    value = rendered[image, i, j, landmark]
                    assert value == pytest.approx(expected, abs=1e-6)


def test_rendered_peak_is_one_at_a_pixel_center():
    point = np.array([[[2.5 / 8, 5.5 / 8]]], "float32")
    rendered = np.array(render_heatmaps(point, 8, 8, 1.0))
    assert rendered[0, 5, 2, 0] == 1
    assert rendered.max() == 1
    assert rendered[0, 5, 3, 0] == pytest.approx(math.exp(-0.5), abs=1e-6)


# Standard deviations in pixels of 224 x 224.
@pytest.mark.parametrize("sigma", [4, 12])
@pytest.mark.parametrize(
    ("size", "bound"),
    [(8, 0.01), (28, 0.001), (64, 0.0002), (96, 0.0002), (224, 0.0002)],
)
def test_decoded_is_what_was_rendered_up_to_the_border(size, bound, sigma):
    sigma = max(1.0, sigma * size / 224)
    random = np.random.default_rng(size)
    points = random.uniform(0, 1, (40, 8, 2)).astype("float32")
    # Hems and sleeves lie at the border more often than chance puts them there.
    points[10:20, :, 0] = random.uniform(0, 2 / size, (10, 8))
    points[20:30, :, 1] = 1 - random.uniform(0, 2 / size, (10, 8))
    points[30] = [[x, y] for x in (0, 1, 0.3, 0.5) for y in (0, 1)]
    decoded, scores = decode(render_heatmaps(points, size, size, sigma))
    assert np.linalg.norm(decoded - points, axis=-1).max() <= bound
    # The nearest pixel is at most half a pixel away either way.
    assert (scores <= 1).all()
    assert (scores >= math.exp(-0.25 / sigma**2) - 1e-6).all()


@pytest.mark.parametrize("size", [28, 224])
@pytest.mark.parametrize("render", [render_heatmaps, render_exponentials])
def test_argmax_is_the_pixel_that_holds_the_point(size, render):
    random = np.random.default_rng(size)
    points = random.uniform(0, 1, (6, 8, 2)).astype("float32")
    heatmaps = np.asarray(render(points, size, size, 4.0))
    decoded, scores = decode_heatmaps(heatmaps, "argmax")
    expected = (np.floor(points * size) + 0.5) / size
    np.testing.assert_allclose(np.array(decoded), expected, atol=1e-6)
    np.testing.assert_array_equal(np.array(scores), heatmaps.max((1, 2)))


def test_exponential_falls_with_the_distance():
    points = np.array([[[0.31, 0.77]]], "float32")
    rendered = np.array(render_exponentials(points, 6, 9, 2.5))
    for i in range(6):
        for j in range(9):
            distance = math.hypot(j + 0.5 - 0.31 * 9, i + 0.5 - 0.77 * 6)
            expected = math.exp(-0.5 * distance / 2.5)
            assert rendered[0, i, j, 0] == pytest.approx(expected, abs=1e-5)


def test_height_and_width_may_differ():
    points = np.array([[[0.3, 0.6], [0.71, 0.42]]], "float32")
    decoded, _ = decode(render_heatmaps(points, 40, 24, 2.0))
    np.testing.assert_allclose(decoded, points, atol=0.001)


def test_height_of_the_peak_moves_no_point():
    points = np.array([[[0.31, 0.62]]], "float32")
    heatmap = np.array(render_heatmaps(points, 56, 56, 3.0))
    decoded, scores = decode(0.05 * heatmap)
    np.testing.assert_allclose(decoded, points, atol=0.0005)
    assert scores[0, 0] == pytest.approx(0.05 * heatmap.max(), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.7, -3.0, 1e-12, 1e4])
def test_flat_heatmaps_are_finite_and_in_bounds(value):
    points, scores = decode(np.full((1, 8, 8, 3), value))
    assert ((points >= 0) & (points <= 1)).all()
    np.testing.assert_allclose(scores, value, rtol=1e-6)


def test_negative_heatmaps_are_finite_and_in_bounds():
    random = np.random.default_rng(0)
    heatmaps = -random.uniform(0.1, 5, (2, 9, 9, 4)).astype("float32")
    points, scores = decode(heatmaps)
    assert ((points >= 0) & (points <= 1)).all()
    np.testing.assert_array_equal(scores, heatmaps.max((1, 2)))


def test_scores_are_the_largest_values():
    random = np.random.default_rng(1)
    heatmaps = random.normal(size=(2, 7, 9, 4)).astype("float32")
    points, scores = decode(heatmaps)
    assert points.shape == (2, 4, 2)
    np.testing.assert_array_equal(scores, heatmaps.max((1, 2)))


@pytest.mark.parametrize("row", [0, 1, 6, 14, 15])
@pytest.mark.parametrize("column", [0, 7, 15])
def test_single_bright_pixel_is_found(row, column):
    heatmap = np.zeros((1, 16, 16, 1))
    heatmap[0, row, column] = 1
    points, scores = decode(heatmap)
    assert ((points >= 0) & (points <= 1)).all()
    expected = [(column + 0.5) / 16, (row + 0.5) / 16]
    # At most the pixel beside it: the step leaves no 3x3 pixels.
    np.testing.assert_allclose(points[0, 0], expected, atol=1.5 / 16)
    assert scores.item() == 1
    if 1 < row < 14 and 1 < column < 14:
        np.testing.assert_allclose(points[0, 0], expected, atol=1e-4)


def test_noise_of_a_trained_heatmap_moves_little():
    random = np.random.default_rng(2)
    points = random.uniform(0.2, 0.8, (4, 8, 2)).astype("float32")
    heatmaps = np.array(render_heatmaps(points, 56, 56, 2.0))
    heatmaps += random.normal(0, 0.02, heatmaps.shape)
    decoded, _ = decode(heatmaps)
    # Less than the pixel that an argmax alone could be off by.
    assert np.linalg.norm(decoded - points, axis=-1).max() < 0.5 / 56
