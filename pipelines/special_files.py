"""Detects pipes, sockets and devices, which may block forever when opened."""

import contextlib
import stat
from pathlib import Path

from pipelines.errors import InputError


def special_kind(mode: int) -> str | None:
    """Returns "a pipe", "a socket" or "a device"; None for files and folders.

    Args:
        mode: mode from `os.stat`.
    """
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def check_not_special(path: Path) -> None:
    """Raises InputError for a pipe, socket or device; call before opening.

    A path that cannot be checked passes: opening it raises a clear error.
    """
    with contextlib.suppress(OSError):
        if kind := special_kind(path.stat().st_mode):
            raise InputError(f"{path}: is {kind}; name a file")
