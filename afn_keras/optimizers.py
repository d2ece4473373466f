"""The optimizer and its learning rate, from a recipe."""

from collections.abc import Iterable
from typing import Any

from afn_keras import backend
from afn_keras.addons import addons_optimizer
from afn_keras.addons import slows_backbone
from afn_keras.addons import uses_addons
from afn_keras.backend import keras
from afn_keras.recipes import Recipe


@keras.saving.register_keras_serializable("afn_keras")
class AdamW(backend.AdamW):
    """Keras's AdamW, faster, and with a lower rate for some variables.

    Adam takes out the size of gradients, so scaling those would do nothing.
    On TensorFlow a variable's step is one operation, where Keras's some
    fifteen go over 70 million weights each.
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
        if keras.backend.backend() == "tensorflow":
            self._fused_step(gradient, variable, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)

    def _fused_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        import tensorflow as tf

        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )

    def _apply_weight_decay(self, variables: Any) -> None:
        # Keras goes over all weights to subtract 0 of them.
        if self.weight_decay:
            super()._apply_weight_decay(variables)


def make_optimizer(
    recipe: Recipe, model: keras.Model, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for a model.

    Raises:
        InputError: if it cannot be had, or a field does not go with it.
    """
    if uses_addons(recipe):
        schedule = _schedule(recipe, steps_per_epoch)
        return addons_optimizer(recipe, schedule, model, steps_per_epoch)
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
    if slows_backbone(recipe):
        backbone = [
            variable
            for layer in model.layers
            if layer.name.startswith("block")
            for variable in layer.trainable_variables
        ]
        optimizer.slow_down(backbone, recipe.backbone_rate)
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
