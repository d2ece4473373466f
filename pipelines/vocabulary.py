"""Names categories, attributes and landmarks.

A vocabulary is saved as `vocabulary.json` with the records, with the run and
inside every export, so that a label can never be read with the wrong list.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence
from operator import index
from pathlib import Path

from pipelines.errors import InputError

LANDMARKS = (
    "left_collar",
    "right_collar",
    "left_sleeve",
    "right_sleeve",
    "left_waistline",
    "right_waistline",
    "left_hem",
    "right_hem",
)
"""The benchmark's eight landmarks, in the order of the paper's table."""

LANDMARK_PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7))
"""Left and right of each kind; they swap when an image is flipped."""

FILE_NAME = "vocabulary.json"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Names of the labels of a data set; empty for a task without labels.

    Args:
        categories: category names; a label is an index into them.
        attributes: attribute names; column j of the labels is attribute j.
        attribute_groups: for each attribute the name of its group.
        landmarks: landmark names.
        landmark_pairs: indices of landmarks that swap under a left-right flip.

    Raises:
        ValueError: if a name is there twice, attributes and groups differ in
            number, or a landmark of a pair does not exist or is in another.
    """

    categories: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    attribute_groups: tuple[str, ...] = ()
    landmarks: tuple[str, ...] = ()
    landmark_pairs: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if len(self.attributes) != len(self.attribute_groups):
            raise ValueError(
                f"{len(self.attributes)} attributes but "
                f"{len(self.attribute_groups)} attribute groups"
            )
        # The same word may be an attribute of two groups.
        attributes = zip(self.attribute_groups, self.attributes, strict=True)
        _check_once("category", self.categories)
        _check_once("attribute", map(" ".join, attributes))
        _check_once("landmark", self.landmarks)
        _check_once("paired landmark", sum(self.landmark_pairs, ()))
        count = len(self.landmarks)
        for pair in self.landmark_pairs:
            if not all(0 <= index < count for index in pair):
                raise ValueError(
                    f"landmark pair {[*pair]} is not of the {count} landmarks, "
                    "which count from 0"
                )

    @property
    def groups(self) -> tuple[str, ...]:
        """Returns names of the attribute groups, in order of appearance."""
        return tuple(dict.fromkeys(self.attribute_groups))

    def flipped_landmarks(self) -> list[int]:
        """Returns the index of each landmark's source in a flipped image.

        It is -1 for a left landmark without a right one, and the other way
        around: its source has no label.
        """
        order = [
            -1 if name.startswith(("left_", "right_")) else index
            for index, name in enumerate(self.landmarks)
        ]
        for left, right in self.landmark_pairs:
            order[left], order[right] = right, left
        return order

    def with_landmarks(self, kept: Sequence[int]) -> "Vocabulary":
        """Keeps only these landmarks, and pairs of which both are kept.

        Args:
            kept: indices, increasing.
        """
        place = {old: new for new, old in enumerate(kept)}
        return dataclasses.replace(
            self,
            landmarks=tuple(self.landmarks[index] for index in kept),
            landmark_pairs=tuple(
                (place[left], place[right])
                for left, right in self.landmark_pairs
                if left in place and right in place
            ),
        )

    def to_json(self) -> str:
        """Converts the vocabulary to JSON text, which `from_json` reads."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Reads the JSON text of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: if the text is something else.
        """
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise TypeError("it is no object of lists")
        pairs = fields.pop("landmark_pairs")
        return cls(
            **{name: _names(value) for name, value in fields.items()},
            # Unlike int(), index() accepts neither 0.5 nor "0".
            landmark_pairs=tuple((index(a), index(b)) for a, b in pairs),
        )

    def save(self, folder: Path) -> None:
        """Writes `vocabulary.json` into `folder`."""
        (Path(folder) / FILE_NAME).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        """Reads `vocabulary.json` from `folder`.

        Raises:
            InputError: if the file is missing or holds something else.
        """
        path = Path(folder) / FILE_NAME
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); "
                "it is written beside records, models and exports"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: is no vocabulary ({error})") from error


def _check_once(kind: str, values: Iterable[str | int]) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise ValueError(f"{kind} {value!r} is there twice")


def _names(values: Sequence[str]) -> tuple[str, ...]:
    # A single name would be split into its letters.
    if isinstance(values, str) or not all(
        isinstance(value, str) for value in values
    ):
        raise TypeError("names must be a list of strings")
    return tuple(values)
