"""Lists everything that can be wrong with data, and how it is fixed."""

import enum
from typing import NamedTuple

from pipelines.errors import InputError


class Kind(str, enum.Enum):
    """A kind of problem; the value is its name in `problems.csv`."""

    # The image.
    IMAGE_MISSING = "image missing"
    IMAGE_EMPTY = "image empty"
    IMAGE_TRUNCATED = "image truncated"
    NOT_AN_IMAGE = "not an image"
    NOT_A_FILE = "not a file"
    IMAGE_TOO_LARGE = "image too large"
    OTHER_FORMAT = "another format"
    GRAYSCALE = "grayscale"
    CMYK = "CMYK"
    EXIF_ROTATION = "EXIF rotation"

    # Its path.
    PATH_OUTSIDE = "path leaves the folder"
    PATH_CASE = "path differs by case"
    PATH_SPELLING = "path spelled differently"

    # Box and landmarks.
    SIZE_SCALED = "labels of another size"
    SIZE_STRANGE = "labels of another aspect ratio"
    LABELS_TURNED = "labels of the image before EXIF rotation"
    FRACTIONS = "coordinates are fractions"
    BOX_SWAPPED = "box swapped"
    BOX_WITHOUT_AREA = "box without area"
    BOX_BEYOND_IMAGE = "box beyond the image"
    LANDMARK_BEYOND_IMAGE = "landmark beyond the image"
    LANDMARK_BEYOND_BOX = "landmark beyond the box"
    LANDMARK_AT_ORIGIN = "absent landmark at (0, 0)"
    LANDMARK_TYPE = "landmarks of another clothes type"
    LANDMARK_UNSEEN = "landmark never visible in train"

    # Rows and their values.
    ROW_UNREADABLE = "row does not parse"
    ROW_DUPLICATE = "duplicate row"
    ROW_JOINED = "garment in several rows"
    LABELS_DIFFER = "labels of one garment differ"
    ROW_MISSING = "row missing"
    CROWD = "crowd of garments"
    IMAGE_IN_TWO_SPLITS = "image in two splits"
    COUNT_LINE = "count line is wrong"
    CATEGORY_OUT_OF_RANGE = "category out of range"
    ATTRIBUTE_OUT_OF_RANGE = "attribute out of range"
    ATTRIBUTE_VALUE = "attribute value"
    ATTRIBUTE_SEPARATOR = "attributes joined by commas"
    MISSING_WORD = "word for an empty cell"

    # The file as a whole.
    FILE_WITHOUT_LABELS = "file without labels of garments"
    COLUMN_UNKNOWN = "unknown column"
    CRLF = "CRLF line ends"
    BOM = "byte order mark"
    TABS = "tabs for blanks"


LEFT_OUT = "left out"

RULES: dict[Kind, str] = {
    Kind.IMAGE_MISSING: LEFT_OUT,
    Kind.IMAGE_EMPTY: LEFT_OUT,
    Kind.IMAGE_TRUNCATED: LEFT_OUT,
    Kind.NOT_AN_IMAGE: LEFT_OUT,
    Kind.NOT_A_FILE: LEFT_OUT,
    Kind.IMAGE_TOO_LARGE: LEFT_OUT,
    Kind.OTHER_FORMAT: "stored as PNG",
    Kind.GRAYSCALE: "kept, decoded to three equal channels",
    Kind.CMYK: "stored as RGB, in a PNG",
    Kind.EXIF_ROTATION: "turned upright",
    Kind.PATH_OUTSIDE: LEFT_OUT,
    Kind.PATH_CASE: "read from the folder that is there",
    Kind.PATH_SPELLING: "read from the file that is there",
    Kind.SIZE_SCALED: "scaled to the image",
    Kind.SIZE_STRANGE: LEFT_OUT,
    Kind.LABELS_TURNED: "turned with the image",
    Kind.FRACTIONS: "multiplied by the image's width and height",
    Kind.BOX_SWAPPED: "corners put in order",
    Kind.BOX_WITHOUT_AREA: LEFT_OUT,
    Kind.BOX_BEYOND_IMAGE: "cut to the image",
    Kind.LANDMARK_BEYOND_IMAGE: "made truncated",
    Kind.LANDMARK_BEYOND_BOX: "kept, counts only where the crop shows it",
    Kind.LANDMARK_AT_ORIGIN: "made truncated",
    Kind.LANDMARK_TYPE: "made truncated",
    Kind.LANDMARK_UNSEEN: "landmark left out, a network could not learn it",
    Kind.ROW_UNREADABLE: LEFT_OUT,
    Kind.ROW_DUPLICATE: "first row kept",
    Kind.ROW_JOINED: "labels joined",
    Kind.LABELS_DIFFER: "first row kept",
    Kind.ROW_MISSING: LEFT_OUT,
    Kind.CROWD: LEFT_OUT,
    Kind.IMAGE_IN_TWO_SPLITS: "kept, scores may be too good",
    Kind.COUNT_LINE: "rows counted instead",
    Kind.CATEGORY_OUT_OF_RANGE: "made unknown",
    Kind.ATTRIBUTE_OUT_OF_RANGE: "made unknown",
    Kind.ATTRIBUTE_VALUE: "made unknown",
    Kind.ATTRIBUTE_SEPARATOR: "read as several attributes",
    Kind.MISSING_WORD: "read like an empty cell",
    Kind.FILE_WITHOUT_LABELS: LEFT_OUT,
    Kind.COLUMN_UNKNOWN: "ignored",
    Kind.CRLF: "read like any line end",
    Kind.BOM: "skipped",
    Kind.TABS: "read like blanks",
}
"""How each kind is handled; `--strict` stops at it instead."""


class Problem(NamedTuple):
    """One row of `problems.csv`.

    Attributes:
        kind: kind of problem, which determines how it is handled.
        image: name of the image in the annotations, "" for a problem of a
            whole file.
        source: file and line.
        detail: the values found there.
    """

    kind: Kind
    image: str
    source: str
    detail: str

    @property
    def action(self) -> str:
        """Returns how it was handled."""
        return RULES[self.kind]

    def __str__(self) -> str:
        subject = f"{self.image}: " if self.image else ""
        return f"{self.source}: {subject}{self.kind.value} ({self.detail})"


class ProblemLog:
    """Collects problems, or stops at the first.

    Args:
        strict: raise at the first problem instead of collecting.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.problems: list[Problem] = []

    def note(self, kind: Kind, image: str, source: str, detail: str) -> None:
        """Adds a `Problem`, given its fields.

        Raises:
            InputError: if the log is strict.
        """
        problem = Problem(kind, image, source, detail)
        if self.strict:
            raise InputError(f"{problem}; mend it or leave out --strict")
        self.problems.append(problem)


class UnusableError(InputError):
    """One image, or its labels, that cannot be used.

    Args:
        name: name of the image for messages.
        kind: kind of problem.
        detail: the values found.
    """

    def __init__(self, name: str, kind: Kind, detail: str) -> None:
        super().__init__(f"{name}: {kind.value} ({detail})")
        self.name = name
        self.kind = kind
        self.detail = detail

    def __reduce__(self) -> tuple:
        # By default, pickle would keep only the message.
        return type(self), (self.name, self.kind, self.detail)
