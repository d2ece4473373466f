"""Scores a trained network on the labels of one split."""

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import get_args

import numpy as np
from tqdm import tqdm

from afn_keras.data_warnings import score_warnings
from afn_keras.data_warnings import synthetic_warning
from afn_keras.metrics import AreaUnderCurve
from afn_keras.metrics import AttributeRecall
from afn_keras.metrics import CorrectKeypoints
from afn_keras.metrics import NormalizedError
from afn_keras.metrics import Protocol
from afn_keras.metrics import TopKAccuracy
from afn_keras.metrics import group_columns
from afn_keras.outputs import ImageModel
from afn_keras.training_data import TrainingData
from pipelines.batches import load_encoded
from pipelines.batches import load_split
from pipelines.errors import InputError
from pipelines.records import Records
from pipelines.vocabulary import Vocabulary

# Images that are scored together: calling a metric costs as much as computing
# it for some hundred images.
_BLOCK = 512


def evaluate(
    model: ImageModel,
    records: Records,
    split: str,
    batch_size: int = 32,
    protocol: Protocol = "corrected",
    on_batch: Callable[[dict, dict], None] | None = None,
    published: bool = False,
    trained_on: TrainingData | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Scores a network and the baseline on a split.

    Computes the errors of visible landmarks inside the box, in units of the
    box's sides, averaged per landmark and then over landmarks; category top-k;
    attribute recall@k by group and over all attributes.

    Args:
        model: the network, or an artifact of it.
        records: the data. All its labels must be among the network's, by
            name; labels that only the network has are unknown.
        split: the split to score.
        batch_size: images per batch; does not affect scores.
        protocol: "corrected" or "released", see `NormalizedError`.
        on_batch: called with the targets and predictions of each batch, in the
            order of the records.
        published: show the published rows beside these scores even if the data
            are not the benchmark.
        trained_on: the data the network was trained on, if known.
        progress: show a progress bar on a terminal.

    Returns:
        The content of `evaluation.json`: fractions, None where the data has no
        such labels. `baseline` has the scores of always predicting the mean
        landmark and the most frequent labels of the train split: that of the
        data or, if they have none, of the data the network was trained on.
        None if neither is known. `warnings` lists the scores that mean little.

    Raises:
        InputError: if the data has labels that the network does not have, or
            the split has no image.
        ValueError: if there is no such protocol.
    """
    if protocol not in get_args(Protocol):
        raise ValueError(
            f"protocol must be one of {get_args(Protocol)}: {protocol!r}"
        )
    vocabulary, size = model.vocabulary, model.image_size
    _check_vocabulary(vocabulary, records)
    network = Scores(vocabulary, protocol, size)
    baseline = _baseline(records, vocabulary, trained_on)
    baseline_scores = Scores(vocabulary, protocol, size)
    images = 0
    bar = tqdm(
        desc="evaluating",
        total=records.images.get(split),
        unit=" images",
        disable=None if progress else True,
    )
    for targets, predictions in _predict(model, records, split, batch_size):
        network.update(targets, predictions)
        if on_batch:
            on_batch(targets, predictions)
        count = len(next(iter(targets.values())))
        if baseline:
            baseline_scores.update(
                targets,
                {
                    name: np.repeat(value[None], count, axis=0)
                    for name, value in baseline.items()
                },
            )
        images += count
        bar.update(count)
    bar.close()
    result = network.result()
    baseline = baseline_scores.result() if baseline else None
    warnings = score_warnings(vocabulary)
    synthetic = synthetic_warning(trained_on)
    if synthetic and records.origin != "synthetic":
        warnings.append(synthetic)
    if result["landmarks"]:
        result["landmarks"] = {
            "ne": result["landmarks"]["ne"],
            "baseline_ne": baseline and baseline["landmarks"]["ne"],
            **result["landmarks"],
        }
    return {
        "protocol": protocol,
        "split": split,
        "images": images,
        "published": published or records.origin == "deepfashion",
        "warnings": warnings,
        **result,
        "baseline": baseline,
    }


class Scores:
    """All metrics of the tasks that a vocabulary has.

    Args:
        vocabulary: names of the labels.
        protocol: the protocol for landmarks.
        image_size: side of the network's input in pixels.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        protocol: Protocol = "corrected",
        image_size: int = 224,
    ) -> None:
        self.vocabulary = vocabulary
        self._waiting: list[tuple[dict, dict]] = []
        count = len(vocabulary.landmarks)
        settings = {"protocol": protocol, "image_size": image_size}
        self.landmarks = [
            NormalizedError(count, **settings),
            CorrectKeypoints(0.1, count, **settings),
            CorrectKeypoints(0.2, count, **settings),
            AreaUnderCurve(0.2, count, **settings),
        ]
        self.category = [TopKAccuracy(k) for k in (1, 3, 5)]
        columns = {"all": None, **group_columns(vocabulary)}
        self.recall = {
            f"recall@{k}": {
                group: AttributeRecall(k, chosen)
                for group, chosen in columns.items()
            }
            for k in (1, 3, 5)
        }

    def update(self, targets: dict, predictions: dict) -> None:
        """Adds a batch.

        Args:
            targets: as in `load_split`, in NumPy.
            predictions: returned by `ImageModel.predict_images`.
        """
        self._waiting.append((targets, predictions))
        if sum(len(next(iter(t.values()))) for t, _ in self._waiting) >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        targets, predictions = (
            {
                name: np.concatenate([part[name] for part in parts])
                for name in parts[0]
            }
            for parts in zip(*self._waiting, strict=True)
        )
        self._waiting.clear()
        for metric in self.landmarks if "heatmaps" in targets else ():
            metric.update_state(targets["heatmaps"], predictions["landmarks"])
        for metric in self.category if "category" in targets else ():
            metric.update_state(targets["category"], predictions["category"])
        if "attributes" in targets:
            for groups in self.recall.values():
                for metric in groups.values():
                    metric.update_state(
                        targets["attributes"], predictions["attributes"]
                    )

    def result(self) -> dict[str, Any]:
        """Returns the scores of all batches, as in `evaluation.json`.

        None for a task without any labels.
        """
        self._flush()
        error, *others = self.landmarks
        landmarks = {
            "ne": _number(error.result()),
            "per_landmark": dict(
                zip(
                    self.vocabulary.landmarks,
                    map(_number, error.ratios()),
                    strict=True,
                )
            ),
            **{other.name: _number(other.result()) for other in others},
        }
        category = {
            metric.name: _number(metric.result()) for metric in self.category
        }
        attributes = {
            name: {
                group: _number(metric.result())
                for group, metric in groups.items()
            }
            for name, groups in self.recall.items()
        }
        known = {
            "landmarks": landmarks["ne"],
            "category": category["top1"],
            "attributes": attributes["recall@5"]["all"],
        }
        scores = {
            "landmarks": landmarks,
            "category": category,
            "attributes": attributes,
        }
        return {
            task: None if known[task] is None else scores[task]
            for task in scores
        }


def _predict(
    model: ImageModel, records: Records, split: str, batch_size: int
) -> Iterator[tuple[dict, dict]]:
    """Yields targets and predictions of each batch.

    A model that decodes images itself gets files, as when it is served.
    """
    vocabulary = model.vocabulary
    if model.predict_encoded is not None:
        for encoded, boxes, targets in load_encoded(
            records, split, batch_size, vocabulary
        ):
            predictions = model.predict_encoded(encoded.numpy(), boxes.numpy())
            yield {name: x.numpy() for name, x in targets.items()}, predictions
        return
    data = load_split(
        records,
        split,
        image_size=model.image_size,
        batch_size=batch_size,
        vocabulary=vocabulary,
    )
    for image, targets in data:
        predictions = model.predict_images(image.numpy())
        yield {name: x.numpy() for name, x in targets.items()}, predictions


def _baseline(
    records: Records, vocabulary: Vocabulary, trained_on: TrainingData | None
) -> dict[str, np.ndarray] | None:
    """Returns the baseline's predictions, in the form of the network's.

    None if the baseline of any task is unknown.
    """
    baseline, names = records.baseline, records.vocabulary
    if not _is_whole(baseline, names) and trained_on:
        baseline, names = trained_on.baseline, vocabulary
    if not _is_whole(baseline, names):
        return None
    # Labels that only the network has are not scored, so any value will do.
    points = dict(
        zip(names.landmarks, baseline["landmarks"] or (), strict=True)
    )
    category = dict(zip(names.categories, baseline["category"], strict=True))
    attributes = dict(
        zip(names.attributes, baseline["attributes"], strict=True)
    )
    return {
        "landmarks": np.array(
            [points.get(name, (0.5, 0.5)) for name in vocabulary.landmarks],
            np.float32,
        ),
        "category": np.array(
            [category.get(name, 0) for name in vocabulary.categories],
            np.float32,
        ),
        "attributes": np.array(
            [attributes.get(name, 0) for name in vocabulary.attributes],
            np.float32,
        ),
    }


def _is_whole(baseline: dict[str, Any] | None, vocabulary: Vocabulary) -> bool:
    if baseline is None:
        return False
    points = baseline["landmarks"]
    if vocabulary.landmarks and (points is None or None in points):
        return False
    # All zeros: a train split without such labels.
    return all(
        any(baseline[task])
        for task, names in (
            ("category", vocabulary.categories),
            ("attributes", vocabulary.attributes),
        )
        if names
    )


def _check_vocabulary(vocabulary: Vocabulary, records: Records) -> None:
    for what in ("categories", "attributes", "landmarks"):
        known = getattr(vocabulary, what)
        names = getattr(records.vocabulary, what)
        other = [name for name in names if name not in set(known)]
        if other:
            more = f" and {len(other) - 3} more" if len(other) > 3 else ""
            raise InputError(
                f"{records.folder}: the model was not trained on the {what} "
                f"{', '.join(other[:3])}{more}; evaluate it on data without "
                "them"
            )


def _number(value: Any) -> float | None:
    value = float(value)
    return None if np.isnan(value) else value
