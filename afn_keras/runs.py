"""The run: one folder with a trained network and all that belongs to it.

Nothing here needs Keras, so that a command can say at once what is wrong.
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
    """A process was killed or lost: the run is kept and can be resumed."""


def looks_like_model(path: Path) -> bool:
    """Whether a path is that of a run, a `.keras` file or an artifact."""
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
    """Makes the folder of a run; removes it if no network comes of it.

    A folder that existed, and was empty, is emptied again and not removed.

    Raises:
        InputError: if the folder holds another run, or anything else.
    """
    folder = Path(folder)
    if (folder / RECIPE).exists():
        raise InputError(
            f"{folder}: holds another run; choose another folder with "
            "--output, or resume this one: --resume"
        )
    check_new(folder)
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); choose another "
            "folder with --output"
        ) from error
    try:
        yield folder
    except BaseException as error:
        # A network that finished an epoch is worth keeping, and what others
        # are told to resume.
        told = isinstance(error, InterruptedTrainingError)
        if not (folder / MODEL).exists() and not told:
            remove_contents(folder)
            if not existed:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        raise


def existing_run(folder: Path | None, changed: bool) -> Path:
    """Finds the run to resume.

    Args:
        folder: the run.
        changed: whether settings were given too, which it cannot take.

    Raises:
        InputError: if there is no run, or settings were given.
    """
    if folder is None:
        raise InputError("--resume: say which run with --output RUN")
    if not (folder / RECIPE).exists():
        raise InputError(
            f"{folder}: holds no run to resume; leave out --resume"
        )
    if changed:
        raise InputError(
            f"--resume: uses the settings in {folder / RECIPE}; leave "
            "out --data, --recipe, --weights, --optimizer, --precision, "
            "--seed and --set"
        )
    return folder


def free_folder(folder: Path) -> Path:
    """`folder`, or with a number behind it the first that is not taken."""
    folder, number = Path(folder), 2
    free = folder
    while free.exists():
        free, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return free
