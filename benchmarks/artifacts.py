"""What artifacts cost beside the network alone, at any size.

    python benchmarks/artifacts.py --image-size 224 --width 1

Weights are random: speed and size do not depend on them. Whatever is compared
takes turns within one run, so that a busy machine slows both alike; figures
are medians.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tabulate import tabulate

from afn_keras import build_afn
from afn_keras.loading import TrainedModel
from exports.saved_model.write import export_saved_model
from exports.tflite.write import KINDS
from exports.tflite.write import export_tflite
from pipelines.vocabulary import LANDMARK_PAIRS
from pipelines.vocabulary import LANDMARKS
from pipelines.vocabulary import Vocabulary

_BATCH = 8


def main() -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=9)
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
    trained = TrainedModel("random", model, vocabulary)
    weights = 4 * model.count_params()
    print(f"weights in float32: {weights / 1e6:.1f} MB\n")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _serving(trained, folder / "1", weights, options.repeats)
        _tflite(trained, folder, weights, options.repeats)


def _serving(
    trained: TrainedModel, folder: Path, weights: int, repeats: int
) -> None:
    photographs = _photographs(_BATCH)
    export_saved_model(trained, folder, photographs[0])
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    loaded = tf.saved_model.load(str(folder))
    side = trained.image_size
    network = tf.function(lambda image: trained.model(image, training=False))
    image = tf.random.uniform([_BATCH, side, side, 3], 0, 255)
    contents = tf.constant(photographs)
    boxes = tf.constant([[20.0, 20.0, 180.0, 280.0]] * _BATCH)
    seconds = _medians(
        {
            "network alone": lambda: network(image),
            "signature tensor": lambda: loaded.signatures["tensor"](
                image=image
            ),
            "signature serving_default": lambda: loaded.signatures[
                "serving_default"
            ](image_bytes=contents),
            "signature boxes": lambda: loaded.signatures["boxes"](
                image_bytes=contents, boxes=boxes
            ),
        },
        repeats,
    )
    alone = seconds["network alone"]
    rows = [
        (name, 1000 * value, value / alone) for name, value in seconds.items()
    ]
    header = (f"SavedModel, batch of {_BATCH}", "ms", "of the network's time")
    print(tabulate(rows, header, "github", floatfmt=("", ".0f", ".3f")))
    print(f"\nfolder: {size / weights:.4f} of the weights in float32\n")


def _tflite(
    trained: TrainedModel, folder: Path, weights: int, repeats: int
) -> None:
    side = trained.image_size
    images = np.random.default_rng(0).uniform(0, 255, (4, side, side, 3))
    images = images.astype(np.float32)
    paths = {kind: folder / f"afn_{kind}.tflite" for kind in KINDS}
    for kind, path in paths.items():
        export_tflite(trained, path, kind, images)
    seconds = {}
    for threads in (1, 2):
        calls = {}
        for kind, path in paths.items():
            interpreter = Interpreter(str(path), num_threads=threads)
            runner = interpreter.get_signature_runner()
            image = images[:1]
            if kind == "int8":
                image = np.rint(image).astype(np.uint8)
            calls[kind] = lambda run=runner, image=image: run(image=image)
        seconds[threads] = _medians(calls, repeats)
    rows = [
        (
            kind,
            path.stat().st_size / weights,
            *(1000 * seconds[threads][kind] for threads in (1, 2)),
            *(
                seconds[threads]["float32"] / seconds[threads][kind]
                for threads in (1, 2)
            ),
        )
        for kind, path in paths.items()
    ]
    header = (
        *("TFLite, one image", "of the weights", "ms, 1 thread"),
        *("ms, 2 threads", "times as fast, 1 thread", "2 threads"),
    )
    floats = ("", ".3f", ".1f", ".1f", ".2f", ".2f")
    print(tabulate(rows, header, "github", floatfmt=floats))


def _photographs(count: int) -> list[bytes]:
    """JPEGs of the benchmark's size, of clouds as hard to decode as cloth."""
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (30, 20, 3), np.uint8)
        image = cv2.resize(coarse, (200, 300), interpolation=cv2.INTER_CUBIC)
        noise = rng.normal(0, 6, image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
        contents.append(cv2.imencode(".jpg", image)[1].tobytes())
    return contents


def _medians(
    calls: dict[str, Callable[[], object]], repeats: int
) -> dict[str, float]:
    """Median seconds of each call; they take turns."""
    for call in calls.values():
        call()
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
