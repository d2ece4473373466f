"""Write a folder aside and rename it into place, so none is half-written."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import InputError


@contextlib.contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes `folder` when all went well.

    The temporary folder is a hidden neighbour of `folder`, so the rename at
    the end is atomic. On any exception (Ctrl-C included) it is deleted.

    Args:
        folder: the folder to make. It may exist only if it is empty.

    Raises:
        InputError: if `folder` exists and holds something, is a file, or
            cannot be made.
    """
    folder = Path(folder).absolute()
    check_new(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(
            tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)
        )
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); "
            "choose another output folder"
        ) from error
    try:
        yield aside
        # mkdtemp makes folders that only their owner can read.
        umask = os.umask(0)
        os.umask(umask)
        aside.chmod(0o777 & ~umask)
        # Path.rename replaces an empty folder and fails on a full one.
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def check_new(folder: Path) -> None:
    """Raises InputError unless `folder` is new or an empty folder."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        raise InputError(
            f"{folder}: exists already; choose another output folder "
            "or remove this one"
        )
