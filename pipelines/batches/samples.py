"""Extracts single images from records, to look at."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from pipelines.annotations import BOX
from pipelines.batches.augmentation import Augmentation
from pipelines.batches.load import check_split
from pipelines.batches.load import draw
from pipelines.batches.load import plan
from pipelines.records import Records
from pipelines.records import parse_record
from pipelines.steps import chances
from pipelines.vocabulary import Vocabulary

SAMPLES = "samples.csv"


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image extracted from records.

    Args:
        path: path of the JPEG or PNG.
        box: the garment's x1, y1, x2, y2 in pixels.
    """

    path: Path
    box: tuple[float, float, float, float]


def extract_samples(
    records: Records, split: str, count: int, folder: Path
) -> list[Sample]:
    """Writes images, evenly spread over a split, to files.

    Args:
        records: records to read.
        split: name of the split.
        count: number of images; fewer if the split has fewer.
        folder: folder for `00.jpg` or `00.png` and so on, and for a table of
            them with their boxes, `samples.csv`; made if it is missing.
    """
    total = records.images[split]
    count = min(count, total)
    wanted = {index * total // count for index in range(count)}
    files = [str(records.folder / name) for name in records.shards[split]]
    folder.mkdir(parents=True, exist_ok=True)
    step = parse_record(records.vocabulary)
    samples = []
    for index, record in enumerate(tf.data.TFRecordDataset(files)):
        if index not in wanted:
            continue
        example = step({"serialized": record})
        encoded = example["encoded"].numpy()
        suffix = "png" if encoded.startswith(b"\x89PNG") else "jpg"
        path = folder / f"{len(samples):02d}.{suffix}"
        path.write_bytes(encoded)
        box = tuple(map(float, example["window"].numpy()))
        samples.append(Sample(path, box))
    rows = [(sample.path.name, *sample.box) for sample in samples]
    pd.DataFrame(rows, columns=["image", *BOX]).to_csv(
        folder / SAMPLES, index=False, float_format="%g"
    )
    return samples


def draw_lots(
    records: Records, split: str, count: int, seed: int
) -> list[bytes]:
    """Returns random serialized examples of a split.

    Args:
        records: records to read.
        split: name of the split.
        count: number of examples; fewer if the split has fewer.
        seed: seed of the choice.

    Raises:
        InputError: if the records hold no image of the split.
    """
    check_split(records, split)
    total = records.images[split]
    lots = np.random.default_rng(seed).permutation(total)[:count]
    return examples_at(records, split, lots.tolist())


def examples_at(
    records: Records, split: str, indices: Sequence[int]
) -> list[bytes]:
    """Returns serialized examples by their index in a split.

    Args:
        records: records to read.
        split: name of the split.
        indices: indices from 0, in the order of `load_split`.
    """
    wanted = set(indices)
    files = [str(records.folder / name) for name in records.shards[split]]
    found = {}
    for index, record in enumerate(tf.data.TFRecordDataset(files)):
        if index in wanted:
            found[index] = record.numpy()
            if len(found) == len(wanted):
                break
    return [found[index] for index in indices]


def augment(
    serialized: list[bytes],
    vocabulary: Vocabulary,
    image_size: int,
    augmentation: Augmentation | None,
    seed: int,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns image and targets of examples, as in a batch of `load_split`."""
    examples = tf.data.Dataset.zip(
        tf.data.Dataset.from_tensor_slices(serialized), chances(seed)
    ).map(lambda record, chance: {"serialized": record, "chance": chance})
    examples = examples.batch(len(serialized))
    planned = examples.map(plan(vocabulary, image_size, augmentation))
    stages = draw(planned, image_size, augmentation, len(serialized))
    ((image, targets),) = stages["render"]
    return image.numpy(), {name: x.numpy() for name, x in targets.items()}
