"""Judging: a trained network against the labels of one split."""

from typing import Any

import numpy as np

from afn_keras.answers import Answering
from afn_keras.metrics import AttributeRecall
from afn_keras.metrics import CorrectKeypoints
from afn_keras.metrics import NormalizedError
from afn_keras.metrics import TopKAccuracy
from pipelines.batches import load_split
from pipelines.errors import InputError
from pipelines.records import Records
from pipelines.vocabulary import Vocabulary

PROTOCOL = "corrected"


def evaluate(
    answering: Answering, records: Records, split: str, batch_size: int = 32
) -> dict[str, Any]:
    """Scores a network on a split, and the guesses it has to beat.

    The corrected protocol: errors of visible landmarks inside the box, in
    units of the box's sides, averaged per landmark and then over landmarks;
    category top-k; attribute recall@k by group and over all.

    Args:
        answering: the network, or an artifact of it.
        records: the data, with the same vocabulary.
        split: which split to score.
        batch_size: images a batch; it changes no score.

    Returns:
        What `evaluation.json` holds: fractions, None where the data has no
        such labels. `guess` has the scores of always answering with the mean
        landmark and the most frequent labels of the training split.

    Raises:
        InputError: if the vocabularies differ or the split has no image.
    """
    _check_vocabulary(answering.vocabulary, records)
    data = load_split(
        records, split, image_size=answering.image_size, batch_size=batch_size
    )
    network = _Scores(answering.vocabulary)
    guess = _Scores(answering.vocabulary)
    images = 0
    for image, targets in data:
        answers = answering.answer(image.numpy())
        targets = {name: value.numpy() for name, value in targets.items()}
        network.update(targets, answers)
        guess.update(targets, _guesses(records, len(image)))
        images += len(image)
    guessed = guess.result()
    result = network.result()
    if result["landmarks"]:
        result["landmarks"] = {
            "ne": result["landmarks"]["ne"],
            "mean_guess_ne": guessed["landmarks"]["ne"],
            **result["landmarks"],
        }
    return {
        "protocol": PROTOCOL,
        "split": split,
        "images": images,
        **result,
        "guess": guessed,
    }


class _Scores:
    """All metrics of the tasks that a vocabulary has."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        count = len(vocabulary.landmarks)
        self.landmarks = [NormalizedError(count), CorrectKeypoints(0.1, count)]
        self.category = [TopKAccuracy(k) for k in (1, 3, 5)]
        groups = np.array(vocabulary.attribute_groups)
        columns = {"all": None}
        for group in vocabulary.groups:
            columns[group] = np.flatnonzero(groups == group)
        self.recall = {
            f"recall@{k}": {
                group: AttributeRecall(k, chosen)
                for group, chosen in columns.items()
            }
            for k in (3, 5)
        }

    def update(self, targets: dict, answers: dict) -> None:
        for metric in self.landmarks if "heatmaps" in targets else ():
            metric.update_state(targets["heatmaps"], answers["landmarks"])
        for metric in self.category if "category" in targets else ():
            metric.update_state(targets["category"], answers["category"])
        if "attributes" in targets:
            for groups in self.recall.values():
                for metric in groups.values():
                    metric.update_state(
                        targets["attributes"], answers["attributes"]
                    )

    def result(self) -> dict[str, Any]:
        error, correct = self.landmarks
        landmarks = category = attributes = None
        if self.vocabulary.landmarks:
            landmarks = {
                "ne": _number(error.result()),
                "per_landmark": dict(
                    zip(
                        self.vocabulary.landmarks,
                        map(_number, error.ratios()),
                        strict=True,
                    )
                ),
                correct.name: _number(correct.result()),
            }
        if self.vocabulary.categories:
            category = {
                metric.name: _number(metric.result())
                for metric in self.category
            }
        if self.vocabulary.attributes:
            attributes = {
                name: {
                    group: _number(metric.result())
                    for group, metric in groups.items()
                }
                for name, groups in self.recall.items()
            }
        return {
            "landmarks": landmarks,
            "category": category,
            "attributes": attributes,
        }


def _guesses(records: Records, images: int) -> dict[str, np.ndarray]:
    """What is answered without looking, in the network's own form."""
    guess = records.guess
    middle = [0.5, 0.5]
    points = [point or middle for point in guess["landmarks"] or ()]
    points = points or [middle] * len(records.vocabulary.landmarks)
    single = {
        "landmarks": np.array(points, np.float32),
        "category": np.array(guess["category"], np.float32),
        "attributes": np.array(guess["attributes"], np.float32),
    }
    return {
        name: np.repeat(value[None], images, axis=0)
        for name, value in single.items()
    }


def _check_vocabulary(vocabulary: Vocabulary, records: Records) -> None:
    for what in ("categories", "attributes", "landmarks"):
        mine = getattr(vocabulary, what)
        theirs = getattr(records.vocabulary, what)
        if mine != theirs:
            raise InputError(
                f"{records.folder}: its {len(theirs)} {what} are not the "
                f"{len(mine)} that the model was trained on; evaluate it on "
                "data with the same labels"
            )


def _number(value: Any) -> float | None:
    value = float(value)
    return None if np.isnan(value) else value
