"""Recognizes names of splits, and assigns a split where none is named."""

import hashlib
import re
from collections.abc import Sequence

# Names of splits in data sets and labeling tools.
_SPELLINGS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

# Percent; the rest is test.
_TRAIN, _VAL = 90, 5


def split_named(name: str) -> str | None:
    """Returns "train", "val" or "test" for a name of a split, else None.

    Args:
        name: a cell, a folder's name or a word of a file's name, in any case.
    """
    return _SPELLINGS.get(name.strip().lower())


def splits_of_paths(images: Sequence[str]) -> list[str]:
    """Assigns splits to images whose annotations name none.

    An image's split is the one that a folder in its path is named after, if
    the images lie in folders for train and for another split; else that of
    `split_of_path`.

    Args:
        images: paths as the annotations name them.
    """
    named = [_split_of_folders(image) for image in images]
    found = set(filter(None, named))
    if "train" not in found or len(found) == 1:
        return [split_of_path(image) for image in images]
    return [
        split or split_of_path(image)
        for split, image in zip(named, images, strict=True)
    ]


def _split_of_folders(image: str) -> str | None:
    folders = re.split(r"[/\\]", image)[:-1]
    return next(filter(None, map(split_named, reversed(folders))), None)


def split_of_path(image: str) -> str:
    """Assigns a split by the hash of an image's path, 90/5/5 percent.

    It depends on the path alone. So an image stays in its split when others
    are added or removed, and no test image becomes a training image.

    Args:
        image: path as the annotations name it.
    """
    digest = hashlib.md5(image.encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest[:8], "big") % 100
    if number < _TRAIN:
        return "train"
    return "val" if number < _TRAIN + _VAL else "test"
