"""Optimizers of tensorflow-addons, for recipes that name one.

Its last release needs Keras 2.15: the extra `addons`.
"""

import warnings
from collections.abc import Sequence
from typing import Any

from afn_keras.backbones import get_backbone
from afn_keras.backend import keras
from afn_keras.recipes import Recipe
from pipelines.errors import InputError

# The closest alternatives without it.
_NEAREST = {
    "tfa.AdamW": "--optimizer adamw",
    "tfa.RectifiedAdam": "--optimizer adamw --set schedule=cosine warmup=1",
    "tfa.LAMB": "--optimizer adamw --set clip_norm=1",
    "Lookahead": "ema=0.99",
    "MovingAverage": "ema=0.99",
    "SWA": "ema=0.999",
}
# The share of training after which SWA starts to average, once an epoch.
_SETTLED = 0.75


@keras.saving.register_keras_serializable("afn_keras")
class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule multiplied by a factor."""

    def __init__(self, schedule: Any, factor: float) -> None:
        self.schedule = schedule
        self.factor = factor

    def __call__(self, step: Any) -> Any:
        """Returns the rate at a step."""
        return self.factor * self.schedule(step)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "factor": self.factor}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Scaled":
        """Creates it from `get_config`."""
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["factor"])


def uses_addons(recipe: Recipe) -> bool:
    """Returns whether the recipe's optimizer is of tensorflow-addons."""
    return recipe.optimizer.startswith("tfa.")


def check_addons(recipe: Recipe) -> None:
    """Checks early that the recipe's optimizer is available.

    Raises:
        InputError: if tensorflow-addons is not installed, or a field of the
            recipe is incompatible with its optimizers.
    """
    if not uses_addons(recipe):
        return
    flag = f"--optimizer {recipe.optimizer}"
    _import_addons(flag, recipe.optimizer.split("+"))
    if recipe.accumulate > 1:
        raise InputError(
            f"{flag}: cannot accumulate; --set accumulate=1, or use "
            "--optimizer adamw"
        )
    if "SWA" in recipe.optimizer and recipe.ema is not None:
        raise InputError(
            f"{flag}: SWA and ema={recipe.ema} are two averages; "
            "leave one out, such as with --set ema=null"
        )
    if slows_backbone(recipe) and recipe.clip_norm is not None:
        raise InputError(
            f"{flag}: with backbone_rate={recipe.backbone_rate}, each part of "
            "the network would be clipped by itself; --set clip_norm=null"
        )


def slows_backbone(recipe: Recipe) -> bool:
    """Returns whether the backbone's layers have their own learning rate."""
    return recipe.weights != "none" and recipe.backbone_rate != 1


def addons_optimizer(
    recipe: Recipe, schedule: Any, model: keras.Model, steps_per_epoch: int
) -> Any:
    """Creates the recipe's optimizer of tensorflow-addons for a model.

    For a lower rate in the backbone, combines two in a MultiOptimizer.

    Raises:
        InputError: as `check_addons`.
    """
    check_addons(recipe)
    name, *wrappers = recipe.optimizer.split("+")
    optimizers = _import_addons(recipe.optimizer, [name]).optimizers
    if recipe.ema is not None and "MovingAverage" not in wrappers:
        wrappers.append("MovingAverage")
    settings = {
        "Lookahead": {},
        "MovingAverage": {"average_decay": recipe.ema or 0.99},
        "SWA": {
            "start_averaging": int(_SETTLED * recipe.epochs) * steps_per_epoch,
            "average_period": steps_per_epoch,
        },
    }

    def single(rate: float, decay: float) -> Any:
        learning_rate = Scaled(schedule, rate)
        if name == "tfa.AdamW":
            # Its decay does not follow the learning rate's schedule.
            decay = Scaled(learning_rate, decay)
        layers = [(name.removeprefix("tfa."), {"weight_decay": decay})]
        layers[0][1]["learning_rate"] = learning_rate
        layers += [(wrapper, dict(settings[wrapper])) for wrapper in wrappers]
        if recipe.clip_norm is not None:
            # The outermost optimizer gets the gradients first.
            layers[-1][1]["global_clipnorm"] = recipe.clip_norm
        result: list[Any] = []
        for kind, arguments in layers:
            result = [getattr(optimizers, kind)(*result, **arguments)]
        return result[0]

    if not slows_backbone(recipe):
        return single(1.0, recipe.weight_decay)
    slow, others = [], []
    prefixes = get_backbone(recipe.backbone).prefixes
    for layer in model.layers:
        (slow if layer.name.startswith(prefixes) else others).append(layer)
    # Pretrained weights do not decay.
    return optimizers.MultiOptimizer(
        [
            (single(recipe.backbone_rate, 0.0), slow),
            (single(1.0, recipe.weight_decay), others),
        ]
    )


class SwapAverages(keras.callbacks.Callback):
    """Swaps in the averages of the weights for evaluation.

    They stay in the model from the end of an epoch to the beginning of the
    next, so that they are saved. Does nothing without averages, or before SWA
    has its first.
    """

    def __init__(self) -> None:
        super().__init__()
        self._weights: list[tuple[Any, Any]] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Puts the weights back, to continue with them."""
        self._put_back()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Puts the averages in."""
        self._put_averages()

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Puts the averages in."""
        self._put_averages()

    def on_test_end(self, logs: dict | None = None) -> None:
        """Puts the weights back."""
        self._put_back()

    def _put_averages(self) -> None:
        if self._weights:
            return
        outer = self.model.optimizer
        outer = getattr(outer, "inner_optimizer", outer)
        specs = getattr(outer, "optimizer_specs", [{"optimizer": outer}])
        for optimizer in (spec["optimizer"] for spec in specs):
            if "average" not in optimizer.get_slot_names():
                continue
            first = getattr(optimizer, "_hyper", {}).get("start_averaging", 0)
            if int(optimizer.iterations) <= int(first):
                continue
            for variable in self.model.trainable_variables:
                # Each part of the network has its own optimizer.
                try:
                    average = optimizer.get_slot(variable, "average")
                except KeyError:
                    continue
                self._weights.append((variable, variable.numpy()))
                variable.assign(average)

    def _put_back(self) -> None:
        for variable, weights in self._weights:
            variable.assign(weights)
        self._weights.clear()


def _import_addons(flag: str, parts: Sequence[str]) -> Any:
    try:
        with warnings.catch_warnings():
            # It warns about its own end of life.
            warnings.simplefilter("ignore")
            import tensorflow_addons
    except (ImportError, AttributeError) as error:
        nearest = " and ".join(
            dict.fromkeys(_NEAREST[part] for part in parts if part in _NEAREST)
        )
        raise InputError(
            f"{flag}: needs tensorflow-addons, pip install 'afn-keras[addons]' "
            f"with Python 3.10 or 3.11; nearest without it: {nearest}"
        ) from error
    return tensorflow_addons
