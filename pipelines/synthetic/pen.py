"""Draws in units of heads, exact to a sixteenth of a pixel."""

from collections.abc import Sequence

import cv2
import numpy as np


class Pen:
    """A pen that draws on an image through an affine map.

    Args:
        image: RGB (H, W, 3) uint8 to draw on.
        to_pixels: (2, 3) affine from heads to pixels.
        mask: (H, W) uint8; everything drawn is 255 in it.
    """

    def __init__(
        self,
        image: np.ndarray,
        to_pixels: np.ndarray,
        mask: np.ndarray | None = None,
    ) -> None:
        self.image = image
        self.to_pixels = to_pixels
        self.mask = mask
        self.scale = float(np.sqrt(abs(np.linalg.det(to_pixels[:, :2]))))

    def pixels(self, points: Sequence) -> np.ndarray:
        """Converts points (N, 2) to pixels."""
        points = np.asarray(points, np.float64)
        return points @ self.to_pixels[:, :2].T + self.to_pixels[:, 2]

    def area(self, points: Sequence, color: Sequence[float]) -> None:
        """Fills a polygon (N, 2)."""
        pixels = self.pixels(points)
        fill(self.image, pixels, tuple(map(int, color)))
        if self.mask is not None:
            fill(self.mask, pixels, 255)

    def line(
        self, points: Sequence, color: Sequence[float], width: float
    ) -> None:
        """Draws an open line through points (N, 2), `width` in heads."""
        fixed = [_fixed(self.pixels(points))]
        color = tuple(map(int, color))
        width = max(1, round(width * self.scale))
        rest = {"thickness": width, "lineType": cv2.LINE_AA, "shift": 4}
        cv2.polylines(self.image, fixed, False, color, **rest)
        if self.mask is not None:
            cv2.polylines(self.mask, fixed, False, 255, **rest)

    def disc(
        self, center: Sequence[float], radius: float, color: Sequence[float]
    ) -> None:
        """Fills a circle, `radius` in heads."""
        self.area(ellipse(center, radius, radius), color)


def fill(image: np.ndarray, polygons: np.ndarray, color: tuple | int) -> None:
    """Fills one polygon (N, 2), or several (M, N, 2), in pixels."""
    points = _fixed(polygons)
    points = points if points.ndim == 3 else points[None]
    cv2.fillPoly(image, list(points), color, cv2.LINE_AA, shift=4)


def ellipse(
    center: Sequence[float],
    width: float,
    height: float,
    start: float = 0.0,
    stop: float = 2 * np.pi,
) -> np.ndarray:
    """Returns points (24, 2) of an ellipse, given half width and height.

    Angles are in radians, from the right, clockwise as seen.
    """
    angle = np.linspace(start, stop, 24)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return circle * (width, height) + center


def _fixed(points: np.ndarray) -> np.ndarray:
    # In sixteenths of a pixel, since whole pixels would move landmarks.
    return np.rint(np.asarray(points) * 16).astype(np.int32)
