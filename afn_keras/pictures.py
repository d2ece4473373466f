"""Draws answers over photographs."""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL import ImageOps

from afn_keras.marks import BOX
from afn_keras.marks import FONT
from afn_keras.marks import INK
from afn_keras.marks import colour
from afn_keras.marks import draw_point
from afn_keras.marks import write
from afn_keras.prediction import Prediction
from pipelines.errors import InputError
from pipelines.photographs import read_photograph

_BAR = (0, 114, 178)
_PALE = (225, 225, 225)

_LONG_SIDE = 640
_PANEL = 340
_ROW = 26


def draw_prediction(
    photograph: np.ndarray, prediction: Prediction
) -> np.ndarray:
    """A photograph with its landmarks, beside it categories and attributes.

    Args:
        photograph: (h, w, 3) uint8 RGB, upright.
        prediction: what the network said of it.

    Returns:
        (H, W, 3) uint8 RGB: the photograph scaled to a long side of 640
        pixels, and a panel at its right.
    """
    scale = _LONG_SIDE / max(photograph.shape[:2])
    size = [max(1, round(side * scale)) for side in photograph.shape[1::-1]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(photograph, size, interpolation=way)
    x1, y1, x2, y2 = (round(side * scale) for side in prediction.box)
    cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), BOX, 1)
    points = {
        name: ((x + 0.5) * scale, (y + 0.5) * scale)
        for name, (x, y, _) in prediction.landmarks.items()
    }
    # All names first, so that none hides a point.
    for draw in (_draw_name, draw_point):
        for name, (x, y) in points.items():
            draw(picture, name, x, y)
    panel = _draw_panel(prediction)
    height = max(len(picture), len(panel))
    return np.hstack([_padded(picture, height), _padded(panel, height)])


def draw_predictions(
    predictions: Sequence[Prediction], folder: Path
) -> list[Path]:
    """Draws each prediction over its photograph, into PNG files.

    Args:
        predictions: their `photograph` must be the paths of the files.
        folder: made if it is missing. A file is named as its photograph,
            with a number where two have the same name.

    Returns:
        The files written.

    Raises:
        InputError: if the folder cannot be written.
    """
    folder = Path(folder)
    written: list[Path] = []
    for prediction in predictions:
        encoded = read_photograph(Path(prediction.photograph))
        with Image.open(io.BytesIO(encoded)) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
        picture = draw_prediction(np.array(upright), prediction)
        stem = Path(prediction.photograph).stem
        path, number = folder / f"{stem}.png", 2
        while path in written:
            path, number = folder / f"{stem}-{number}.png", number + 1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be written ({error.strerror})"
            ) from error
        written.append(path)
    return written


def _draw_name(picture: np.ndarray, name: str, x: float, y: float) -> None:
    text = name.replace("_", " ")
    (width, height), _ = cv2.getTextSize(text, FONT, 0.42, 1)
    left = int(np.clip(x - width / 2, 2, max(2, picture.shape[1] - width - 2)))
    # Above the point, or below it where there is no room.
    base = int(y) - 10 if y > height + 14 else int(y) + height + 10
    base = min(base, picture.shape[0] - 4)
    # On a plate, since a photograph may have any colour there.
    corners = (left - 3, base - height - 3), (left + width + 3, base + 4)
    cv2.rectangle(picture, *corners, INK, -1)
    write(picture, text, (left, base), 0.42, colour(name))


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
    panel = np.full((_ROW * rows + 12, _PANEL, 3), 255, np.uint8)
    y = 12
    for title, scored in sections:
        write(panel, title, (14, y + 18), 0.55, INK)
        y += _ROW
        for name, score in scored:
            shown = name if len(name) <= 20 else f"{name[:18]}.."
            write(panel, shown, (14, y + 18), 0.45, INK)
            cv2.rectangle(panel, (180, y + 6), (279, y + 20), _PALE, -1)
            end = 180 + round(99 * score)
            cv2.rectangle(panel, (180, y + 6), (end, y + 20), _BAR, -1)
            percent = f"{100 * score:.0f}%"
            write(panel, percent, (290, y + 18), 0.45, INK)
            y += _ROW
        y += _ROW
    return panel


def _padded(picture: np.ndarray, height: int) -> np.ndarray:
    rows = height - len(picture)
    return np.pad(picture, ((0, rows), (0, 0), (0, 0)), constant_values=255)
