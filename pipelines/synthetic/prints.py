"""Paints prints, patterns in the cloth's two colors.

They are coarse, so that they survive a crop of 96 pixels.
"""

import numpy as np

from pipelines.synthetic.cloth import CIRCLE
from pipelines.synthetic.cloth import FLOWER
from pipelines.synthetic.cloth import HEART
from pipelines.synthetic.cloth import LEAF
from pipelines.synthetic.cloth import STAR
from pipelines.synthetic.cloth import TURN
from pipelines.synthetic.cloth import Cloth
from pipelines.synthetic.cloth import blend
from pipelines.synthetic.cloth import noise
from pipelines.synthetic.cloth import place
from pipelines.synthetic.cloth import scatter
from pipelines.synthetic.cloth import wave


def _striped(rng: np.random.Generator, cloth: Cloth) -> None:
    along = cloth.v if rng.random() < 0.75 else cloth.u
    cloth.image[wave(along, rng.uniform(0.13, 0.18)) > 0] = cloth.contrast


def _checkered(rng: np.random.Generator, cloth: Cloth) -> None:
    period = rng.uniform(0.22, 0.28)
    fields = wave(cloth.u, period) * wave(cloth.v, period) > 0
    cloth.image[fields] = cloth.contrast


def _chevron(rng: np.random.Generator, cloth: Cloth) -> None:
    period = rng.uniform(0.26, 0.34)
    zigzag = np.abs((cloth.u / period) % 1 - 0.5) * period
    bands = wave(cloth.v + zigzag, rng.uniform(0.15, 0.19)) > 0
    cloth.image[bands] = cloth.contrast


def _plaid(rng: np.random.Generator, cloth: Cloth) -> None:
    period = rng.uniform(0.26, 0.34)
    for along in (cloth.u, cloth.v):
        blend(cloth, cloth.contrast, 0.5 * (wave(along, period) > 0.3))
    for along in (cloth.u, cloth.v):
        thin = wave(along + period / 2, period) > 0.95
        blend(cloth, (230, 190, 60), 0.8 * thin)


def _ombre(rng: np.random.Generator, cloth: Cloth) -> None:
    blend(cloth, cloth.contrast, np.clip(cloth.v / cloth.height + 0.5, 0, 1))


def _colorblock(rng: np.random.Generator, cloth: Cloth) -> None:
    border = rng.uniform(-0.08, 0.08) * cloth.height
    cloth.image[cloth.v > border] = cloth.contrast


def _camo(rng: np.random.Generator, cloth: Cloth) -> None:
    # Blobs: noise cut at a level.
    for color in ((62, 72, 42), (168, 152, 108), (45, 38, 30)):
        cloth.image[noise(rng, cloth, 14) > 0.5] = color


def _tie_dye(rng: np.random.Generator, cloth: Cloth) -> None:
    u = cloth.u - rng.uniform(-0.15, 0.15)
    v = cloth.v - rng.uniform(-0.2, 0.1)
    swirl = TURN * (np.hypot(u, v) / 0.22 - np.arctan2(v, u) / TURN * 2)
    blend(cloth, cloth.contrast, 0.5 + 0.5 * np.sin(swirl))
    blend(cloth, (250, 250, 245), np.clip(np.sin(swirl + 2), 0, 1) ** 2)


def _dot(rng: np.random.Generator, cloth: Cloth) -> None:
    scatter(rng, cloth, CIRCLE, rng.uniform(0.16, 0.22), 0.33)


def _heart(rng: np.random.Generator, cloth: Cloth) -> None:
    scatter(rng, cloth, HEART, rng.uniform(0.24, 0.3), 0.42)


def _stars(rng: np.random.Generator, cloth: Cloth) -> None:
    scatter(rng, cloth, STAR, rng.uniform(0.24, 0.3), 0.5)


def _floral(rng: np.random.Generator, cloth: Cloth) -> None:
    spacing = rng.uniform(0.25, 0.32)
    spots = scatter(rng, cloth, FLOWER, spacing, 0.5, 0.12)
    place(cloth, CIRCLE * spacing * 0.14, spots, (240, 190, 40))
    leaves = spots + np.array([0.5, 0.3]) * spacing
    place(cloth, LEAF * spacing * 0.28, leaves, (40, 130, 60))


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
