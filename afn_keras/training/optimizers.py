"""The optimizer and its learning rate, from a recipe."""

from collections.abc import Sequence
from typing import Any

from afn_keras.backend import AdamW as KerasAdamW
from afn_keras.backend import keras
from afn_keras.recipes import Recipe
from afn_keras.training.addons import addons_optimizer
from afn_keras.training.addons import slows_backbone
from afn_keras.training.addons import uses_addons


@keras.saving.register_keras_serializable("afn_keras")
class AdamW(KerasAdamW):
    """Keras's AdamW, faster, and with a rate of its own for the backbone.

    Adam takes out the size of gradients, so scaling those would do nothing.
    On TensorFlow a variable's step is one operation, where Keras's some
    fifteen go over 70 million weights each.

    Biases and normalization layers do not decay, nor does a backbone with a
    rate of its own: decay follows the full learning rate and would outrun its
    steps.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: as of Keras's AdamW; 0 makes it Adam.
        backbone_rate: factor on the learning rate of the backbone's layers.
        backbone: what the names of the backbone's layers begin with.
        **kwargs: as of Keras's AdamW.

    Examples:
        >>> optimizer = AdamW(1e-3, backbone_rate=0.1)
        >>> AdamW.from_config(optimizer.get_config()).backbone_rate
        0.1
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        *,
        backbone_rate: float = 1.0,
        backbone: Sequence[str] = ("block", "stem_", "top_"),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate, weight_decay=weight_decay, **kwargs
        )
        self.backbone_rate = backbone_rate
        # 0.1.0 wrote a single prefix.
        if isinstance(backbone, str):
            backbone = (backbone,)
        self.backbone = tuple(backbone)
        self._slow: frozenset = frozenset()

    def build(self, variables: Any) -> None:
        """Makes the optimizer's variables, and sorts the model's."""
        slow, constant = [], []
        for variable in variables:
            # Keras 2.15 has no paths; its names are paths with ":0" behind.
            path = getattr(variable, "path", variable.name).split(":")[0]
            layer, _, name = path.rpartition("/")
            if layer.rpartition("/")[2].startswith(self.backbone):
                slow.append(variable)
            if name in ("bias", "gamma", "beta"):
                constant.append(variable)
        if self.backbone_rate != 1:
            self._slow = frozenset(map(self._var_key, slow))
            constant += slow
        if not self.built:
            self.exclude_from_weight_decay(constant)
        super().build(variables)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {
            **super().get_config(),
            "backbone_rate": self.backbone_rate,
            "backbone": list(self.backbone),
        }

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """Updates one variable, as Keras's optimizers call it."""
        if self._var_key(variable) in self._slow:
            learning_rate = learning_rate * self.backbone_rate
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
    """Returns the recipe's optimizer for a model.

    Raises:
        InputError: if it cannot be had, or a field does not go with it.
    """
    if uses_addons(recipe):
        schedule = _schedule(recipe, steps_per_epoch)
        return addons_optimizer(recipe, schedule, model, steps_per_epoch)
    return AdamW(
        _schedule(recipe, steps_per_epoch),
        # With a weight decay of 0 AdamW is Adam.
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
        use_ema=recipe.ema is not None,
        ema_momentum=recipe.ema or 0.99,
        gradient_accumulation_steps=(
            recipe.accumulate if recipe.accumulate > 1 else None
        ),
        backbone_rate=recipe.backbone_rate if slows_backbone(recipe) else 1.0,
    )


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
