"""Draws the marks and the text that all pictures share."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from afn_keras.drawing.fonts import runs

# Okabe and Ito's colors (RGB), distinguishable with any color vision.
LEFT = (86, 180, 233)
RIGHT = (230, 159, 0)
BOX = (240, 228, 66)
INK = (30, 30, 30)
_WHITE = (255, 255, 255)

Mark = Literal["dot", "ring", "cross"]
"""The mark of a landmark, with the same meaning in every picture.

A dot is predicted or labeled visible; a ring is predicted with a score below
`PRESENT` or labeled not visible; a cross is the truth beside a prediction.
"""


def color(name: str) -> tuple[int, int, int]:
    """Returns a landmark's color (RGB), by whether it is left or right."""
    return LEFT if name.startswith("left") else RIGHT


def draw_box(
    picture: np.ndarray, box: Sequence[float], scale: float, width: int = 1
) -> None:
    """Draws the outline of a box, unless the box is the whole picture.

    Args:
        picture: (h, w, 3) uint8 RGB; changed.
        box: x1, y1, x2, y2 in pixels of the image, half-open.
        scale: pixels of the picture for one of the image.
        width: of the line in pixels of the picture.
    """
    x1, y1, x2, y2 = (round(float(side) * scale) for side in box)
    bottom, right = picture.shape[:2]
    if max(x1, y1) <= 0 and x2 >= right and y2 >= bottom:
        return
    for inset in range(-width, width):
        # A dark border keeps it visible on white.
        ink = INK if inset < 0 else BOX
        start = x1 + inset, y1 + inset
        end = x2 - 1 - inset, y2 - 1 - inset
        cv2.rectangle(picture, start, end, ink, 1)


def draw_point(
    picture: np.ndarray,
    name: str,
    x: float,
    y: float,
    mark: Mark = "dot",
    size: int = 1,
) -> None:
    """Draws a landmark.

    Args:
        picture: (h, w, 3) uint8 RGB; changed.
        name: the landmark's, for its color.
        x: in pixels from the picture's left edge.
        y: in pixels from its upper edge.
        mark: how to draw it.
        size: factor on its 12 pixels.
    """
    # OpenCV takes fixed-point coordinates, here with 4 fractional bits; its
    # pixel centers are whole numbers.
    center = (round((x - 0.5) * 16), round((y - 0.5) * 16))
    if mark == "dot":
        for radius, ink in ((6 * size, _WHITE), (5 * size, color(name))):
            cv2.circle(picture, center, radius * 16, ink, -1, cv2.LINE_AA, 4)
        return
    reach = 5 * size * 16
    for ink, width in ((_WHITE, 4 * size), (color(name), 2 * size)):
        if mark == "ring":
            cv2.circle(picture, center, reach, ink, width, cv2.LINE_AA, 4)
            continue
        for rise in (-reach, reach):
            ends = [
                (center[0] + side * reach, center[1] + side * rise)
                for side in (-1, 1)
            ]
            cv2.line(picture, *ends, ink, width, cv2.LINE_AA, 4)


def draw_tie(
    picture: np.ndarray, start: Sequence[float], end: Sequence[float]
) -> None:
    """Draws a line between two points, in pixels from the upper left corner.

    Args:
        picture: (h, w, 3) uint8 RGB; changed.
        start: x, y.
        end: x, y.
    """
    ends = [
        tuple(round((float(side) - 0.5) * 16) for side in point)
        for point in (start, end)
    ]
    for ink, width in ((_WHITE, 3), (INK, 1)):
        cv2.line(picture, *ends, ink, width, cv2.LINE_AA, 4)


def write(
    picture: np.ndarray,
    text: str,
    place: tuple[int, int],
    size: int,
    ink: tuple[int, int, int],
) -> None:
    """Writes a line of text.

    Args:
        picture: (h, w, 3) uint8 RGB; changed.
        text: in any script.
        place: x, y in pixels of the base line's left end.
        size: of the letters in pixels.
        ink: RGB.
    """
    x, y = place
    # Only the part of the picture that the line needs.
    top, left = max(0, y - 2 * size), max(0, x)
    part = picture[top : y + size, left : x + text_width(text, size) + size]
    if not part.size:
        return
    drawn = Image.fromarray(np.ascontiguousarray(part))
    pen = ImageDraw.Draw(drawn)
    start = float(x - left)
    for run in runs(text):
        font = _font(run.font, size)
        pen.text((start, y - top), run.text, ink, font, anchor="ls")
        start += font.getlength(run.text)
    part[:] = drawn


def text_width(text: str, size: int) -> int:
    """Returns the width in pixels of a text that `write` draws."""
    width = sum(_font(run.font, size).getlength(run.text) for run in runs(text))
    return round(width + 0.5)


def cut(text: str, size: int, width: int) -> str:
    """Shortens a text that is wider than `width` pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}..", size) > width:
        text = text[:-1]
    return f"{text}.."


@functools.cache
def _font(file: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)
