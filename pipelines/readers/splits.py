"""Train, val and test: how data spell them, or which one without a split."""

import hashlib
import re
from collections.abc import Sequence

# What labeling tools, data sets and people call a split.
_SPELLINGS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

# Of a hundred; the rest is test.
_TRAIN, _VAL = 90, 5


def split_named(name: str) -> str | None:
    """Returns the split that a name spells, in any capitals.

    Args:
        name: a cell, the name of a folder or a word of a file's name.

    Returns:
        "train", "val" or "test"; None if it spells none of them.
    """
    return _SPELLINGS.get(name.strip().lower())


def splits_of_paths(images: Sequence[str]) -> list[str]:
    """Returns the split of each image where the annotations name none.

    It is the one that a folder in its path is named for, if the images lie in
    folders of train and of another split; else that of the path's hash.

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
    """The split of an image by the hash of its path: 90/5/5 of a hundred.

    It depends on nothing but the path, so an image stays where it is when
    others come and go, and no test image becomes one to train on.

    Args:
        image: path as the annotations name it.
    """
    digest = hashlib.md5(image.encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest[:8], "big") % 100
    if number < _TRAIN:
        return "train"
    return "val" if number < _TRAIN + _VAL else "test"
