"""Writes shards so that an interrupted conversion can resume.

`OUT.partial/` next to the output holds `lock`, `records/` (finished shards,
which become the output) and a work folder, named after the fingerprint of the
conversion. A process that still runs an older conversion, perhaps on another
machine, no longer finds its work folder, and cannot write.

Any process that sees the folders may write any shard. Two may write the same
one, since both write the same bytes, each to a temporary file of its own.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from filelock import FileLock
from filelock import Timeout

from pipelines.errors import InputError
from pipelines.folders import check_new
from pipelines.folders import put_in_place
from pipelines.records.encode import Prepared

# The last is a fingerprint.
_OURS = re.compile("lock|records|gone|[0-9a-f]{64}")


class InterruptedConversionError(InputError):
    """A conversion that stopped, but not because of the data; it can resume."""


@dataclasses.dataclass(frozen=True)
class ShardFiles:
    """Folders of shards in the making. It can be pickled.

    Args:
        output: folder of records to make, for messages.
        records: folder of finished shards.
        work: folder of notes on them, and of temporary files.
    """

    output: Path
    records: Path
    work: Path

    def finished(self, name: str) -> dict[str, Any] | None:
        """Returns the notes of `write` on a shard; None if it is missing."""
        try:
            notes = json.loads(self._notes(name).read_text("utf-8"))
            whole = (self.records / name).stat().st_size == notes["bytes"]
            # Earlier releases did not note landmarks.
            whole = whole and "landmarks" in notes
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return notes if whole else None

    def write(self, name: str, parts: Iterable[Prepared]) -> dict[str, Any]:
        """Writes a shard.

        Args:
            name: its file name.
            parts: its records, in order.

        Returns:
            Notes: number of images and bytes, checksum, problems and sums of
            landmarks.

        Raises:
            InterruptedConversionError: if it cannot be written.
        """
        digest = hashlib.sha256()
        images = size = 0
        problems: list[Any] = []
        landmarks: Any = 0
        with writing(self.output), self._aside(name) as aside:
            with aside.open("xb") as file:
                for part in parts:
                    file.write(part.data)
                    digest.update(part.data)
                    size += len(part.data)
                    images += part.images
                    problems += part.problems
                    landmarks = landmarks + part.landmarks
                # After a power cut, there must be no notes without the shard.
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.records / name)
        notes = {
            "images": images,
            "bytes": size,
            "sha256": digest.hexdigest(),
            "problems": problems,
            "landmarks": np.asarray(landmarks).tolist(),
        }
        self.keep(self._notes(name), json.dumps(notes).encode())
        return notes

    def keep(self, path: Path, content: bytes) -> None:
        """Writes a file to `work`, atomically."""
        with writing(self.output), self._aside(path.name) as aside:
            aside.write_bytes(content)
            aside.replace(path)

    def sweep(self) -> None:
        """Removes temporary files of processes that were killed."""
        with writing(self.output):
            for path in self.work.glob("*.writing"):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _aside(self, name: str) -> Iterator[Path]:
        path = self.work / f"{name}.{uuid.uuid4().hex}.writing"
        try:
            yield path
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _notes(self, name: str) -> Path:
        return self.work / f"{name}.json"


@contextlib.contextmanager
def writing(output: Path) -> Iterator[None]:
    """Turns an OSError into a message that the output cannot be written."""
    try:
        yield
    except OSError as error:
        raise InterruptedConversionError(
            f"{output}: cannot be written ({error.strerror or error}); "
            "make room or choose another folder, then run it again"
        ) from error


class UnfinishedRecords:
    """The folder `OUT.partial/`, locked inside a `with` block.

    Bad input (`InputError`) removes it; any other exception leaves it for the
    next run.

    Args:
        output: folder of records to make; new or empty.

    Raises:
        InputError: on entering, if `output` is not empty, is being written
            by another process, or cannot be made.
    """

    def __init__(self, output: Path) -> None:
        self._output = Path(output).absolute()
        self._folder = self._output.with_name(f"{self._output.name}.partial")
        self._lock = FileLock(self._folder / "lock")
        self.records = self._folder / "records"
        self._removed = False

    def __enter__(self) -> "UnfinishedRecords":
        check_new(self._output)
        with writing(self._output):
            self._folder.mkdir(parents=True, exist_ok=True)
            if any(self._folder.iterdir()) and not self._is_ours():
                raise InputError(
                    f"{self._folder}: is needed for unfinished records, but "
                    "holds something else; move it away"
                )
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise InputError(
                    f"{self._output}: is just being written by another "
                    "process; wait for it, or choose another folder"
                ) from error
        try:
            # The other process may have finished in between.
            check_new(self._output)
        except InputError:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        bad_input = isinstance(error, InputError) and not isinstance(
            error, InterruptedConversionError
        )
        if bad_input:
            self._remove()
        self._lock.release()
        if self._removed and os.name == "nt":
            # Windows cannot remove an open file, such as the lock.
            shutil.rmtree(self._folder, ignore_errors=True)

    def resume(self, fingerprint: str) -> bool:
        """Keeps finished shards of an earlier run with the same fingerprint.

        Returns:
            Whether shards with another fingerprint were removed.
        """
        work = self._folder / fingerprint
        restarted = False
        with writing(self._output):
            if not work.exists():
                restarted = self.records.exists() and any(
                    self.records.iterdir()
                )
                # The shards last, when no process can add one any more.
                for path in sorted(
                    self._folder.iterdir(), key=self.records.__eq__
                ):
                    if path.is_dir():
                        shutil.rmtree(path)
                    elif path.name != "lock":
                        path.unlink()
                self.records.mkdir()
                work.mkdir()
            self.records.mkdir(exist_ok=True)
        self.files = ShardFiles(self._output, self.records, work)
        self.files.sweep()
        return restarted

    def publish(self) -> None:
        """Moves the finished records to the output."""
        with writing(self._output):
            put_in_place(self.records, self._output)
            self._remove()

    def _remove(self) -> None:
        """Removes the folder and everything in it."""
        with contextlib.suppress(AttributeError, OSError):
            # Other processes no longer find it under its new name.
            self.files.work.rename(self.files.work.with_name("gone"))
        shutil.rmtree(self._folder, ignore_errors=True)
        self._removed = True

    def _is_ours(self) -> bool:
        names = {path.name for path in self._folder.iterdir()}
        return "lock" in names and all(map(_OURS.fullmatch, names))
