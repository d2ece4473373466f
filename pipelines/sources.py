"""Tells which layout a user's data is in, and reads it."""

from pathlib import Path

from pipelines.annotations import Annotations
from pipelines.deepfashion import is_deepfashion
from pipelines.deepfashion import read_deepfashion
from pipelines.errors import InputError
from pipelines.labels_csv import read_labels_csv


def read_annotations(data: Path, strict: bool = False) -> Annotations:
    """Reads a benchmark folder or a labels file.

    Args:
        data: a folder in the DeepFashion benchmark's layout, a CSV file of
            labels, or a folder that holds a `labels.csv`.
        strict: stop at the first problem instead of mending it.

    Raises:
        InputError: if there is no such file or folder, it is neither of
            these, or something in it does not parse.
    """
    data = Path(data)
    if not data.exists():
        raise InputError(f"{data}: no such file or folder")
    if data.is_file():
        return read_labels_csv(data)
    if is_deepfashion(data):
        return read_deepfashion(data)
    if (data / "labels.csv").is_file():
        return read_labels_csv(data / "labels.csv")
    raise InputError(
        f"{data}: is no data set; looked for Anno/ (the DeepFashion "
        "benchmark), labels.csv (own labels) and records.json (records)"
    )
