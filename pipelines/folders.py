"""Writes output folders atomically, and checks output paths."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import InputError


@contextlib.contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes `folder` in the end.

    The temporary folder is a hidden neighbor of `folder`, so that it can be
    renamed; see `put_in_place`. On any exception (Ctrl-C included) it is
    deleted, and an existing `folder` is left as it was.

    Args:
        folder: the folder to make. It may exist only if it is empty.

    Raises:
        InputError: if `folder` is not empty, is a file, or cannot be made.
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
        put_in_place(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def put_in_place(aside: Path, folder: Path) -> None:
    """Renames a finished temporary folder to `folder`.

    An existing empty folder is filled instead of replaced, since it may be a
    mount point, a link or the current folder. Files move in the order in which
    they were written, so the file that completes the folder comes last.

    Raises:
        OSError: if it fails; both folders are then as they were.
    """
    if not os.path.lexists(folder):
        aside.rename(folder)
        return
    if any(folder.iterdir()):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
    moved = []
    try:
        for path in sorted(aside.iterdir(), key=lambda p: p.stat().st_mtime_ns):
            moved.append(path)
            # Copies if the target is on another disk.
            shutil.move(path, folder / path.name)
    except BaseException:
        for path in moved:
            if not path.exists():
                shutil.move(folder / path.name, path)
        remove_contents(folder)
        raise
    aside.rmdir()


def remove_contents(folder: Path) -> None:
    """Removes the contents of a folder, as far as possible."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def check_new(folder: Path) -> None:
    """Raises InputError unless `folder` is new or an empty folder."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    # A broken link is in the way, too.
    if os.path.lexists(folder):
        raise InputError(
            f"{folder}: exists already; choose another output folder "
            "or remove this one"
        )


def check_sheet(path: Path, flag: str = "--draw") -> None:
    """Raises InputError unless a PNG can be written to `path`.

    Args:
        path: the file to write.
        flag: flag with which the user named it.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"{flag} {path}: should end in .png")
    if path.exists():
        raise InputError(
            f"{flag} {path}: exists already; choose another file or remove it"
        )
    if not path.parent.is_dir():
        raise InputError(
            f"{flag} {path}: there is no folder {path.parent}; make it first"
        )
