"""How near predicting a folder comes to the network's own speed.

    python benchmarks/predicting.py PHOTOGRAPHS
    python benchmarks/predicting.py PHOTOGRAPHS --image-size 96 --width 0.25

The network alone is asked about batches that lie ready; `Predictor.stream`
reads, checks, decodes and crops the images meanwhile. Both in turns,
since the machine may have other work, each turn from a standing start; the
ratio is of sums.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np

from afn_keras.loading import TrainedModel
from afn_keras.network import build_afn
from afn_keras.prediction.cropping import crop
from afn_keras.prediction.inputs import list_images
from afn_keras.prediction.predictor import Predictor
from pipelines.vocabulary import LANDMARK_PAIRS
from pipelines.vocabulary import LANDMARKS
from pipelines.vocabulary import Vocabulary


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", help="folder of images")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    vocabulary = Vocabulary(
        tuple(f"category {i}" for i in range(46)),
        tuple(f"attribute {i}" for i in range(1000)),
        ("style",) * 1000,
        LANDMARKS,
        LANDMARK_PAIRS,
    )
    model = build_afn(
        vocabulary, image_size=options.image_size, width=options.width
    )
    predictor = Predictor(TrainedModel("benchmark", model, vocabulary))
    listed = list(list_images([options.photographs]))
    listed = list(itertools.islice(itertools.cycle(listed), options.count))
    size = options.batch_size
    ready = np.stack(
        [crop(item.image, options.image_size).image for item in listed[:size]]
    )
    ask = predictor.model.predict_images
    for _ in range(2):
        ask(ready)
    # Whole batches in each turn.
    turn = -(-len(listed) // options.turns // size) * size
    alone = streamed = 0.0
    for first in range(0, len(listed), turn):
        part = listed[first : first + turn]
        start = time.perf_counter()
        for _ in range(-(-len(part) // size)):
            ask(ready)
        middle = time.perf_counter()
        assert sum(1 for _ in predictor.stream(part, size)) == len(part)
        alone += middle - start
        streamed += time.perf_counter() - middle
    done = len(listed)
    start = time.process_time()
    for item in listed[:200]:
        crop(item.image, options.image_size)
    single = 1e3 * (time.process_time() - start) / min(200, len(listed))
    side, folder = options.image_size, Path(options.photographs).name
    print(
        f"{len(listed)} images of {folder}, {side}x{side}, width "
        f"{options.width:g}\n"
        f"network alone      {done / alone:8.1f} a second\n"
        f"predicted          {done / streamed:8.1f} a second, "
        f"{alone / streamed:.3f} of it\n"
        f"an image to be read, checked, decoded and cropped: "
        f"{single:.2f} ms of one core"
    )


if __name__ == "__main__":
    main()
