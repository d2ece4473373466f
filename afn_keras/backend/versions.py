"""The only file that knows of Keras versions.

Everything else takes `keras`, `ops` and the other names from here. Keras 3 is
the supported line; it runs the same code on TensorFlow (the default) and JAX.
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


# Earlier ones run code that comes with a file; setup.py says more.
_OLDEST = (3, 13, 2) if sys.version_info >= (3, 11) else (3, 12, 1)


def supports(version: str) -> bool:
    """Whether this runs on a release of Keras, as setup.py has it."""
    major, minor, patch = map(int, re.findall(r"\d+", version)[:3])
    return (major, minor) == (2, 15) or (
        # 3.13.0 and 3.13.1 came before the fix that 3.12.1 has.
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
        """Keras's own, which under tf.distribute clips each replica's gradient.

        Here it clips their sum, as one device would.
        """

        def _clip_gradients(self, grads: list[Any]) -> list[Any]:
            count = replicas()
            if count == 1:
                return super()._clip_gradients(grads)
            total = [count * mean_over_replicas(grad) for grad in grads]
            # Keras adds up what the replicas have, after this.
            return [grad / count for grad in super()._clip_gradients(total)]

        def _update_model_variables_moving_average(
            self, trainable_variables: Any
        ) -> None:
            """Averages once a step, where Keras's does once a batch.

            Where gradients are accumulated weights move every few batches.
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
        """Keras's own, which on JAX loses the averages at the end.

        After the last epoch it lets an average and its weight be the same
        array, and the next prediction, which reuses the memory of weights,
        deletes it.
        """

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            """Swaps, and leaves each variable an array of its own."""
            super().on_epoch_end(epoch, logs)
            if keras.backend.backend() == "jax":
                for variable in self.model.optimizer.variables:
                    variable.assign(ops.copy(variable))

    def set_draws(layer: Any, draws: int) -> None:
        """Sets how often a dropout layer has drawn; its seed stays its own."""
        state = layer.seed_generator.state
        seed, _ = ops.convert_to_numpy(state)
        # On JAX there are 32 bits.
        state.assign([seed, draws % 2**32])

    def tensorflow_variables(model: Any) -> list[Any]:
        """A model's variables, as TensorFlow saves them."""
        return [variable.value for variable in model.variables]

    def needs_keras_3(what: str) -> None:
        """Raises InputError on Keras 2.15: what was asked for is not there."""

else:
    from afn_keras.backend import tensorflow_ops as ops
    from afn_keras.backend.keras_2_15 import AdamW
    from afn_keras.backend.keras_2_15 import Dropout
    from afn_keras.backend.keras_2_15 import SwapEMAWeights
    from afn_keras.backend.keras_2_15 import check_backend
    from afn_keras.backend.keras_2_15 import needs_keras_3
    from afn_keras.backend.keras_2_15 import set_draws
    from afn_keras.backend.keras_2_15 import tensorflow_variables

    check_backend()


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers that are made within compute as a policy of Keras says."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def mean_over_replicas(value: Any) -> Any:
    """Mean of a tensor over the replicas of a tf.distribute strategy.

    The tensor itself elsewhere: on JAX, devices see the whole batch as one.
    """
    if replicas() == 1:
        return value
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


def replicas() -> int:
    """How many replicas of tf.distribute run what is called from here."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def needs_tensorflow(what: str) -> None:
    """Raises InputError on JAX, which cannot do what was asked for."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"{what} are made by TensorFlow, and Keras runs on "
            f"{keras.backend.backend()} here; set KERAS_BACKEND=tensorflow"
        )


def writes_files_like(version: str) -> bool:
    """Whether another version's .keras files are like those of this one."""
    return version.split(".")[0] == str(_MAJOR)


@functools.cache
def webp_decoder() -> Any:
    """TensorFlow's WebP decoder; None where it has none, as in 2.15."""
    import tensorflow as tf

    return getattr(tf.io, "decode_webp", None)


__all__ = [
    "AdamW",
    "Dropout",
    "SwapEMAWeights",
    "keras",
    "mean_over_replicas",
    "needs_keras_3",
    "needs_tensorflow",
    "ops",
    "precision",
    "replicas",
    "set_draws",
    "tensorflow_variables",
    "webp_decoder",
    "writes_files_like",
]
