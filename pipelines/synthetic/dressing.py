"""Draws a garment on the image, piece by piece."""

import cv2
import numpy as np

from pipelines.synthetic.cloth import paint_cloth
from pipelines.synthetic.designs import Design
from pipelines.synthetic.details import draw_cuffs
from pipelines.synthetic.details import draw_details
from pipelines.synthetic.details import draw_rips
from pipelines.synthetic.details import draw_sleeve_stripes
from pipelines.synthetic.outlines import NECK_Y
from pipelines.synthetic.outlines import SIDES
from pipelines.synthetic.outlines import Garment
from pipelines.synthetic.outlines import arm
from pipelines.synthetic.outlines import leg
from pipelines.synthetic.pen import Pen
from pipelines.synthetic.pen import ellipse
from pipelines.synthetic.pen import fill
from pipelines.synthetic.wearer import Wearer
from pipelines.synthetic.wearer import draw_forearms


def draw_garment(
    rng: np.random.Generator,
    pen: Pen,
    design: Design,
    garment: Garment,
    wearer: Wearer,
    worn: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the garment, and the forearms between its body and sleeves.

    Returns:
        Two masks (H, W) uint8: the whole garment, and everything over its
        body, including its sleeves.
    """
    size = pen.image.shape[:2]
    points = np.concatenate(list(garment.pieces.values()))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    extent = np.ptp(points, axis=0)
    unit = np.sqrt(extent.prod())
    frame = np.array([[unit, 0, middle[0]], [0, unit, middle[1]], [0, 0, 1]])
    cloth = paint_cloth(
        *(rng, design.cloth, design.color, design.contrast),
        *(size, pen.to_pixels @ frame, extent[1] / unit),
    )
    # Cloth hangs: its folds are longer than wide.
    folds = 1.0
    for amount, cells in ((0.07, (7, 7)), (0.06, (4, 18))):
        coarse = amount * rng.standard_normal(cells, np.float32)
        folds = folds + cv2.resize(
            coarse, size[::-1], interpolation=cv2.INTER_CUBIC
        )
    image = cloth.image * folds[..., None]
    whole, over_body = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    edge = 0.42 * np.float32(design.color)
    if "hood" in garment.pieces:
        outline = garment.pieces["hood"]
        _lay(pen, 0.75 * image, cloth.opacity, outline, whole, edge)
        pen.area(ellipse((0, 0.98), 0.46, 0.66), 0.4 * edge)
    elif not worn and design.clothes_type != 2:
        # The back of the neck, seen from the front.
        pen.area(ellipse((0, NECK_Y), design.cut.neck, 0.14), edge)
    body = garment.pieces["body"]
    _lay(pen, image, cloth.opacity, body, whole, edge)
    if design.cut.ripped:
        draw_rips(pen, wearer.skin, wearer.pose)
    draw_details(pen, design)
    for side in SIDES if design.cut.cuffs else ():
        joints = leg(wearer.pose, side)
        draw_cuffs(pen, design, joints, design.cut.hem_y - joints[0, 1], side)
    if worn and not design.cut.cape:
        draw_forearms(Pen(pen.image, pen.to_pixels, over_body), wearer)
    for side, name in zip(SIDES, ("sleeve_left", "sleeve_right"), strict=True):
        if name not in garment.pieces:
            continue
        outline = garment.pieces[name]
        angle = side * wearer.pose.arms[(side + 1) // 2][0]
        turned = _turned(image, pen.pixels(outline)[0], angle)
        _lay(pen, turned, cloth.opacity, outline, whole, edge)
        fill(over_body, pen.pixels(outline), 255)
        if design.cut.ribbed:
            joints = arm(wearer.pose, side)
            draw_cuffs(pen, design, joints, design.cut.sleeve, side)
        if design.motif == "varsity":
            draw_sleeve_stripes(pen, design, wearer.pose, side)
    return whole, over_body


def _lay(
    pen: Pen,
    cloth: np.ndarray,
    opacity: np.ndarray | None,
    outline: np.ndarray,
    whole: np.ndarray,
    edge: np.ndarray,
) -> None:
    """Draws cloth inside an outline, darker toward its edge."""
    mask = np.zeros_like(whole)
    fill(mask, pen.pixels(outline), 255)
    np.maximum(whole, mask, out=whole)
    x, y, width, height = cv2.boundingRect(mask)
    part = np.s_[y : y + height, x : x + width]
    alpha = mask[part] / np.float32(255)
    reach = 2 * round(0.15 * pen.scale) + 1
    cloth = (
        cloth[part] * (0.5 + 0.5 * cv2.blur(alpha, (reach, reach)))[..., None]
    )
    if opacity is not None:
        alpha = alpha * opacity[part]
    under = pen.image[part]
    mixed = under + (cloth - under) * alpha[..., None]
    pen.image[part] = np.clip(mixed, 0, 255).astype(np.uint8)
    pen.line(np.concatenate([outline, outline[:1]]), edge, 0.03)


def _turned(image: np.ndarray, around: np.ndarray, angle: float) -> np.ndarray:
    """Turns cloth so that its downward direction follows an arm."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    matrix = np.concatenate([turn, (around - turn @ around)[:, None]], axis=1)
    return cv2.warpAffine(
        image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT
    )
