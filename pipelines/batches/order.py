"""Records of a split in the order that batches have them.

Several processes that train one network share each batch: of `count`
processes, process `index` takes the elements `index`, `index + count` and so
on. Which images a batch has does not depend on their number, and each
reads only what it needs, as far as the shards allow: their order is woven of
eight lanes, each with shards of its own, so that one, two, four or eight
processes read whole lanes, and more of them share lanes.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from pipelines.records import Records

# As images are shuffled undecoded, this many take some 80 MB.
_SHUFFLE = 4096
# Files that are read at a time.
_OPEN = 8
_LANES = 8
# Share of the images that lanes may leave out, in each epoch others.
_LOSS = 0.02


class Part(NamedTuple):
    """The share of a process in each batch.

    Attributes:
        index: which process this is, from 0.
        count: how many there are.
    """

    index: int = 0
    count: int = 1


ALONE = Part()


def woven_images(records: Records, split: str) -> int:
    """Images that an epoch of `read_shuffled` has, of all processes together.

    Lanes end with the shortest: where shards differ, a few images are left
    out, in each epoch others.
    """
    lanes = _lanes(records, split)
    return lanes * _lane_images(records, split, lanes)


def read_in_order(records: Records, split: str) -> tf.data.Dataset:
    """Serialized records, shard by shard."""
    files = tf.data.Dataset.from_tensor_slices(_files(records, split))
    return files.flat_map(tf.data.TFRecordDataset)


def read_shuffled(
    records: Records, split: str, seed: tf.Tensor, part: Part | None = None
) -> tf.data.Dataset:
    """Serialized records of one epoch.

    Args:
        records: a folder of records.
        split: which split.
        seed: a scalar, int64; decides the order.
        part: a process's share, of `woven_images`; all of the split if None.
    """
    files = _files(records, split)
    lanes = _lanes(records, split) if part else 1
    if lanes == 1:
        shuffled = _shuffled(tf.constant(files), len(files), seed, _SHUFFLE)
        return shuffled.shard(part.count, part.index) if part else shuffled
    images = _lane_images(records, split, lanes)
    # Processes that read the same lanes, and take what they weave in turns.
    together = math.gcd(part.count, lanes)
    mine = range(part.index % together, lanes, together)

    def lane(names: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset:
        shards = len(files) // lanes
        return _shuffled(
            names, shards, seed, _SHUFFLE // lanes, number + 1
        ).take(images)

    woven = tf.data.Dataset.from_tensor_slices(
        ([files[i::lanes] for i in mine], list(mine))
    ).interleave(lane, cycle_length=len(mine), block_length=1)
    return woven.shard(part.count // together, part.index // together)


def _files(records: Records, split: str) -> list[str]:
    return [str(records.folder / name) for name in records.shards[split]]


def _lanes(records: Records, split: str) -> int:
    """How many lanes there are; with 1 each process reads all shards."""
    if len(records.shards[split]) % _LANES:
        return 1
    woven = _LANES * _lane_images(records, split, _LANES)
    return _LANES if woven >= (1 - _LOSS) * records.images[split] else 1


def _lane_images(records: Records, split: str, lanes: int) -> int:
    counts = records.counts[split]
    return min(sum(counts[lane::lanes]) for lane in range(lanes))


def _shuffled(
    files: tf.Tensor,
    count: int,
    seed: tf.Tensor,
    size: int,
    lane: int | tf.Tensor = 0,
) -> tf.data.Dataset:
    # Shards first, then images, each with a seed of its own.
    dataset = tf.data.Dataset.from_tensor_slices(files)
    dataset = _shuffle(dataset, count, seed, lane)
    dataset = dataset.interleave(
        tf.data.TFRecordDataset, cycle_length=min(_OPEN, count)
    )
    return _shuffle(dataset, size, seed + 1, lane)


def _shuffle(
    dataset: tf.data.Dataset,
    size: int,
    seed: tf.Tensor,
    lane: int | tf.Tensor,
) -> tf.data.Dataset:
    """`Dataset.shuffle` with a seed that is a tensor.

    Itself it takes one too, but not where `tf.random.set_seed` was called.
    """
    element = dataset.element_spec
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=tf.constant(size, tf.int64),
        seed=seed,
        seed2=tf.cast(lane, tf.int64),
        reshuffle_each_iteration=False,
        output_types=[element.dtype],
        output_shapes=[element.shape],
    )
    return tf.data.experimental.from_variant(variant, element)
