"""Takes single images out of records again, to look at."""

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
    """An image taken out of records.

    Args:
        path: the file, a JPEG or a PNG.
        box: the garment, x1, y1, x2, y2 in pixels.
    """

    path: Path
    box: tuple[float, float, float, float]


def extract_samples(
    records: Records, split: str, count: int, folder: Path
) -> list[Sample]:
    """Writes images from all over a split into files.

    Args:
        records: where to take them from.
        split: which split.
        count: how many; fewer if the split has fewer.
        folder: made if it is missing; files are named `00.jpg` or `00.png`
            and so on, and a table of them with their boxes `samples.csv`.
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
    """Serialized examples from all over a split, chosen by chance.

    Args:
        records: where to take them from.
        split: which split.
        count: how many; fewer if the split has fewer.
        seed: the same one chooses the same examples.

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
    """Serialized examples by their place in a split.

    Args:
        records: where to take them from.
        split: which split.
        indices: places from 0, in the order of `load_split`.
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
    """What a network is shown of examples, and what it should answer.

    Returns:
        image and targets, as a batch of `load_split`.
    """
    examples = tf.data.Dataset.zip(
        tf.data.Dataset.from_tensor_slices(serialized), chances(seed)
    ).map(lambda record, chance: {"serialized": record, "chance": chance})
    examples = examples.batch(len(serialized))
    planned = examples.map(plan(vocabulary, image_size, augmentation))
    stages = draw(planned, image_size, augmentation, len(serialized))
    ((image, targets),) = stages["render"]
    return image.numpy(), {name: x.numpy() for name, x in targets.items()}
