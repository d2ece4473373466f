"""A shard's file and what is known of it, written whole or not at all.

Any process that sees the folders may write any shard, and two may write the
same one: they write the same bytes, each aside and under a name of its own.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import InputError
from pipelines.records.prepare import Prepared


class InterruptedConversionError(InputError):
    """Stopped by no fault of the data: the same call resumes from there."""


@dataclasses.dataclass(frozen=True)
class ShardFiles:
    """Where shards are made. It can be sent to another process.

    Args:
        output: the folder of records to make; for messages.
        records: where finished shards go.
        work: what is known of them, and what is half-written. It belongs to
            one plan of shards: a process that still follows another one finds
            its folder gone, and can no longer put anything into `records`.
    """

    output: Path
    records: Path
    work: Path

    def finished(self, name: str) -> dict[str, Any] | None:
        """What `write` noted about a shard; None if it is to be made."""
        try:
            notes = json.loads(self._notes(name).read_text("utf-8"))
            whole = (self.records / name).stat().st_size == notes["bytes"]
            # Not there where an earlier release was interrupted.
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
            Its number of images, bytes, checksum, problems, landmark sums.

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
                # A power cut must not leave the notes without the shard.
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
        """Writes a file of `work` that is there as a whole or not at all."""
        with writing(self.output), self._aside(path.name) as aside:
            aside.write_bytes(content)
            aside.replace(path)

    def sweep(self) -> None:
        """Removes what processes that were killed left half-written."""
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
    """Says of what cannot be written that the output cannot."""
    try:
        yield
    except OSError as error:
        raise InterruptedConversionError(
            f"{output}: cannot be written ({error.strerror or error}); "
            "make room or choose another folder, then run it again"
        ) from error
