"""Resamples like `pipelines.images.resampling`, in NumPy alone."""

import numpy as np


def resample_array(
    image: np.ndarray, window: tuple[float, ...], image_size: int
) -> np.ndarray:
    """Resamples a window to a square; see `resampling.resample`.

    Args:
        image: (h, w, 3) uint8 RGB.
        window: x1, y1, x2, y2 in pixels; it may extend beyond the image.
        image_size: side of the result in pixels.

    Returns:
        (image_size, image_size, 3) float32, 0..255.
    """
    x1, y1, x2, y2 = window
    height, width, _ = image.shape
    rows = _weights(y1, y2, height, image_size)
    columns = _weights(x1, x2, width, image_size)
    x, y = _weighed(columns), _weighed(rows)
    image, rows, columns = image[y, x], rows[:, y], columns[:, x]
    lines = np.zeros((image_size, *image.shape[1:]), np.float32)
    for line, weights in zip(lines, rows, strict=True):
        # In bands, since a large image in float32 would take a gigabyte.
        band = _weighed(weights[None])
        line[:] = np.tensordot(weights[band], image[band], 1)
    return np.einsum("jw,iwc->ijc", columns, lines, optimize=True)


def _weights(start: float, end: float, length: int, size: int) -> np.ndarray:
    """Returns weights (size, length) of `length` pixels in `size` others."""
    step = (end - start) / size
    centers = start + (np.arange(size) + 0.5) * step
    distance = np.abs(np.arange(length) + 0.5 - centers[:, None])
    weights = np.maximum(0, 1 - distance / max(1.0, step))
    outside = (centers < 0) | (centers > length)
    weights[outside] = 0
    total = weights.sum(1, keepdims=True)
    return (weights / np.where(total > 0, total, 1)).astype(np.float32)


def _weighed(weights: np.ndarray) -> slice:
    """Returns the slice from the first to the last pixel with any weight."""
    places = np.flatnonzero(weights.any(0))
    return slice(places[0], places[-1] + 1) if len(places) else slice(0, 1)
