"""Defines the exception for bad input, and suggestions for misspelled words."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: a file, a row or a flag.

    Its message is one line: which file, row or flag, what is wrong, and what
    to do. Commands print that line and exit with code 2; in Python it is an
    ordinary `ValueError`.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns "; did you mean ...?" where a known word is close, else ""."""
    known = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), known, 1, 0.7)
    return f"; did you mean {known[close[0]]}?" if close else ""
