"""Chooses a garment's attributes, cloth and colors.

Attribute names and their groups are the benchmark's own.
"""

import dataclasses

import numpy as np

from pipelines.synthetic.categories import CATEGORIES
from pipelines.synthetic.categories import Cut
from pipelines.synthetic.cloth import PRINTS

_GROUPS = {
    "texture": (
        "camo, checkered, chevron, colorblock, dot, floral, heart, ombre, "
        "striped"
    ),
    "fabric": (
        "denim, knit, lace, leather, plaid, pleated, quilted, ripped, tie-dye"
    ),
    "shape": (
        "a-line, bodycon, cropped, flared, longline, maxi, midi, mini, "
        "pencil, skinny, wide-leg"
    ),
    "part": (
        "belted, button, collared, crew neck, drawstring, hooded, "
        "long-sleeve, open-front, pocket, sleeveless, v-neck, zip"
    ),
    "style": "dark, pink, rainbow, red, smile, solid, stars, varsity",
}
ATTRIBUTES = {
    group: tuple(names.split(", ")) for group, names in _GROUPS.items()
}
"""Attribute names by group; groups in the order of the benchmark's types."""

AT_TOP = {"belted", "collared", "crew neck", "drawstring", "hooded", "v-neck"}
AT_WAIST = {"belted", "button", "drawstring", "pocket", "zip"}
AT_BOTTOM = {"colorblock", "cropped", "flared", "longline", "ombre"}
AT_BOTTOM |= {"maxi", "midi", "mini", "skinny", "wide-leg"}
"""Attributes that show at the top, the waist and the bottom of a garment."""

MOTIFS = ("rainbow", "smile", "varsity")
"""Motifs that are drawn once, on the chest of a plain garment."""


@dataclasses.dataclass(frozen=True)
class Design:
    """One garment before it is drawn; colors are RGB, 0..255."""

    category: str
    clothes_type: int
    cut: Cut
    attributes: frozenset[str]
    cloth: str
    motif: str
    color: tuple[int, int, int]
    contrast: tuple[int, int, int]


_COLORS = {
    "red": ((200, 25, 40), (175, 20, 35), (215, 45, 40)),
    "pink": ((243, 140, 180), (235, 110, 165), (248, 170, 195)),
    "dark": ((32, 32, 36), (25, 28, 62), (48, 36, 32), (24, 50, 42)),
    None: (
        (238, 234, 222),
        (236, 196, 60),
        (60, 150, 85),
        (40, 165, 165),
        (130, 80, 170),
        (228, 125, 40),
        (165, 165, 170),
        (180, 165, 220),
    ),
}
_DENIM = {"dark": ((36, 50, 90),), None: ((72, 104, 158), (135, 165, 200))}
_LEATHER = {"dark": ((34, 32, 34), (52, 36, 30)), "red": ((150, 22, 30),)}
# Pale and dark, to stand out against any skin.
_LACE = {
    "dark": _COLORS["dark"],
    "red": _COLORS["red"],
    None: ((242, 240, 232), (60, 90, 190), (130, 80, 170)),
}
_CAMO = {None: ((110, 115, 70),)}
_COLORS_OF = {
    "camo": _CAMO,
    "denim": _DENIM,
    "lace": _LACE,
    "leather": _LEATHER,
}

# No red or pink, since these attributes describe the main color.
_DEEP = ((25, 30, 75), (30, 30, 30), (20, 75, 60), (75, 40, 110))
_PALE = ((245, 242, 232), (250, 215, 95), (190, 225, 240))


def choose_design(rng: np.random.Generator, name: str) -> Design:
    """Chooses a random garment of a category, with two to six attributes."""
    while True:
        design = _any_design(rng, name)
        if 2 <= len(design.attributes) <= 6:
            return design


def _any_design(rng: np.random.Generator, name: str) -> Design:
    category = CATEGORIES[name]
    cut, attributes = dict(category.cut), set()
    for choice in category.choices:
        attribute = _pick(rng, tuple(choice))
        attributes.add(attribute)
        cut |= choice[attribute]
    cut = Cut(**cut)
    cloth = _pick(rng, category.fabrics)
    if not category.only_fabrics:
        cloth = _pick(rng, (_pick(rng, tuple(PRINTS)), cloth, ""))
    motif = ""
    chest_is_free = not cut.front and cut.pocket != "chest"
    if not cloth and chest_is_free and category.clothes_type != 2:
        motif = _pick(rng, MOTIFS)
    colors = _COLORS_OF.get(cloth, _COLORS)
    # There are many colors without a name, so they have the weight of two
    # named ones.
    shade = _pick(rng, (*colors, None) if None in colors else (*colors,))
    color = _pick(rng, colors[shade])
    contrast = _pick(rng, _DEEP if np.mean(color) > 125 else _PALE)
    attributes |= {cloth, motif, shade}
    if cloth not in PRINTS and motif not in MOTIFS:
        attributes.add("solid")
    return Design(
        name,
        category.clothes_type,
        cut,
        frozenset(attributes - {None, ""}),
        cloth,
        motif,
        color,
        contrast,
    )


def _pick(rng: np.random.Generator, values: tuple) -> object:
    return values[rng.integers(len(values))]
