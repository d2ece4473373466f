"""Records to batches: the tf.data pipeline that training reads."""

from pathlib import Path

import tensorflow as tf

from pipelines.augmentation import Augmentation
from pipelines.errors import InputError
from pipelines.examples import parse
from pipelines.geometry import place_landmarks
from pipelines.geometry import show_box
from pipelines.records import Records
from pipelines.records import load_records
from pipelines.rendering import decode_crop
from pipelines.rendering import plan_crop
from pipelines.rendering import render
from pipelines.steps import Example
from pipelines.steps import Step
from pipelines.steps import chances
from pipelines.vocabulary import Vocabulary

# As photographs are shuffled undecoded, this many take some 80 MB.
_SHUFFLE = 4096
# Images whose numbers are worked out together; it changes none of them.
_BLOCK = 128


def load_split(
    records: Records | Path,
    split: str,
    *,
    image_size: int = 224,
    batch_size: int = 16,
    training: bool = False,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    epochs: range | None = None,
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
        epochs: give these epochs of the training, one after another without
            a pause between them. Each depends on the seed and its number
            alone, so that training goes on where it stopped, and has whole
            batches only: what is left over differs from epoch to epoch.
            `epoch_steps` says how many. None gives one epoch, another one
            each time it is iterated.

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
    check_split(records, split)
    *_, dataset = stages(
        records,
        split,
        image_size,
        batch_size,
        training,
        augmentation,
        seed,
        epochs,
    ).values()
    # Neither shards nor shuffling say how many there are, so say it for them.
    batches = -(-records.images[split] // batch_size)
    if epochs is not None:
        batches = len(epochs) * epoch_steps(records, split, batch_size)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    return dataset.prefetch(tf.data.AUTOTUNE)


def epoch_steps(records: Records, split: str, batch_size: int) -> int:
    """Batches of an epoch, where `load_split` gives several."""
    return max(1, records.images[split] // batch_size)


def check_split(records: Records, split: str) -> None:
    """Raises InputError unless the records hold images of the split."""
    if not records.images.get(split):
        raise InputError(
            f"{records.folder}: no image of the split {split}; it has "
            f"{', '.join(records.images)}"
        )


def stages(
    records: Records,
    split: str,
    image_size: int,
    batch_size: int,
    training: bool,
    augmentation: Augmentation | None,
    seed: int,
    epochs: range | None = None,
) -> dict[str, tf.data.Dataset]:
    """The stages of `load_split`, each a data set made from the one before.

    All that is numbers goes in blocks, where a step costs nearly the same for
    many images as for one. Photographs are decoded one by one, as they are of
    different sizes, and drawn in batches again.
    """
    result = {}
    if epochs is not None:
        batch_size = min(batch_size, records.images[split])

    def epoch(order: tf.Tensor) -> tf.data.Dataset:
        dataset = _read(records, split, training, order)
        dataset = dataset.map(lambda record: {"serialized": record})
        if augmentation is not None:
            dataset = tf.data.Dataset.zip(dataset, chances(order + 2))
            dataset = dataset.map(
                lambda example, chance: example | {"chance": chance}
            )
        if epochs is not None:
            steps = epoch_steps(records, split, batch_size)
            dataset = dataset.take(steps * batch_size)
        return dataset

    dataset = _orders(seed, epochs).flat_map(epoch)
    result["read"] = dataset = dataset.batch(_BLOCK)
    step = plan(records.vocabulary, image_size, augmentation)
    result["plan"] = dataset = dataset.map(step, tf.data.AUTOTUNE)
    dataset = dataset.unbatch().map(decode_crop, tf.data.AUTOTUNE)
    result["decode"] = dataset = dataset.padded_batch(batch_size)
    draw = render(image_size)
    result["render"] = dataset.map(
        lambda example: (draw(example)["image"], example["targets"]),
        tf.data.AUTOTUNE,
    )
    return result


def _orders(seed: int, epochs: range | None) -> tf.data.Dataset:
    """A seed for each epoch."""
    if epochs is None:
        # Another number each time the dataset is iterated.
        return tf.data.Dataset.random(
            seed, rerandomize_each_iteration=True
        ).take(1)
    numbers = tf.data.Dataset.range(epochs.start, epochs.stop)
    return numbers.map(
        lambda number: tf.random.stateless_uniform(
            [], tf.stack([tf.cast(seed, tf.int64), number]), 0, 2**31, tf.int64
        )
    )


def _read(
    records: Records, split: str, training: bool, order: tf.Tensor
) -> tf.data.Dataset:
    files = [str(records.folder / name) for name in records.shards[split]]
    dataset = tf.data.Dataset.from_tensor_slices(files)
    if not training:
        return dataset.flat_map(tf.data.TFRecordDataset)
    # Shards first, then photographs, each with a seed of its own.
    dataset = _shuffle(dataset, len(files), order)
    dataset = dataset.interleave(
        tf.data.TFRecordDataset, cycle_length=min(8, len(files))
    )
    return _shuffle(dataset, _SHUFFLE, order + 1)


def _shuffle(
    dataset: tf.data.Dataset, size: int, seed: tf.Tensor
) -> tf.data.Dataset:
    """`Dataset.shuffle` with a seed that is a tensor.

    Itself it takes one too, but not where `tf.random.set_seed` was called.
    """
    element = dataset.element_spec
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=tf.constant(size, tf.int64),
        seed=seed,
        seed2=tf.constant(0, tf.int64),
        reshuffle_each_iteration=False,
        output_types=[element.dtype],
        output_shapes=[element.shape],
    )
    return tf.data.experimental.from_variant(variant, element)


def plan(
    vocabulary: Vocabulary, image_size: int, augmentation: Augmentation | None
) -> Step:
    """All that is decided of examples before a photograph is decoded.

    Keeps what `decode_crop` and `render` need, and adds `targets`.
    """
    steps: list[Step] = [parse(vocabulary), show_box]
    if augmentation is not None:
        steps += augmentation.steps()
    steps += [place_landmarks(vocabulary), plan_crop(image_size)]
    kept = ("encoded", "crop", "halvings", "matrix", "colour", "erased", "fill")

    def step(example: Example) -> Example:
        for step in steps:
            example = step(example)
        result = {name: example[name] for name in kept if name in example}
        return result | {"targets": targets(vocabulary, example)}

    return step


def targets(vocabulary: Vocabulary, example: Example) -> dict[str, tf.Tensor]:
    """What the network should answer, for the tasks the vocabulary has."""
    result = {}
    if vocabulary.landmarks:
        points = example["landmarks"]
        inside = tf.reduce_all((points >= 0) & (points < 1), -1)
        counts = tf.cast(example["visible"] & inside, tf.float32)
        # Where a landmark does not count, its place must not matter either.
        points = tf.where(counts[..., None] > 0, points, 0.0)
        result["heatmaps"] = tf.concat([points, counts[..., None]], -1)
    if vocabulary.categories:
        result["category"] = tf.cast(example["category"], tf.int32)
    if vocabulary.attributes:
        result["attributes"] = tf.cast(example["attributes"], tf.float32)
    return result
