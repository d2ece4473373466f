"""Judging: a trained network against the labels of one split."""

from collections.abc import Callable
from typing import Any
from typing import get_args

import numpy as np

from afn_keras.answers import Answering
from afn_keras.metrics import AreaUnderCurve
from afn_keras.metrics import AttributeRecall
from afn_keras.metrics import CorrectKeypoints
from afn_keras.metrics import NormalizedError
from afn_keras.metrics import Protocol
from afn_keras.metrics import TopKAccuracy
from afn_keras.metrics import group_columns
from pipelines.batches import load_split
from pipelines.errors import InputError
from pipelines.records import Records
from pipelines.vocabulary import Vocabulary

# Images that are scored together: a call of a metric costs as much as the
# arithmetic of some hundred.
_BLOCK = 512


def evaluate(
    answering: Answering,
    records: Records,
    split: str,
    batch_size: int = 32,
    protocol: Protocol = "corrected",
    watch: Callable[[dict, dict], None] | None = None,
    published: bool = False,
) -> dict[str, Any]:
    """Scores a network on a split, and the guesses it has to beat.

    Errors of visible landmarks inside the box, in units of the box's sides,
    averaged per landmark and then over landmarks; category top-k; attribute
    recall@k by group and over all.

    Args:
        answering: the network, or an artifact of it.
        records: the data, with the same vocabulary.
        split: which split to score.
        batch_size: images a batch; it changes no score.
        protocol: "corrected", or "released" as `NormalizedError` says.
        watch: is called with the targets and answers of each batch, in the
            order of the records.
        published: say that the published rows belong beside these scores,
            also where the data are not the benchmark's.

    Returns:
        What `evaluation.json` holds: fractions, None where the data has no
        such labels. `guess` has the scores of always answering with the mean
        landmark and the most frequent labels of the training split.

    Raises:
        InputError: if the vocabularies differ or the split has no image.
        ValueError: if there is no such protocol.
    """
    if protocol not in get_args(Protocol):
        raise ValueError(
            f"protocol must be one of {get_args(Protocol)}: {protocol!r}"
        )
    _check_vocabulary(answering.vocabulary, records)
    data = load_split(
        records, split, image_size=answering.image_size, batch_size=batch_size
    )
    size = answering.image_size
    network = Scores(answering.vocabulary, protocol, size)
    guess = Scores(answering.vocabulary, protocol, size)
    images = 0
    for image, targets in data:
        answers = answering.answer(image.numpy())
        targets = {name: value.numpy() for name, value in targets.items()}
        network.update(targets, answers)
        if watch:
            watch(targets, answers)
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
        "protocol": protocol,
        "split": split,
        "images": images,
        "published": published or records.origin == "deepfashion",
        **result,
        "guess": guessed,
    }


class Scores:
    """All metrics of the tasks that a vocabulary has.

    Args:
        vocabulary: names of the labels.
        protocol: how landmarks are judged.
        image_size: side of the network's images in pixels.
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
        judged = {"protocol": protocol, "image_size": image_size}
        self.landmarks = [
            NormalizedError(count, **judged),
            CorrectKeypoints(0.1, count, **judged),
            CorrectKeypoints(0.2, count, **judged),
            AreaUnderCurve(0.2, count, **judged),
        ]
        self.category = [TopKAccuracy(k) for k in (1, 3, 5)]
        columns = {"all": None, **group_columns(vocabulary)}
        self.recall = {
            f"recall@{k}": {
                group: AttributeRecall(k, chosen)
                for group, chosen in columns.items()
            }
            for k in (3, 5)
        }

    def update(self, targets: dict, answers: dict) -> None:
        """Adds a batch.

        Args:
            targets: as `load_split` gives them, in NumPy.
            answers: as `Answering.answer` gives them.
        """
        self._waiting.append((targets, answers))
        if sum(len(next(iter(t.values()))) for t, _ in self._waiting) >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        targets, answers = (
            {
                name: np.concatenate([part[name] for part in parts])
                for name in parts[0]
            }
            for parts in zip(*self._waiting, strict=True)
        )
        self._waiting.clear()
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
        """The scores of all batches, as `evaluation.json` has them."""
        self._flush()
        error, *others = self.landmarks
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
                **{other.name: _number(other.result()) for other in others},
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
