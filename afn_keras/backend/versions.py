"""Selects the code for the installed version of Keras.

All other modules import `keras`, `ops` and the other names from here. Keras 3
is the main line; it runs the same code on TensorFlow (the default) and JAX.
Keras 2.15, which tensorflow-addons needs, gets the same names from
`keras_2_15` and `tensorflow_ops`.
"""

import contextlib
import functools
import re
import sys
from collections.abc import Iterator
from typing import Any

from afn_keras.backend.settings import import_keras
from pipelines.errors import InputError

keras = import_keras()


# Earlier releases execute code from model files; see setup.py.
_OLDEST = (3, 13, 2) if sys.version_info >= (3, 11) else (3, 12, 1)


def supports(version: str) -> bool:
    """Returns whether a release of Keras is supported, as in setup.py."""
    major, minor, patch = map(int, re.findall(r"\d+", version)[:3])
    return (major, minor) == (2, 15) or (
        # 3.13.0 and 3.13.1 lack the fix that is in 3.12.1.
        _OLDEST <= (major, minor, patch) < (4,)
        and (major, minor, patch) not in {(3, 13, 0), (3, 13, 1)}
    )


if not supports(keras.__version__):
    raise ImportError(
        f"afn-keras needs Keras {'.'.join(map(str, _OLDEST))} or later, or "
        f"2.15, this is {keras.__version__}: pip install --upgrade keras"
    )

_MAJOR = int(keras.__version__.split(".")[0])

if _MAJOR == 3:
    from keras import ops
    from keras.layers import Dropout

    class AdamW(keras.optimizers.AdamW):
        """Keras's AdamW, clipping gradients as a single device does.

        Under tf.distribute, Keras clips each replica's gradient; this clips
        their sum.
        """

        def _clip_gradients(self, grads: list[Any]) -> list[Any]:
            count = replicas()
            if count == 1:
                return super()._clip_gradients(grads)
            total = [count * mean_over_replicas(grad) for grad in grads]
            # Keras sums over the replicas after this.
            return [grad / count for grad in super()._clip_gradients(total)]

        def _update_model_variables_moving_average(
            self, trainable_variables: Any
        ) -> None:
            """Averages once a step, where Keras averages once a batch.

            With accumulated gradients, weights change every few batches.
            """
            steps = self.gradient_accumulation_steps or 1
            moved = (self._iterations + 1) % steps == 0
            kept = ops.where(self.iterations > 0, self.ema_momentum, 0.0)
            kept = ops.where(moved, kept, 1.0)
            for variable, average in zip(
                trainable_variables,
                self._model_variables_moving_average,
                strict=True,
            ):
                if average is None:
                    continue
                momentum = ops.cast(kept, variable.dtype)
                average.assign(momentum * average + (1 - momentum) * variable)

    class SwapEMAWeights(keras.callbacks.SwapEMAWeights):
        """Keras's SwapEMAWeights, without losing the averages on JAX.

        After the last epoch, Keras lets an average and its weight share an
        array, which the next prediction deletes by reusing the memory of the
        weights.
        """

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            """Swaps, and gives each variable an array of its own."""
            super().on_epoch_end(epoch, logs)
            if keras.backend.backend() == "jax":
                for variable in self.model.optimizer.variables:
                    variable.assign(ops.copy(variable))

    def set_draws(layer: Any, draws: int) -> None:
        """Sets how many times a dropout layer has drawn; keeps its seed."""
        state = layer.seed_generator.state
        seed, _ = ops.convert_to_numpy(state)
        # On JAX, the state has 32 bits.
        state.assign([seed, draws % 2**32])

    def tensorflow_variables(model: Any) -> list[Any]:
        """Returns a model's variables, as TensorFlow saves them."""
        return [variable.value for variable in model.variables]

    def require_keras_3(what: str) -> None:
        """Raises InputError on Keras 2.15, which does not support `what`."""

else:
    from afn_keras.backend import tensorflow_ops as ops
    from afn_keras.backend.keras_2_15 import AdamW
    from afn_keras.backend.keras_2_15 import Dropout
    from afn_keras.backend.keras_2_15 import SwapEMAWeights
    from afn_keras.backend.keras_2_15 import check_backend
    from afn_keras.backend.keras_2_15 import require_keras_3
    from afn_keras.backend.keras_2_15 import set_draws
    from afn_keras.backend.keras_2_15 import tensorflow_variables

    check_backend()


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Applies a mixed-precision policy to layers created within."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def mean_over_replicas(value: Any) -> Any:
    """Averages a tensor over the replicas of a tf.distribute strategy.

    Returns the tensor itself elsewhere: on JAX, each device sees the whole
    batch.
    """
    if replicas() == 1:
        return value
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


def replicas() -> int:
    """Returns the number of tf.distribute replicas that run the caller."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def require_tensorflow(what: str) -> None:
    """Raises InputError unless Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"{what} require TensorFlow, but Keras runs on "
            f"{keras.backend.backend()}; set KERAS_BACKEND=tensorflow"
        )


def has_file_format_of(version: str) -> bool:
    """Returns whether another version writes .keras files in this format."""
    return version.split(".")[0] == str(_MAJOR)


@functools.cache
def webp_decoder() -> Any:
    """Returns TensorFlow's WebP decoder; None without one, as in 2.15."""
    import tensorflow as tf

    return getattr(tf.io, "decode_webp", None)


__all__ = [
    "AdamW",
    "Dropout",
    "SwapEMAWeights",
    "keras",
    "mean_over_replicas",
    "require_keras_3",
    "require_tensorflow",
    "ops",
    "precision",
    "replicas",
    "set_draws",
    "tensorflow_variables",
    "webp_decoder",
    "has_file_format_of",
]
