"""How fast the input pipeline is, against decoding the same JPEGs alone.

All figures of one run are taken in turns, several times over, so that
whatever else the machine does meets all of them alike; what is printed is the
median of the ratios within a turn. Where others use the machine, the CPU time
an image tells more than the clock does.

The first row is tf.io.decode_jpeg with its defaults (the fast transform), the
second the accurate transform that the pipeline uses.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python benchmarks/input_speed.py --turns 5",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="benchmark folder, labels file or records (default: drawn)",
    )
    parser.add_argument("--split", default="train")
    parser.add_argument("--images", type=int, default=2500, help="to draw")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    # TensorFlow counts the cores it may use once, when it starts.
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    os.sched_setaffinity(0, cores)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as scratch:
        _run(options, Path(scratch), len(cores))


def _run(options: argparse.Namespace, scratch: Path, cores: int) -> None:
    from tabulate import tabulate

    from pipelines.open_data import open_records
    from pipelines.synthetic.benchmark import draw_benchmark

    data = options.data
    if data is None:
        data = scratch / "drawn"
        draw_benchmark(data, options.images, seed=0)
    records = open_records(data, scratch / "records", [options.split])
    images = records.images[options.split]
    candidates = _candidates(records, options)
    seconds = {name: [] for name in candidates}
    work = {name: [] for name in candidates}
    for turn in range(options.turns + 1):
        for name, dataset in candidates.items():
            start, busy = time.perf_counter(), time.process_time()
            iterator = iter(dataset)
            for _ in iterator:
                pass
            seconds_taken = time.perf_counter() - start
            work_done = time.process_time() - busy
            # Not on the clock: it may wait half a second for TensorFlow's
            # autotuner to wake up, whatever the pipeline.
            del iterator
            if turn:  # The first builds graphs and fills caches.
                seconds[name].append(seconds_taken)
                work[name].append(work_done)
    (baseline, *_) = seconds.values()
    rows = []
    for name, times in seconds.items():
        ratios = [b / t for b, t in zip(baseline, times, strict=True)]
        rows.append(
            [
                name,
                images / statistics.median(times),
                1e3 * statistics.median(work[name]) / images,
                statistics.median(ratios),
                min(ratios),
                max(ratios),
            ]
        )
    print(
        f"{images} images, {cores} cores, {options.image_size} pixels, "
        f"batches of {options.batch_size}, {options.turns} turns"
    )
    header = ["", "images/s", "CPU ms an image", "ratio", "least", "most"]
    digits = ("", ".0f", ".2f", ".2f", ".2f", ".2f")
    print(tabulate(rows, header, "github", floatfmt=digits))


def _candidates(records: Any, options: argparse.Namespace) -> dict[str, Any]:
    import tensorflow as tf

    from pipelines.batches.augmentation import Augmentation
    from pipelines.batches.load import load_split
    from pipelines.batches.load import stages
    from pipelines.images.jpeg import EXACT
    from pipelines.records.parse import parse_record

    files = [
        str(records.folder / name) for name in records.shards[options.split]
    ]
    step = parse_record(records.vocabulary)
    jpegs = tf.constant(
        [
            step({"serialized": record})["encoded"].numpy()
            for record in tf.data.TFRecordDataset(files)
        ]
    )

    def decoding(decode: Callable) -> tf.data.Dataset:
        dataset = tf.data.Dataset.from_tensor_slices(jpegs)
        # Only the size leaves, in batches: handing each image to Python
        # would take as long as decoding it, and flatter the pipeline.
        dataset = dataset.map(
            lambda encoded: tf.size(decode(encoded)), tf.data.AUTOTUNE
        )
        return dataset.batch(options.batch_size).prefetch(tf.data.AUTOTUNE)

    everything = {
        "flip": True,
        "scale": 0.2,
        "shift": 0.1,
        "rotation": 15.0,
        "jitter": 0.05,
        "color": 0.3,
        "erasing": 0.4,
    }
    sizes = {"image_size": options.image_size, "batch_size": options.batch_size}

    def loading(**fields: Any) -> tf.data.Dataset:
        return load_split(
            records,
            options.split,
            training=bool(fields),
            augmentation=Augmentation(**fields) if fields else None,
            **sizes,
        )

    result = {
        "tf.io.decode_jpeg alone": decoding(tf.io.decode_jpeg),
        "  with the accurate transform": decoding(
            lambda encoded: tf.io.decode_jpeg(
                encoded, channels=3, dct_method=EXACT
            )
        ),
        "load_split, evaluation": loading(),
        "load_split, all augmentation": loading(**everything),
    }
    for title, training, augmentation in (
        ("evaluation", False, None),
        ("all augmentation", True, Augmentation(**everything)),
    ):
        parts = stages(
            records,
            options.split,
            training=training,
            augmentation=augmentation,
            seed=0,
            **sizes,
        )
        for name, dataset in parts.items():
            result[f"  {title}, up to {name}"] = dataset
    for name, value in everything.items():
        result[f"  {name} alone"] = loading(**{name: value})
    return result


if __name__ == "__main__":
    main()
