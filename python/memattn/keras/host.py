"""Which Keras the layer is built on, and what differs between Keras 2 and 3."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def _find_keras() -> Any:
    # TensorFlow's switch: if it is set, tf.keras is tf_keras, and so are the user's models.
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
    """Create the weights of a MultiHeadAttention that reads `slots` slots of `units`."""
    if KERAS_3:
        attention.build((None, None, width), (None, slots, units))
    else:
        # Keras 2 creates them only in a call, under the names in its files.
        tf_ops.call_once(attention, (1, 1, width), (1, slots, units))


def build_dense(dense: Any, width: int) -> None:
    """Create the weights of a Dense layer for inputs (B, T, `width`)."""
    if KERAS_3:
        dense.build((None, None, width))
    else:
        tf_ops.call_once(dense, (1, 1, width))


def projections(attention: Any) -> tuple[Any, Any, Any, Any]:
    """Return the layers of query, key, value and output inside a MultiHeadAttention."""
    names = ("query_dense", "key_dense", "value_dense", "output_dense")
    found = (getattr(attention, name if KERAS_3 else f"_{name}") for name in names)
    query, key, value, output = found
    return query, key, value, output


def projection_tensors(where: str, attention: Any) -> list[Any]:
    """Return kernel and bias of these four layers as tensors; a missing bias is None."""
    return [tensor for dense in projections(attention) for tensor in dense_tensors(where, dense)]


def dense_tensors(where: str, dense: Any) -> tuple[Any, Any]:
    """Return kernel and bias of a Dense or EinsumDense as tensors; a missing bias is None.

    `where` is the name of the layer around it, for messages.

    Raises
    ------
    ValueError
        If the layer is quantized.
    """
    if getattr(dense, "quantization_mode", None) is not None:
        found = f"its {dense.name} quantized to {dense.quantization_mode}"
        raise ValueError(f"{where}: found {found}, expected weights that are not")
    bias = None if dense.bias is None else ops.convert_to_tensor(dense.bias)
    return ops.convert_to_tensor(dense.kernel), bias


def shape_of(sizes: Sequence[int | None]) -> Any:
    """Return a shape in the type that ``compute_output_shape`` has in this Keras."""
    return tuple(sizes) if KERAS_3 else tf_ops.tensor_shape(sizes)


def traced_as_written(function: Any) -> Any:
    """Keep AutoGraph, which Keras 2 applies to every ``call``, from rewriting a function.

    There is nothing to rewrite, since all its conditions are known at tracing.
    """
    return function if KERAS_3 else tf_ops.not_converted(function)
