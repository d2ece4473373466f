"""What can be printed where the terminal cannot show every character."""

import codecs
import contextlib
import sys


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Keeps the bytes of file names, and escapes other characters."""
    with contextlib.suppress(UnicodeError):
        return codecs.lookup_error("surrogateescape")(error)
    return codecs.backslashreplace_errors(error)


def print_any_character() -> None:
    """Has every character printed, as an escape where it has no encoding.

    A Windows terminal may know cp1252 alone, and a C locale ASCII alone, in
    which names of categories or files cannot be encoded. Names that are read
    from standard input may be any bytes, as those of files are.
    """
    codecs.register_error("afn_escape", _escape)
    for stream, errors in (
        (sys.stdin, "surrogateescape"),
        (sys.stdout, "afn_escape"),
        (sys.stderr, "afn_escape"),
    ):
        # There is none without a console, and it may be a notebook's.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)
