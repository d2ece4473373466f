"""Records in the making: they survive being killed, and go on from there.

`OUT.partial/` beside the output holds `lock`, `plan.json` (a fingerprint of
what is being made), `records/` (finished shards, to become the output) and
for each of them a JSON file of what is in it.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import BinaryIO

from filelock import FileLock
from filelock import Timeout

from pipelines.errors import InputError
from pipelines.writing import check_new


class InterruptedConversionError(InputError):
    """Stopped by no fault of the data: the same call goes on from there."""


class UnfinishedRecords:
    """The folder `OUT.partial/`, for one process at a time.

    To use in a `with`, which keeps it locked. Bad input (`InputError`) makes
    it go away; whatever else ends the block leaves it for the next time.

    Args:
        output: the folder of records to make; new or empty.

    Raises:
        InputError: on entering, if `output` holds something, is being written
            by another process, or cannot be made.
    """

    def __init__(self, output: Path) -> None:
        self._output = Path(output).absolute()
        self._folder = self._output.with_name(f"{self._output.name}.partial")
        self._plan = self._folder / "plan.json"
        self._lock = FileLock(self._folder / "lock")
        self.records = self._folder / "records"

    def __enter__(self) -> "UnfinishedRecords":
        check_new(self._output)
        with _writing(self._output):
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
            # The other one may have finished in between.
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
            shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()

    def resume(self, fingerprint: str) -> bool:
        """Keeps what an earlier run finished if it had the same fingerprint.

        Returns:
            Whether there was something of another fingerprint to throw away.
        """
        with _writing(self._output):
            before = None
            if self._plan.exists():
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    before = json.loads(self._plan.read_text())["fingerprint"]
            had_shards = self.records.exists() and any(self.records.iterdir())
            if before != fingerprint:
                self._plan.unlink(missing_ok=True)
                for path in self._folder.iterdir():
                    if path.is_dir():
                        shutil.rmtree(path)
                    elif path.name != "lock":
                        path.unlink()
                self.records.mkdir()
                _write_json(self._plan, {"fingerprint": fingerprint})
            self.records.mkdir(exist_ok=True)
        return before not in (None, fingerprint) and had_shards

    def finished(self, name: str) -> dict[str, Any] | None:
        """What `write_shard` noted about a shard; None if it is to be made."""
        try:
            notes = json.loads(self._notes(name).read_text("utf-8"))
            whole = (self.records / name).stat().st_size == notes["bytes"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return notes if whole else None

    @contextlib.contextmanager
    def write_shard(self, name: str) -> Iterator["ShardWriter"]:
        """Writes a shard aside; it is finished when the block ends well."""
        aside = self._folder / f"{name}.writing"
        with _writing(self._output):
            try:
                with aside.open("wb") as file:
                    writer = ShardWriter(file)
                    yield writer
                    # A power cut must not leave the notes without the shard.
                    file.flush()
                    os.fsync(file.fileno())
                aside.rename(self.records / name)
                _write_json(self._notes(name), writer.summary())
            except BaseException:
                aside.unlink(missing_ok=True)
                raise

    def publish(self) -> None:
        """Makes the finished records the output."""
        with _writing(self._output):
            self.records.rename(self._output)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _is_ours(self) -> bool:
        return (self._folder / "lock").exists()

    def _notes(self, name: str) -> Path:
        return self._folder / f"{name}.json"


class ShardWriter:
    """Takes a shard's records and keeps account of them.

    Args:
        file: where to write.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._bytes = 0
        self.images = 0
        self.problems: list[Any] = []

    def write(self, data: bytes, images: int, problems: list[Any]) -> None:
        """Appends framed records.

        Args:
            data: the records.
            images: how many there are.
            problems: what was found in making them, as JSON knows it.
        """
        self._file.write(data)
        self._digest.update(data)
        self._bytes += len(data)
        self.images += images
        self.problems += problems

    def summary(self) -> dict[str, Any]:
        """What is known of the shard so far."""
        return {
            "images": self.images,
            "bytes": self._bytes,
            "sha256": self._digest.hexdigest(),
            "problems": self.problems,
        }


@contextlib.contextmanager
def _writing(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InterruptedConversionError(
            f"{output}: cannot be written ({error.strerror or error}); "
            "make room or choose another folder, then run it again"
        ) from error


def _write_json(path: Path, content: Any) -> None:
    """Writes a file that is there as a whole or not at all."""
    aside = path.with_name(f"{path.name}.writing")
    aside.write_text(json.dumps(content), encoding="utf-8")
    aside.rename(path)
