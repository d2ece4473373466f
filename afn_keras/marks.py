"""Marks and letters that all pictures share."""

import cv2
import numpy as np

# Okabe and Ito's colours (RGB), told apart with any colour vision.
LEFT = (86, 180, 233)
RIGHT = (230, 159, 0)
BOX = (240, 228, 66)
INK = (30, 30, 30)
_WHITE = (255, 255, 255)

FONT = cv2.FONT_HERSHEY_SIMPLEX


def colour(name: str) -> tuple[int, int, int]:
    """A landmark's colour (RGB): whether it is a left or a right one."""
    return LEFT if name.startswith("left") else RIGHT


def draw_point(
    picture: np.ndarray, name: str, x: float, y: float, hollow: bool = False
) -> None:
    """Draws a landmark as a disc, or as a ring.

    Args:
        picture: (h, w, 3) uint8 RGB; changed.
        name: the landmark's, for its colour.
        x: in pixels from the picture's left edge.
        y: in pixels from its upper edge.
        hollow: draw a ring.
    """
    # OpenCV draws between pixels if told how many bits are the fraction;
    # its pixel centres are whole numbers.
    centre = (round((x - 0.5) * 16), round((y - 0.5) * 16))
    if hollow:
        for ink, width in ((_WHITE, 4), (colour(name), 2)):
            cv2.circle(picture, centre, 5 * 16, ink, width, cv2.LINE_AA, 4)
        return
    for radius, ink in ((6, _WHITE), (5, colour(name))):
        cv2.circle(picture, centre, radius * 16, ink, -1, cv2.LINE_AA, 4)


def write(
    picture: np.ndarray,
    text: str,
    place: tuple[int, int],
    size: float,
    ink: tuple[int, int, int],
) -> None:
    """Writes a line of text with its base line's left end at `place`."""
    # Names come from any vocabulary; the font has only ASCII.
    text = text.encode("ascii", "replace").decode()
    cv2.putText(picture, text, place, FONT, size, ink, 1, cv2.LINE_AA)


def text_width(text: str, size: float) -> int:
    """How many pixels wide `write` makes a text."""
    return cv2.getTextSize(text, FONT, size, 1)[0][0]
