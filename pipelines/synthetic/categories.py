"""Lists the categories, with the cut and the variations of each.

A category is a cut (numbers for `outlines`) and a list of choices; each key
of a choice is an attribute (None: no attribute) and its value is what that
attribute changes in the cut. A new category or attribute is a new row here.
Names are the benchmark's own.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cut:
    """Measures of a garment; lengths in heads, widths are half widths.

    The wearer is eight heads tall, its middle is x = 0 and the top of its
    head y = 0; `outlines` says where the joints are.
    """

    neck: float = 0.3
    neck_depth: float = 0.25
    v_neck: bool = False
    shoulder: float = 0.9
    chest: float = 0.82
    waist: float = 0.76
    waist_y: float = 3.0
    hip: float = 0.84
    flare: float = 0.0  # Growth of the half width per head below the hip.
    hem_y: float = 4.1
    sleeve: float = 0.0  # Length along the arm; 0 is sleeveless.
    cuff: float = 0.24
    legs: bool = False
    knee: float = 0.34
    ankle: float = 0.28
    cape: bool = False
    front: str = ""  # "zip", "button" or "open"
    collar: bool = False
    hood: bool = False
    pocket: str = ""  # "chest", "hip" or "kangaroo"
    belt: bool = False
    roll: bool = False  # A high neck, rolled over.
    ribbed: bool = False  # Bands of ribs at the hem and the wrists.
    cuffs: bool = False  # Elastic bands at the ankles.
    drawstring: bool = False
    ripped: bool = False


@dataclasses.dataclass(frozen=True)
class Category:
    """A row of the table: a cut, and choices that change it.

    `fabrics` are those it may be made of; with `only_fabrics` it is never
    printed or plain.
    """

    clothes_type: int
    cut: dict
    choices: tuple[dict, ...]
    fabrics: tuple[str, ...]
    only_fabrics: bool = False


_SLEEVES = {
    "long-sleeve": {"sleeve": 2.55, "cuff": 0.2},
    None: {"sleeve": 0.75, "cuff": 0.33},
}
_ANY_SLEEVES = _SLEEVES | {"sleeveless": {"shoulder": 0.8}}
_LONG = {"long-sleeve": {"sleeve": 2.55, "cuff": 0.24}}
_NECKS = {
    "crew neck": {},
    "v-neck": {"v_neck": True, "neck_depth": 0.8, "neck": 0.34},
}
_COLLAR = {"collared": {"collar": True, "v_neck": True, "neck_depth": 0.4}}
_LENGTHS = {
    "mini": {"hem_y": 4.7},
    "midi": {"hem_y": 5.9},
    "maxi": {"hem_y": 7.4},
}
_A_LINE = {"a-line": {"waist": 0.6, "hip": 0.9, "flare": 0.32}}
_POCKETS = {None: {}, "pocket": {"pocket": "hip"}}
_BELT = {None: {}, "belted": {"belt": True}}
_FRONTS = {"zip": {"front": "zip"}, "button": {"front": "button"}}
_OPEN = {"open-front": {"front": "open"}}
_LEGS = {"legs": True, "waist": 0.64, "hip": 0.82}

CATEGORIES = {
    "Cardigan": Category(
        1,
        {"chest": 0.9, "waist": 0.86, "ribbed": True},
        (
            _LONG,
            {"v-neck": {"v_neck": True, "neck_depth": 0.95, "neck": 0.34}},
            {"button": {"front": "button"}} | _OPEN,
            {None: {"hem_y": 3.9}, "longline": {"hem_y": 4.8}},
            _POCKETS,
        ),
        ("knit",),
        only_fabrics=True,
    ),
    "Hoodie": Category(
        1,
        {"chest": 0.95, "waist": 0.95, "hip": 0.88},
        (_LONG, {"hooded": {"hood": True}}, {"pocket": {"pocket": "kangaroo"}}),
        ("knit", "quilted"),
    ),
    "Jacket": Category(
        1,
        {"chest": 0.92, "waist": 0.86, "hem_y": 3.55},
        (
            _LONG,
            _FRONTS | _OPEN,
            {"hooded": {"hood": True}} | _COLLAR | {None: {}},
            _POCKETS,
        ),
        ("leather", "denim", "quilted"),
    ),
    "Poncho": Category(
        1,
        {"cape": True, "hem_y": 3.7},
        (_NECKS, {None: {}, "button": {"front": "button"}}),
        ("knit", "lace"),
    ),
    "Sweater": Category(
        1,
        {"chest": 0.95, "waist": 0.9, "hip": 0.88, "ribbed": True},
        (
            _LONG,
            _NECKS,
            {None: {"hem_y": 3.9}, "cropped": {"hem_y": 2.95}},
        ),
        ("knit",),
        only_fabrics=True,
    ),
    "Tank": Category(
        1,
        {"shoulder": 0.6, "neck": 0.36, "neck_depth": 0.5, "chest": 0.74},
        (
            {"sleeveless": {}},
            {
                None: {"hem_y": 3.7},
                "cropped": {"hem_y": 2.85},
                "longline": {"hem_y": 4.6},
            },
            {None: {}, "v-neck": {"v_neck": True, "neck_depth": 0.85}},
        ),
        ("knit", "lace"),
    ),
    "Tee": Category(
        1,
        {"hem_y": 3.8},
        (
            _SLEEVES,
            _NECKS,
            {
                None: {},
                "cropped": {"hem_y": 2.85},
                "longline": {"hem_y": 4.7, "flare": 0.04},
            },
            {None: {}, "pocket": {"pocket": "chest"}},
        ),
        ("lace",),
    ),
    "Turtleneck": Category(
        1,
        {"chest": 0.78, "waist": 0.72, "neck_depth": 0.1, "roll": True},
        (
            _LONG | {"sleeveless": {"shoulder": 0.8}},
            {
                None: {"hem_y": 3.9},
                "cropped": {"hem_y": 2.85},
                "longline": {"hem_y": 4.7, "flare": 0.04},
            },
        ),
        ("lace",),
    ),
    "Culottes": Category(
        2,
        _LEGS | {"waist_y": 3.1, "hem_y": 5.9, "knee": 0.48, "ankle": 0.56},
        (
            {"wide-leg": {}},
            _BELT,
            {None: {}, "button": {"front": "button"}},
        ),
        ("pleated", "lace"),
    ),
    "Jeans": Category(
        2,
        _LEGS | {"waist_y": 3.15, "hem_y": 7.5},
        (
            {
                None: {},
                "skinny": {"hip": 0.74, "knee": 0.25, "ankle": 0.15},
                "flared": {"hip": 0.76, "knee": 0.27, "ankle": 0.55},
            },
            {None: {}, "ripped": {"ripped": True}},
            _BELT,
            _POCKETS,
        ),
        ("denim",),
        only_fabrics=True,
    ),
    "Joggers": Category(
        2,
        _LEGS
        | {"waist_y": 3.1, "hem_y": 7.2, "knee": 0.42, "ankle": 0.24}
        | {"cuffs": True},
        ({"drawstring": {"drawstring": True}}, _POCKETS),
        ("quilted",),
    ),
    "Leggings": Category(
        2,
        _LEGS
        | {"waist_y": 3.0, "hem_y": 7.55, "hip": 0.72, "waist": 0.58}
        | {"knee": 0.22, "ankle": 0.13},
        ({"skinny": {}},),
        ("leather", "lace"),
    ),
    "Shorts": Category(
        2,
        _LEGS | {"waist_y": 3.1, "hem_y": 5.0, "knee": 0.42},
        (_BELT, _POCKETS, {None: {}, "button": {"front": "button"}}),
        ("denim", "lace", "leather"),
    ),
    "Skirt": Category(
        2,
        {"waist_y": 3.1, "waist": 0.6},
        (
            _LENGTHS,
            _A_LINE | {"pencil": {"hip": 0.78, "flare": -0.04}},
            {None: {}, "belted": {"belt": True}} | _FRONTS,
        ),
        ("pleated", "pleated", "leather", "lace"),
    ),
    "Coat": Category(
        3,
        {"chest": 0.95, "waist": 0.84, "hip": 1.0, "flare": 0.06},
        (
            _LONG,
            {
                None: {"hem_y": 5.3},
                "midi": {"hem_y": 6.1},
                "maxi": {"hem_y": 7.3},
            },
            _COLLAR | {"hooded": {"hood": True}},
            _FRONTS | _OPEN,
            _BELT,
        ),
        ("leather", "quilted"),
    ),
    "Dress": Category(
        3,
        {},
        (
            _ANY_SLEEVES,
            _NECKS | _COLLAR,
            _LENGTHS,
            _A_LINE | {"bodycon": {"waist": 0.62, "hip": 0.74, "flare": -0.03}},
            _BELT,
        ),
        ("knit", "lace", "pleated", "pleated"),
    ),
    "Jumpsuit": Category(
        3,
        _LEGS | {"hem_y": 7.5},
        (
            _ANY_SLEEVES,
            _NECKS | _COLLAR,
            {
                "wide-leg": {"knee": 0.46, "ankle": 0.6},
                "skinny": {"hip": 0.74, "knee": 0.25, "ankle": 0.16},
            },
            _BELT,
            {None: {}, "zip": {"front": "zip"}},
        ),
        ("denim", "pleated"),
    ),
    "Kimono": Category(
        3,
        {"chest": 0.95, "waist": 0.86, "hip": 0.95, "flare": 0.04}
        | {"sleeve": 1.75, "cuff": 0.62, "v_neck": True, "neck_depth": 0.9},
        (
            {"midi": {"hem_y": 6.1}, "maxi": {"hem_y": 7.3}},
            _OPEN,
            _BELT,
        ),
        ("lace",),
    ),
    "Romper": Category(
        3,
        _LEGS | {"hem_y": 4.95, "knee": 0.42},
        (
            _ANY_SLEEVES,
            _NECKS | _COLLAR,
            _BELT,
            {None: {}, "button": {"front": "button"}},
            _POCKETS,
        ),
        ("denim", "pleated"),
    ),
}
