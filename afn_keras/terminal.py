"""Prints any character, on terminals that cannot encode some of them."""

import codecs
import contextlib
import sys


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Keeps the bytes of file names, and escapes other characters."""
    with contextlib.suppress(UnicodeError):
        return codecs.lookup_error("surrogateescape")(error)
    return codecs.backslashreplace_errors(error)


def print_any_character() -> None:
    """Prints characters that the terminal cannot encode as escapes.

    A Windows terminal may use cp1252, and a C locale ASCII, which cannot
    encode all names of categories and files. File names that are read from
    standard input may be any bytes.
    """
    codecs.register_error("afn_escape", _escape)
    for stream, errors in (
        (sys.stdin, "surrogateescape"),
        (sys.stdout, "afn_escape"),
        (sys.stderr, "afn_escape"),
    ):
        # None without a console; another class in a notebook.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)
