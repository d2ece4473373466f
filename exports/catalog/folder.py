"""The folder that a job of Beam writes: finished, or to be made anew.

`OUT` holds `predictions-*` and `failed-*`, and, from the moment that both are
complete, `finished.json`. While it is made `OUT/unfinished/` lies beside them
with what the job is told: images, and the network where workers could
not see it otherwise.
"""

import contextlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock
from filelock import Timeout

from pipelines.beam import check_url
from pipelines.beam import files_in
from pipelines.beam import is_url
from pipelines.beam import join
from pipelines.beam import one_line
from pipelines.beam import read_file
from pipelines.beam import remove_files
from pipelines.beam import write_json
from pipelines.errors import InputError

PREDICTIONS = "predictions"
FAILED = "failed"
FINISHED = "finished.json"

_UNFINISHED = "unfinished"
_STARTED = f"{_UNFINISHED}/started.json"
# What Beam's sinks and this file write.
_OURS = re.compile(
    rf"({PREDICTIONS}|{FAILED})-[0-9]+-of-[0-9]+\.(jsonl|parquet)"
    rf"|beam-temp-({PREDICTIONS}|{FAILED})-.*"
    rf"|{re.escape(FINISHED)}(\.writing)?"
    rf"|{_UNFINISHED}/.*"
)


class Finished(NamedTuple):
    """What a finished job says of itself.

    Attributes:
        predictions: images that were answered.
        failed: images that could not be used.
        files: what holds them, relative to the folder.
    """

    predictions: int
    failed: int
    files: list[str]


class Catalog:
    """The folder, for one job at a time; to use in a `with`.

    Whatever ends the block leaves it to the next call, which starts from an
    empty folder; `close` ends it well.

    Args:
        folder: of this machine, or a URL.

    Raises:
        InputError: on entering, if it is finished, holds something else, is
            being written by another process, or cannot be made.
    """

    def __init__(self, folder: str) -> None:
        if is_url(folder):
            self.folder = folder.rstrip("/")
        else:
            self.folder = str(Path(folder).absolute())
        if re.search(r"[*?\[\]{}]", self.folder):
            # Beam would take it for a pattern.
            raise InputError(
                f"--output {folder}: may hold none of * ? [ ] {{ }}, nor may "
                "the folders above it; choose another folder"
            )
        if is_url(folder):
            check_url(folder)
        self._lock: FileLock | None = None

    def __enter__(self) -> "Catalog":
        try:
            if not is_url(self.folder):
                # Seen before it is locked, so that nothing foreign gets one.
                self._check()
                path = Path(self.folder, _UNFINISHED)
                path.mkdir(parents=True, exist_ok=True)
                self._lock = FileLock(path / "lock")
                self._lock.acquire(timeout=0)
            remove_files(self.folder, self._check())
            write_json(join(self.folder, _STARTED), {})
        except Timeout as error:
            raise InputError(
                f"--output {self.folder}: is just being written by another "
                "process; wait for it, or choose another folder"
            ) from error
        except InputError:
            raise
        # Each file system has errors of its own.
        except Exception as error:
            raise InputError(
                f"--output {self.folder}: cannot be written "
                f"({one_line(error)}); choose another folder"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock:
            self._lock.release()

    def aside(self, name: str) -> str:
        """Where to put what the job is told."""
        return join(self.folder, f"{_UNFINISHED}/{name}")

    def prefix(self, name: str) -> str:
        """How the names of the files of a sink begin."""
        return join(self.folder, name)

    def close(self) -> Finished:
        """Ends a job that went well.

        Raises:
            InputError: if there are images and all failed; another call
                then starts anew.
        """
        finished = _finished(self.folder)
        if finished is None:
            raise InputError(
                f"{self.folder}: the job has ended without {FINISHED}; run it "
                "again"
            )
        if not finished.predictions and finished.failed:
            raise InputError(
                f"none of {finished.failed} images can be used; "
                f"{join(self.folder, FAILED)}-* says why of each"
            )
        names = [
            name
            for name in files_in(self.folder)
            if name.startswith((f"{_UNFINISHED}/", "beam-temp-"))
        ]
        # What is left of it hides nothing.
        with contextlib.suppress(Exception):
            remove_files(self.folder, names)
        return finished

    def _check(self) -> list[str]:
        """The files of an earlier job that did not finish, but for a lock."""
        names = files_in(self.folder)
        finished = _finished(self.folder) if FINISHED in names else None
        if finished and (finished.predictions or not finished.failed):
            raise InputError(
                f"--output {self.folder}: is finished already; choose another "
                "folder or remove it"
            )
        foreign = [name for name in names if not _OURS.fullmatch(name)]
        if not any(name.startswith(f"{_UNFINISHED}/") for name in names):
            # Somebody else's, however they are named.
            foreign = names
        if foreign:
            raise InputError(
                f"--output {self.folder}: holds something else "
                f"({foreign[0]}); choose another folder"
            )
        return [name for name in names if name != f"{_UNFINISHED}/lock"]


def finish(
    _: object,
    folder: str,
    predictions: int,
    failed: int,
    *files: Iterable[str],
) -> None:
    """The last step of a job: says that all is there.

    Args:
        folder: the catalog's.
        predictions: images that were answered.
        failed: images that could not be used.
        files: paths of what holds them.
    """
    names = sorted(
        path.removeprefix(folder).lstrip("/") for some in files for path in some
    )
    write_json(
        join(folder, FINISHED),
        Finished(predictions, failed, names)._asdict(),
    )


def _finished(folder: str) -> Finished | None:
    try:
        return Finished(**json.loads(read_file(join(folder, FINISHED))))
    # None, or half of one.
    except Exception:
        return None
