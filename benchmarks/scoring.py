"""How long the metrics take for a split of the full benchmark.

    python benchmarks/scoring.py

Random answers and labels of 40,000 images with 8 landmarks, 46 categories and
1,000 attributes in 5 groups, scored as `evaluate` does: NE, PCK, AUC, top-k,
recall@k over all and by group. No network and no image.
"""

import argparse
import time

import numpy as np

from afn_keras.evaluation.scores import Scores
from pipelines.vocabulary import LANDMARKS
from pipelines.vocabulary import Vocabulary

_GROUPS = ("texture", "fabric", "shape", "part", "style")
# Some three of a thousand attributes are present in an image.
_PRESENT = 0.003


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--attributes", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    count, labels = options.images, options.attributes
    random = np.random.default_rng(0)
    vocabulary = Vocabulary(
        tuple(f"category {i}" for i in range(46)),
        tuple(f"attribute {i}" for i in range(labels)),
        tuple(_GROUPS[i % 5] for i in range(labels)),
        LANDMARKS,
    )
    targets = {
        "heatmaps": random.random((count, 8, 3), np.float32),
        "category": random.integers(0, 46, count, np.int32),
        "attributes": np.float32(random.random((count, labels)) < _PRESENT),
    }
    answers = {
        "landmarks": random.random((count, 8, 2), np.float32),
        "category": random.random((count, 46), np.float32),
        "attributes": random.random((count, labels), np.float32),
    }
    scores = Scores(vocabulary)
    start = time.perf_counter()
    for first in range(0, count, options.batch_size):
        batch = slice(first, first + options.batch_size)
        scores.update(
            {name: value[batch] for name, value in targets.items()},
            {name: value[batch] for name, value in answers.items()},
        )
    result = scores.result()
    seconds = time.perf_counter() - start
    print(f"{count} images, {labels} attributes: {seconds:.1f} s")
    # Chance: k of the attributes are guessed.
    print(
        f"recall@3 over all {result['attributes']['recall@3']['all']:.4f}, "
        f"by chance {3 / labels:.4f}"
    )


if __name__ == "__main__":
    main()
