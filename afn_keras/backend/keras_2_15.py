"""What Keras 2.15 does otherwise, under the names that Keras 3 has for it.

For `backend` alone.
"""

import os
from typing import Any

import keras
import tensorflow as tf

from pipelines.errors import InputError


def check_backend() -> None:
    """Refuses a backend other than TensorFlow, which would be passed over."""
    name = os.environ.get("KERAS_BACKEND", "tensorflow")
    if name != "tensorflow":
        raise InputError(
            f"KERAS_BACKEND={name}: Keras {keras.__version__} runs on "
            "TensorFlow alone; leave it out, or install afn-keras without "
            "the extra addons"
        )


def needs_keras_3(what: str) -> None:
    """Raises InputError: what was asked for is not there."""
    raise InputError(
        f"{what}: Keras {keras.__version__} cannot; install afn-keras in "
        "another environment, without the extra addons, and do it there with "
        "the same files"
    )


def tensorflow_variables(model: Any) -> list[Any]:
    """A model's variables, as TensorFlow saves them."""
    return list(model.variables)


@keras.saving.register_keras_serializable("afn_keras")
class Dropout(keras.layers.Dropout):
    """Dropout that counts its draws, so that they can be repeated."""

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(rate, force_generator=True, **kwargs)


def set_draws(layer: Dropout, draws: int) -> None:
    """Sets how often a dropout layer has drawn; its seed stays its own."""
    state = layer._random_generator._generator.state
    # Philox: a counter of 128 bits, then the key.
    state.assign([draws, 0, state.numpy()[2]])


class AdamW(keras.optimizers.AdamW):
    """Adam with decay whose steps are taken, and averaged, as in Keras 3.

    Raises:
        InputError: if gradients are to be accumulated.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        gradient_accumulation_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        if gradient_accumulation_steps:
            needs_keras_3("accumulate")
        # Compiled on a GPU, the one operation of a step would be many.
        super().__init__(
            learning_rate, weight_decay, **{"jit_compile": False, **kwargs}
        )

    @property
    def built(self) -> bool:
        """Whether its variables have been made."""
        return getattr(self, "_built", False)

    def _update_step(self, gradient: Any, variable: Any) -> None:
        self.update_step(gradient, variable, self.learning_rate)

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """One variable's step; the learning rate is the optimizer's own."""
        super().update_step(gradient, variable)

    def _get_variable_index(self, variable: Any) -> int:
        return self._index_dict[self._var_key(variable)]

    def _update_model_variables_moving_average(self, var_list: Any) -> None:
        if not self.use_ema:
            return
        # The average begins with the first step, not with what was before.
        kept = self.ema_momentum * tf.cast(self.iterations > 0, tf.float32)

        def update(average: Any, variable: Any) -> None:
            average.assign(kept * average + (1 - kept) * variable)

        for variable in var_list:
            index = self._get_variable_index(variable)
            self._distribution_strategy.extended.update(
                self._model_variables_moving_average[index],
                update,
                args=(variable,),
                group=False,
            )


class SwapEMAWeights(keras.callbacks.Callback):
    """Puts the averages of the weights in their place where it evaluates.

    Args:
        swap_on_epoch: must be true: they stay there from the end of an epoch
            to the beginning of the next, so that they are what is saved.
    """

    def __init__(self, swap_on_epoch: bool) -> None:
        super().__init__()
        if not swap_on_epoch:
            raise ValueError("swap_on_epoch must be true")
        self._ema_weights_in_model = False

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Puts the weights back, to continue with them."""
        self._put_averages(False)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Puts the averages in."""
        self._put_averages(True)
        if epoch == self.params["epochs"] - 1:
            # When training ends Keras copies what it holds as averages.
            for variable, average in self._pairs():
                average.assign(variable)

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Puts the averages in."""
        self._put_averages(True)

    def on_test_end(self, logs: dict | None = None) -> None:
        """Puts the weights back."""
        self._put_averages(False)

    def _put_averages(self, wanted: bool) -> None:
        if wanted == self._ema_weights_in_model:
            return
        self._ema_weights_in_model = wanted
        for variable, average in self._pairs():
            weights = variable.numpy()
            variable.assign(average)
            average.assign(weights)

    def _pairs(self) -> Any:
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        return zip(
            self.model.trainable_variables,
            optimizer._model_variables_moving_average,
            strict=True,
        )
