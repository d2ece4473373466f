"""Landmarks to heatmaps and back, in the same coordinates throughout.

Positions are fractions of the image: pixel i's centre lies at (i + 0.5) / W.
"""

from typing import Any
from typing import Literal

import numpy as np

from afn_keras.backend import ops

Decoding = Literal["subpixel", "argmax"]

# Smoothing before the sub-pixel step, in pixels: it quiets the noise of a
# trained heatmap and hardly moves its peak.
_SMOOTHING = 1.0


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
    cusp, and what it drops is not separable, unlike a Gaussian.

    Args and returned shape as of `render_heatmaps`.
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
    """Finds the peaks, to a fraction of a pixel.

    The highest pixel, then a Taylor step on the logarithm of the smoothed
    heatmap, which is a parabola where the heatmap is a Gaussian (DARK; Zhang
    et al., "Distribution-Aware Coordinate Representation", CVPR 2020).

    Args:
        heatmaps: (B, H, W, L), H and W at least 3.
        decoding: "subpixel", or "argmax" for the highest pixel's centre, as
            the released code does.

    Returns:
        points, (B, L, 2) x, y in 0..1, and the heights of the peaks, (B, L).
    """
    _, height, width, count = heatmaps.shape
    heatmaps = ops.cast(heatmaps, "float32")
    flat = ops.transpose(heatmaps, (0, 3, 1, 2))
    flat = ops.reshape(flat, (-1, count, height * width))
    # Not argmax: Keras's guards against -0.0 with bit operations, which
    # TFLite has not.
    scores, peak = ops.top_k(flat, 1)
    scores, peak = scores[..., 0], ops.cast(peak[..., 0], "int32")
    if decoding == "argmax":
        row, column = peak // width, peak % width
        x = (ops.cast(column, "float32") + 0.5) / width
        y = (ops.cast(row, "float32") + 0.5) / height
        return ops.stack([x, y], axis=-1), scores
    # Away from the border, so that all eight neighbours exist.
    row = ops.clip(peak // width, 1, height - 2)
    column = ops.clip(peak % width, 1, width - 2)
    near = _neighbourhood(_smooth(heatmaps), row, column)
    dx, dy = _taylor_step(ops.log(ops.maximum(near, 1e-6)))
    x = (ops.cast(column, "float32") + dx + 0.5) / width
    y = (ops.cast(row, "float32") + dy + 0.5) / height
    return ops.stack([x, y], axis=-1), scores


def _smooth(heatmaps: Any) -> Any:
    count = heatmaps.shape[-1]
    taps = np.exp(-0.5 * (np.arange(-2, 3) / _SMOOTHING) ** 2)
    taps = (taps / taps.sum()).astype("float32")
    for kernel in (taps[:, None], taps[None, :]):
        kernel = np.repeat(kernel[:, :, None, None], count, axis=2)
        heatmaps = ops.depthwise_conv(heatmaps, kernel, padding="same")
    return heatmaps


def _neighbourhood(heatmaps: Any, row: Any, column: Any) -> Any:
    """Cuts 3x3 pixels around (row, column): (B, L, 3, 3).

    Two small matrix products with one-hot rows: they run wherever a network
    runs, TFLite included, which gathering at computed places does not.
    """
    _, height, width, _ = heatmaps.shape
    around = np.array([-1, 0, 1], "int32")
    rows = ops.one_hot(row[..., None] + around, height)
    columns = ops.one_hot(column[..., None] + around, width)
    heatmaps = ops.transpose(heatmaps, (0, 3, 1, 2))
    band = ops.matmul(rows, heatmaps)
    return ops.matmul(band, ops.transpose(columns, (0, 1, 3, 2)))


def _taylor_step(near: Any) -> tuple[Any, Any]:
    """Offset of a parabola's peak from the middle of 3x3 pixels."""
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
    x = ops.where(is_peak, (dxy * dy - dyy * dx) / divisor, 0.0)
    y = ops.where(is_peak, (dxy * dx - dxx * dy) / divisor, 0.0)
    return ops.clip(x, -1.0, 1.0), ops.clip(y, -1.0, 1.0)
