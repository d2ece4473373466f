"""The three losses; a label that is not known counts nowhere.

Each returns a loss for each image, whose mean over the batch, as Keras takes
it, is the mean over the labels that the batch knows, and 0 where it knows none:
loss weights mean the same whatever share of the data is labeled. The batch is
that of all devices together: how many share it changes no loss. An image's
`sample_weight` multiplies its part.
"""

import math
from typing import Any
from typing import Literal
from typing import get_args

from afn_keras.backend import keras
from afn_keras.backend import mean_over_replicas
from afn_keras.backend import ops
from afn_keras.heatmaps import render_exponentials
from afn_keras.heatmaps import render_heatmaps

Target = Literal["gaussian", "exponential"]
HeatmapError = Literal["l2", "adaptive_wing"]
AttributeLossKind = Literal["cross_entropy", "focal", "asymmetric"]

# Of adaptive wing, as its paper has them (Wang et al., "Adaptive Wing Loss
# for Robust Face Alignment via Heatmap Regression", ICCV 2019).
_ALPHA = 2.1
_THETA = 0.5

# How much less the labels that are predicted well weigh: exponents of present
# and absent ones, and the probability below which an absent one is done with.
# Focal: Lin et al., ICCV 2017; asymmetric: Ridnik et al., ICCV 2021.
_FOCUS = {
    "cross_entropy": (0.0, 0.0, 0.0),
    "focal": (2.0, 2.0, 0.0),
    "asymmetric": (0.0, 4.0, 0.05),
}


@keras.saving.register_keras_serializable("afn_keras")
class HeatmapLoss(keras.losses.Loss):
    """Squared error of heatmaps: (1/N) sum (M - M')^2 (paper, section 3).

    The targets M are rendered here, from landmarks; N counts the pixels of
    the heatmaps whose landmark counts.

    Args:
        sigma: standard deviation of the target's Gaussian, in pixels of a
            224x224 image; it shrinks and grows with the heatmaps.
        target: "gaussian", or "exponential" for exp(-0.5 d / sigma) of the
            released code, d the distance in pixels.
        error: "l2", the paper's, or "adaptive_wing", which asks for more
            accuracy near the peaks. It is divided by its own weight of 14,
            so that it is about as large as the squares.

    Takes `y_true` (B, L, 3) of x, y in 0..1 and 1 where it counts, and
    `y_pred` (B, H, W, L).

    Raises:
        ValueError: if `target` or `error` is none of the two.
    """

    def __init__(
        self,
        sigma: float = 12.0,
        target: Target = "gaussian",
        error: HeatmapError = "l2",
        name: str = "heatmap_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        _check("target", target, Target)
        _check("error", error, HeatmapError)
        self.sigma = sigma
        self.target = target
        self.error = error

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each image, (B,)."""
        _, height, width, _ = y_pred.shape
        render = render_heatmaps
        if self.target == "exponential":
            render = render_exponentials
        target = render(
            y_true[..., :2], height, width, self.sigma * width / 224
        )
        error = _squares if self.error == "l2" else _adaptive_wing
        known = ops.cast(y_true[..., 2], "float32")
        errors = ops.mean(error(target, y_pred), axis=(1, 2))
        return _shares(ops.sum(_where(known, errors), axis=-1), ops.sum(known))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "sigma": self.sigma,
            "target": self.target,
            "error": self.error,
        }


@keras.saving.register_keras_serializable("afn_keras")
class CategoryLoss(keras.losses.Loss):
    """Cross entropy of the category (paper, section 3).

    Args:
        label_smoothing: this share of the truth is spread evenly over all
            categories (Szegedy et al., CVPR 2016).

    Takes `y_true` (B,) integers, -1 unknown, and `y_pred` (B, C) logits.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        name: str = "category_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each image, (B,)."""
        # Keras hands single numbers over as (B,) or (B, 1).
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        error = keras.losses.sparse_categorical_crossentropy(
            ops.maximum(labels, 0), y_pred, from_logits=True
        )
        if self.label_smoothing:
            even = -ops.mean(ops.log_softmax(y_pred), axis=-1)
            error += self.label_smoothing * (even - error)
        known = ops.cast(labels >= 0, "float32")
        return _shares(_where(known, error), ops.sum(known))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("afn_keras")
class AttributesLoss(keras.losses.Loss):
    """Cross entropy of the attributes, each its own yes or no.

    All kinds are divided by what they are worth where nothing is decided
    (all logits 0), so that a network that knows nothing has a loss of log 2,
    whatever kind, weight and share of present attributes: the weight of the
    task means the same for each. For "cross_entropy" that is the mean by
    weights, as the released code takes it.

    Args:
        negative_weight: weight of an attribute that is absent; present ones
            weigh 1. The released code has 0.1, since a benchmark image has
            some three of a thousand attributes.
        kind: "cross_entropy"; "focal", where labels that are predicted well
            weigh less; or "asymmetric", where only absent ones do, and do not
            count at all below a probability of 0.05.

    Takes `y_true` (B, A) of 1, 0 and -1 unknown, and `y_pred` (B, A) logits.

    Raises:
        ValueError: if `kind` is none of the three.
    """

    def __init__(
        self,
        negative_weight: float = 0.1,
        kind: AttributeLossKind = "cross_entropy",
        name: str = "attributes_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        _check("kind", kind, AttributeLossKind)
        self.negative_weight = negative_weight
        self.kind = kind

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each image, (B,)."""
        present = ops.cast(y_true > 0, "float32")
        absent = self.negative_weight * ops.cast(y_true == 0, "float32")

        def total(logits: Any) -> Any:
            if_present, if_absent = _attribute_errors(logits, self.kind)
            return ops.sum(
                _where(present, if_present) + _where(absent, if_absent), axis=-1
            )

        undecided = ops.sum(total(ops.zeros_like(y_pred)))
        return math.log(2) * _shares(total(y_pred), undecided)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "negative_weight": self.negative_weight,
            "kind": self.kind,
        }


def _squares(target: Any, heatmaps: Any) -> Any:
    return ops.square(target - heatmaps)


def _adaptive_wing(target: Any, heatmaps: Any) -> Any:
    """Its formula 5 without the factor omega, and with epsilon 1.

    The power is near 1 at a peak, where small errors count, and near 2 on the
    background, where they do not; straight lines beyond theta.
    """
    power = _ALPHA - target
    # Not 0, where the slope of a power has a logarithm of it.
    distance = ops.maximum(ops.abs(target - heatmaps), 1e-12)
    edge = ops.power(_THETA, power)
    slope = power * edge / _THETA / (1 + edge)
    return ops.where(
        distance < _THETA,
        # Limited, since an infinite value in the branch that `where` leaves
        # out would make the gradient NaN.
        ops.log1p(ops.power(ops.minimum(distance, _THETA), power)),
        slope * (distance - _THETA) + ops.log1p(edge),
    )


def _attribute_errors(logits: Any, kind: AttributeLossKind) -> tuple[Any, Any]:
    """Errors of each attribute if it is present, and if it is absent."""
    gamma_present, gamma_absent, margin = _FOCUS[kind]
    # softplus(-z) = -log sigmoid(z), without overflow.
    if_present = ops.softplus(-logits)
    if gamma_present:
        if_present *= ops.exp(-gamma_present * ops.softplus(logits))
    if_absent = ops.softplus(logits)
    if margin:
        # Absent with this much probability more than the network thinks.
        sure = ops.minimum(ops.sigmoid(-logits) + margin, 1.0)
        if_absent = ops.power(1 - sure, gamma_absent) * -ops.log(sure)
    elif gamma_absent:
        if_absent *= ops.exp(-gamma_absent * ops.softplus(-logits))
    return if_present, if_absent


def _where(weight: Any, error: Any) -> Any:
    """Weights errors; not by multiplication, as an unknown one may be NaN."""
    return ops.where(weight > 0, weight * error, 0.0)


def _shares(totals: Any, count: Any) -> Any:
    """Scales sums of each image, (B,), so that their mean is total / count.

    With several replicas the mean over all of theirs is.
    """
    count = mean_over_replicas(count)
    images = ops.cast(ops.shape(totals)[0], "float32")
    share = images / ops.where(count > 0, count, 1.0)
    return ops.where(count > 0, totals * share, 0.0)


def _check(argument: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise ValueError(
            f"{argument} must be one of {get_args(choices)}: {value!r}"
        )
