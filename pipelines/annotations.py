"""Defines the annotation table, which readers return and records come from."""

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
"""Origin of labels: the benchmark, `afn-synthesize`, or any other source."""

BOX = ["x1", "y1", "x2", "y2"]

SIZE = ["width", "height"]

FARTHEST = 1e9
"""Limit of coordinates in pixels, well within float32."""

# A thousand attributes of so many images take 16 MB.
_ROWS = 16_384


@dataclasses.dataclass
class Annotations:
    """Labels of one data set, read from any layout.

    Args:
        folder: folder that the image paths are relative to.
        table: one row per garment, with columns
            `image`: path of the image, relative to `folder`;
            `split`: "train", "val" or "test";
            `category`: int, `UNKNOWN` if there is none;
            `x1`, `y1`, `x2`, `y2`: the garment's box in pixels, 0-based and
            half-open; NaN if there is none and the whole image counts;
            `landmarks`: (L, 3) float32 of x, y and visibility. x and y are
            0-based pixel indices, so the first pixel's center is 0.0;
            `width`, `height`: size of the image that box and landmarks refer
            to, NaN if unknown; 1 and 1 if coordinates are fractions of the
            image's size (see `pipelines.records.fit_labels`);
            `attributes`: (A,) int8 of 1, 0 and `UNKNOWN`;
            `source`: file and line of the row, for messages.
        vocabulary: names of the labels.
        problems: problems of the annotations; `pipelines.problems` lists how
            each is handled.
        origin: origin of the labels.
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
    """Builds the table of `Annotations`.

    Args:
        images: N paths.
        splits: N names of splits.
        sources: N files and lines.
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
        # From a list of arrays, pandas would make a column for each value.
        cells = np.empty(len(table), object)
        cells[:] = list(values) if len(table) else []
        table[name] = cells
    return table


def used_categories(
    names: Sequence[str], category: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the categories that any image has, and labels as their indices.

    The benchmark names 50 categories and uses 46 of them. A network should
    not have outputs without training data.

    Args:
        names: category names.
        category: (N,) int, indices into `names` or `UNKNOWN`; of all splits,
            so that each split has the same vocabulary.
    """
    used = np.bincount(category[category >= 0], minlength=len(names)) > 0
    index = np.append(np.where(used, np.cumsum(used) - 1, UNKNOWN), UNKNOWN)
    kept = tuple(name for name, use in zip(names, used, strict=True) if use)
    return kept, index[category]


def without_unseen_landmarks(annotations: Annotations) -> Annotations:
    """Leaves out landmarks that are never visible in the train split.

    A network should not have outputs without training data. Without a train
    split, all splits count. A labeled landmark that is left out becomes a
    problem.
    """
    table, names = annotations.table, annotations.vocabulary.landmarks
    if not names or not len(table):
        return annotations
    landmarks = np.stack(table["landmarks"].to_list())
    train = (table["split"] == SPLITS[0]).to_numpy()
    considered = landmarks[train] if train.any() else landmarks
    seen = (considered[..., 2] == VISIBLE).any(0)
    if seen.all():
        return annotations
    labeled = np.isin(landmarks[..., 2], (VISIBLE, OCCLUDED)) & ~seen
    problems = [
        Problem(
            Kind.LANDMARK_UNSEEN,
            "",
            table["source"].iat[labeled[:, index].argmax()],
            f"{names[index]}, labeled in {labeled[:, index].sum()} of "
            f"{len(table)} rows",
        )
        for index in np.flatnonzero(labeled.any(0))
    ]
    cells = np.empty(len(table), object)
    cells[:] = list(landmarks[:, seen])
    return dataclasses.replace(
        annotations,
        table=table.assign(landmarks=cells),
        vocabulary=annotations.vocabulary.with_landmarks(
            np.flatnonzero(seen).tolist()
        ),
        problems=annotations.problems + problems,
    )


def make_vocabulary(
    categories: tuple[str, ...],
    attributes: tuple[str, ...],
    groups: tuple[str, ...],
    with_landmarks: bool,
) -> Vocabulary:
    """Builds a vocabulary with the eight landmarks, or with none."""
    return Vocabulary(
        categories,
        attributes,
        groups,
        LANDMARKS if with_landmarks else (),
        LANDMARK_PAIRS if with_landmarks else (),
    )


def label_frequencies(annotations: Annotations, split: str) -> dict:
    """Returns the frequency of each label in a split, the baseline for labels.

    Returns:
        dict of `category` (C,) and `attributes` (A,): the fraction of labeled
        images that have each label.
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
