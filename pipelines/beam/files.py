"""Reads and writes local files and those of gs://, s3:// and hdfs://."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.errors import InputError
from pipelines.images import read_image

# Seconds between attempts to read over a network.
_PAUSES = (1.0, 4.0)

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


def is_url(name: str) -> bool:
    """Returns whether a name is a URL, and not a path."""
    return bool(_URL.match(name))


def resolve(name: str, folder: str) -> str:
    """Resolves a name to a URL or a path that does not depend on where it is.

    Args:
        name: a URL, or a path, perhaps relative.
        folder: folder that paths are relative to.
    """
    return name if is_url(name) else os.path.join(folder, name)


def check_url(name: str) -> None:
    """Raises InputError if the file system of a URL is not installed."""
    try:
        FileSystems.get_filesystem(name)
    except Exception as error:
        raise InputError(
            f"{name}: Beam has no such file system here; "
            "pip install 'apache-beam[gcp]' for gs://, [aws] for s3://"
        ) from error


def read_anywhere(name: str, folder: str) -> bytes:
    """Reads the bytes of an image for `inspect_image`.

    Args:
        name: a URL, or a path.
        folder: folder that paths are relative to.

    Raises:
        InputError: if it does not exist or cannot be read; over a network,
            after several attempts.
    """
    if not is_url(name):
        return read_image(os.path.join(folder, name), name)
    for pause in (*_PAUSES, None):
        try:
            return read_file(name)
        # Each file system raises errors of its own.
        except Exception as error:
            if pause is None or _is_missing(name):
                raise InputError(
                    f"{name}: cannot be read ({one_line(error)})"
                ) from error
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def read_file(name: str) -> bytes:
    """Reads the bytes of a file as they are stored."""
    # By default, Beam would decompress a.gz.
    with FileSystems.open(
        name, compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        return file.read()


def write_whole(name: str, content: bytes) -> None:
    """Writes a file atomically."""
    aside = f"{name}.writing"
    with FileSystems.create(
        aside, compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        file.write(content)
    FileSystems.rename([aside], [name])


def write_lines(name: str, lines: Iterable[bytes]) -> None:
    """Writes lines one by one.

    Raises:
        InputError: if the file cannot be written, or if `lines` raises it.
    """
    try:
        with FileSystems.create(
            name, compression_type=CompressionTypes.UNCOMPRESSED
        ) as file:
            for line in lines:
                file.write(line + b"\n")
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{name}: cannot be written ({one_line(error)})"
        ) from error


def write_json(name: str, content: Any) -> None:
    """Writes a JSON file atomically."""
    write_whole(name, f"{json.dumps(content, indent=1)}\n".encode())


def files_in(folder: str) -> list[str]:
    """Lists the files in a folder and its subfolders, relative and sorted."""
    if not is_url(folder):
        found = [
            os.path.relpath(os.path.join(place, name), folder)
            for place, _, names in os.walk(folder)
            for name in names
        ]
        return sorted(found)
    folder = folder.rstrip("/") + "/"
    try:
        (matched,) = FileSystems.match([f"{folder}**"])
    except Exception as error:
        raise InputError(
            f"{folder}: cannot be read ({one_line(error)})"
        ) from error
    return sorted(
        item.path.removeprefix(folder) for item in matched.metadata_list
    )


def first_match(pattern: str) -> bool:
    """Returns whether any file matches a pattern, without listing all.

    Raises:
        InputError: if its file system cannot be read.
    """
    try:
        (matched,) = FileSystems.match([pattern], limits=[1])
    except Exception as error:
        raise InputError(
            f"{pattern}: cannot be read ({one_line(error)})"
        ) from error
    return bool(matched.metadata_list)


def copy_folder(source: str, target: str) -> None:
    """Copies all files of a folder, from and to any file system.

    Raises:
        InputError: if one of them cannot be read or written.
    """
    for name in files_in(source):
        place = join(target, name)
        try:
            if not is_url(target):
                Path(place).parent.mkdir(parents=True, exist_ok=True)
            with (
                FileSystems.open(
                    join(source, name),
                    compression_type=CompressionTypes.UNCOMPRESSED,
                ) as old,
                FileSystems.create(
                    place, compression_type=CompressionTypes.UNCOMPRESSED
                ) as new,
            ):
                shutil.copyfileobj(old, new, 1 << 20)
        except Exception as error:
            raise InputError(
                f"{join(source, name)}: cannot be copied to {place} "
                f"({one_line(error)})"
            ) from error


def remove_files(folder: str, names: Sequence[str]) -> None:
    """Removes files of a folder, and local subfolders that are then empty."""
    if is_url(folder):
        if names:
            FileSystems.delete([join(folder, name) for name in names])
        return
    for name in names:
        Path(folder, name).unlink(missing_ok=True)
    for place, _, _ in os.walk(folder, topdown=False):
        if place != folder and not os.listdir(place):
            os.rmdir(place)


def join(folder: str, name: str) -> str:
    """Joins a folder, a path or a URL, and a name in it."""
    if is_url(folder):
        return f"{folder.rstrip('/')}/{name}"
    return os.path.join(folder, name)


def one_line(error: BaseException) -> str:
    """Formats the message of an exception in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


def _is_missing(name: str) -> bool:
    try:
        return not FileSystems.exists(name)
    except Exception:
        return False
