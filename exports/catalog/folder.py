"""The output folder of a Beam job, which is either finished or redone.

`OUT` contains `predictions-*` and `failed-*` and, once both are complete,
`finished.json`. Until then, `OUT/unfinished/` has the inputs of the job: the
list of images, and the network if workers cannot see it otherwise.
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
# Files that Beam's sinks and this module write.
_OURS = re.compile(
    rf"({PREDICTIONS}|{FAILED})-[0-9]+-of-[0-9]+\.(jsonl|parquet)"
    rf"|beam-temp-({PREDICTIONS}|{FAILED})-.*"
    rf"|{re.escape(FINISHED)}(\.writing)?"
    rf"|{_UNFINISHED}/.*"
)


class Finished(NamedTuple):
    """The content of `finished.json`.

    Attributes:
        predictions: number of predicted images.
        failed: number of images that could not be used.
        files: the output files, relative to the folder.
    """

    predictions: int
    failed: int
    files: list[str]


class Catalog:
    """The output folder, locked for one job; a context manager.

    `close` finishes the job. If the block ends without it, the next job starts
    from an empty folder.

    Args:
        folder: a local path or a URL.

    Raises:
        InputError: on entering, if it is finished, contains other files, is
            being written by another process, or cannot be created.
    """

    def __init__(self, folder: str) -> None:
        if is_url(folder):
            self.folder = folder.rstrip("/")
        else:
            self.folder = str(Path(folder).absolute())
        if re.search(r"[*?\[\]{}]", self.folder):
            # Beam would take it for a pattern.
            raise InputError(
                f"--output {folder}: may not contain any of * ? [ ] {{ }}, nor "
                "may the folders above it; choose another folder"
            )
        if is_url(folder):
            check_url(folder)
        self._lock: FileLock | None = None

    def __enter__(self) -> "Catalog":
        try:
            if not is_url(self.folder):
                # Checked before locking, so that no lock is written into a
                # folder with other files.
                self._check()
                path = Path(self.folder, _UNFINISHED)
                path.mkdir(parents=True, exist_ok=True)
                self._lock = FileLock(path / "lock")
                self._lock.acquire(timeout=0)
            remove_files(self.folder, self._check())
            write_json(join(self.folder, _STARTED), {})
        except Timeout as error:
            raise InputError(
                f"--output {self.folder}: is being written by another process; "
                "wait for it, or choose another folder"
            ) from error
        except InputError:
            raise
        # Each file system raises its own errors.
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
        """Returns the path of an input file of the job."""
        return join(self.folder, f"{_UNFINISHED}/{name}")

    def prefix(self, name: str) -> str:
        """Returns the path prefix of a sink's files."""
        return join(self.folder, name)

    def close(self) -> Finished:
        """Finishes a job.

        Raises:
            InputError: if there are images and all failed; another job can
                then start over.
        """
        finished = _finished(self.folder)
        if finished is None:
            raise InputError(
                f"{self.folder}: the job ended without {FINISHED}; run it again"
            )
        if not finished.predictions and finished.failed:
            raise InputError(
                f"none of {finished.failed} images can be used; "
                f"see {join(self.folder, FAILED)}-* for the reasons"
            )
        names = [
            name
            for name in files_in(self.folder)
            if name.startswith((f"{_UNFINISHED}/", "beam-temp-"))
        ]
        # Leftovers of a finished job are harmless.
        with contextlib.suppress(Exception):
            remove_files(self.folder, names)
        return finished

    def _check(self) -> list[str]:
        """Returns the files of an unfinished earlier job, without the lock."""
        names = files_in(self.folder)
        finished = _finished(self.folder) if FINISHED in names else None
        if finished and (finished.predictions or not finished.failed):
            raise InputError(
                f"--output {self.folder}: is finished already; choose another "
                "folder or remove it"
            )
        foreign = [name for name in names if not _OURS.fullmatch(name)]
        if not any(name.startswith(f"{_UNFINISHED}/") for name in names):
            # Not from a job, whatever the names are.
            foreign = names
        if foreign:
            raise InputError(
                f"--output {self.folder}: contains other files "
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
    """Writes `finished.json`, as the last step of a job.

    Args:
        folder: the catalog's folder.
        predictions: number of predicted images.
        failed: number of images that could not be used.
        files: paths of the output files.
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
    # Missing or incomplete.
    except Exception:
        return None
