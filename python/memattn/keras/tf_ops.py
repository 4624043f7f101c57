"""The operations of ``keras.ops`` that the layer uses, over TensorFlow, for Keras 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

all = tf.reduce_all
any = tf.reduce_any
arange = tf.range
broadcast_to = tf.broadcast_to
cast = tf.cast
convert_to_tensor = tf.convert_to_tensor
einsum = tf.einsum
exp = tf.exp
expand_dims = tf.expand_dims
isfinite = tf.math.is_finite
logical_and = tf.logical_and
mean = tf.reduce_mean
softmax = tf.nn.softmax
sum = tf.reduce_sum
transpose = tf.transpose

not_converted = tf.autograph.experimental.do_not_convert
tensor_shape = tf.TensorShape


def shape(x: Any) -> tuple[Any, ...]:
    """Return the sizes of `x`: numbers if known, else scalar tensors."""
    dynamic = tf.shape(x)
    return tuple(dynamic[axis] if size is None else size for axis, size in enumerate(x.shape))


def reshape(x: Any, newshape: Sequence[Any]) -> Any:
    """Reshape; a single size that is a tensor becomes -1, so that the other sizes stay known."""
    known = [size for size in newshape if isinstance(size, int)]
    if len(known) == len(newshape) - 1 and 0 not in known:
        newshape = [size if isinstance(size, int) else -1 for size in newshape]
    return tf.reshape(x, newshape)


def where(condition: Any, x1: Any, x2: Any) -> Any:
    """Choose elements of two tensors; one may be a number, which takes the other's dtype."""
    dtype = x1.dtype if isinstance(x1, tf.Tensor) else x2.dtype
    return tf.where(condition, tf.cast(x1, dtype), tf.cast(x2, dtype))


def convert_to_numpy(x: Any) -> Any:
    """Return the values of an eager tensor."""
    return x.numpy()


def call_once(layer: Any, *shapes: tuple[int, ...]) -> None:
    """Call a layer on zeros, outside of any graph being traced."""
    with tf.init_scope():
        layer(*(tf.zeros(size, layer.compute_dtype) for size in shapes))
