"""The optimizer and its learning rate, from a recipe."""

from collections.abc import Iterable
from typing import Any

from afn_keras.backend import keras
from afn_keras.recipes import Recipe


@keras.saving.register_keras_serializable("afn_keras")
class AdamW(keras.optimizers.AdamW):
    """Keras's AdamW, with a lower learning rate for some variables.

    Adam takes out the size of gradients, so scaling those would do nothing.
    """

    _slow: frozenset = frozenset()
    _rate: float = 1.0

    def slow_down(self, variables: Iterable[Any], rate: float) -> None:
        """Multiplies the learning rate of variables, and decays them no more.

        To be called before the optimizer is built.

        Args:
            variables: of the model.
            rate: the factor.
        """
        variables = list(variables)
        self._slow = frozenset(map(self._var_key, variables))
        self._rate = rate
        # Decay follows the full learning rate: it would outrun the steps.
        self.exclude_from_weight_decay(variables)

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """One variable's step, as Keras's optimizers call it."""
        if self._var_key(variable) in self._slow:
            learning_rate = learning_rate * self._rate
        super().update_step(gradient, variable, learning_rate)


def make_optimizer(
    recipe: Recipe, model: keras.Model, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """The recipe's optimizer, built for a model's variables."""
    optimizer = AdamW(
        _schedule(recipe, steps_per_epoch),
        # With a weight decay of 0 AdamW is Adam.
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
        use_ema=recipe.ema is not None,
        ema_momentum=recipe.ema or 0.99,
        gradient_accumulation_steps=(
            recipe.accumulate if recipe.accumulate > 1 else None
        ),
    )
    if recipe.weights != "none" and recipe.backbone_rate != 1:
        backbone = [
            variable
            for layer in model.layers
            if layer.name.startswith("block")
            for variable in layer.trainable_variables
        ]
        optimizer.slow_down(backbone, recipe.backbone_rate)
    optimizer.build(model.trainable_variables)
    return optimizer


def _schedule(recipe: Recipe, steps_per_epoch: int) -> Any:
    # The optimizer steps once for several batches, but counts batches.
    steps = steps_per_epoch * recipe.epochs
    if recipe.schedule == "cosine":
        warmup = min(int(recipe.warmup * steps_per_epoch), steps - 1)
        return keras.optimizers.schedules.CosineDecay(
            recipe.learning_rate / 20 if warmup else recipe.learning_rate,
            decay_steps=steps - warmup,
            warmup_target=recipe.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    return keras.optimizers.schedules.ExponentialDecay(
        recipe.learning_rate,
        decay_steps=steps_per_epoch,
        decay_rate=recipe.decay,
        staircase=True,
    )
