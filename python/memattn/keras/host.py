"""Which Keras the layer is built on, and what differs between Keras 2 and 3."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def _find_keras() -> Any:
    # TensorFlow's own switch for what tf.keras means: with it a user's models are tf_keras models.
    legacy = os.environ.get("TF_USE_LEGACY_KERAS") in ("true", "True", "1")
    try:
        return import_module("tf_keras" if legacy and find_spec("tf_keras") else "keras")
    except ImportError as error:
        raise ImportError(
            f"memattn.keras: cannot import Keras ({error}); it needs Keras 3 with a backend, or "
            "Keras 2.15 with TensorFlow: pip install 'memattn[keras]' tensorflow"
        ) from error


keras = _find_keras()
Layer: Any = keras.layers.Layer
Attention: Any = keras.layers.MultiHeadAttention
KERAS_3 = int(keras.__version__.split(".")[0]) >= 3

ops: Any
if KERAS_3:
    ops = keras.ops
else:
    from memattn.keras import tf_ops

    ops = tf_ops


def build_attention(attention: Any, width: int, slots: int, units: int) -> None:
    """Make the weights of a MultiHeadAttention that reads `slots` slots of `units`."""
    if KERAS_3:
        attention.build((None, None, width), (None, slots, units))
    else:
        # Keras 2 makes them in a call and no other way, under the names that its files have.
        tf_ops.call_once(attention, (1, 1, width), (1, slots, units))


def build_dense(dense: Any, width: int) -> None:
    """Make the weights of a Dense that reads (B, T, `width`)."""
    if KERAS_3:
        dense.build((None, None, width))
    else:
        tf_ops.call_once(dense, (1, 1, width))


def projections(attention: Any) -> tuple[Any, Any, Any, Any]:
    """The layers of query, key, value and output inside a MultiHeadAttention."""
    names = ("query_dense", "key_dense", "value_dense", "output_dense")
    found = (getattr(attention, name if KERAS_3 else f"_{name}") for name in names)
    query, key, value, output = found
    return query, key, value, output


def projection_tensors(where: str, attention: Any) -> list[Any]:
    """Kernel and bias of those four as tensors; None for a bias that it does not have."""
    return [tensor for dense in projections(attention) for tensor in dense_tensors(where, dense)]


def dense_tensors(where: str, dense: Any) -> tuple[Any, Any]:
    """Kernel and bias of a Dense or EinsumDense as tensors; None for a bias that it does not have.

    Raises
    ------
    ValueError
        The layer is quantized; `where` is the name of the layer that it is in.
    """
    if getattr(dense, "quantization_mode", None) is not None:
        found = f"its {dense.name} quantized to {dense.quantization_mode}"
        raise ValueError(f"{where}: found {found}, expected weights that are not")
    bias = None if dense.bias is None else ops.convert_to_tensor(dense.bias)
    return ops.convert_to_tensor(dense.kernel), bias


def shape_of(sizes: Sequence[int | None]) -> Any:
    """A shape as this Keras returns it from ``compute_output_shape``."""
    return tuple(sizes) if KERAS_3 else tf_ops.tensor_shape(sizes)


def traced_as_written(function: Any) -> Any:
    """Keep AutoGraph, which Keras 2 sends over every ``call``, from rewriting a function.

    There is nothing in it to rewrite: what it branches on is known when it is traced.
    """
    return function if KERAS_3 else tf_ops.not_converted(function)
