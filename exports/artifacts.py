"""Exports a run: writes each artifact, then verifies its predictions."""

import contextlib
import shutil
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from afn_keras.backend import require_keras_3
from afn_keras.backend import require_tensorflow
from afn_keras.loading import TrainedModel
from afn_keras.loading import load_model
from exports.onnx import export_onnx
from exports.saved_model import export_saved_model
from exports.saved_model import next_version
from exports.saved_model import versions
from exports.tflite import KINDS
from exports.tflite import export_tflite
from exports.verification import Check
from exports.verification import verify
from pipelines.batches import load_split
from pipelines.errors import InputError
from pipelines.folders import check_new
from pipelines.folders import remove_contents
from pipelines.records import Records

TFLITE = {
    "tflite" if kind == "float32" else f"tflite_{kind}": kind for kind in KINDS
}
FORMATS = ("saved_model", *TFLITE, "onnx")
DEFAULT_FORMATS = ("saved_model", "tflite")
# Keras 2.15 cannot write ONNX, and the quantizer is untested with it.
_KERAS_3 = {"onnx", "tflite_int8"}

THREADS = (1, 2)
"""Numbers of threads with which artifacts are timed."""

_CALIBRATION_IMAGES = 200
_SERVING_FILES = Path(__file__).parent / "serving"


def export_run(
    run: Path,
    formats: Sequence[str] = DEFAULT_FORMATS,
    records: Records | None = None,
    version: int | None = None,
    progress: bool = False,
) -> Iterator[tuple[Path, Check]]:
    """Writes artifacts into `RUN/exports` and verifies each.

    Args:
        run: a folder that `afn-train` wrote.
        formats: which of `FORMATS` to write; "tflite" is in float32.
        records: data whose train split calibrates the 8-bit file.
        version: version of the SavedModel; one more than the highest if None.
        progress: show a progress bar on a terminal.

    Yields:
        Each artifact with its check.

    Raises:
        InputError: if Keras runs on JAX here, the run has no model or no
            samples, an artifact exists already, there are no images to
            calibrate with, or it cannot be written. A partial artifact is
            removed.
        VerificationError: if an artifact fails or its predictions differ; it
            is removed.
    """
    run = Path(run)
    require_tensorflow(f"{run}: exports")
    for name in _KERAS_3.intersection(formats):
        require_keras_3(f"--formats {name}")
    trained = load_model(run)
    images = sample_images(run)
    paths = {name: _path(run, name, version) for name in formats}
    for path in paths.values():
        check_new(path)
    calibration = None
    if "tflite_int8" in paths:
        calibration = _calibration(trained, records)
    bar = tqdm(
        paths.items(),
        "exporting",
        unit=" files",
        disable=None if progress else True,
    )
    for name, path in bar:
        existed = path.exists()
        with _no_folder_left_of(path):
            if name == "saved_model":
                export_saved_model(trained, path, images[0].read_bytes())
            elif name == "onnx":
                export_onnx(trained, path)
            else:
                export_tflite(trained, path, TFLITE[name], calibration)
            try:
                check = verify(trained, path, images, THREADS)
            except BaseException:
                # Not if writing fails: another export may have written there.
                if existed:
                    remove_contents(path)
                else:
                    _remove(path)
                raise
        if name == "saved_model":
            _copy_serving_files(run)
        yield path, check


def sample_images(run: Path) -> list[Path]:
    """Returns the images in a run that verify its artifacts.

    Raises:
        InputError: if there are none.
    """
    folder = Path(run) / "samples"
    samples = sorted(folder.glob("*.jpg"))
    if not samples:
        raise InputError(
            f"{folder}: has no image to check the artifacts with; put some "
            "JPEG files there"
        )
    return samples


def existing_artifacts(run: Path) -> list[Path]:
    """Returns the artifacts of a run, with the highest SavedModel version."""
    exports = Path(run) / "exports"
    saved = exports / "saved_model"
    paths = [saved / str(number) for number in versions(saved)[-1:]]
    paths += [_path(run, name, None) for name in FORMATS[1:]]
    return [path for path in paths if path.exists()]


def remove_artifacts(run: Path) -> None:
    """Removes the artifacts of a run before it is exported again."""
    for name in DEFAULT_FORMATS:
        _remove(_path(Path(run), name, 1))


def _path(run: Path, name: str, version: int | None) -> Path:
    exports = run / "exports"
    if name == "saved_model":
        folder = exports / "saved_model"
        if version is None:
            version = next_version(folder)
        return folder / str(version)
    if name == "onnx":
        return exports / "onnx" / "afn.onnx"
    return exports / "tflite" / f"afn_{TFLITE[name]}.tflite"


def _calibration(trained: TrainedModel, records: Records | None) -> np.ndarray:
    if records is None:
        raise InputError(
            "--formats tflite_int8: needs training images to calibrate "
            "with; name the data that the run was trained on with --data"
        )
    batches = load_split(
        records, "train", image_size=trained.image_size, batch_size=1
    ).take(_CALIBRATION_IMAGES)
    return np.concatenate([image.numpy() for image, _ in batches])


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def _no_folder_left_of(path: Path) -> Iterator[None]:
    """Removes the folders created for an artifact if it fails."""
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    except BaseException as error:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        # TensorFlow raises its own errors for a full disk.
        if isinstance(error, OSError | tf.errors.OpError):
            reason = getattr(error, "strerror", None) or str(error)
            reason = (reason.splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{path}: cannot be written ({reason}); free disk space, or "
                "copy the run to another disk"
            ) from error
        raise


def _copy_serving_files(run: Path) -> None:
    folder = run / "exports" / "serving"
    if not folder.exists():
        shutil.copytree(_SERVING_FILES, folder)
