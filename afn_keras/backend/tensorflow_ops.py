"""The part of `keras.ops` that this project uses, on TensorFlow.

For Keras 2.15, which has no such module. Names, arguments and results are
those of `keras.ops`, as far as they are used here.
"""

from typing import Any

import numpy as np
import tensorflow as tf

# These have the same arguments.
abs = tf.abs
arange = tf.range
cast = tf.cast
equal = tf.equal
exp = tf.exp
log = tf.math.log
log1p = tf.math.log1p
log_softmax = tf.nn.log_softmax
logical_and = tf.logical_and
matmul = tf.matmul
maximum = tf.maximum
minimum = tf.minimum
one_hot = tf.one_hot
ones_like = tf.ones_like
power = tf.pow
reshape = tf.reshape
shape = tf.shape
sigmoid = tf.sigmoid
softmax = tf.nn.softmax
softplus = tf.math.softplus
sqrt = tf.sqrt
square = tf.square
stack = tf.stack
transpose = tf.transpose
zeros = tf.zeros
zeros_like = tf.zeros_like


def any(x: Any, axis: Any = None) -> Any:
    """Returns whether any element is true."""
    return tf.reduce_any(x, axis)


def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """Limits values from both sides."""
    return tf.minimum(tf.maximum(x, x_min), x_max)


def convert_to_numpy(x: Any) -> np.ndarray:
    """Returns the values of a tensor or variable."""
    return np.array(x)


def flip(x: Any, axis: int) -> Any:
    """Reverses an axis."""
    return tf.reverse(x, [axis])


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Returns the largest values."""
    return tf.reduce_max(x, axis, keepdims)


def mean(x: Any, axis: Any = None) -> Any:
    """Returns the mean values."""
    return tf.reduce_mean(x, axis)


def norm(x: Any, axis: Any = None) -> Any:
    """Returns the Euclidean norms."""
    return tf.norm(x, axis=axis)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Returns the sums."""
    return tf.reduce_sum(x, axis, keepdims)


def take(x: Any, indices: Any, axis: int) -> Any:
    """Takes elements of an axis by index."""
    return tf.gather(x, indices, axis=axis)


def take_along_axis(x: Any, indices: Any, axis: int) -> Any:
    """Takes elements of the last axis by index, per row."""
    if axis != -1:
        raise ValueError(f"axis must be -1: {axis}")
    return tf.gather(x, indices, batch_dims=len(x.shape) - 1)


def top_k(x: Any, k: int) -> tuple[Any, Any]:
    """Returns the k largest values of the last axis and their indices."""
    values, indices = tf.math.top_k(x, k)
    return values, indices


def where(condition: Any, x: Any, y: Any) -> Any:
    """Returns `x` where the condition holds, `y` elsewhere."""
    # A Python number takes the other's dtype, as in Keras.
    if not tf.is_tensor(x):
        x = tf.convert_to_tensor(x, getattr(y, "dtype", None))
    return tf.where(condition, x, tf.convert_to_tensor(y, x.dtype))
