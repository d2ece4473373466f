"""Exports a run: writes each artifact, then asks it for its answers."""

import shutil
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

from afn_keras.runs import load_model
from exports.saved_model import export_saved_model
from exports.tflite import export_tflite
from exports.verification import verify_saved_model
from exports.verification import verify_tflite
from pipelines.errors import InputError
from pipelines.writing import check_new

FORMATS = ("saved_model", "tflite")


def export_run(
    run: Path, formats: Sequence[str] = FORMATS
) -> Iterator[tuple[Path, float]]:
    """Writes artifacts into `RUN/exports` and checks each.

    Args:
        run: a folder that `afn-train` wrote.
        formats: which of `FORMATS` to write.

    Yields:
        Each artifact with the largest difference of its answers from the
        network's on the run's sample photographs.

    Raises:
        InputError: if the run has no model or no samples, or a TFLite file
            stands there already.
        VerificationError: if an artifact fails or answers otherwise; it is
            removed again.
    """
    run = Path(run)
    trained = load_model(run)
    samples = sorted((run / "samples").glob("*.jpg"))
    if not samples:
        raise InputError(
            f"{run / 'samples'}: holds no photograph to check the artifacts "
            "with; put some JPEG files there"
        )
    tflite = run / "exports" / "tflite" / "afn_float32.tflite"
    if "tflite" in formats:
        check_new(tflite)
    for name in formats:
        if name == "saved_model":
            path = export_saved_model(trained, run / "exports" / "saved_model")
            verify = verify_saved_model
        else:
            path, verify = export_tflite(trained, tflite), verify_tflite
        try:
            difference = verify(trained, path, samples)
        except BaseException:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise
        yield path, difference
