"""The paper's metrics, as Keras metrics: NE, top-k accuracy, recall@k.

Unknown labels are ignored; a metric without any known label is NaN, not 0.
"""

import math
from collections.abc import Sequence
from typing import Any
from typing import Literal

import numpy as np

from afn_keras.backend import keras
from afn_keras.backend import ops
from afn_keras.heatmaps import Decoding
from afn_keras.heatmaps import decode_heatmaps
from pipelines.vocabulary import Vocabulary

Protocol = Literal["corrected", "released"]


class _RatioMetric(keras.metrics.Metric):
    """Sums of hits or errors over counts, for one or several classes."""

    def __init__(self, size: int, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        # Not every accelerator has float64; float32 counts exactly to 16
        # million.
        self.total = self.add_weight(
            shape=(size,), initializer="zeros", name="total", dtype="float32"
        )
        self.count = self.add_weight(
            shape=(size,), initializer="zeros", name="count", dtype="float32"
        )

    def _add(self, hits: Any, counts: Any, sample_weight: Any) -> None:
        """Adds hits and counts, (B, size), with the images' weights, (B,)."""
        hits, counts = ops.cast(hits, "float32"), ops.cast(counts, "float32")
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            weight = ops.reshape(weight, (-1, 1))
            hits, counts = hits * weight, counts * weight
        self.total.assign_add(ops.sum(hits, axis=0))
        self.count.assign_add(ops.sum(counts, axis=0))

    def reset_state(self) -> None:
        """Resets sums and counts to 0."""
        for variable in (self.total, self.count):
            variable.assign(ops.zeros(variable.shape))

    def ratios(self) -> np.ndarray:
        """Returns the metric of each class; NaN without known labels."""
        count = ops.convert_to_numpy(self.count)
        total = ops.convert_to_numpy(self.total)
        return np.divide(
            total, count, out=np.full(count.shape, np.nan), where=count > 0
        )

    def result(self) -> Any:
        """Returns the mean over the classes with known labels."""
        known = self.count > 0
        ratio = self.total / ops.maximum(self.count, 1.0)
        number = ops.sum(ops.cast(known, "float32"))
        mean = ops.sum(ops.where(known, ratio, 0.0)) / ops.maximum(number, 1.0)
        return ops.where(number > 0, mean, float("nan"))


@keras.saving.register_keras_serializable("afn_keras")
class NormalizedError(_RatioMetric):
    """NE: distance of visible landmarks in units of the box's sides.

    Averaged per landmark (`ratios`), then over the landmarks (`result`).

    Args:
        num_landmarks: number of landmarks.
        decoding: how heatmaps are decoded.
        protocol: "corrected", or "released" to score as the authors' released
            evaluator: with pixel centers counted from 0, it divides
            predictions by W - 1 and the truth by W, a difference of 0.002 at
            224 pixels.
        image_size: W, for points; that of heatmaps is known.

    `update_state` takes `y_true` (B, L, 3) as x, y in 0..1 of the box and 1
    where it counts, and `y_pred` either heatmaps (B, H, W, L) or points
    (B, L, 2) in 0..1.
    """

    def __init__(
        self,
        num_landmarks: int = 8,
        name: str = "ne",
        *,
        decoding: Decoding = "subpixel",
        protocol: Protocol = "corrected",
        image_size: int = 224,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_landmarks, name, **kwargs)
        self.num_landmarks = num_landmarks
        self.decoding = decoding
        self.protocol = protocol
        self.image_size = image_size

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds a batch; every landmark of an image has the image's weight."""
        y_true = ops.cast(y_true, "float32")
        truth, counts = y_true[..., :2], y_true[..., 2]
        points, size = y_pred, self.image_size
        if len(y_pred.shape) == 4:
            points, _ = decode_heatmaps(y_pred, self.decoding)
            size = y_pred.shape[2]
        if self.protocol == "released":
            points = (points * size - 0.5) / (size - 1)
            truth = truth - 0.5 / size
        distance = ops.norm(points - truth, axis=-1)
        scores = ops.where(counts > 0, self.score(distance), 0.0)
        self._add(scores, counts, sample_weight)

    def score(self, distance: Any) -> Any:
        """Returns the value to average: the distance itself."""
        return distance

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "num_landmarks": self.num_landmarks,
            "decoding": self.decoding,
            "protocol": self.protocol,
            "image_size": self.image_size,
        }


@keras.saving.register_keras_serializable("afn_keras")
class CorrectKeypoints(NormalizedError):
    """PCK: share of visible landmarks whose distance is below a threshold.

    Args:
        threshold: in units of the box's sides.
        num_landmarks: number of landmarks.
        **kwargs: see `NormalizedError`.

    It is averaged and updated like `NormalizedError`.
    """

    def __init__(
        self,
        threshold: float = 0.1,
        num_landmarks: int = 8,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_landmarks, name or f"pck@{threshold}", **kwargs)
        self.threshold = threshold

    def score(self, distance: Any) -> Any:
        """Returns the value to average: 1 within the threshold, else 0."""
        return ops.cast(distance < self.threshold, "float32")

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "threshold": self.threshold}


@keras.saving.register_keras_serializable("afn_keras")
class AreaUnderCurve(NormalizedError):
    """AUC: area under PCK over thresholds from 0 to a limit, divided by it.

    A landmark at distance d is correct for the thresholds above d, so its
    share of the area is 1 - d / limit, or 0 beyond the limit: exact, without
    numerical integration.

    Args:
        limit: the largest threshold, in units of the box's sides.
        num_landmarks: number of landmarks.
        **kwargs: see `NormalizedError`.

    It is averaged and updated like `NormalizedError`.
    """

    def __init__(
        self,
        limit: float = 0.2,
        num_landmarks: int = 8,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_landmarks, name or f"auc@{limit}", **kwargs)
        self.limit = limit

    def score(self, distance: Any) -> Any:
        """Returns the value to average: the landmark's share of the area."""
        return ops.maximum(1 - distance / self.limit, 0.0)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "limit": self.limit}


@keras.saving.register_keras_serializable("afn_keras")
class TopKAccuracy(_RatioMetric):
    """Share of images whose category is among the k best.

    Args:
        k: number of best categories.

    `update_state` takes `y_true` (B,) integers, -1 unknown, and `y_pred`
    (B, C) logits or scores. Equal scores rank in the order of the vocabulary.
    """

    def __init__(self, k: int, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(1, name or f"top{k}", **kwargs)
        self.k = k

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds a batch, each image by its weight."""
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1, 1))
        known = ops.cast(labels[:, 0] >= 0, "float32")
        k = min(self.k, y_pred.shape[-1])
        _, best = ops.top_k(y_pred, k)
        hits = ops.any(ops.equal(ops.cast(best, "int32"), labels), axis=-1)
        hits = ops.cast(hits, "float32") * known
        self._add(hits[:, None], known[:, None], sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "k": self.k}


@keras.saving.register_keras_serializable("afn_keras")
class AttributeRecall(_RatioMetric):
    """recall@k: present attributes among the k best, over all present ones.

    Attributes that are unknown for an image are not among its k best.

    Args:
        k: number of best attributes, of those in `columns`.
        columns: indices of the attributes of one group; all if None.

    `update_state` takes `y_true` (B, A) of 1, 0 and -1 unknown, and `y_pred`
    (B, A) logits or scores.
    """

    def __init__(
        self,
        k: int,
        columns: Sequence[int] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(1, name or f"recall@{k}", **kwargs)
        self.k = k
        self.columns = None if columns is None else np.array(columns, "int32")

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds a batch; every label of an image has the image's weight."""
        if self.columns is not None:
            y_true = ops.take(y_true, self.columns, axis=-1)
            y_pred = ops.take(y_pred, self.columns, axis=-1)
        present = ops.cast(y_true > 0, "float32")
        k = min(self.k, y_pred.shape[-1])
        _, best = ops.top_k(ops.where(y_true < 0, -math.inf, y_pred), k)
        hits = ops.take_along_axis(present, ops.cast(best, "int32"), axis=-1)
        self._add(
            ops.sum(hits, axis=-1, keepdims=True),
            ops.sum(present, axis=-1, keepdims=True),
            sample_weight,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        columns = None if self.columns is None else self.columns.tolist()
        return {**super().get_config(), "k": self.k, "columns": columns}


def headline_metrics(
    vocabulary: Vocabulary, decoding: Decoding = "subpixel"
) -> dict[str, list]:
    """Returns the metrics to monitor in training, by the model's outputs."""
    metrics = {}
    if vocabulary.landmarks:
        metrics["heatmaps"] = [
            NormalizedError(len(vocabulary.landmarks), decoding=decoding)
        ]
    if vocabulary.categories:
        metrics["category"] = [TopKAccuracy(k) for k in (1, 3, 5)]
    if vocabulary.attributes:
        metrics["attributes"] = [AttributeRecall(k) for k in (3, 5)]
        groups = group_columns(vocabulary)
        if len(groups) > 1:
            metrics["attributes"] += [
                AttributeRecall(k, columns, f"recall@{k}_{group}")
                for k in (3, 5)
                for group, columns in groups.items()
            ]
    return metrics


def group_columns(vocabulary: Vocabulary) -> dict[str, np.ndarray]:
    """Returns the indices of each group's attributes."""
    groups = np.array(vocabulary.attribute_groups)
    return {
        group: np.flatnonzero(groups == group) for group in vocabulary.groups
    }
