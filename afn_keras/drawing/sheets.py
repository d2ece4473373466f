"""Draws sheets: many images with their labels, to check before training."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from afn_keras.drawing.marks import INK
from afn_keras.drawing.marks import Mark
from afn_keras.drawing.marks import cut
from afn_keras.drawing.marks import draw_box
from afn_keras.drawing.marks import draw_point
from afn_keras.drawing.marks import draw_tie
from afn_keras.drawing.marks import text_width
from afn_keras.drawing.marks import write
from afn_keras.drawing.predictions import upright_pixels
from afn_keras.drawing.tiles import Tile
from afn_keras.drawing.tiles import batch_tiles
from afn_keras.drawing.tiles import image_tiles
from afn_keras.drawing.tiles import prediction_tile
from afn_keras.prediction import Prediction
from afn_keras.recipes import Recipe
from pipelines.annotations import OCCLUDED
from pipelines.annotations import VISIBLE
from pipelines.batches import augment
from pipelines.batches import draw_lots
from pipelines.errors import InputError
from pipelines.folders import check_sheet
from pipelines.records import Records

UNSURE = "unsure: below 50%"
"""Legend of a ring in a sheet of predictions."""

_SIDE = 260
_GAP = 14
_LINE = 18
_LINES = 4
_HEADER = 44
_SIZE = 12
_TITLE = 14


def split_sheet(
    records: Records,
    split: str,
    count: int,
    seed: int,
    recipe: Recipe | None = None,
) -> np.ndarray:
    """Draws a random sample of a split's images.

    Args:
        records: the records of the images.
        split: the split to sample.
        count: number of images; fewer if the split has fewer.
        seed: the same seed chooses the same images.
        recipe: draw them augmented, as the network sees them in training.

    Raises:
        InputError: if the split has no image.
    """
    vocabulary = records.vocabulary
    serialized = draw_lots(records, split, count, seed)
    title = f"{len(serialized)} of {records.images[split]}, {split}"
    if recipe is None:
        tiles = image_tiles(serialized, vocabulary)
        return draw_sheet(tiles, vocabulary.landmarks, title)
    images, targets = augment(
        serialized, vocabulary, recipe.image_size, recipe.augmentation, seed
    )
    tiles = batch_tiles(images, targets, vocabulary)
    varied = [
        f"{name} {value:g}"
        for name, value in dataclasses.asdict(recipe.augmentation).items()
        if value
    ]
    title += (
        f", {recipe.image_size} pixels, "
        f"{', '.join(varied) or 'no augmentation'}"
    )
    return draw_sheet(tiles, vocabulary.landmarks, title)


def prediction_sheet(
    predictions: Sequence[Prediction], total: int
) -> np.ndarray:
    """Draws images with their predictions.

    Args:
        predictions: at least one; their `image` must be the path of the
            file.
        total: number of all predictions, for the title.
    """
    tiles = [
        prediction_tile(prediction, upright_pixels(Path(prediction.image)))
        for prediction in predictions
    ]
    title = f"{len(tiles)} of {total}, predicted"
    names = tuple(predictions[0].landmarks)
    return draw_sheet(tiles, names, title, UNSURE)


def draw_sheet(
    tiles: Sequence[Tile],
    landmarks: Sequence[str],
    title: str,
    hollow: str = "occluded",
) -> np.ndarray:
    """Draws tiles side by side.

    Args:
        tiles: at least one.
        landmarks: names of their points.
        title: the title of the sheet.
        hollow: legend of points that are not visible.

    Returns:
        (H, W, 3) uint8 RGB, about one and a half times as wide as high.
    """
    columns = min(len(tiles), max(3, round((1.7 * len(tiles)) ** 0.5)))
    rows = -(-len(tiles) // columns)
    captions = [_caption(tile) for tile in tiles]
    across = _SIDE + _GAP
    down = _SIDE + max(map(len, captions)) * _LINE + 2 * _GAP
    # At least as wide as the header.
    key = _key(tiles, landmarks, hollow)
    width = max(columns * across + _GAP, _header_width(key, title))
    sheet = np.full((_HEADER + rows * down, width, 3), 255, np.uint8)
    _draw_header(sheet, key, title)
    for index, (tile, lines) in enumerate(zip(tiles, captions, strict=True)):
        row, column = divmod(index, columns)
        x, y = _GAP + column * across, _HEADER + row * down
        picture = _marked(tile, landmarks)
        height, wide = picture.shape[:2]
        # Aligned at the bottom, right above their captions.
        left, top = x + (_SIDE - wide) // 2, y + _SIDE - height
        sheet[top : top + height, left : left + wide] = picture
        for number, line in enumerate(lines):
            base = y + _SIDE + (number + 1) * _LINE - 3
            write(sheet, line, (x, base), _SIZE, INK)
    return sheet


def save_sheet(sheet: np.ndarray, path: Path, flag: str = "--draw") -> None:
    """Writes a sheet as PNG.

    Args:
        sheet: (h, w, 3) uint8 RGB.
        path: the file to write.
        flag: the flag of the command that names the file, for messages.

    Raises:
        InputError: if there is a file already, or it cannot be written.
    """
    check_sheet(path, flag)
    try:
        # If opening fails, the file is not ours to remove.
        with path.open("xb") as file:
            try:
                Image.fromarray(sheet).save(file, "PNG")
            except BaseException:
                path.unlink()
                raise
    except OSError as error:
        raise InputError(
            f"{flag} {path}: cannot be written ({error.strerror})"
        ) from error


def _marked(tile: Tile, landmarks: Sequence[str]) -> np.ndarray:
    scale = _SIDE / max(tile.image.shape[:2])
    size = [max(1, round(side * scale)) for side in tile.image.shape[1::-1]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(tile.image, size, interpolation=way)
    if tile.box is not None:
        draw_box(picture, tile.box, scale)
    visible = [
        (index, name)
        for index, name in enumerate(landmarks[: len(tile.points)])
        if tile.visibility[index] in (VISIBLE, OCCLUDED)
    ]
    if tile.truth is not None:
        for index, _ in visible:
            ends = tile.points[index] * scale, tile.truth[index] * scale
            draw_tie(picture, *ends)
    for index, name in visible:
        x, y = tile.points[index] * scale
        occluded = tile.visibility[index] == OCCLUDED
        draw_point(picture, name, x, y, "ring" if occluded else "dot")
    # Above the dots, which would hide the truth of a good prediction.
    if tile.truth is not None:
        for index, name in visible:
            x, y = tile.truth[index] * scale
            draw_point(picture, name, x, y, "cross")
    return picture


def _caption(tile: Tile) -> list[str]:
    """Returns the lines below an image, each short enough to fit."""
    lines = _wrapped(tile.caption)
    return [_ending(tile.name), *lines] if tile.name else lines


def _ending(name: str) -> str:
    """Returns as much of a path's end as fits."""
    shown = name
    while text_width(shown, _SIZE) > _SIDE:
        name = name[1:]
        shown = f"..{name}"
    return shown


def _wrapped(caption: Sequence[str]) -> list[str]:
    """Wraps the caption into at most `_LINES` lines."""
    lines = []
    for text in caption:
        line = ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and text_width(longer, _SIZE) > _SIDE:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], f"{lines[_LINES - 1]} .."]
    return [cut(line, _SIZE, _SIDE) for line in lines]


def _key(
    tiles: Sequence[Tile], landmarks: Sequence[str], hollow: str
) -> list[tuple[str, str, Mark]]:
    """Returns the legend: text, a landmark's name, its mark."""
    key: list[tuple[str, str, Mark]] = []
    with_truth = any(tile.truth is not None for tile in tiles)
    if landmarks:
        kind = "predicted " if with_truth else ""
        key = [(f"{kind}{side}", side, "dot") for side in ("left", "right")]
    if any(OCCLUDED in tile.visibility for tile in tiles):
        key.append((hollow, "left", "ring"))
    if with_truth:
        key.append(("truth", "left", "cross"))
    return key


def _header_width(key: list[tuple[str, str, Mark]], title: str) -> int:
    marks = sum(text_width(text, _TITLE) + 40 for text, _, _ in key)
    return 2 * _GAP + text_width(title, _TITLE) + 20 + marks


def _draw_header(
    sheet: np.ndarray, key: list[tuple[str, str, Mark]], title: str
) -> None:
    write(sheet, title, (_GAP, 26), _TITLE, INK)
    x = _GAP + text_width(title, _TITLE) + 30
    for text, name, mark in key:
        draw_point(sheet, name, x, 22, mark)
        write(sheet, text, (x + 12, 26), _TITLE, INK)
        x += text_width(text, _TITLE) + 40
