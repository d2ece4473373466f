"""The run: a folder with a trained network and all of its files.

Does not import Keras, so that commands report errors at once.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from afn_keras.recipes import FILE_NAME as RECIPE
from pipelines.errors import InputError
from pipelines.folders import check_new
from pipelines.folders import remove_contents

MODEL = "model.keras"
CARD = "model_card.md"


class InterruptedTrainingError(InputError):
    """Raised if a process was killed or lost; the run can be resumed."""


def looks_like_model(path: Path) -> bool:
    """Returns whether a path is a run, a `.keras` file or an artifact."""
    if path.suffix in (".keras", ".tflite", ".onnx"):
        return path.is_file()
    files = (MODEL, "saved_model.pb", "[0-9]*/saved_model.pb")
    return any(any(path.glob(pattern)) for pattern in files)


def check_exists(model: Path) -> None:
    """Raises InputError unless there is such a run, file or artifact."""
    if not model.exists():
        raise InputError(f"{model}: no such run or model")


@contextlib.contextmanager
def new_run(folder: Path) -> Iterator[Path]:
    """Creates the folder of a run; removes it if training fails early.

    A folder that existed and was empty is emptied again, not removed.

    Raises:
        InputError: if the folder contains another run or other files.
    """
    folder = Path(folder)
    if (folder / RECIPE).exists():
        raise InputError(
            f"{folder}: contains another run; choose another folder with "
            "--output, or resume this one: --resume"
        )
    check_new(folder)
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be created ({error.strerror}); choose another "
            "folder with --output"
        ) from error
    try:
        yield folder
    except BaseException as error:
        # Kept if an epoch is finished, or if the error says to resume the run.
        resumable = isinstance(error, InterruptedTrainingError)
        if not (folder / MODEL).exists() and not resumable:
            remove_contents(folder)
            if not existed:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        raise


def existing_run(folder: Path | None, changed: bool) -> Path:
    """Finds the run to resume.

    Args:
        folder: the run.
        changed: whether settings were given too, which is an error.

    Raises:
        InputError: if there is no run, or settings were given.
    """
    if folder is None:
        raise InputError("--resume: name the run with --output RUN")
    if not (folder / RECIPE).exists():
        raise InputError(f"{folder}: no run to resume; leave out --resume")
    if changed:
        raise InputError(
            f"--resume: uses the settings in {folder / RECIPE}; leave "
            "out --data, --recipe, --weights, --optimizer, --precision, "
            "--seed and --set"
        )
    return folder


def free_folder(folder: Path) -> Path:
    """Returns `folder`, or the first with a number that does not exist."""
    folder, number = Path(folder), 2
    free = folder
    while free.exists():
        free, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return free
