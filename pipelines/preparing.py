"""Rows of the annotation table to records: the work of one process."""

from typing import NamedTuple

from pipelines.errors import UnusableError
from pipelines.fitting import fit_labels
from pipelines.photograph_store import PhotographStore
from pipelines.photographs import inspect_image
from pipelines.problems import Kind
from pipelines.tfrecords import frame
from pipelines.tfrecords import make_example


class Prepared(NamedTuple):
    """What became of some rows.

    Attributes:
        data: the records, framed, one behind the other.
        images: how many there are.
        problems: what was found: position of the row in the table, kind and
            detail.
    """

    data: bytes
    images: int
    problems: list[tuple[int, Kind, str]]


def prepare_rows(store: PhotographStore, rows: list[dict]) -> Prepared:
    """Reads and checks the photographs of some rows and makes records of them.

    A photograph that cannot be used is no more than a problem.

    Args:
        store: where the photographs lie.
        rows: rows of the annotation table, each with its `position` in it.
    """
    records, problems = [], []
    for row in rows:
        image, found = row["image"], []
        try:
            stored, more = store.read(image)
            found += more
            photograph = inspect_image(stored, image)
            found += photograph.found
            box, landmarks, more = fit_labels(row, photograph)
            found += more
            records.append(frame(make_example(row, photograph, box, landmarks)))
        except UnusableError as error:
            found.append((error.kind, error.detail))
        problems += [(row["position"], kind, detail) for kind, detail in found]
    return Prepared(b"".join(records), len(records), problems)
