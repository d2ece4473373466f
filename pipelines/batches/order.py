"""Reads records of a split in the order of batches, in one or more processes.

Processes that train one network share each batch: of `count` processes,
process `index` takes the elements `index`, `index + count` and so on. The
images of a batch do not depend on `count`. To let each process read as little
as possible, the order interleaves eight lanes, each with shards of its own:
one, two, four or eight processes read whole lanes, more processes share lanes.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from pipelines.records import Records

# So many encoded images take about 80 MB.
_SHUFFLE = 4096
# Files to read at a time.
_OPEN = 8
_LANES = 8
# Largest fraction of images that lanes may leave out of an epoch.
_LOSS = 0.02


class Part(NamedTuple):
    """The share of a process in each batch.

    Attributes:
        index: number of the process, from 0.
        count: number of processes.
    """

    index: int = 0
    count: int = 1


ALONE = Part()


def woven_images(records: Records, split: str) -> int:
    """Returns the images in an epoch of `read_shuffled`, over all processes.

    All lanes end with the shortest one. If shards differ, a few images are
    left out, others in each epoch.
    """
    lanes = _lanes(records, split)
    return lanes * _lane_images(records, split, lanes)


def read_in_order(records: Records, split: str) -> tf.data.Dataset:
    """Reads serialized records, shard by shard."""
    files = tf.data.Dataset.from_tensor_slices(_files(records, split))
    return files.flat_map(tf.data.TFRecordDataset)


def read_shuffled(
    records: Records, split: str, seed: tf.Tensor, part: Part | None = None
) -> tf.data.Dataset:
    """Reads serialized records of one epoch, shuffled.

    Args:
        records: a folder of records.
        split: name of the split.
        seed: int64 scalar that determines the order.
        part: share of a process in `woven_images`; the whole split if None.
    """
    files = _files(records, split)
    lanes = _lanes(records, split) if part else 1
    if lanes == 1:
        shuffled = _shuffled(tf.constant(files), len(files), seed, _SHUFFLE)
        return shuffled.shard(part.count, part.index) if part else shuffled
    images = _lane_images(records, split, lanes)
    # Lanes are divided among so many groups of processes; the processes of a
    # group read the same lanes, and take records in turns.
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
    """Returns the number of lanes; with 1, each process reads all shards."""
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
    """Does `Dataset.shuffle` with a seed that is a tensor.

    `Dataset.shuffle` fails with one after `tf.random.set_seed` was called.
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
