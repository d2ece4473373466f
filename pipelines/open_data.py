"""Opens any data as records."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.annotations import SPLITS
from pipelines.parallel import available_cores
from pipelines.readers import read_annotations
from pipelines.records import Records
from pipelines.records import is_records
from pipelines.records import load_records
from pipelines.records import write_records


def open_records(
    data: Path,
    scratch: Path,
    splits: Sequence[str] = SPLITS,
    progress: bool = False,
) -> Records:
    """Opens records, and converts other data to records first.

    Args:
        data: a folder of records, a benchmark folder or a labels file.
        scratch: a new folder for converted records.
        splits: splits to convert.
        progress: show progress bars.

    Raises:
        InputError: if `data` is none of these, or cannot be converted.
    """
    if is_records(data):
        return load_records(data)
    annotations = read_annotations(data)
    return write_records(
        annotations, scratch, splits, progress, available_cores()
    )
