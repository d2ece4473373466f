"""Draws details: collars, closures, pockets, belts, chest prints."""

from collections.abc import Sequence

import numpy as np

from pipelines.synthetic.categories import Cut
from pipelines.synthetic.designs import Design
from pipelines.synthetic.outlines import NECK_Y
from pipelines.synthetic.outlines import SIDES
from pipelines.synthetic.outlines import Pose
from pipelines.synthetic.outlines import arm
from pipelines.synthetic.outlines import half_width
from pipelines.synthetic.outlines import leg
from pipelines.synthetic.outlines import limb_edges
from pipelines.synthetic.pen import Pen
from pipelines.synthetic.pen import ellipse

_RAINBOW = ((205, 45, 45), (240, 150, 40), (245, 220, 70), (60, 160, 80))
_RAINBOW += ((60, 90, 200),)
_CROTCH_Y = 4.1


def draw_details(pen: Pen, design: Design) -> None:
    """Draws all details on a garment's body, in the order of sewing."""
    cut = design.cut
    edge = np.float32(design.color) * 0.45
    bright = np.mean(design.color) > 110
    # Trim has to be visible on dark and on bright cloth.
    trim = np.array((40, 40, 45) if bright else (235, 232, 220))
    top = NECK_Y + cut.neck_depth if design.clothes_type != 2 else cut.waist_y
    bottom = min(cut.hem_y, _CROTCH_Y) if cut.legs else cut.hem_y
    if design.clothes_type == 2:
        band = _band(cut, cut.waist_y + 0.16, 0.0)
        pen.line(band[:2], edge, 0.03)
    if design.cloth == "denim":
        _stitches(pen, cut, design, bottom)
    if cut.ribbed:
        _ribs(pen, _band(cut, cut.hem_y - 0.14, 0.14), edge)
    if cut.front == "open":
        _opening(pen, design, bottom, edge)
    elif cut.front == "zip":
        pen.line([(0, top), (0, bottom)], trim, 0.15)
        pen.line([(0, top), (0, bottom)], (205, 205, 210), 0.06)
        pen.area(ellipse((0, top + 0.16), 0.08, 0.17), (205, 205, 210))
    elif cut.front == "button":
        pen.line([(-0.14, top), (-0.14, bottom)], edge, 0.03)
        for y in np.arange(top + 0.15, bottom - 0.1, 0.36):
            pen.disc((0, y), 0.105, trim)
            pen.disc((0, y), 0.03, design.color)
    if cut.collar:
        _collar(pen, cut, design, edge)
    if cut.hood:
        for side in SIDES:
            ends = [(0.13 * side, top - 0.04), (0.2 * side, top + 0.6)]
            pen.line(ends, trim, 0.05)
    if cut.roll:
        _roll(pen, cut, design, edge)
    if cut.pocket:
        _pockets(pen, cut, design, trim)
    if cut.belt:
        pen.area(_band(cut, cut.waist_y, 0.12), trim)
        buckle = np.array([(-0.17, -0.15), (0.17, -0.15), (0.17, 0.15)])
        buckle = np.concatenate([buckle, [(-0.17, 0.15)]]) + (0, cut.waist_y)
        pen.area(buckle, (225, 185, 80))
        pen.area((buckle - (0, cut.waist_y)) * 0.5 + (0, cut.waist_y), trim)
    if cut.drawstring:
        _drawstring(pen, cut, trim)
    if design.motif:
        _motif(pen, design, top)


def draw_cuffs(
    pen: Pen, design: Design, joints: np.ndarray, end: float, side: int
) -> None:
    """Draws a ribbed band at the end of a sleeve or a trouser leg.

    Args:
        pen: draws on the picture.
        design: of the garment.
        joints: (3, 2) from `arm` or `leg`.
        end: how far down the limb the garment ends, in heads.
        side: the side of the limb.
    """
    cut = design.cut
    widths = (0.34, cut.cuff + 0.06, cut.cuff)
    if cut.cuffs:
        widths = (0.4, cut.knee, cut.ankle)
    (outer, inner), (outer_up, inner_up) = (
        limb_edges(joints, end - up, widths, side) for up in (0.0, 0.26)
    )
    band = [outer[-1], inner[-1], inner_up[-1], outer_up[-1]]
    _ribs(pen, np.array(band), np.float32(design.color) * 0.45)


def draw_rips(pen: Pen, skin: Sequence[int], pose: Pose) -> None:
    """Draws holes in trouser legs, with skin behind and threads across."""
    for side in SIDES:
        hip, knee, ankle = leg(pose, side)
        for start, end, at in ((hip, knee, 0.55), (knee, ankle, 0.0)):
            center = start + (end - start) * at
            pen.area(ellipse(center, 0.22, 0.2), skin)
            for y in (-0.12, 0.0, 0.12):
                ends = center + np.array([(-0.22, y), (0.22, y + 0.03)])
                pen.line(ends, (240, 240, 240), 0.035)


def draw_sleeve_stripes(
    pen: Pen, design: Design, pose: Pose, side: int
) -> None:
    """Draws the two stripes around a varsity sleeve."""
    cut = design.cut
    widths = (0.34, cut.cuff + 0.06, cut.cuff)
    for up in (0.12, 0.34):
        edges = [
            limb_edges(arm(pose, side), cut.sleeve - d, widths, side)
            for d in (up, up + 0.12)
        ]
        (outer, inner), (outer_up, inner_up) = edges
        band = [outer[-1], inner[-1], inner_up[-1], outer_up[-1]]
        pen.area(band, design.contrast)


def _band(cut: Cut, y: float, half: float) -> np.ndarray:
    """Returns a band across the body, left to right at the bottom, and back."""
    up, down = half_width(cut, y - half), half_width(cut, y + half)
    if y - half < cut.waist_y < y + half:
        up = down = min(up, down)
    return np.array(
        [(-down, y + half), (down, y + half), (up, y - half), (-up, y - half)]
    )


def _opening(
    pen: Pen, design: Design, bottom: float, edge: Sequence[int]
) -> None:
    inside = (245, 244, 240) if np.mean(design.color) < 170 else (60, 65, 80)
    cut = design.cut
    low = (0.34, bottom + 0.05)
    high = (0.16, NECK_Y + cut.neck_depth * 0.6)
    gap = [(-high[0], high[1]), high, low, (-low[0], low[1])]
    pen.area(gap, inside)
    for side in SIDES:
        pen.line([(side * x, y) for x, y in (high, low)], edge, 0.05)


def _collar(pen: Pen, cut: Cut, design: Design, edge: Sequence[int]) -> None:
    low = NECK_Y + cut.neck_depth
    for side in SIDES:
        flap = np.array(
            [
                (cut.neck, NECK_Y),
                (0.02, low),
                (0.2, low + 0.36),
                (0.62, NECK_Y + 0.36),
                (cut.neck + 0.1, NECK_Y + 0.04),
            ]
        ) * (side, 1)
        pen.area(flap, 0.72 * np.float32(design.color) + 12)
        pen.line(np.concatenate([flap, flap[:1]]), edge, 0.04)


def _ribs(pen: Pen, band: np.ndarray, edge: Sequence[int]) -> None:
    """Draws short lines across a band, given by its corners (4, 2)."""
    pen.line(np.concatenate([band[2:], band[2:3]])[:2], edge, 0.05)
    ribs = max(3, round(np.linalg.norm(band[1] - band[0]) / 0.12))
    for at in np.linspace(0, 1, ribs):
        low = band[0] + at * (band[1] - band[0])
        high = band[3] + at * (band[2] - band[3])
        pen.line([low, high], edge, 0.04)


def _roll(pen: Pen, cut: Cut, design: Design, edge: Sequence[int]) -> None:
    """Draws the rolled neck, up to the chin."""
    low, high = NECK_Y + 0.1, 1.02
    neck = [(-cut.neck, low), (cut.neck, low), (0.28, high), (-0.28, high)]
    pen.area(neck, 0.8 * np.float32(design.color) + 10)
    pen.line([*neck, neck[0]], edge, 0.04)
    pen.line([(-0.29, 1.26), (0.29, 1.26)], edge, 0.04)


def _drawstring(pen: Pen, cut: Cut, trim: Sequence[int]) -> None:
    """Draws two strings, tied in a bow, that hang from the waist."""
    y = cut.waist_y + 0.14
    for side in SIDES:
        loop = ellipse((0.15 * side, y + 0.02), 0.14, 0.08)
        pen.line(np.concatenate([loop, loop[:1]]), trim, 0.05)
        pen.line([(0, y), (0.1 * side, y + 0.62)], trim, 0.06)
        pen.disc((0.1 * side, y + 0.62), 0.06, trim)


def _pockets(pen: Pen, cut: Cut, design: Design, trim: Sequence[int]) -> None:
    square = np.array([(-1, -1), (1, -1), (1, 0.7), (0, 1.1), (-1, 0.7)])
    if cut.pocket == "chest":
        patches = [square * 0.27 + (0.38, 2.4)]
    elif cut.pocket == "kangaroo":
        shape = [(-0.3, 0), (0.3, 0), (0.56, 0.4), (0.56, 0.7)]
        shape += [(-0.56, 0.7), (-0.56, 0.4)]
        patches = [np.array(shape) + (0, cut.hem_y - 0.95)]
    else:
        y = cut.waist_y + (0.62 if cut.hem_y > 4 else 0.1)
        x = 0.56 * half_width(cut, y)
        patches = [square * 0.26 + (x * side, y) for side in SIDES]
    for patch in patches:
        pen.area(patch, 0.7 * np.float32(design.color) + 8)
        pen.line(np.concatenate([patch, patch[:1]]), trim, 0.05)


def _stitches(pen: Pen, cut: Cut, design: Design, bottom: float) -> None:
    """Draws the yellow seams of denim, at the front and the waist."""
    yellow = (226, 160, 70)
    pen.line(_band(cut, cut.waist_y + 0.12, 0)[:2], yellow, 0.035)
    if not cut.front:
        top = cut.waist_y if design.clothes_type == 2 else NECK_Y + 0.9
        pen.line([(0.04, top), (0.04, bottom)], yellow, 0.035)


def _motif(pen: Pen, design: Design, top: float) -> None:
    cut = design.cut
    low = min(cut.hem_y, 3.4 if cut.pocket != "kangaroo" else cut.hem_y - 1)
    y, size = (top + low) / 2, min(0.46, 0.42 * (low - top))
    if design.motif == "smile":
        pen.disc((0, y), size, (30, 30, 30))
        pen.disc((0, y), 0.92 * size, (250, 210, 50))
        for side in SIDES:
            eye = (0.34 * size * side, y - 0.28 * size)
            pen.area(ellipse(eye, 0.12 * size, 0.2 * size), (30, 30, 30))
        mouth = ellipse((0, y + 0.05 * size), 0.55 * size, 0.5 * size, 0, np.pi)
        pen.line(mouth, (30, 30, 30), 0.13 * size)
    elif design.motif == "rainbow":
        for ring, color in enumerate(_RAINBOW):
            radius = size * (1.15 - 0.17 * ring)
            arc = ellipse((0, y + 0.5 * size), radius, radius, np.pi)
            pen.line(arc, color, 0.19 * size)
    else:
        # A team's letter "A", and stripes at the hem.
        for side in SIDES:
            foot = (0.6 * size * side, y + 0.75 * size)
            pen.line([(0, y - size * 0.85), foot], design.contrast, 0.16)
        bar = [(-0.35 * size, y + 0.2 * size), (0.35 * size, y + 0.2 * size)]
        pen.line(bar, design.contrast, 0.13)
        # A cropped top has room only for the letter.
        if not cut.cape and cut.hem_y > 3:
            at = cut.waist_y + 0.3 if cut.legs else cut.hem_y - 0.16
            for up in (0.0, 0.22):
                pen.area(_band(cut, at - up, 0.06), design.contrast)
