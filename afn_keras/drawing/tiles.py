"""The content of a sheet: an image with its points and captions."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from afn_keras.prediction import PRESENT
from afn_keras.prediction import Prediction
from pipelines.annotations import OCCLUDED
from pipelines.annotations import TRUNCATED
from pipelines.annotations import VISIBLE
from pipelines.images import decode_whole
from pipelines.records import parse_record
from pipelines.vocabulary import Vocabulary


class Tile(NamedTuple):
    """One image of a sheet.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        box: x1, y1, x2, y2 in pixels, or None to draw none.
        points: (L, 2) x, y in pixels from the image's corner.
        visibility: (L,) as in annotations; truncated ones are not drawn.
        caption: lines below the image; long ones are wrapped.
        name: path of the image, above the caption.
        truth: (L, 2) the labeled points, drawn with lines to `points`; None to
            leave them out.
    """

    image: np.ndarray
    box: np.ndarray | None
    points: np.ndarray
    visibility: np.ndarray
    caption: Sequence[str]
    name: str = ""
    truth: np.ndarray | None = None


def image_tiles(
    serialized: Sequence[bytes], vocabulary: Vocabulary
) -> list[Tile]:
    """Makes tiles of stored images with all of their labels."""
    step = parse_record(vocabulary)
    tiles = []
    for record in serialized:
        example = step({"serialized": tf.constant(record)})
        image = decode_whole(example["encoded"], example["orientation"])
        name = example["name"].numpy().decode()
        labels = _labels(
            vocabulary,
            example["category"].numpy(),
            example["attributes"].numpy(),
        )
        tiles.append(
            Tile(
                image.numpy(),
                example["window"].numpy(),
                example["landmarks"].numpy(),
                example["visibility"].numpy(),
                labels,
                name,
            )
        )
    return tiles


def batch_tiles(
    images: np.ndarray, targets: dict[str, np.ndarray], vocabulary: Vocabulary
) -> list[Tile]:
    """Makes tiles of a batch of `load_split`, as the network sees it."""
    tiles = []
    for index, image in enumerate(images):
        points = np.zeros((0, 3))
        if "heatmaps" in targets:
            points = targets["heatmaps"][index]
        labels = _labels(
            vocabulary,
            targets["category"][index] if "category" in targets else -1,
            targets["attributes"][index] if "attributes" in targets else [],
        )
        tiles.append(
            Tile(
                np.rint(image).astype(np.uint8),
                None,
                points[:, :2] * image.shape[1::-1],
                np.where(points[:, 2] > 0, VISIBLE, TRUNCATED),
                labels,
            )
        )
    return tiles


def prediction_tile(prediction: Prediction, image: np.ndarray) -> Tile:
    """Makes a tile of an image, (h, w, 3) uint8 RGB, and its prediction."""
    points = [(x + 0.5, y + 0.5) for x, y, _ in prediction.landmarks.values()]
    scores = [score for _, _, score in prediction.landmarks.values()]
    caption = [
        f"{name} {100 * score:.0f}%"
        for name, score in prediction.categories[:1]
    ]
    if prediction.attributes:
        caption.append(", ".join(prediction.present()) or "(no attribute)")
    return Tile(
        image,
        np.array(prediction.box),
        np.reshape(points, (-1, 2)),
        np.where(np.array(scores) < PRESENT, OCCLUDED, VISIBLE),
        caption,
        Path(prediction.image).name,
    )


def _labels(
    vocabulary: Vocabulary, category: int, attributes: Sequence[float]
) -> list[str]:
    lines = []
    if vocabulary.categories:
        known = category >= 0
        lines.append(vocabulary.categories[category] if known else "(unknown)")
    if vocabulary.attributes:
        has = [
            name
            for name, value in zip(
                vocabulary.attributes, attributes, strict=True
            )
            if value > 0
        ]
        lines.append(", ".join(has) or "(no attribute)")
    return lines
