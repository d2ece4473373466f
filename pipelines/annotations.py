"""The annotation table: what every reader returns and records are made from."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.problems import Kind
from pipelines.problems import Problem
from pipelines.vocabulary import LANDMARK_PAIRS
from pipelines.vocabulary import LANDMARKS
from pipelines.vocabulary import Vocabulary

SPLITS = ("train", "val", "test")

UNKNOWN = -1
"""In `category`, `attributes` and a landmark's visibility: not labeled."""

VISIBLE = 0
OCCLUDED = 1
TRUNCATED = 2

Origin = Literal["deepfashion", "synthetic", "other"]
"""Whose labels they are: the benchmark's, those of images that
`afn-synthesize` drew, or anybody else's."""

BOX = ["x1", "y1", "x2", "y2"]

SIZE = ["width", "height"]

FARTHEST = 1e9
"""No place is so many pixels away; beyond float32, it would be infinite."""

# A thousand attributes of so many images at a time take 16 MB.
_ROWS = 16_384


@dataclasses.dataclass
class Annotations:
    """Labels of one data set, from whichever layout they were read.

    Args:
        folder: folder that the image paths are relative to.
        table: one row an image, with columns
            `image`: path of the image, relative to `folder`;
            `split`: "train", "val" or "test";
            `category`: int, `UNKNOWN` if there is none;
            `x1`, `y1`, `x2`, `y2`: the garment's box in pixels, 0-based and
            half-open; NaN if there is none: the whole image counts;
            `landmarks`: (L, 3) float32 of x, y and visibility. x and y are
            0-based pixel indices, so the first pixel's center is 0.0;
            `width`, `height`: of the image that box and landmarks refer to,
            NaN if the annotations do not say; 1 and 1 where coordinates are
            fractions of the image's (see `pipelines.records.fit_labels`);
            `attributes`: (A,) int8 of 1, 0 and `UNKNOWN`;
            `source`: file and line that the row came from, for messages.
        vocabulary: the names of the labels.
        problems: what was wrong with the annotations; see
            `pipelines.problems` for what was done about it.
        origin: whose labels they are.
        follow_links: whether links in `folder` may lead to images outside.
    """

    folder: Path
    table: pd.DataFrame
    vocabulary: Vocabulary
    problems: list[Problem] = dataclasses.field(default_factory=list)
    origin: Origin = "other"
    follow_links: bool = False


def make_table(
    images: Sequence[str],
    splits: Sequence[str],
    sources: Sequence[str],
    category: np.ndarray,
    boxes: np.ndarray,
    landmarks: np.ndarray,
    attributes: np.ndarray,
    sizes: np.ndarray | None = None,
) -> pd.DataFrame:
    """The table of `Annotations`.

    Args:
        images: N paths.
        splits: N names of splits.
        sources: N places that the rows come from.
        category: (N,) int.
        boxes: (N, 4).
        landmarks: (N, L, 3); cells of the table are views of it.
        attributes: (N, A) int8; cells of the table are views of it.
        sizes: (N, 2) width and height, NaN where unknown; all if None.
    """
    table = pd.DataFrame(
        {
            "image": pd.Series(list(images), dtype=object),
            "split": pd.Series(list(splits), dtype=object),
            "source": pd.Series(list(sources), dtype=object),
            "category": np.asarray(category, np.int64),
        }
    )
    table[BOX] = np.asarray(boxes, np.float64).reshape(-1, 4)
    table[SIZE] = np.nan if sizes is None else np.asarray(sizes, np.float64)
    for name, values in (("landmarks", landmarks), ("attributes", attributes)):
        # From a list of arrays, pandas makes a column for each value.
        cells = np.empty(len(table), object)
        cells[:] = list(values) if len(table) else []
        table[name] = cells
    return table


def used_categories(
    names: Sequence[str], category: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Categories that some image has, and the labels as indices into those.

    The benchmark names 50 categories and uses 46 of them. A network should
    not have outputs that nothing teaches.

    Args:
        names: category names.
        category: (N,) int, indices into `names` or `UNKNOWN`; of all splits,
            so that each split has the same vocabulary.
    """
    used = np.bincount(category[category >= 0], minlength=len(names)) > 0
    index = np.append(np.where(used, np.cumsum(used) - 1, UNKNOWN), UNKNOWN)
    kept = tuple(name for name, use in zip(names, used, strict=True) if use)
    return kept, index[category]


def without_untaught_landmarks(annotations: Annotations) -> Annotations:
    """Leaves out landmarks that no image of the train split shows.

    A network should not have outputs that nothing teaches. Where there is no
    train split, some image of another one has to show a landmark. One that is
    labeled and left out becomes a problem.
    """
    table, names = annotations.table, annotations.vocabulary.landmarks
    if not names or not len(table):
        return annotations
    landmarks = np.stack(table["landmarks"].to_list())
    train = (table["split"] == SPLITS[0]).to_numpy()
    teaching = landmarks[train] if train.any() else landmarks
    taught = (teaching[..., 2] == VISIBLE).any(0)
    if taught.all():
        return annotations
    labeled = np.isin(landmarks[..., 2], (VISIBLE, OCCLUDED)) & ~taught
    problems = [
        Problem(
            Kind.LANDMARK_UNTAUGHT,
            "",
            table["source"].iat[labeled[:, index].argmax()],
            f"{names[index]}, labeled in {labeled[:, index].sum()} of "
            f"{len(table)} rows",
        )
        for index in np.flatnonzero(labeled.any(0))
    ]
    cells = np.empty(len(table), object)
    cells[:] = list(landmarks[:, taught])
    return dataclasses.replace(
        annotations,
        table=table.assign(landmarks=cells),
        vocabulary=annotations.vocabulary.with_landmarks(
            np.flatnonzero(taught).tolist()
        ),
        problems=annotations.problems + problems,
    )


def make_vocabulary(
    categories: tuple[str, ...],
    attributes: tuple[str, ...],
    groups: tuple[str, ...],
    with_landmarks: bool,
) -> Vocabulary:
    """A vocabulary with the benchmark's eight landmarks, or with none."""
    return Vocabulary(
        categories,
        attributes,
        groups,
        LANDMARKS if with_landmarks else (),
        LANDMARK_PAIRS if with_landmarks else (),
    )


def label_frequencies(annotations: Annotations, split: str) -> dict:
    """How often each label occurs: the baseline for labels.

    Returns:
        dict of `category`, (C,) and `attributes`, (A,): the fraction of the
        labeled images of the split that carry each label.
    """
    table = annotations.table[annotations.table["split"] == split]
    vocabulary = annotations.vocabulary
    category = table["category"].to_numpy()
    counts = np.bincount(
        category[category >= 0], minlength=len(vocabulary.categories)
    )
    known = np.zeros(len(vocabulary.attributes), np.int64)
    positive = np.zeros_like(known)
    for start in range(0, len(table), _ROWS):
        cells = table["attributes"].iloc[start : start + _ROWS]
        labels = np.stack(cells.to_list())
        known += (labels != UNKNOWN).sum(0)
        positive += (labels == 1).sum(0)
    return {
        "category": (counts / max(counts.sum(), 1)).tolist(),
        "attributes": (positive / np.maximum(known, 1)).tolist(),
    }
