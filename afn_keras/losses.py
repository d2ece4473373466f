"""The three losses; a label that is not known counts nowhere.

Each is a mean over the labels that a batch knows, and 0 where it knows none,
so that weights mean the same whatever share of the data is labelled.
"""

from typing import Any

from afn_keras.backend import keras
from afn_keras.backend import ops
from afn_keras.heatmaps import render_heatmaps


@keras.saving.register_keras_serializable("afn_keras")
class HeatmapLoss(keras.losses.Loss):
    """Squared error of heatmaps: (1/N) sum (M - M')^2 (paper, section 3).

    The targets M are rendered here, from landmarks; N counts the pixels of
    the heatmaps whose landmark counts.

    Args:
        sigma: standard deviation of the target's Gaussian, in pixels of a
            224x224 image; it shrinks and grows with the heatmaps.

    Takes `y_true` (B, L, 3) of x, y in 0..1 and 1 where it counts, and
    `y_pred` (B, H, W, L).
    """

    def __init__(
        self, sigma: float = 4.0, name: str = "heatmap_loss", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.sigma = sigma

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of a batch, a scalar."""
        _, height, width, _ = y_pred.shape
        target = render_heatmaps(
            y_true[..., :2], height, width, self.sigma * width / 224
        )
        error = ops.mean(ops.square(target - y_pred), axis=(1, 2))
        return _mean_of_known(error, y_true[..., 2])

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        return {**super().get_config(), "sigma": self.sigma}


@keras.saving.register_keras_serializable("afn_keras")
class CategoryLoss(keras.losses.Loss):
    """Cross entropy of the category (paper, section 3).

    Takes `y_true` (B,) integers, -1 unknown, and `y_pred` (B, C) logits.
    """

    def __init__(self, name: str = "category_loss", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of a batch, a scalar."""
        # Keras hands single numbers over as (B,) or (B, 1).
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        error = keras.losses.sparse_categorical_crossentropy(
            ops.maximum(labels, 0), y_pred, from_logits=True
        )
        return _mean_of_known(error, labels >= 0)


@keras.saving.register_keras_serializable("afn_keras")
class AttributesLoss(keras.losses.Loss):
    """Binary cross entropy of the attributes, negatives weighted down.

    Args:
        negative_weight: weight of an attribute that is absent; present ones
            weigh 1. The released code has 0.1, since a benchmark image has
            some three of a thousand attributes.

    Takes `y_true` (B, A) of 1, 0 and -1 unknown, and `y_pred` (B, A) logits.
    """

    def __init__(
        self,
        negative_weight: float = 0.1,
        name: str = "attributes_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.negative_weight = negative_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of a batch, a scalar."""
        present = ops.cast(y_true > 0, "float32")
        # softplus(-z) = -log sigmoid(z), without overflow.
        error = present * ops.softplus(-y_pred) + self.negative_weight * (
            1 - present
        ) * ops.softplus(y_pred)
        return _mean_of_known(error, y_true >= 0)

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        return {**super().get_config(), "negative_weight": self.negative_weight}


def _mean_of_known(error: Any, known: Any) -> Any:
    known = ops.cast(known, "float32")
    # where, not multiply: an unknown label's error may be infinite.
    total = ops.sum(ops.where(known > 0, error, 0.0))
    return total / ops.maximum(ops.sum(known), 1.0)
