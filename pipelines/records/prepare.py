"""Rows of the annotation table to records: the work of one process."""

from typing import NamedTuple

import numpy as np

from pipelines.annotations import VISIBLE
from pipelines.errors import UnusableError
from pipelines.images import ImageStore
from pipelines.images import inspect_image
from pipelines.problems import Kind
from pipelines.records.encode import frame
from pipelines.records.encode import make_example
from pipelines.records.fit_labels import fit_labels


class Prepared(NamedTuple):
    """What became of some rows.

    Attributes:
        data: the records, framed, one behind the other.
        images: how many there are.
        problems: what was found: position of the row in the table, kind and
            detail.
        landmarks: (L, 3) of each landmark the sums of x and y in millionths
            of the box, and how many: of those visible in it. Whole numbers,
            so that they add up to the same in any order.
    """

    data: bytes
    images: int
    problems: list[tuple[int, Kind, str]]
    landmarks: np.ndarray | int


def prepare_rows(store: ImageStore, rows: list[dict]) -> Prepared:
    """Reads and checks the images of some rows and makes records of them.

    An image that cannot be used is no more than a problem.

    Args:
        store: where the images lie.
        rows: rows of the annotation table, each with its `position` in it.
    """
    records, problems = [], []
    sums: np.ndarray | int = 0
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
            sums = sums + _in_box(box, landmarks)
        except UnusableError as error:
            found.append((error.kind, error.detail))
        problems += [(row["position"], kind, detail) for kind, detail in found]
    return Prepared(b"".join(records), len(records), problems, sums)


def _in_box(box: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """What `Prepared.landmarks` sums up."""
    points = landmarks[:, :2] + 0.5 - box[:2]
    points = points / (box[2:] - box[:2])
    counts = (landmarks[:, 2] == VISIBLE) & ((points >= 0) & (points < 1)).all(
        -1
    )
    points = np.where(counts[:, None], points * 1_000_000, 0).round()
    return np.column_stack([points, counts]).astype(np.int64)
