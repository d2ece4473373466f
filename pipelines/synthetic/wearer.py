"""Draws the wearer: body, other clothes, and objects over the garment."""

import dataclasses

import numpy as np

from pipelines.synthetic.categories import CATEGORIES
from pipelines.synthetic.categories import Cut
from pipelines.synthetic.outlines import SIDES
from pipelines.synthetic.outlines import Pose
from pipelines.synthetic.outlines import arm
from pipelines.synthetic.outlines import choose_pose
from pipelines.synthetic.outlines import leg
from pipelines.synthetic.outlines import limb_edges
from pipelines.synthetic.outlines import make_garment
from pipelines.synthetic.pen import Pen
from pipelines.synthetic.pen import ellipse

_SKIN = ((244, 208, 182), (226, 180, 148), (188, 134, 100), (120, 80, 58))
_HAIR = ((40, 30, 26), (96, 60, 36), (208, 168, 96), (70, 70, 74))
_PLAIN = ((62, 66, 78), (120, 112, 102), (206, 200, 190), (88, 104, 90))

_TORSO = np.array(
    [
        (0.2, 1.3),
        (0.62, 1.5),
        (0.78, 1.75),
        (0.62, 2.3),
        (0.54, 3.0),
        (0.7, 3.9),
        (0.2, 4.3),
    ]
)
_WHOLE = 9.0  # Longer than any limb.


@dataclasses.dataclass(frozen=True)
class Wearer:
    """Pose, colors (RGB), hair, bag and top of a wearer.

    `hair_sides` are the sides on which hair falls over the shoulder,
    `bag_side` is the side of the bag, 0 for none; `untucked` is whether the
    companion of a lower garment hangs over its waistline.
    """

    pose: Pose
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    plain: tuple[int, int, int]
    hair_sides: tuple[int, ...]
    bag_side: int
    untucked: bool


def choose_wearer(
    rng: np.random.Generator, pose: Pose, may_hide_waist: bool
) -> Wearer:
    """Chooses a random wearer in a given pose."""
    skin, hair, plain = (
        values[rng.integers(len(values))] for values in (_SKIN, _HAIR, _PLAIN)
    )
    hair_sides = tuple(side for side in SIDES if rng.random() < 0.2)
    bag_side = int(rng.choice(SIDES)) if rng.random() < 0.2 else 0
    untucked = may_hide_waist and rng.random() < 0.2
    return Wearer(pose, skin, hair, plain, hair_sides, bag_side, untucked)


def draw_body(pen: Pen, wearer: Wearer, clothes_type: int) -> None:
    """Draws everything under the garment: body, and other clothes."""
    if wearer.hair_sides:
        pen.area(ellipse((0, 1.0), 0.6, 0.95), wearer.hair)
    for side in SIDES:
        joints = leg(wearer.pose, side)
        outer, inner = limb_edges(joints, _WHOLE, (0.36, 0.22, 0.13), side)
        pen.area(np.concatenate([outer, inner[::-1]]), wearer.skin)
        foot = joints[-1] + (0.08 * side, 0.14)
        pen.area(ellipse(foot, 0.24, 0.18), wearer.plain)
        upper, lower = _arm_edges(wearer, side)
        pen.area(np.concatenate([upper, lower[::-1]]), wearer.skin)
        pen.disc(arm(wearer.pose, side)[0], 0.2, wearer.skin)
    torso = np.concatenate([_TORSO, _TORSO[::-1] * (-1, 1)])
    pen.area(torso, wearer.skin)
    neck = [(-0.2, 0.8), (0.2, 0.8), (0.22, 1.5), (-0.22, 1.5)]
    pen.area(neck, 0.93 * np.array(wearer.skin))
    if clothes_type != 3:
        _draw_companion(pen, wearer, {1: "Shorts", 2: "Tank"}[clothes_type])


def draw_forearms(pen: Pen, wearer: Wearer) -> None:
    """Draws forearms and hands, which are over the garment's body."""
    for side in SIDES:
        _, elbow, wrist = arm(wearer.pose, side)
        outer, inner = (edge[1:] for edge in _arm_edges(wearer, side))
        pen.area(np.concatenate([outer, inner[::-1]]), wearer.skin)
        pen.disc(elbow, 0.16, wearer.skin)
        pen.disc(wrist + 0.13 * (wrist - elbow), 0.17, wearer.skin)


def draw_front(
    pen: Pen, wearer: Wearer, clothes_type: int, hooded: bool
) -> None:
    """Draws everything over the garment: head, hair, bag, untucked top."""
    if clothes_type == 2 and wearer.untucked:
        _draw_companion(pen, wearer, "Tank")
    pen.area(ellipse((0, 0.62), 0.38, 0.5), wearer.skin)
    fringe = ellipse((0, 0.6), 0.4, 0.52, np.pi, 2 * np.pi)
    pen.area(np.concatenate([fringe, [(0.2, 0.35)]]), wearer.hair)
    for side in () if hooded else wearer.hair_sides:
        strand = [(0.28, 0.3), (0.42, 0.6), (0.52, 1.4), (0.5, 2.2)]
        strand += [(0.3, 2.35), (0.2, 1.6), (0.33, 0.9)]
        pen.area(np.array(strand) * (side, 1), wearer.hair)
    if wearer.bag_side:
        side = wearer.bag_side
        strap = np.array([(-0.5, 1.5), (0.8, 3.5)]) * (side, 1)
        pen.line(strap, (94, 62, 40), 0.07)
        bag = np.array([(0.45, 3.4), (1.25, 3.4), (1.3, 4.3), (0.4, 4.3)])
        pen.area(bag * (side, 1), (124, 84, 54))
        flap = np.array([(0.45, 3.4), (1.25, 3.4), (0.85, 3.85)])
        pen.area(flap * (side, 1), (94, 62, 40))


def draw_bystander(rng: np.random.Generator, pen: Pen) -> None:
    """Draws a person in other clothes, without labels."""
    pose = choose_pose(rng)
    wearer = choose_wearer(rng, pose, may_hide_waist=False)
    draw_body(pen, wearer, 1)
    category = CATEGORIES[("Tee", "Sweater")[rng.integers(2)]]
    cut = Cut(**(category.cut | {"sleeve": rng.uniform(0.7, 2.5)}))
    top = make_garment(cut, category.clothes_type, pose)
    color = rng.uniform(30, 230, 3)
    for piece in top.pieces.values():
        pen.area(piece, color)
        pen.line(piece, 0.5 * color, 0.04)
    draw_front(pen, wearer, 1, hooded=False)


def _arm_edges(wearer: Wearer, side: int) -> tuple[np.ndarray, np.ndarray]:
    widths = (0.2, 0.16, 0.1)
    return limb_edges(arm(wearer.pose, side), _WHOLE, widths, side)


def _draw_companion(pen: Pen, wearer: Wearer, name: str) -> None:
    category = CATEGORIES[name]
    # Short enough to show most of a lower garment under it.
    short = {"hem_y": 3.6} if name == "Tank" else {}
    cut = Cut(**(category.cut | short))
    other = make_garment(cut, category.clothes_type, wearer.pose)
    pen.area(other.pieces["body"], wearer.plain)
