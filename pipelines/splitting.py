"""Train, val and test for data that come without splits."""

import hashlib

# Of a hundred; the rest is test.
_TRAIN, _VAL = 90, 5


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
