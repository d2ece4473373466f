"""Paints cloth, with the strokes that all patterns are made of."""

import dataclasses

import cv2
import numpy as np

from pipelines.synthetic.pen import fill

TURN = 2 * np.pi


@dataclasses.dataclass
class Cloth:
    """A cloth being painted, as large as the image.

    `u` and `v`, (H, W) float32, are a pixel's place in the garment's own
    frame: right and down from the middle of the garment, in units of the
    geometric mean of its width and height. `to_image` (2, 3) leads back from
    there to pixels, and `height` is the garment's height in these units.
    """

    image: np.ndarray
    u: np.ndarray
    v: np.ndarray
    to_image: np.ndarray
    height: float
    color: tuple
    contrast: tuple
    opacity: np.ndarray | None = None


def blend(cloth: Cloth, color: tuple, weight: np.ndarray) -> None:
    """Blends a color into the cloth, by weights (H, W) of 0..1."""
    weight = weight[..., None].astype(np.float32)
    mixed = cloth.image + (np.float32(color) - cloth.image) * weight
    cloth.image = mixed.astype(np.uint8)


def shade(cloth: Cloth, light: np.ndarray) -> None:
    """Multiplies the cloth's colors by factors (H, W)."""
    shaded = cloth.image * light[..., None].astype(np.float32)
    cloth.image = np.clip(shaded, 0, 255).astype(np.uint8)


def wave(along: np.ndarray, period: float) -> np.ndarray:
    """Returns a sine of -1..1 with a period in the garment's units."""
    return np.sin(along * np.float32(TURN / period))


def noise(rng: np.random.Generator, cloth: Cloth, cells: int) -> np.ndarray:
    """Returns smooth noise of standard deviation about 1, (H, W) float32."""
    coarse = rng.standard_normal((cells, cells), np.float32)
    return cv2.resize(
        coarse, cloth.u.shape[::-1], interpolation=cv2.INTER_CUBIC
    )


def scatter(
    rng: np.random.Generator,
    cloth: Cloth,
    shape: np.ndarray,
    spacing: float,
    size: float,
    jitter: float = 0.05,
    color: tuple | int | None = None,
) -> np.ndarray:
    """Prints a shape all over the cloth, with every other row shifted.

    Returns:
        (N, 2) positions of the shapes in the garment's frame.
    """
    reach = np.arange(-np.ceil(1.9 / spacing), np.ceil(1.9 / spacing) + 1)
    row, column = np.meshgrid(reach, reach, indexing="ij")
    spots = np.stack([column + row % 2 / 2, row * 0.87], -1).reshape(-1, 2)
    spots = (spots + rng.uniform(-jitter, jitter, spots.shape)) * spacing
    pixels = cv2.transform(spots[None], cloth.to_image)[0]
    margin = 60
    limit = np.array(cloth.u.shape[::-1]) + margin
    spots = spots[((pixels > -margin) & (pixels < limit)).all(axis=1)]
    place(cloth, shape * spacing * size, spots, color or cloth.contrast)
    return spots


def place(
    cloth: Cloth, shape: np.ndarray, spots: np.ndarray, color: tuple | int
) -> None:
    """Prints a shape (K, 2) at spots (N, 2), all in the garment's frame."""
    polygons = spots[:, None] + shape
    fill(cloth.image, cv2.transform(polygons, cloth.to_image), color)


_ANGLE = np.linspace(0, TURN, 30, endpoint=False)


def _polar(radius: np.ndarray | float, angle: np.ndarray) -> np.ndarray:
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], 1)


CIRCLE = _polar(1, _ANGLE)
FLOWER = _polar(0.72 + 0.28 * np.cos(5 * _ANGLE), _ANGLE)
LEAF = CIRCLE * (1, 0.45)
STAR = _polar(np.tile([1, 0.42], 5), np.arange(10) * TURN / 10)
HEART = np.stack(
    [
        0.95 * np.sin(_ANGLE) ** 3,
        -0.78 * np.cos(_ANGLE)
        + 0.3 * np.cos(2 * _ANGLE)
        + 0.12 * np.cos(3 * _ANGLE),
    ],
    axis=1,
)
