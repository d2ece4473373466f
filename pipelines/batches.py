"""Records to batches: the tf.data pipeline that training reads."""

from pathlib import Path

import tensorflow as tf

from pipelines.augmentation import Augmentation
from pipelines.augmentation import Example
from pipelines.augmentation import Step
from pipelines.augmentation import show
from pipelines.errors import InputError
from pipelines.examples import parse
from pipelines.records import Records
from pipelines.records import load_records
from pipelines.vocabulary import Vocabulary

# As photographs are shuffled undecoded, this many take some 80 MB.
_SHUFFLE = 4096


def load_split(
    records: Records | Path,
    split: str,
    *,
    image_size: int = 224,
    batch_size: int = 16,
    training: bool = False,
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> tf.data.Dataset:
    """Batches of one split, as `model.fit` and `model.evaluate` take them.

    Args:
        records: a folder of records.
        split: "train", "val" or "test".
        image_size: side of the images in pixels.
        batch_size: images a batch; the last may have fewer.
        training: shuffle, anew in each epoch. Otherwise in record order.
        augmentation: how training images are varied; not at all if None.
        seed: of shuffling and augmentation; the same seed gives the same
            batches.

    Returns:
        A dataset of `(image, targets)`: image (B, image_size, image_size, 3)
        float32 RGB 0..255, and a dict of those of these three that the
        vocabulary has:
        `heatmaps` (B, L, 3) float32, landmarks as x, y in 0..1 of the crop
        (pixel centres at (i + 0.5) / W) and 1 where it counts, 0 where not;
        `category` (B,) int32, -1 unknown;
        `attributes` (B, A) float32 of 1, 0 and -1 unknown.

    Raises:
        InputError: if the records hold no image of the split.
    """
    if not isinstance(records, Records):
        records = load_records(records)
    if not records.images.get(split):
        raise InputError(
            f"{records.folder}: no image of the split {split}; it has "
            f"{', '.join(records.images)}"
        )
    files = [str(records.folder / name) for name in records.shards[split]]
    dataset = tf.data.Dataset.from_tensor_slices(files)
    if training:
        # Shards first, then photographs, each with a seed of its own.
        dataset = dataset.shuffle(len(files), seed=seed)
        dataset = dataset.interleave(
            tf.data.TFRecordDataset, cycle_length=min(8, len(files))
        )
        dataset = dataset.shuffle(_SHUFFLE, seed=seed + 1)
    else:
        dataset = dataset.flat_map(tf.data.TFRecordDataset)

    steps: list[Step] = [parse(records.vocabulary)]
    if augmentation is not None:
        steps += augmentation.window_steps()
    steps.append(show(records.vocabulary, image_size))
    if augmentation is not None:
        steps += augmentation.colour_steps()
    chance = tf.data.Dataset.random(
        seed=seed + 2, rerandomize_each_iteration=True
    )

    def example(serialized: tf.Tensor, number: tf.Tensor) -> tuple:
        result = {
            "serialized": serialized,
            "seed": tf.cast(number % 2**31, tf.int32),
        }
        for step in steps:
            result = step(result)
        return result["image"], targets(records.vocabulary, result)

    dataset = tf.data.Dataset.zip(dataset, chance)
    dataset = dataset.map(example, tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(batch_size)
    # Neither shards nor shuffling say how many there are, so say it for them.
    batches = -(-records.images[split] // batch_size)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    return dataset.prefetch(tf.data.AUTOTUNE)


def targets(vocabulary: Vocabulary, example: Example) -> dict[str, tf.Tensor]:
    """What the network should answer, for the tasks the vocabulary has."""
    result = {}
    if vocabulary.landmarks:
        points = example["landmarks"]
        inside = tf.reduce_all((points >= 0) & (points < 1), -1)
        counts = tf.cast(example["visible"] & inside, tf.float32)
        # Where a landmark does not count, its place must not matter either.
        points = tf.where(counts[:, None] > 0, points, 0.0)
        result["heatmaps"] = tf.concat([points, counts[:, None]], -1)
    if vocabulary.categories:
        result["category"] = tf.cast(example["category"], tf.int32)
    if vocabulary.attributes:
        attributes = tf.cast(example["attributes"], tf.float32)
        attributes = tf.ensure_shape(attributes, [len(vocabulary.attributes)])
        result["attributes"] = attributes
    return result
