"""Train, val and test: how data spell them, or which one without a split."""

import hashlib

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
