"""Exceptions that mean "the input is wrong, not the program"."""

import difflib
from collections.abc import Iterable

from pipelines.problems import Kind


class InputError(ValueError):
    """Bad input: a file, a row or a flag.

    Its message is one line for a person: which file, row or flag, what is
    wrong with it, and the way out. Commands print that line and exit with
    code 2; in Python it is an ordinary `ValueError`.
    """


class UnusableError(InputError):
    """One image, or its labels, that cannot be used.

    Args:
        name: what to call the image.
        kind: which problem it is.
        detail: the values that were found.
    """

    def __init__(self, name: str, kind: Kind, detail: str) -> None:
        super().__init__(f"{name}: {kind.value} ({detail})")
        self.name = name
        self.kind = kind
        self.detail = detail

    def __reduce__(self) -> tuple:
        # By default only the message would go to another process.
        return type(self), (self.name, self.kind, self.detail)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns "; did you mean ...?" where a known word is close, else ""."""
    known = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), known, 1, 0.7)
    return f"; did you mean {known[close[0]]}?" if close else ""
