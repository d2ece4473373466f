"""Pipes, sockets and devices: opening or reading one may never end."""

import contextlib
import stat
from pathlib import Path

from pipelines.errors import InputError


def special_kind(mode: int) -> str | None:
    """Returns what a file is if reading it may never end, such as "a pipe".

    Args:
        mode: of `os.stat`.

    Returns:
        None for a regular file, and for a folder, which cannot be read.
    """
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def check_not_special(path: Path) -> None:
    """Raises InputError for a pipe, socket or device; call before opening.

    A path that cannot be looked at passes: opening it says why.
    """
    with contextlib.suppress(OSError):
        if kind := special_kind(path.stat().st_mode):
            raise InputError(f"{path}: is {kind}; name a file")
