"""Computes outlines and landmarks of a garment on a posed wearer.

Coordinates are heads: x to the right of the image, 0 in the wearer's middle;
y down from the top of the head. Sides are -1 (left in the image) and 1.
"""

import dataclasses

import numpy as np

from pipelines.synthetic.categories import Cut
from pipelines.synthetic.pen import ellipse

SIDES = (-1, 1)

NECK_Y = 1.42
SHOULDER_Y = 1.58
ARMPIT_Y = 2.15
HIP_Y = 3.9

_SHOULDER_JOINT = (0.7, 1.8)
_HIP_JOINT = (0.36, 4.0)
_ARM = (1.45, 1.25)
_LEG = (2.0, 1.7)


@dataclasses.dataclass(frozen=True)
class Pose:
    """Angles of the wearer's limbs in radians, 0 down, positive outwards.

    `arms` and `legs` hold, for the left and the right side in the image, the
    angles of the upper and the lower half.
    """

    arms: tuple[tuple[float, float], tuple[float, float]]
    legs: tuple[tuple[float, float], tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Garment:
    """Polygons (N, 2) and landmarks (L, 2), in heads.

    `pieces` are named "hood" (behind the head), "body" and "sleeve_left",
    "sleeve_right" (in front of the body). `landmarks` are in the benchmark's
    packed order for the clothes type; `on_sleeve` (L,) is true for those that
    belong to a sleeve.
    """

    pieces: dict[str, np.ndarray]
    landmarks: np.ndarray
    on_sleeve: np.ndarray


def choose_pose(rng: np.random.Generator) -> Pose:
    """Chooses a random standing pose in which no limb crosses the middle."""
    arms = []
    for _ in SIDES:
        upper = rng.uniform(0.15, 0.95)
        # The farther out the elbow, the farther in the hand may be.
        arms.append((upper, rng.uniform(-0.2 - 0.9 * upper, upper)))
    legs = []
    for _ in SIDES:
        upper = rng.uniform(0.06, 0.22)
        legs.append((upper, rng.uniform(-0.05, upper)))
    return Pose(tuple(arms), tuple(legs))


def arm(pose: Pose, side: int) -> np.ndarray:
    """Returns shoulder, elbow and wrist, (3, 2)."""
    return _joints(_SHOULDER_JOINT, _ARM, pose.arms[(side + 1) // 2], side)


def leg(pose: Pose, side: int) -> np.ndarray:
    """Returns hip, knee and ankle, (3, 2)."""
    return _joints(_HIP_JOINT, _LEG, pose.legs[(side + 1) // 2], side)


def limb_edges(
    joints: np.ndarray, length: float, widths: tuple, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the outer and inner edge of a tube around a limb.

    Args:
        joints: (3, 2) from `arm` or `leg`.
        length: how far down the limb the tube goes, in heads.
        widths: half widths at the three joints.
        side: the side of the limb.

    Returns:
        Two arrays (2 or 3, 2), from the body outwards.
    """
    bones = np.diff(joints, axis=0)
    ends = np.cumsum([0, *np.linalg.norm(bones, axis=1)])
    length = min(length, ends[-1])
    at = np.array([*ends[ends < length - 1e-6], length])
    points = np.stack(
        [np.interp(at, ends, joints[:, axis]) for axis in (0, 1)], axis=1
    )
    directions = np.diff(points, axis=0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    # The direction at the elbow or knee is the mean of both bones'.
    directions = (
        np.concatenate([directions[:1], directions])
        + np.concatenate([directions, directions[-1:]])
    ) / 2
    normals = directions[:, ::-1] * (side, -side)
    offsets = normals * np.interp(at, ends, widths)[:, None]
    return points + offsets, points - offsets


def half_width(cut: Cut, y: float) -> float:
    """Returns the half width of a garment's body at y, without legs."""
    if y > HIP_Y:
        return cut.hip + cut.flare * (y - HIP_Y)
    return float(
        np.interp(
            y, (ARMPIT_Y, cut.waist_y, HIP_Y), (cut.chest, cut.waist, cut.hip)
        )
    )


def make_garment(cut: Cut, clothes_type: int, pose: Pose) -> Garment:
    """Computes outlines and landmarks of a garment.

    A landmark is always a vertex of its piece, so it agrees with the image.
    """
    flanks = {side: _flank(cut, clothes_type, pose, side) for side in SIDES}
    left, right = (flanks[side] for side in SIDES)
    pieces = {}
    if cut.hood:
        pieces["hood"] = ellipse((0, 1.0), 0.66, 0.85, 0.7, -np.pi - 0.7)
    pieces["body"] = np.concatenate(
        [
            _top_edge(cut, clothes_type),
            right["edge"],
            _bottom_edge(cut, left["inner"], right["inner"]),
            left["edge"][::-1],
        ]
    )
    if cut.sleeve:
        pieces["sleeve_left"] = left["sleeve"]
        pieces["sleeve_right"] = right["sleeve"]
    kinds = {
        1: ("collar", "sleeve_end", "hem"),
        2: ("waistline", "hem"),
        3: ("collar", "sleeve_end", "waistline", "hem"),
    }[clothes_type]
    return Garment(
        pieces,
        np.array([flank[kind] for kind in kinds for flank in (left, right)]),
        np.array(
            [
                kind == "sleeve_end" and cut.sleeve > 0
                for kind in kinds
                for _ in SIDES
            ]
        ),
    )


def _flank(cut: Cut, clothes_type: int, pose: Pose, side: int) -> dict:
    """Computes one side of the garment: edge, sleeve, and named points."""
    flip = np.array([side, 1])
    named = {
        "collar": (cut.neck, NECK_Y),
        "shoulder": (
            cut.shoulder,
            NECK_Y + 0.36 * (cut.shoulder - cut.neck) ** 1.3,
        ),
        "armpit": (cut.chest, ARMPIT_Y),
        "waistline": (cut.waist, cut.waist_y),
        "hip": (cut.hip, HIP_Y),
        "hem": (half_width(cut, cut.hem_y), cut.hem_y),
    }
    if cut.cape:
        named |= {"shoulder": (1.0, 1.68), "hem": (1.2, cut.hem_y)}
        named["sleeve_end"] = (1.75, cut.hem_y - 0.75)
    named = {name: point * flip for name, point in named.items()}
    inner = named["hem"][None]
    if cut.legs:
        outer, inner = limb_edges(
            leg(pose, side),
            cut.hem_y - _HIP_JOINT[1],
            (0.4, cut.knee, cut.ankle),
            side,
        )
        named["hem"] = outer[-1]
    order = []
    if clothes_type != 2:
        order += ["collar", "shoulder"]
        order += ["sleeve_end"] if cut.cape else ["armhole", "armpit"]
        named["armhole"] = named["shoulder"] * (0.94, 1) + (0, 0.33)
    if not cut.cape:
        order += ["waistline"] if cut.hem_y > cut.waist_y else []
        order += ["hip"] if cut.hem_y > HIP_Y else []
    edge = [named[name] for name in order]
    edge += list(outer[1:]) if cut.legs else [named["hem"]]
    flank = named | {"edge": np.array(edge), "inner": inner}
    if cut.sleeve:
        over, under = limb_edges(
            arm(pose, side), cut.sleeve, (0.34, cut.cuff + 0.06, cut.cuff), side
        )
        flank["sleeve"] = np.concatenate(
            [
                named["shoulder"][None],
                over[1:],
                under[:0:-1],
                named["armpit"][None],
            ]
        )
        flank["sleeve_end"] = over[-1]
    elif not cut.cape:
        flank["sleeve_end"] = named["shoulder"]
    return flank


def _top_edge(cut: Cut, clothes_type: int) -> np.ndarray:
    """Returns the neckline or waist between corners, left to right, (N, 2)."""
    if clothes_type == 2:
        return np.array([(0.0, cut.waist_y + 0.05)])
    if cut.v_neck:
        return np.array([(0.0, NECK_Y + cut.neck_depth)])
    arc = ellipse((0, NECK_Y), cut.neck, cut.neck_depth, np.pi, 0)
    return arc[1:-1]


def _bottom_edge(cut: Cut, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the hem between the outer corners, right to left, (N, 2)."""
    if cut.legs:
        return np.concatenate([right[:0:-1], [(0.0, 4.1)], left[1:]])
    sag = (right[-1] + left[-1]) / 2 + (0, 0.45 if cut.cape else 0.07)
    return sag[None]


def _joints(
    start: tuple, lengths: tuple, angles: tuple, side: int
) -> np.ndarray:
    bones = [
        (length * np.sin(angle), length * np.cos(angle))
        for length, angle in zip(lengths, angles, strict=True)
    ]
    return np.cumsum([start, *bones], axis=0) * (side, 1)
