"""Draws predictions over images."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from afn_keras.drawing.marks import INK
from afn_keras.drawing.marks import color
from afn_keras.drawing.marks import cut
from afn_keras.drawing.marks import draw_box
from afn_keras.drawing.marks import draw_point
from afn_keras.drawing.marks import text_width
from afn_keras.drawing.marks import write
from afn_keras.prediction import PRESENT
from afn_keras.prediction import Prediction
from pipelines.errors import InputError
from pipelines.images import inspect_image
from pipelines.images import read_image

_BAR = (0, 114, 178)
_PALE = (225, 225, 225)

_LONG_SIDE = 1280
_PANEL = 680
_ROW = 52
_SMALL = 24
_LARGE = 30
# Factor on marks and lines.
_SIZE = 2

# Longest file name without its suffix, in bytes.
_LONGEST = 240

# Left, top, right and bottom of a label, in pixels.
_Plate = tuple[int, int, int, int]


def draw_prediction(
    image: np.ndarray, prediction: Prediction, model: str = ""
) -> np.ndarray:
    """Draws the landmarks on an image, and the labels beside it.

    Left landmarks are blue, right ones orange; rings have a score below one
    half. Below are the image's file name and the model's name.

    Args:
        image: (h, w, 3) uint8 RGB, upright.
        prediction: the prediction for this image.
        model: name of the network.

    Returns:
        (H, W, 3) uint8 RGB: the image scaled to a long side of 1280
        pixels, a panel to its right and a line below.
    """
    picture = draw_landmarks(image, prediction)
    panel = _draw_panel(prediction)
    height = max(len(picture), len(panel))
    both = np.hstack([_padded(picture, height), _padded(panel, height)])
    line = np.full((_ROW, both.shape[1], 3), 255, np.uint8)
    names = [Path(prediction.image).name]
    if model:
        names.append(f"model: {model}")
    text = cut(", ".join(names), _SMALL, line.shape[1] - 28)
    write(line, text, (14, 36), _SMALL, INK)
    return np.vstack([both, line])


def draw_landmarks(image: np.ndarray, prediction: Prediction) -> np.ndarray:
    """Draws the box and the landmarks, each with its name, on an image.

    Args:
        image: (h, w, 3) uint8 RGB, upright.
        prediction: the prediction for this image.

    Returns:
        (H, W, 3) uint8 RGB, the image scaled to a long side of 1280
        pixels.
    """
    scale = _LONG_SIDE / max(image.shape[:2])
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(image, size, interpolation=way)
    draw_box(picture, prediction.box, scale, _SIZE)
    points = [
        (name, (x + 0.5) * scale, (y + 0.5) * scale, score < PRESENT)
        for name, (x, y, score) in prediction.landmarks.items()
    ]
    # No name covers a point or another name; the names of visible landmarks
    # are placed first.
    taken = [
        (round(x) - 14, round(y) - 14, round(x) + 15, round(y) + 15)
        for _, x, y, _ in points
    ]
    for name, x, y, _ in sorted(points, key=lambda point: point[3]):
        _draw_name(picture, name, (x, y), taken)
    for name, x, y, unsure in points:
        mark = "ring" if unsure else "dot"
        draw_point(picture, name, x, y, mark, _SIZE)
    return picture


def save_prediction(
    prediction: Prediction, folder: Path, model: str = ""
) -> Path:
    """Draws a prediction over its image, into a PNG file.

    Args:
        prediction: its `image` must be the path of the file.
        folder: created if it is missing. The file is named like the image,
            with a number if there is such a file already.
        model: name of the network.

    Returns:
        The file written.

    Raises:
        InputError: if it cannot be written.
    """
    image = upright_pixels(Path(prediction.image))
    picture = draw_prediction(image, prediction, model)
    return save_picture(picture, folder, Path(prediction.image).stem)


def save_picture(picture: np.ndarray, folder: Path, stem: str) -> Path:
    """Writes a picture, (h, w, 3) uint8 RGB, into a new PNG file.

    Args:
        picture: the picture.
        folder: created if it is missing.
        stem: the file's name without its suffix; gets a number if there is
            such a file already, so that nothing is overwritten.

    Raises:
        InputError: if it cannot be written.
    """
    # Most file systems allow 255 bytes; a number and ".png" are appended.
    stem = os.fsdecode(os.fsencode(stem)[:_LONGEST])
    path, number = folder / f"{stem}.png", 2
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            with contextlib.suppress(FileExistsError), path.open("xb") as file:
                try:
                    Image.fromarray(picture).save(file, "PNG")
                except BaseException:
                    path.unlink()
                    raise
                return path
            path, number = folder / f"{stem}-{number}.png", number + 1
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror})"
        ) from error


def upright_pixels(path: Path) -> np.ndarray:
    """Reads an image and turns it upright, (h, w, 3) uint8 RGB.

    Raises:
        InputError: if it is not an image.
    """
    return inspect_image(read_image(path), str(path)).pixels.copy()


def _draw_name(
    picture: np.ndarray,
    name: str,
    point: tuple[float, float],
    taken: list[_Plate],
) -> None:
    """Writes a landmark's name in a free place near it, if there is one."""
    text = name.replace("_", " ")
    width, height = text_width(text, _SMALL) + 12, _SMALL + 14
    free = (
        plate
        for plate in _plates(picture, point, width, height)
        if not any(_overlap(plate, other) for other in taken)
    )
    plate = next(free, None)
    if plate is None:
        return
    taken.append(plate)
    # On a plate, since an image may have any color there.
    left, top, right, bottom = plate
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), INK, -1)
    write(picture, text, (left + 6, bottom - 10), _SMALL, color(name))


def _plates(
    picture: np.ndarray, point: tuple[float, float], width: int, height: int
) -> Iterator[_Plate]:
    """Places for a name, the best first: above its point, below, beside.

    Farther away it would seem to be another point's.
    """
    x, y = map(round, point)
    for left, top in (
        (x - width // 2, y - 20 - height),
        (x - width // 2, y + 21),
        (x + 20, y - height // 2),
        (x - 20 - width, y - height // 2),
    ):
        # Moved aside into the picture, but not up or down over its point.
        left = max(0, min(left, picture.shape[1] - width))
        if 0 <= top <= picture.shape[0] - height:
            yield left, top, left + width, top + height


def _overlap(one: _Plate, other: _Plate) -> bool:
    return (
        one[0] < other[2]
        and other[0] < one[2]
        and one[1] < other[3]
        and other[1] < one[3]
    )


def _draw_panel(prediction: Prediction) -> np.ndarray:
    sections = [
        (title, scored)
        for title, scored in (
            ("category", prediction.categories),
            ("attributes", prediction.attributes[:10]),
        )
        if scored
    ]
    rows = sum(len(scored) + 2 for _, scored in sections)
    panel = np.full((_ROW * rows + 24, _PANEL, 3), 255, np.uint8)
    y = 24
    for title, scored in sections:
        write(panel, title, (28, y + 36), _LARGE, INK)
        y += _ROW
        for name, score in scored:
            write(panel, cut(name, _SMALL, 316), (28, y + 36), _SMALL, INK)
            cv2.rectangle(panel, (360, y + 12), (559, y + 40), _PALE, -1)
            end = 360 + round(199 * score)
            cv2.rectangle(panel, (360, y + 12), (end, y + 40), _BAR, -1)
            percent = f"{100 * score:.0f}%"
            write(panel, percent, (580, y + 36), _SMALL, INK)
            y += _ROW
        y += _ROW
    return panel


def _padded(picture: np.ndarray, height: int) -> np.ndarray:
    rows = height - len(picture)
    return np.pad(picture, ((0, rows), (0, 0), (0, 0)), constant_values=255)
