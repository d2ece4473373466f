"""Takes single photographs out of records again, to look at."""

import dataclasses
from pathlib import Path

import tensorflow as tf

from pipelines.examples import parse
from pipelines.records import Records


@dataclasses.dataclass(frozen=True)
class Sample:
    """A photograph taken out of records.

    Args:
        path: the JPEG file.
        box: the garment, x1, y1, x2, y2 in pixels.
    """

    path: Path
    box: tuple[float, float, float, float]


def extract_samples(
    records: Records, split: str, count: int, folder: Path
) -> list[Sample]:
    """Writes photographs from all over a split into JPEG files.

    Args:
        records: where to take them from.
        split: which split.
        count: how many; fewer if the split has fewer.
        folder: made if it is missing; files are named `00.jpg` and so on.
    """
    total = records.images[split]
    count = min(count, total)
    wanted = {index * total // count for index in range(count)}
    files = [str(records.folder / name) for name in records.shards[split]]
    folder.mkdir(parents=True, exist_ok=True)
    step = parse(records.vocabulary)
    samples = []
    for index, record in enumerate(tf.data.TFRecordDataset(files)):
        if index not in wanted:
            continue
        example = step({"serialized": record})
        path = folder / f"{len(samples):02d}.jpg"
        path.write_bytes(example["encoded"].numpy())
        box = tuple(map(float, example["window"].numpy()))
        samples.append(Sample(path, box))
    return samples
