"""The annotation table: what every reader returns and records are made from."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.problems import Problem
from pipelines.vocabulary import LANDMARK_PAIRS
from pipelines.vocabulary import LANDMARKS
from pipelines.vocabulary import Vocabulary

SPLITS = ("train", "val", "test")

UNKNOWN = -1
"""In `category`, `attributes` and a landmark's visibility: not labelled."""

VISIBLE = 0
OCCLUDED = 1
TRUNCATED = 2

BOX = ["x1", "y1", "x2", "y2"]


@dataclasses.dataclass
class Annotations:
    """Labels of one data set, from whichever layout they were read.

    Args:
        folder: folder that the image paths are relative to.
        table: one row an image, with columns
            `image`: path of the photograph, relative to `folder`;
            `split`: "train", "val" or "test";
            `category`: int, `UNKNOWN` if there is none;
            `x1`, `y1`, `x2`, `y2`: the garment's box in pixels, 0-based and
            half-open; NaN if there is none: the whole photograph counts;
            `landmarks`: (L, 3) float32 of x, y and visibility. x and y are
            0-based pixel indices, so the first pixel's centre is 0.0;
            `attributes`: (A,) int8 of 1, 0 and `UNKNOWN`;
            `source`: file and line that the row came from, for messages.
        vocabulary: the names of the labels.
        problems: what the reader found wrong, and mended.
    """

    folder: Path
    table: pd.DataFrame
    vocabulary: Vocabulary
    problems: list[Problem] = dataclasses.field(default_factory=list)


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


def mean_landmarks(annotations: Annotations, split: str) -> list | None:
    """Where each landmark lies on average, in units of the box.

    It is the guess that a network has to beat: `afn-evaluate` prints the
    error of always answering it beside the network's own.

    Returns:
        (L, 2) nested list of x, y, null for a landmark never visible with a
        box around it; None if the data has no landmarks.
    """
    if not annotations.vocabulary.landmarks:
        return None
    table = annotations.table
    table = table[(table["split"] == split) & table["x1"].notna()]
    if not len(table):
        return None
    landmarks = np.stack(table["landmarks"].to_list())
    box = table[BOX].to_numpy(np.float64)
    points = (landmarks[..., :2] + 0.5 - box[:, None, :2]) / (
        box[:, None, 2:] - box[:, None, :2]
    )
    counts = landmarks[..., 2] == VISIBLE
    counts &= ((points >= 0) & (points < 1)).all(-1)
    return [
        points[counts[:, index], index].mean(0).tolist()
        if counts[:, index].any()
        else None
        for index in range(landmarks.shape[1])
    ]


def label_frequencies(annotations: Annotations, split: str) -> dict:
    """How often each label occurs, the guess of one who never looks.

    Returns:
        dict of `category`, (C,) and `attributes`, (A,): the fraction of the
        labelled images of the split that carry each label.
    """
    table = annotations.table[annotations.table["split"] == split]
    vocabulary = annotations.vocabulary
    category = table["category"].to_numpy()
    counts = np.bincount(
        category[category >= 0], minlength=len(vocabulary.categories)
    )
    attributes = np.stack(
        table["attributes"].to_list()
        or [[UNKNOWN] * len(vocabulary.attributes)]
    )
    known = np.maximum((attributes >= 0).sum(0), 1)
    return {
        "category": (counts / max(counts.sum(), 1)).tolist(),
        "attributes": ((attributes == 1).sum(0) / known).tolist(),
    }
