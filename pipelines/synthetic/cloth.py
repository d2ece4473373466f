"""Paints cloth: fabrics and prints."""

import dataclasses

import cv2
import numpy as np

from pipelines.synthetic.pen import fill

_TURN = 2 * np.pi


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


def paint_cloth(
    rng: np.random.Generator,
    name: str,
    color: tuple,
    contrast: tuple,
    size: tuple[int, int],
    to_image: np.ndarray,
    height: float,
) -> Cloth:
    """Paints a cloth.

    Args:
        rng: the image's generator.
        name: fabric or print, "" for plain cloth.
        color: its main color, RGB 0..255.
        contrast: its second color.
        size: height and width of the image in pixels.
        to_image: (2, 3) affine from the garment's frame to pixels.
        height: the garment's height in its frame.

    Returns:
        The cloth: `image` is RGB (H, W, 3) uint8, `opacity` (H, W) float32
        for a cloth with holes, else None.
    """
    a, b, c = cv2.invertAffineTransform(to_image).astype(np.float32).T
    columns = np.arange(size[1], dtype=np.float32)
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    u, v = (a[i] * columns + b[i] * rows + c[i] for i in (0, 1))
    image = np.empty((*size, 3), np.uint8)
    image[:] = color
    cloth = Cloth(image, u, v, to_image, height, color, contrast)
    if name:
        (PRINTS | _FABRICS)[name](rng, cloth)
    return cloth


def _blend(cloth: Cloth, color: tuple, weight: np.ndarray) -> None:
    """Blends a color into the cloth, by weights (H, W) of 0..1."""
    weight = weight[..., None].astype(np.float32)
    mixed = cloth.image + (np.float32(color) - cloth.image) * weight
    cloth.image = mixed.astype(np.uint8)


def _shade(cloth: Cloth, light: np.ndarray) -> None:
    """Multiplies the cloth's colors by factors (H, W)."""
    shaded = cloth.image * light[..., None].astype(np.float32)
    cloth.image = np.clip(shaded, 0, 255).astype(np.uint8)


def _wave(along: np.ndarray, period: float) -> np.ndarray:
    """Returns a sine of -1..1 with a period in the garment's units."""
    return np.sin(along * np.float32(_TURN / period))


def _noise(rng: np.random.Generator, cloth: Cloth, cells: int) -> np.ndarray:
    """Returns smooth noise of standard deviation about 1, (H, W) float32."""
    coarse = rng.standard_normal((cells, cells), np.float32)
    return cv2.resize(
        coarse, cloth.u.shape[::-1], interpolation=cv2.INTER_CUBIC
    )


def _scatter(
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
    _place(cloth, shape * spacing * size, spots, color or cloth.contrast)
    return spots


def _place(
    cloth: Cloth, shape: np.ndarray, spots: np.ndarray, color: tuple | int
) -> None:
    """Prints a shape (K, 2) at spots (N, 2), all in the garment's frame."""
    polygons = spots[:, None] + shape
    fill(cloth.image, cv2.transform(polygons, cloth.to_image), color)


_ANGLE = np.linspace(0, _TURN, 30, endpoint=False)


def _polar(radius: np.ndarray | float, angle: np.ndarray) -> np.ndarray:
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], 1)


_CIRCLE = _polar(1, _ANGLE)
_FLOWER = _polar(0.72 + 0.28 * np.cos(5 * _ANGLE), _ANGLE)
_LEAF = _CIRCLE * (1, 0.45)
_STAR = _polar(np.tile([1, 0.42], 5), np.arange(10) * _TURN / 10)
_HEART = np.stack(
    [
        0.95 * np.sin(_ANGLE) ** 3,
        -0.78 * np.cos(_ANGLE)
        + 0.3 * np.cos(2 * _ANGLE)
        + 0.12 * np.cos(3 * _ANGLE),
    ],
    axis=1,
)


# Prints, in the cloth's two colors, coarse enough for a crop of 96 pixels.


def _striped(rng: np.random.Generator, cloth: Cloth) -> None:
    along = cloth.v if rng.random() < 0.75 else cloth.u
    cloth.image[_wave(along, rng.uniform(0.13, 0.18)) > 0] = cloth.contrast


def _checkered(rng: np.random.Generator, cloth: Cloth) -> None:
    period = rng.uniform(0.22, 0.28)
    fields = _wave(cloth.u, period) * _wave(cloth.v, period) > 0
    cloth.image[fields] = cloth.contrast


def _chevron(rng: np.random.Generator, cloth: Cloth) -> None:
    period = rng.uniform(0.26, 0.34)
    zigzag = np.abs((cloth.u / period) % 1 - 0.5) * period
    bands = _wave(cloth.v + zigzag, rng.uniform(0.15, 0.19)) > 0
    cloth.image[bands] = cloth.contrast


def _plaid(rng: np.random.Generator, cloth: Cloth) -> None:
    period = rng.uniform(0.26, 0.34)
    for along in (cloth.u, cloth.v):
        _blend(cloth, cloth.contrast, 0.5 * (_wave(along, period) > 0.3))
    for along in (cloth.u, cloth.v):
        thin = _wave(along + period / 2, period) > 0.95
        _blend(cloth, (230, 190, 60), 0.8 * thin)


def _ombre(rng: np.random.Generator, cloth: Cloth) -> None:
    _blend(cloth, cloth.contrast, np.clip(cloth.v / cloth.height + 0.5, 0, 1))


def _colorblock(rng: np.random.Generator, cloth: Cloth) -> None:
    border = rng.uniform(-0.08, 0.08) * cloth.height
    cloth.image[cloth.v > border] = cloth.contrast


def _camo(rng: np.random.Generator, cloth: Cloth) -> None:
    # Blobs: noise cut at a level.
    for color in ((62, 72, 42), (168, 152, 108), (45, 38, 30)):
        cloth.image[_noise(rng, cloth, 14) > 0.5] = color


def _tie_dye(rng: np.random.Generator, cloth: Cloth) -> None:
    u = cloth.u - rng.uniform(-0.15, 0.15)
    v = cloth.v - rng.uniform(-0.2, 0.1)
    swirl = _TURN * (np.hypot(u, v) / 0.22 - np.arctan2(v, u) / _TURN * 2)
    _blend(cloth, cloth.contrast, 0.5 + 0.5 * np.sin(swirl))
    _blend(cloth, (250, 250, 245), np.clip(np.sin(swirl + 2), 0, 1) ** 2)


def _dot(rng: np.random.Generator, cloth: Cloth) -> None:
    _scatter(rng, cloth, _CIRCLE, rng.uniform(0.16, 0.22), 0.33)


def _heart(rng: np.random.Generator, cloth: Cloth) -> None:
    _scatter(rng, cloth, _HEART, rng.uniform(0.24, 0.3), 0.42)


def _stars(rng: np.random.Generator, cloth: Cloth) -> None:
    _scatter(rng, cloth, _STAR, rng.uniform(0.24, 0.3), 0.5)


def _floral(rng: np.random.Generator, cloth: Cloth) -> None:
    spacing = rng.uniform(0.25, 0.32)
    spots = _scatter(rng, cloth, _FLOWER, spacing, 0.5, 0.12)
    _place(cloth, _CIRCLE * spacing * 0.14, spots, (240, 190, 40))
    leaves = spots + np.array([0.5, 0.3]) * spacing
    _place(cloth, _LEAF * spacing * 0.28, leaves, (40, 130, 60))


PRINTS = {
    "camo": _camo,
    "checkered": _checkered,
    "chevron": _chevron,
    "colorblock": _colorblock,
    "dot": _dot,
    "floral": _floral,
    "heart": _heart,
    "ombre": _ombre,
    "plaid": _plaid,
    "stars": _stars,
    "striped": _striped,
    "tie-dye": _tie_dye,
}
"""Functions that paint prints, by attribute."""


# Fabrics, in light and shade.


def _denim(rng: np.random.Generator, cloth: Cloth) -> None:
    twill = 1 + 0.09 * _wave(cloth.u + cloth.v, 0.03)
    worn = 0.14 * _noise(rng, cloth, 6)
    grain = _noise(rng, cloth, 110)
    _shade(cloth, twill + worn + 0.1 * grain)


def _knit(rng: np.random.Generator, cloth: Cloth) -> None:
    # Cables: ridges that swing left and right, with a groove between them.
    period = rng.uniform(0.12, 0.15)
    swing = 0.2 * period * _wave(cloth.v, 0.16)
    ridge = np.abs(_wave(cloth.u + swing, 2 * period))
    stitch = 0.12 * _wave(cloth.v - 0.4 * ridge * period, 0.06)
    _shade(cloth, 0.5 + 0.55 * np.sqrt(ridge) + stitch)


def _leather(rng: np.random.Generator, cloth: Cloth) -> None:
    crease = 0.5 * _noise(rng, cloth, 8)
    gloss = _wave(cloth.u + 0.4 * cloth.v + 0.12 * crease, 0.3)
    shine = np.clip(gloss - 0.45 + crease, 0, 1) ** 1.5
    _blend(cloth, (235, 235, 240), np.clip(1.3 * shine, 0, 0.8))


def _pleated(rng: np.random.Generator, cloth: Cloth) -> None:
    # A sharp edge, then a slow gradient from shade to light.
    period = rng.uniform(0.09, 0.12)
    _shade(cloth, 0.55 + 0.55 * ((cloth.u / period) % 1))


def _quilted(rng: np.random.Generator, cloth: Cloth) -> None:
    period = rng.uniform(0.38, 0.48)
    one = np.abs(_wave(cloth.u + cloth.v, period))
    other = np.abs(_wave(cloth.u - cloth.v, period))
    _shade(cloth, 0.35 + 0.75 * np.sqrt(np.minimum(one, other)))


def _lace(rng: np.random.Generator, cloth: Cloth) -> None:
    # Rosettes of cloth with net between them.
    cloth.opacity = np.full(cloth.u.shape, 35, np.uint8)
    image, cloth.image = cloth.image, cloth.opacity
    spacing = rng.uniform(0.19, 0.23)
    spots = _scatter(rng, cloth, _FLOWER, spacing, 0.56, 0.0, 255)
    _place(cloth, _CIRCLE * spacing * 0.15, spots, 35)
    cloth.image = image
    net = np.maximum(_wave(cloth.u + cloth.v, 0.08), 0) ** 4
    net = np.maximum(net, np.maximum(_wave(cloth.u - cloth.v, 0.08), 0) ** 4)
    cloth.opacity = np.maximum(cloth.opacity / np.float32(255), 0.8 * net)


_FABRICS = {
    "denim": _denim,
    "knit": _knit,
    "lace": _lace,
    "leather": _leather,
    "pleated": _pleated,
    "quilted": _quilted,
}
