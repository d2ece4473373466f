"""Draws an image with background, wearer and garment, and its labels."""

import dataclasses

import cv2
import numpy as np

from pipelines.annotations import OCCLUDED
from pipelines.annotations import TRUNCATED
from pipelines.annotations import VISIBLE
from pipelines.synthetic.designs import AT_BOTTOM
from pipelines.synthetic.designs import AT_TOP
from pipelines.synthetic.designs import AT_WAIST
from pipelines.synthetic.designs import Design
from pipelines.synthetic.designs import choose_design
from pipelines.synthetic.dressing import draw_garment
from pipelines.synthetic.outlines import Garment
from pipelines.synthetic.outlines import choose_pose
from pipelines.synthetic.outlines import make_garment
from pipelines.synthetic.pen import Pen
from pipelines.synthetic.pen import fill
from pipelines.synthetic.wearer import choose_wearer
from pipelines.synthetic.wearer import draw_body
from pipelines.synthetic.wearer import draw_bystander
from pipelines.synthetic.wearer import draw_front

LONG_SIDE = 300


@dataclasses.dataclass
class Picture:
    """A synthetic image and its labels.

    `image` is RGB (H, W, 3) uint8, its long side `LONG_SIDE`. `landmarks`
    (L, 3) int are visibility, x and y in the packed order of the clothes
    type; `box` is x1, y1, x2, y2, half-open. Pixels count from 0.
    """

    image: np.ndarray
    design: Design
    landmarks: np.ndarray
    box: tuple[int, int, int, int]


def draw_picture(rng: np.random.Generator, category: str) -> Picture:
    """Draws an image of a category; everything else is random."""
    design = choose_design(rng, category)
    pose = choose_pose(rng)
    garment = make_garment(design.cut, design.clothes_type, pose)
    # Attributes have to be visible, so neither the camera nor another garment
    # may hide them.
    to_pixels, size = _aim(
        rng,
        garment,
        may_cut_top=not AT_TOP & design.attributes,
        # Culottes without their hems could be shorts, a romper a jumpsuit.
        may_cut_bottom=not (AT_BOTTOM & design.attributes or design.cut.legs),
    )
    may_hide_waist = design.clothes_type == 2 and not (
        AT_WAIST & design.attributes
    )
    wearer = choose_wearer(rng, pose, may_hide_waist)
    # Lace is visible only in front of skin.
    worn = rng.random() < 0.85 or design.cloth == "lace"
    pen = Pen(_background(rng, size, plain=not worn), to_pixels)
    if worn:
        if rng.random() < 0.3:
            # Next to the wearer, often partly outside the image.
            away = rng.choice((-1, 1)) * rng.uniform(2.0, 3.0)
            aside = to_pixels.copy()
            aside[:, 2] += to_pixels[:, :2] @ (away, rng.uniform(-0.4, 0.4))
            draw_bystander(rng, Pen(pen.image, aside))
        draw_body(pen, wearer, design.clothes_type)
    whole, over_body = draw_garment(rng, pen, design, garment, wearer, worn)
    over_all = np.zeros(size, np.uint8)
    if worn:
        front = Pen(pen.image, to_pixels, over_all)
        draw_front(front, wearer, design.clothes_type, design.cut.hood)
    over_body = np.maximum(over_body, over_all)
    landmarks = np.zeros((len(garment.landmarks), 3), int)
    landmarks[:, 1:] = np.rint(pen.pixels(garment.landmarks))
    for landmark, on_sleeve in zip(landmarks, garment.on_sleeve, strict=True):
        hiding = over_all if on_sleeve else over_body
        landmark[0] = _visibility(landmark[1:], hiding)
    landmarks[landmarks[:, 0] == TRUNCATED, 1:] = 0
    seen = landmarks[landmarks[:, 0] != TRUNCATED, 1:]
    box = _box(rng, whole, seen)
    return Picture(_expose(rng, pen.image), design, landmarks, box)


def _aim(
    rng: np.random.Generator,
    garment: Garment,
    may_cut_top: bool,
    may_cut_bottom: bool,
) -> tuple[np.ndarray, tuple[int, int]]:
    """Points the camera.

    Returns:
        (2, 3) affine from heads to pixels, and the image's (H, W).
    """
    turn, shear = rng.uniform(-0.2, 0.2), rng.uniform(-0.06, 0.06)
    cos, sin = np.cos(turn), np.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]]) @ [[1, shear], [0, 1]]
    points = np.concatenate(list(garment.pieces.values())) @ linear.T
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    # Left, top, right, bottom, as shares of the garment's extent; a negative
    # one cuts the garment off.
    margins = rng.uniform(0.05, 0.35, 4)
    if rng.random() < 0.3:
        sides = np.flatnonzero([True, may_cut_top, True, may_cut_bottom])
        margins[rng.choice(sides)] = -rng.uniform(0.04, 0.15)
    low = low - margins[:2] * extent
    high = high + margins[2:] * extent
    # Widen narrow strips, equally on both sides.
    width, height = high - low
    more = np.maximum(0, (0.6 * height - width, width / 1.3 - height))
    low, high = low - more / 2, high + more / 2
    scale = LONG_SIDE / (high - low).max()
    width, height = np.rint((high - low) * scale).astype(int)
    to_pixels = np.concatenate([linear, -low[:, None]], axis=1) * scale
    return to_pixels, (int(height), int(width))


def _background(
    rng: np.random.Generator, size: tuple[int, int], plain: bool
) -> np.ndarray:
    """Draws soft changes of color, and clutter unless `plain`."""
    base = rng.uniform(185, 245) if plain else rng.uniform(70, 235)
    spread = 6 if plain else 32
    cells = int(rng.integers(2, 6))
    coarse = base + rng.uniform(-spread, spread, (cells, cells, 3))
    coarse = np.clip(coarse + rng.uniform(-15, 15, 3), 0, 255)
    image = cv2.resize(coarse.astype(np.uint8), size[::-1])
    for _ in range(0 if plain else int(rng.integers(0, 8))):
        center = rng.uniform(0, 1, 2) * size[::-1]
        corners = center + rng.uniform(-80, 80, (int(rng.integers(3, 6)), 2))
        corners = cv2.convexHull(corners.astype(np.float32))
        color = np.clip(base + rng.uniform(-50, 50, 3), 0, 255)
        fill(image, corners[:, 0], tuple(map(int, color)))
    for _ in range(0 if plain else int(rng.integers(0, 5))):
        # Rails, door frames, curbs.
        ends = rng.uniform(-0.2, 1.2, (2, 2)) * size[::-1]
        color = np.clip(base + rng.uniform(-70, 70, 3), 0, 255)
        cv2.line(
            image,
            *(tuple(map(int, end)) for end in ends),
            tuple(map(int, color)),
            int(rng.integers(1, 7)),
            cv2.LINE_AA,
        )
    return image


def _visibility(point: np.ndarray, hiding: np.ndarray) -> int:
    """Returns the visibility of a point (x, y), given what covers it."""
    x, y = point
    height, width = hiding.shape
    if not (0 <= x < width and 0 <= y < height):
        return TRUNCATED
    around = hiding[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
    return OCCLUDED if around.mean() > 127 else VISIBLE


def _box(
    rng: np.random.Generator, whole: np.ndarray, seen: np.ndarray
) -> tuple[int, int, int, int]:
    """Returns a box around the garment, with a small random margin."""
    x, y, width, height = cv2.boundingRect(whole)
    low = np.minimum((x, y), seen.min(axis=0, initial=LONG_SIDE))
    high = np.maximum((x + width, y + height), seen.max(axis=0, initial=0) + 1)
    margins = rng.uniform(0, 0.04, (2, 2)) * (width, height)
    low = np.maximum(np.rint(low - margins[0]), 0)
    high = np.minimum(np.rint(high + margins[1]), whole.shape[::-1])
    return (*map(int, low), *map(int, high))


def _expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Adds exposure and sensor noise."""
    grain = rng.standard_normal((LONG_SIDE // 2, LONG_SIDE // 2), np.float32)
    grain = cv2.resize(grain, image.shape[1::-1])[..., None]
    exposure = np.float32(rng.uniform(0.88, 1.1))
    exposed = image * exposure + grain * np.float32(rng.uniform(1, 5))
    return np.clip(exposed, 0, 255).astype(np.uint8)
