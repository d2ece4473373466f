"""Paints the cloth of a design, with fabrics by light and shade."""

import cv2
import numpy as np

from pipelines.synthetic.cloth import CIRCLE
from pipelines.synthetic.cloth import FLOWER
from pipelines.synthetic.cloth import Cloth
from pipelines.synthetic.cloth import blend
from pipelines.synthetic.cloth import noise
from pipelines.synthetic.cloth import place
from pipelines.synthetic.cloth import scatter
from pipelines.synthetic.cloth import shade
from pipelines.synthetic.cloth import wave
from pipelines.synthetic.designs import Design
from pipelines.synthetic.prints import PRINTS


def paint_cloth(
    rng: np.random.Generator,
    design: Design,
    size: tuple[int, int],
    to_image: np.ndarray,
    height: float,
) -> Cloth:
    """Paints a design's cloth.

    Args:
        rng: the image's generator.
        design: design with cloth and colors.
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
    image[:] = design.color
    cloth = Cloth(image, u, v, to_image, height, design.color, design.contrast)
    if design.cloth:
        (PRINTS | _FABRICS)[design.cloth](rng, cloth)
    return cloth


def _denim(rng: np.random.Generator, cloth: Cloth) -> None:
    twill = 1 + 0.09 * wave(cloth.u + cloth.v, 0.03)
    worn = 0.14 * noise(rng, cloth, 6)
    grain = noise(rng, cloth, 110)
    shade(cloth, twill + worn + 0.1 * grain)


def _knit(rng: np.random.Generator, cloth: Cloth) -> None:
    # Cables: ridges that swing left and right, with a groove between them.
    period = rng.uniform(0.12, 0.15)
    swing = 0.2 * period * wave(cloth.v, 0.16)
    ridge = np.abs(wave(cloth.u + swing, 2 * period))
    stitch = 0.12 * wave(cloth.v - 0.4 * ridge * period, 0.06)
    shade(cloth, 0.5 + 0.55 * np.sqrt(ridge) + stitch)


def _leather(rng: np.random.Generator, cloth: Cloth) -> None:
    crease = 0.5 * noise(rng, cloth, 8)
    gloss = wave(cloth.u + 0.4 * cloth.v + 0.12 * crease, 0.3)
    shine = np.clip(gloss - 0.45 + crease, 0, 1) ** 1.5
    blend(cloth, (235, 235, 240), np.clip(1.3 * shine, 0, 0.8))


def _pleated(rng: np.random.Generator, cloth: Cloth) -> None:
    # A sharp edge, then a slow gradient from shade to light.
    period = rng.uniform(0.09, 0.12)
    shade(cloth, 0.55 + 0.55 * ((cloth.u / period) % 1))


def _quilted(rng: np.random.Generator, cloth: Cloth) -> None:
    period = rng.uniform(0.38, 0.48)
    one = np.abs(wave(cloth.u + cloth.v, period))
    other = np.abs(wave(cloth.u - cloth.v, period))
    shade(cloth, 0.35 + 0.75 * np.sqrt(np.minimum(one, other)))


def _lace(rng: np.random.Generator, cloth: Cloth) -> None:
    # Rosettes of cloth with net between them.
    cloth.opacity = np.full(cloth.u.shape, 35, np.uint8)
    image, cloth.image = cloth.image, cloth.opacity
    spacing = rng.uniform(0.19, 0.23)
    spots = scatter(rng, cloth, FLOWER, spacing, 0.56, 0.0, 255)
    place(cloth, CIRCLE * spacing * 0.15, spots, 35)
    cloth.image = image
    net = np.maximum(wave(cloth.u + cloth.v, 0.08), 0) ** 4
    net = np.maximum(net, np.maximum(wave(cloth.u - cloth.v, 0.08), 0) ** 4)
    cloth.opacity = np.maximum(cloth.opacity / np.float32(255), 0.8 * net)


_FABRICS = {
    "denim": _denim,
    "knit": _knit,
    "lace": _lace,
    "leather": _leather,
    "pleated": _pleated,
    "quilted": _quilted,
}
