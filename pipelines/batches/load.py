"""Loads batches from records with tf.data."""

from pathlib import Path

import tensorflow as tf

from pipelines.batches.augmentation import Augmentation
from pipelines.batches.geometry import place_landmarks
from pipelines.batches.geometry import show_box
from pipelines.batches.order import ALONE
from pipelines.batches.order import Part
from pipelines.batches.order import read_in_order
from pipelines.batches.order import read_shuffled
from pipelines.batches.order import woven_images
from pipelines.batches.relabel import relabel
from pipelines.batches.render import decode_crop
from pipelines.batches.render import plan_crop
from pipelines.batches.render import render
from pipelines.errors import InputError
from pipelines.images import decode_window
from pipelines.images import resample
from pipelines.records import Records
from pipelines.records import load_records
from pipelines.records import parse_record
from pipelines.steps import Example
from pipelines.steps import Step
from pipelines.steps import chances
from pipelines.vocabulary import Vocabulary

# Examples that `plan` handles at a time; results do not depend on it.
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
    whole: bool = False,
    part: Part = ALONE,
    vocabulary: Vocabulary | None = None,
) -> tf.data.Dataset:
    """Loads batches of one split for `model.fit` and `model.evaluate`.

    Args:
        records: a folder of records.
        split: "train", "val" or "test".
        image_size: side of the images in pixels.
        batch_size: images per batch; the last batch may have fewer.
        training: shuffle, anew in each epoch. Otherwise, batches are in the
            order of the records.
        augmentation: augmentation of the images, or None.
        seed: seed of shuffling and augmentation; the same seed gives the same
            batches.
        epochs: epochs of training to give, without a pause between them. Each
            depends only on the seed and its number, so training can resume
            at any epoch. All batches are full; the images left over differ
            from epoch to epoch. `epoch_steps` returns the number of batches.
            None gives one epoch, another one each time it is iterated.
        whole: fill up the last batch with images without labels, so that all
            batches have the same size; scores stay the same.
        part: share of each batch to give, if several processes train one
            network: with `epochs`, or with `whole` and without `training`.
        vocabulary: names that number the labels, if not those of the records;
            see `relabel`.

    Returns:
        A dataset of `(image, targets)`: image (B, image_size, image_size, 3)
        float32 RGB 0..255, and a dict of targets for the tasks that the
        vocabulary has:
        `heatmaps` (B, L, 3) float32, landmarks as x, y in 0..1 of the crop
        (pixel centers at (i + 0.5) / W) and 1 if the landmark counts, else 0;
        `category` (B,) int32, -1 unknown;
        `attributes` (B, A) float32 of 1, 0 and -1 unknown.

    Raises:
        InputError: if the records hold no image of the split.
        ValueError: if a batch cannot be divided evenly.
    """
    shared = epochs or (whole and not training)
    if batch_size % part.count or (part.count > 1 and not shared):
        raise ValueError(f"a batch of {batch_size} for {part}")
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
        whole,
        part,
        vocabulary,
    ).values()
    # TensorFlow cannot know the number of batches.
    batches = -(-records.images[split] // batch_size)
    if epochs is not None:
        batches = len(epochs) * epoch_steps(records, split, batch_size)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    return dataset.prefetch(tf.data.AUTOTUNE)


def load_encoded(
    records: Records,
    split: str,
    batch_size: int,
    vocabulary: Vocabulary | None = None,
) -> tf.data.Dataset:
    """Loads batches of encoded images, for models that decode them.

    Args:
        records: records to read.
        split: "train", "val" or "test".
        batch_size: images per batch; the last batch may have fewer.
        vocabulary: as in `load_split`.

    Returns:
        A dataset of `(encoded, boxes, targets)` in record order: (B,) JPEG or
        PNG bytes, (B, 4) float32 x1, y1, x2, y2 in pixels of the upright
        image, and targets as in `load_split`.

    Raises:
        InputError: if the records hold no image of the split.
    """
    check_split(records, split)
    dataset = read_in_order(records, split).batch(batch_size)
    dataset = dataset.map(lambda record: {"serialized": record})
    planned = dataset.map(plan(records.vocabulary, 0, None, vocabulary))
    return planned.map(
        lambda example: (
            example["encoded"],
            example["window"],
            example["targets"],
        )
    )


def epoch_steps(records: Records, split: str, batch_size: int) -> int:
    """Returns the batches per epoch of `load_split` with `epochs`."""
    return max(1, woven_images(records, split) // batch_size)


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
    whole: bool = False,
    part: Part = ALONE,
    vocabulary: Vocabulary | None = None,
) -> dict[str, tf.data.Dataset]:
    """Returns the stages of `load_split`, each a dataset made from the last.

    Numbers are computed in blocks, since a step costs nearly the same for many
    images as for one. Images are decoded one by one, since their sizes differ,
    and rendered in batches again.
    """
    result = {}
    if epochs is not None:
        batch_size = min(batch_size, woven_images(records, split))

    def epoch(order: tf.Tensor) -> tf.data.Dataset:
        if training:
            share = None if epochs is None else part
            dataset = read_shuffled(records, split, order, share)
            dataset = dataset.map(lambda record: {"serialized": record})
        else:
            dataset = read_in_order(records, split)
            dataset = dataset.map(lambda record: {"serialized": record})
            if whole:
                dataset = _fill(dataset, records.images[split], batch_size)
            dataset = dataset.shard(part.count, part.index)
        if augmentation is not None:
            chance = chances(order + 2).shard(part.count, part.index)
            dataset = tf.data.Dataset.zip(dataset, chance)
            dataset = dataset.map(
                lambda example, chance: example | {"chance": chance}
            )
        if epochs is not None:
            steps = epoch_steps(records, split, batch_size)
            dataset = dataset.take(steps * batch_size // part.count)
        return dataset

    dataset = _orders(seed, epochs).flat_map(epoch)
    result["read"] = dataset = dataset.batch(_BLOCK)
    step = plan(records.vocabulary, image_size, augmentation, vocabulary)
    result["plan"] = dataset = dataset.map(step, tf.data.AUTOTUNE)
    batch_size //= part.count
    result |= draw(dataset, image_size, augmentation, batch_size)
    return result


def draw(
    planned: tf.data.Dataset,
    image_size: int,
    augmentation: Augmentation | None,
    batch_size: int,
) -> dict[str, tf.data.Dataset]:
    """Decodes and resamples blocks of examples from `plan`.

    Without augmentation, images go through `images.resampling`, as in
    prediction.

    Returns:
        The stages `decode` and `render`; the latter yields batches of
        `(image, targets)`.
    """
    examples = planned.unbatch()
    if augmentation is not None:
        decoded = examples.map(decode_crop, tf.data.AUTOTUNE)
        decoded = decoded.padded_batch(batch_size)
        step = render(image_size)
        rendered = decoded.map(
            lambda example: (step(example)["image"], example["targets"]),
            tf.data.AUTOTUNE,
        )
        return {"decode": decoded, "render": rendered}

    def decode(example: Example) -> tuple[tf.Tensor, tf.Tensor, dict]:
        names = ("encoded", "orientation", "size", "window")
        part, inside = decode_window(
            *(example[name] for name in names), image_size
        )
        return part, inside, example["targets"]

    decoded = examples.map(decode, tf.data.AUTOTUNE)
    rendered = decoded.map(
        lambda part, inside, targets: (
            resample(part, inside, image_size),
            targets,
        ),
        tf.data.AUTOTUNE,
    )
    return {"decode": decoded, "render": rendered.batch(batch_size)}


def _orders(seed: int, epochs: range | None) -> tf.data.Dataset:
    """Returns a seed for each epoch."""
    if epochs is None:
        # A new seed each time the dataset is iterated.
        return tf.data.Dataset.random(
            seed, rerandomize_each_iteration=True
        ).take(1)
    numbers = tf.data.Dataset.range(epochs.start, epochs.stop)
    return numbers.map(
        lambda number: tf.random.stateless_uniform(
            [], tf.stack([tf.cast(seed, tf.int64), number]), 0, 2**31, tf.int64
        )
    )


def _fill(
    dataset: tf.data.Dataset, images: int, batch_size: int
) -> tf.data.Dataset:
    """Repeats the first images until all batches are full."""
    filled = dataset.repeat().take(-(-images // batch_size) * batch_size)
    return filled.enumerate().map(
        lambda i, example: example | {"known": i < images}
    )


def plan(
    vocabulary: Vocabulary,
    image_size: int,
    augmentation: Augmentation | None,
    wanted: Vocabulary | None = None,
) -> Step:
    """Parses examples and computes all but pixels, before images are decoded.

    Keeps only features that `draw` needs, and adds `targets`. These are labels
    of the `wanted` vocabulary, if it is given.
    """
    steps: list[Step] = [parse_record(vocabulary), show_box]
    kept = ["encoded", "orientation"]
    if wanted is not None and wanted != vocabulary:
        steps.append(relabel(vocabulary, wanted))
        vocabulary = wanted
    if augmentation is not None:
        steps += augmentation.steps()
        steps += [place_landmarks(vocabulary), plan_crop(image_size)]
        kept += ["crop", "halvings", "matrix", "color", "erased", "fill"]
    else:
        steps.append(place_landmarks(vocabulary))
        kept += ["size", "window"]

    def step(example: Example) -> Example:
        for step in steps:
            example = step(example)
        result = {name: example[name] for name in kept if name in example}
        return result | {"targets": targets(vocabulary, example)}

    return step


def targets(vocabulary: Vocabulary, example: Example) -> dict[str, tf.Tensor]:
    """Returns targets for the tasks that the vocabulary has.

    An example whose `known` is false has no labels.
    """
    result = {}
    known = tf.convert_to_tensor(example.get("known", True))
    if vocabulary.landmarks:
        points = example["landmarks"]
        inside = tf.reduce_all((points >= 0) & (points < 1), -1)
        counts = example["visible"] & inside & known[..., None]
        counts = tf.cast(counts, tf.float32)
        # The place of a landmark that does not count must have no effect.
        points = tf.where(counts[..., None] > 0, points, 0.0)
        result["heatmaps"] = tf.concat([points, counts[..., None]], -1)
    if vocabulary.categories:
        category = tf.cast(example["category"], tf.int32)
        result["category"] = tf.where(known, category, -1)
    if vocabulary.attributes:
        attributes = tf.cast(example["attributes"], tf.float32)
        result["attributes"] = tf.where(known[..., None], attributes, -1.0)
    return result
