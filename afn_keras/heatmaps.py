"""Renders landmarks as heatmaps and decodes them, in the same coordinates.

Positions are fractions of the image: pixel i's center lies at (i + 0.5) / W.
"""

from typing import Any
from typing import Literal

import numpy as np

from afn_keras.backend import ops

Decoding = Literal["subpixel", "argmax"]

# Standard deviation, in pixels, of the smoothing before the sub-pixel step,
# which reduces the noise of a trained heatmap. A smoothed Gaussian is a
# Gaussian, so the peak of a perfect heatmap does not move.
_SMOOTHING = 1.0
_REACH = 2  # Radius of the smoothing, in pixels.


def render_heatmaps(points: Any, height: int, width: int, sigma: float) -> Any:
    """Draws a Gaussian of height 1 at each point.

    A two-dimensional Gaussian is the product of two one-dimensional ones,
    so only (height + width) exponentials a landmark are needed.

    Args:
        points: (B, L, 2) x, y in 0..1.
        height: pixels of the heatmaps.
        width: pixels of the heatmaps.
        sigma: standard deviation in pixels of the heatmaps.

    Returns:
        (B, height, width, L) float32.
    """

    def profile(position: Any, size: int) -> Any:
        pixels = ops.arange(size, dtype="float32")[None, :, None]
        distance = pixels - (position[:, None, :] * size - 0.5)
        return ops.exp(-0.5 * ops.square(distance / sigma))

    horizontal = profile(points[..., 0], width)
    vertical = profile(points[..., 1], height)
    return vertical[:, :, None, :] * horizontal[:, None, :, :]


def render_exponentials(
    points: Any, height: int, width: int, sigma: float
) -> Any:
    """Draws the target of the authors' released code, exp(-0.5 d / sigma).

    d is the distance in pixels of the heatmaps, not squared: the peak is a
    cusp, and the function is not separable, unlike a Gaussian.

    Arguments and shape of the result are as in `render_heatmaps`.
    """

    def squares(position: Any, size: int) -> Any:
        pixels = ops.arange(size, dtype="float32")[None, :, None]
        return ops.square(pixels - (position[:, None, :] * size - 0.5))

    horizontal = squares(points[..., 0], width)
    vertical = squares(points[..., 1], height)
    distance = ops.sqrt(vertical[:, :, None, :] + horizontal[:, None, :, :])
    return ops.exp(-0.5 * distance / sigma)


def decode_heatmaps(
    heatmaps: Any, decoding: Decoding = "subpixel"
) -> tuple[Any, Any]:
    """Finds the peaks, with sub-pixel accuracy.

    Takes the highest pixel, then a Taylor step on the logarithm of the
    smoothed heatmap, which is a parabola if the heatmap is a Gaussian (DARK;
    Zhang et al., "Distribution-Aware Coordinate Representation", CVPR 2020).
    Unlike DARK, does not smooth along an axis where the kernel would cross the
    border: zeros from outside would move the peak inward.

    Args:
        heatmaps: (B, H, W, L), H and W at least 3.
        decoding: "subpixel", or "argmax" for the highest pixel's center, as
            the released code does.

    Returns:
        points, (B, L, 2) x, y in 0..1, and the heights of the peaks, (B, L).
    """
    _, height, width, count = heatmaps.shape
    heatmaps = ops.cast(heatmaps, "float32")
    flat = ops.transpose(heatmaps, (0, 3, 1, 2))
    flat = ops.reshape(flat, (-1, count, height * width))
    # Not argmax: Keras's handles -0.0 with bit operations that TFLite does not
    # have.
    scores, peak = ops.top_k(flat, 1)
    scores, peak = scores[..., 0], ops.cast(peak[..., 0], "int32")
    # x and y, in pixels.
    peak = ops.stack([peak % width, peak // width], axis=-1)
    pixels = ops.cast(peak, "float32")
    if decoding == "subpixel":
        pixels = _refine(heatmaps, peak, pixels)
    size = np.array([width, height], "float32")
    return (pixels + 0.5) / size, scores


def _refine(heatmaps: Any, peak: Any, pixels: Any) -> Any:
    """Moves the highest pixels, (B, L, 2), to the sub-pixel peaks."""
    _, height, width, _ = heatmaps.shape
    # Moved off the border, so that all eight neighbors exist.
    last = np.array([width, height], "int32") - 2
    middle = ops.minimum(ops.maximum(peak, 1), last)
    # Two small matrix products, which also run in TFLite, unlike gathering at
    # computed indices.
    rows = _weights_around(middle[..., 1], height)
    columns = _weights_around(middle[..., 0], width)
    near = ops.matmul(rows, ops.transpose(heatmaps, (0, 3, 1, 2)))
    near = ops.matmul(near, ops.transpose(columns, (0, 1, 3, 2)))
    step, is_peak = _taylor_step(ops.log(ops.maximum(near, 1e-6)))
    refined = ops.cast(middle, "float32") + step
    # A step beyond the neighbors of the highest pixel follows noise.
    refined = ops.minimum(ops.maximum(refined, pixels - 1), pixels + 1)
    return ops.where(is_peak[..., None], refined, pixels)


def _weights_around(middle: Any, size: int) -> Any:
    """Returns weights that select a pixel and its neighbors.

    (B, L) -> (B, L, 3, size), with smoothing if the kernel stays within the
    `size` pixels.
    """
    middle = ops.cast(middle, "float32")[..., None, None]
    around = np.array([-1, 0, 1], "float32")[:, None]
    distance = ops.abs(np.arange(size, dtype="float32") - middle - around)
    taps = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / _SMOOTHING) ** 2)
    smooth = ops.exp(-0.5 * ops.square(distance / _SMOOTHING)) / taps.sum()
    smooth = ops.where(distance < _REACH + 0.5, smooth, 0.0)
    raw = ops.cast(distance < 0.5, "float32")
    to_border = ops.minimum(middle, size - 1 - middle)
    return ops.where(to_border > _REACH + 0.5, smooth, raw)


def _taylor_step(near: Any) -> tuple[Any, Any]:
    """Finds the peak of the parabola through (B, L, 3, 3) pixels.

    Returns:
        Its x and y relative to the middle pixel, (B, L, 2), and whether it is
        a maximum, (B, L).
    """
    middle = near[..., 1, 1]
    dx = (near[..., 1, 2] - near[..., 1, 0]) / 2
    dy = (near[..., 2, 1] - near[..., 0, 1]) / 2
    dxx = near[..., 1, 2] - 2 * middle + near[..., 1, 0]
    dyy = near[..., 2, 1] - 2 * middle + near[..., 0, 1]
    dxy = (
        near[..., 2, 2] - near[..., 2, 0] - near[..., 0, 2] + near[..., 0, 0]
    ) / 4
    determinant = dxx * dyy - dxy * dxy
    is_peak = ops.logical_and(determinant > 1e-12, dxx + dyy < 0)
    divisor = ops.where(is_peak, determinant, ops.ones_like(determinant))
    x = (dxy * dy - dyy * dx) / divisor
    y = (dxy * dx - dxx * dy) / divisor
    return ops.stack([x, y], axis=-1), is_peak
