"""Keras 2.15 under the names of Keras 3, where the two differ.

Only `backend` imports this module.
"""

import os
from typing import Any

import keras
import tensorflow as tf

from pipelines.errors import InputError


def check_backend() -> None:
    """Raises InputError for a backend that Keras 2.15 would silently ignore."""
    name = os.environ.get("KERAS_BACKEND", "tensorflow")
    if name != "tensorflow":
        raise InputError(
            f"KERAS_BACKEND={name}: Keras {keras.__version__} runs only on "
            "TensorFlow; leave it out, or install afn-keras without "
            "the extra addons"
        )


def require_keras_3(what: str) -> None:
    """Raises InputError: Keras 2.15 does not support `what`."""
    raise InputError(
        f"{what}: not supported by Keras {keras.__version__}; install "
        "afn-keras in another environment, without the extra addons, and use "
        "the same files there"
    )


def tensorflow_variables(model: Any) -> list[Any]:
    """Returns a model's variables, as TensorFlow saves them."""
    return list(model.variables)


@keras.saving.register_keras_serializable("afn_keras")
class Dropout(keras.layers.Dropout):
    """Dropout that counts its draws, so that they can be repeated."""

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(rate, force_generator=True, **kwargs)


def set_draws(layer: Dropout, draws: int) -> None:
    """Sets how many times a dropout layer has drawn; keeps its seed."""
    state = layer._random_generator._generator.state
    # Philox: a counter of 128 bits, then the key.
    state.assign([draws, 0, state.numpy()[2]])


class AdamW(keras.optimizers.AdamW):
    """AdamW that updates and averages weights as in Keras 3.

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
            require_keras_3("accumulate")
        # On a GPU, compiling would split the fused operation of a step.
        super().__init__(
            learning_rate, weight_decay, **{"jit_compile": False, **kwargs}
        )

    @property
    def built(self) -> bool:
        """Returns whether its variables have been created."""
        return getattr(self, "_built", False)

    def _update_step(self, gradient: Any, variable: Any) -> None:
        self.update_step(gradient, variable, self.learning_rate)

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """Updates one variable with the optimizer's own learning rate."""
        super().update_step(gradient, variable)

    def _get_variable_index(self, variable: Any) -> int:
        return self._index_dict[self._var_key(variable)]

    def _update_model_variables_moving_average(self, var_list: Any) -> None:
        if not self.use_ema:
            return
        # The average starts from the weights after the first step.
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
    """Swaps in the averages of the weights for evaluation.

    Args:
        swap_on_epoch: must be true: the averages stay in the model from the
            end of an epoch to the beginning of the next, so that they are
            saved.
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
            # When training ends, Keras copies the averages that it stores.
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
