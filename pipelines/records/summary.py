"""Summarizes records in tables for people to read."""

from collections import Counter

import numpy as np
import pandas as pd
import tensorflow as tf
from tabulate import tabulate

from pipelines.annotations import OCCLUDED
from pipelines.annotations import TRUNCATED
from pipelines.annotations import VISIBLE
from pipelines.records.manifest import Records
from pipelines.records.parse import parse_record

_LABELS = ("category", "attributes", "visibility", "size", "window")
_FREQUENT = 10


def describe(records: Records) -> str:
    """Counts all labels, without decoding an image.

    Returns:
        Markdown tables of images by split and category, visibility by
        landmark, attributes, sizes and problems, as far as the data has them.
    """
    labels = {split: _labels(records, split) for split in records.images}
    parts = [_images(records, labels)]
    if records.vocabulary.attributes:
        parts.append(_attributes(records, labels))
    if records.vocabulary.landmarks:
        parts.append(_landmarks(records, labels))
    parts += [_sizes(labels), _problems(records)]
    return "\n\n".join(parts)


def _labels(records: Records, split: str) -> dict[str, np.ndarray]:
    step = parse_record(records.vocabulary)

    def labels(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        example = step({"serialized": serialized})
        return {name: example[name] for name in _LABELS}

    files = [str(records.folder / name) for name in records.shards[split]]
    dataset = tf.data.TFRecordDataset(files).batch(256)
    batches = list(dataset.map(labels).as_numpy_iterator())
    return {
        name: np.concatenate([batch[name] for batch in batches])
        for name in _LABELS
    }


def _images(records: Records, labels: dict) -> str:
    names = records.vocabulary.categories
    # The last column counts images without a category.
    counts = np.stack(
        [
            np.bincount(
                np.where(
                    values["category"] < 0, len(names), values["category"]
                ).astype(int),
                minlength=len(names) + 1,
            )
            for values in labels.values()
        ]
    )
    order = np.argsort(-counts[:, :-1].sum(0), kind="stable")
    rows = [[names[i], *counts[:, i]] for i in order]
    if names and counts[:, -1].any():
        rows.append(["(no category)", *counts[:, -1]])
    rows.append(["all", *counts.sum(1)])
    return _table(["images", *labels], rows)


def _attributes(records: Records, labels: dict) -> str:
    names = records.vocabulary.attributes
    rows = []
    for split, values in labels.items():
        has = (values["attributes"] == 1).sum(1)
        unknown = (values["attributes"] < 0).mean()
        rows.append(
            [split, f"{has.mean():.2f}", has.max(), f"{100 * unknown:.0f}%"]
        )
    table = _table(["attributes an image", "mean", "most", "unknown"], rows)
    counts = sum(
        (values["attributes"] == 1).sum(0) for values in labels.values()
    )
    order = np.argsort(-counts, kind="stable")[:_FREQUENT]
    frequent = ", ".join(f"{names[i]} {counts[i]}" for i in order if counts[i])
    return (
        f"{table}\n\nMost frequent attributes: {frequent}. "
        f"{(counts == 0).sum()} of {len(names)} never occur."
    )


def _landmarks(records: Records, labels: dict) -> str:
    visibility = np.concatenate(
        [values["visibility"] for values in labels.values()]
    )
    rows = [
        [
            name.replace("_", " "),
            *(
                (visibility[:, index] == kind).sum()
                for kind in (VISIBLE, OCCLUDED, TRUNCATED)
            ),
        ]
        for index, name in enumerate(records.vocabulary.landmarks)
    ]
    return _table(["landmark", "visible", "occluded", "truncated"], rows)


def _sizes(labels: dict) -> str:
    sizes = np.concatenate([values["size"] for values in labels.values()])
    boxes = np.concatenate([values["window"] for values in labels.values()])
    rows = []
    for name, sides in (
        ("image", sizes),
        ("box", boxes[:, 2:] - boxes[:, :2]),
    ):
        for index, side in enumerate(("width", "height")):
            values = sides[:, index]
            numbers = (values.min(), np.median(values), values.max())
            rows.append(
                [f"{name}'s {side}", *(f"{number:.0f}" for number in numbers)]
            )
    return _table(["pixels", "least", "median", "most"], rows)


def _problems(records: Records) -> str:
    path = records.folder / "problems.csv"
    if not path.is_file():
        return "Problems: not listed."
    actions = Counter(pd.read_csv(path)["action"])
    if not actions:
        return "Problems: none."
    rows = [[action, count] for action, count in actions.most_common()]
    return _table(["problems", "images"], rows)


def _table(header: list[str], rows: list[list]) -> str:
    return tabulate(
        rows,
        header,
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * (len(header) - 1)),
    )
