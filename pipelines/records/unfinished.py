"""Records in the making: they survive being killed, and resume.

`OUT.partial/` beside the output holds `lock`, `records/` (finished shards, to
become the output) and a folder named for what is being made of what, in which
is what `ShardFiles` needs besides. Whoever still makes something else, perhaps
on another machine, no longer finds the folder that it needs for that.
"""

import contextlib
import os
import re
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock
from filelock import Timeout

from pipelines.errors import InputError
from pipelines.folders import check_new
from pipelines.folders import put_in_place
from pipelines.records.shard_files import InterruptedConversionError
from pipelines.records.shard_files import ShardFiles
from pipelines.records.shard_files import writing

# The last is a fingerprint.
_OURS = re.compile("lock|records|gone|[0-9a-f]{64}")


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
            self._remove()
        self._lock.release()
        if self._removed and os.name == "nt":
            # Windows removes no file that is open, as the lock was.
            shutil.rmtree(self._folder, ignore_errors=True)

    def resume(self, fingerprint: str) -> bool:
        """Keeps what an earlier run finished if it had the same fingerprint.

        Returns:
            Whether there was something of another fingerprint to throw away.
        """
        work = self._folder / fingerprint
        restarted = False
        with writing(self._output):
            if not work.exists():
                restarted = self.records.exists() and any(
                    self.records.iterdir()
                )
                # Last of all the shards: nothing is added to them any more.
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

    def finished(self, name: str) -> dict[str, Any] | None:
        """What was noted about a shard; None if it is to be made."""
        return self.files.finished(name)

    def publish(self) -> None:
        """Makes the finished records the output."""
        with writing(self._output):
            put_in_place(self.records, self._output)
            self._remove()

    def _remove(self) -> None:
        """Removes the folder with all that is in it."""
        with contextlib.suppress(AttributeError, OSError):
            # Nobody puts anything into it meanwhile who knows another name.
            self.files.work.rename(self.files.work.with_name("gone"))
        shutil.rmtree(self._folder, ignore_errors=True)
        self._removed = True

    def _is_ours(self) -> bool:
        names = {path.name for path in self._folder.iterdir()}
        return "lock" in names and all(map(_OURS.fullmatch, names))
