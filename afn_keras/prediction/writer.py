"""Writes predictions one at a time, so that an interruption loses none."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from afn_keras.prediction.formats import ResultFormat
from afn_keras.prediction.result import Prediction
from pipelines.errors import InputError
from pipelines.vocabulary import Vocabulary


class WriteSummary(NamedTuple):
    """Numbers of predictions that `write_results` wrote.

    Attributes:
        count: number of predictions.
        outside: number of predictions that cannot be read as data, because
            their image is not in the file's folder.
    """

    count: int
    outside: int


def write_results(
    predictions: Iterable[Prediction],
    form: ResultFormat,
    vocabulary: Vocabulary,
    path: Path | None = None,
) -> WriteSummary:
    """Writes predictions into a file, or to standard output without one.

    Args:
        predictions: taken one at a time.
        form: the format.
        vocabulary: names of the labels.
        path: a new file. In formats that are data, images in its folder are
            named relative to it; without a file, all are named as given.

    Raises:
        InputError: if the file exists already or cannot be written. A partial
            file ends with a whole line.
        KeyboardInterrupt: with a message, if interrupted while waiting for a
            prediction. All predictions before it are written.
    """
    count = outside = 0
    with _output(path) as write:
        write(form.start(vocabulary))
        try:
            for prediction in predictions:
                if path and form.is_data:
                    name = _inside(prediction.image, path.parent)
                    outside += name is None
                    prediction = dataclasses.replace(
                        prediction, image=name or prediction.image
                    )
                write(form.add(prediction))
                count += 1
        except (KeyboardInterrupt, InputError) as error:
            write(form.end())
            if isinstance(error, InputError):
                raise
            where = path or "standard output"
            raise KeyboardInterrupt(
                f"{count} predictions are in {where}"
            ) from None
        write(form.end())
    return WriteSummary(count, outside)


def check_results(path: Path) -> None:
    """Raises InputError unless `path` is a new file in a folder."""
    if path.exists():
        raise InputError(
            f"--output {path}: exists already; choose another file or remove it"
        )
    if not path.parent.is_dir():
        raise InputError(
            f"--output {path}: there is no folder {path.parent}; make it first"
        )


def _inside(image: str, folder: Path) -> str | None:
    """Returns an image's name relative to a folder; None if outside it."""
    path = Path(os.path.abspath(image))
    try:
        return path.relative_to(os.path.abspath(folder)).as_posix()
    except ValueError:
        return None


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[Callable[[str], None]]:
    if path is None:
        yield _print
        return
    check_results(path)
    kept = 0
    try:
        # Unbuffered, so that nothing is lost if the process is killed.
        with path.open("xb", buffering=0) as file:

            def write(text: str) -> None:
                nonlocal kept
                left = text.encode()
                while left:
                    left = left[file.write(left) :]
                kept = file.tell()

            try:
                yield write
            except OSError:
                file.truncate(kept)
                raise
    except OSError as error:
        raise InputError(
            f"--output {path}: writing failed ({error.strerror}); all lines "
            "before are complete"
        ) from error


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
