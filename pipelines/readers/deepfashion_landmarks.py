"""Reads the DeepFashion Fashion Landmark Detection Benchmark (FLD).

As downloaded: `Anno/list_bbox.txt`, `Anno/list_landmarks.txt`,
`Eval/list_eval_partition.txt` and the images. It labels landmarks alone, by
rows like those of the coarse annotation, but for a second number: behind the
clothes type stands the variation type (1 to 3 normal, medium and large pose,
4 and 5 medium and large zoom-in), of which nothing is made here.
"""

from pathlib import Path

import numpy as np

from pipelines.annotations import SPLITS
from pipelines.annotations import UNKNOWN
from pipelines.annotations import Annotations
from pipelines.annotations import make_table
from pipelines.annotations import make_vocabulary
from pipelines.problem_log import ProblemLog
from pipelines.readers.checks import fix_boxes
from pipelines.readers.checks import fix_landmarks
from pipelines.readers.deepfashion_coarse import FOLDERS
from pipelines.readers.deepfashion_coarse import check_landmark_rows
from pipelines.readers.deepfashion_coarse import landmarks_of
from pipelines.readers.deepfashion_coarse import match_rows
from pipelines.readers.deepfashion_names import PLACES
from pipelines.readers.text_rows import read_rows

_ANNO = FOLDERS[0]


def is_landmark_benchmark(folder: Path) -> bool:
    """Returns whether `folder` has landmarks and no list of other labels."""
    anno = folder / _ANNO
    return (anno / "list_landmarks.txt").is_file() and not (
        any(anno.glob("list_category_*")) or any(anno.glob("list_attr_*"))
    )


def read_landmark_benchmark(folder: Path, log: ProblemLog) -> Annotations:
    """Reads a benchmark folder.

    Pixels count from 1 and boxes include their last row and column, as in the
    coarse annotation. An image that one of the three files lacks, or has in a
    row that does not parse, is left out.

    Raises:
        InputError: naming file and line, if a file is missing or does not
            begin as it should.
    """
    anno = folder / _ANNO
    split = read_rows(
        folder / "Eval" / "list_eval_partition.txt", log, [1], SPLITS
    )
    box = read_rows(anno / "list_bbox.txt", log, [4])
    packed = read_rows(
        anno / "list_landmarks.txt",
        log,
        [2 + 3 * len(places) for places in PLACES.values()],
    )
    packed.values = np.delete(packed.values, 1, axis=1)
    check_landmark_rows(packed, log)
    images = match_rows([split, box, packed], log)
    boxes, usable = fix_boxes(box.values, 1, images, box.source, log)
    landmarks = landmarks_of(packed)
    fix_landmarks(landmarks, boxes, 1, images, packed.source, log)
    rows = np.flatnonzero(usable)
    table = make_table(
        images[rows],
        [SPLITS[int(place)] for place in split.values[rows, 0]],
        [split.source(row) for row in rows],
        np.full(len(rows), UNKNOWN),
        boxes[rows],
        landmarks[rows],
        np.zeros((len(rows), 0), np.int8),
    )
    vocabulary = make_vocabulary((), (), (), with_landmarks=True)
    return Annotations(folder, table, vocabulary, log.problems)
