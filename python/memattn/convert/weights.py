"""The weights of a layer as plain arrays: their names, a layer from them, them from a layer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memattn.arrays import Array, as_array
from memattn.layer import MemoryAugmentedAttention

PROJECTIONS = ("query", "key", "value", "output")

# In the order of Keras' get_weights(), as in docs/format.md.
WEIGHT_NAMES = (
    "memory",
    *(f"{role}.{part}" for role in PROJECTIONS for part in ("kernel", "bias")),
)

# What a layer's config says beyond its sizes, in every host.
OPTIONS = ("residual", "dropout", "fully_masked")


def without_biases(names: Sequence[str]) -> tuple[str, ...]:
    """The names of a layer that has no biases."""
    return tuple(name for name in names if not name.endswith(".bias"))


def shape_problem(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, str] | None:
    """What was found and what was expected, when arrays of these shapes are not one layer's."""
    biases = [name for name in shapes if name.endswith(".bias")]
    if len(biases) not in (0, len(PROJECTIONS)):
        return f"biases {', '.join(biases)} only", "all four or none"
    ranks = {"memory": 2, **{f"{role}.kernel": 3 for role in PROJECTIONS}}
    for name, rank in ranks.items():
        if len(shapes[name]) != rank or 0 in shapes[name]:
            return f"{name} of shape {shapes[name]}", f"{rank} sizes of at least 1"
    units = shapes["memory"][1]
    _, heads, key_dim = shapes["query.kernel"]
    value_dim = shapes["value.kernel"][2]
    expected = {
        "query.kernel": (units, heads, key_dim),
        "query.bias": (heads, key_dim),
        "key.kernel": (units, heads, key_dim),
        "key.bias": (heads, key_dim),
        "value.kernel": (units, heads, value_dim),
        "value.bias": (heads, value_dim),
        "output.kernel": (heads, value_dim, units),
        "output.bias": (units,),
    }
    for name, shape in expected.items():
        if name in shapes and shapes[name] != shape:
            memory = f"a memory of shape {shapes['memory']}"
            return f"{name} of shape {shapes[name]}", f"{shape} beside {memory}"
    return None


def make_layer(
    weights: Mapping[str, Array], options: Mapping[str, Any]
) -> MemoryAugmentedAttention:
    """A layer of these weights.

    Parameters
    ----------
    weights : mapping of names to arrays
        All nine, or five without biases. float64 when any of them is, float32 otherwise.
    options : mapping
        What the constructor takes and the shapes do not say: ``residual``, ``dropout``,
        ``fully_masked``, ``memory_initializer``, ``seed``.

    Raises
    ------
    ValueError
        The weights are no layer, or an option has no such value.
    """
    slots, units = weights["memory"].shape
    _, heads, key_dim = weights["query.kernel"].shape
    value_dim = weights["value.kernel"].shape[2]
    wide = any(weight.dtype == np.float64 for weight in weights.values())
    with warnings.catch_warnings():
        # That a memory of zeros cannot learn is for those who begin with one.
        warnings.simplefilter("ignore", UserWarning)
        layer = MemoryAugmentedAttention(
            units,
            slots,
            heads,
            key_dim=None if key_dim == units else key_dim,
            value_dim=None if value_dim == key_dim else value_dim,
            use_bias="query.bias" in weights,
            dtype="float64" if wide else "float32",
            **{"seed": 0, **options},
        )
    layer.set_weights(weights)
    return layer


def as_layer(layer: object) -> MemoryAugmentedAttention:
    """The NumPy layer of any layer of ours.

    Parameters
    ----------
    layer : object
        A `MemoryAugmentedAttention`; what makes one by ``to_numpy()``, as PyTorch's module does; or
        what has ``get_weights()`` in Keras' order, and perhaps ``get_config()``.

    Raises
    ------
    TypeError
        It is nothing of the kind.
    ValueError
        Its weights are not those of a memory layer.
    """
    if isinstance(layer, MemoryAugmentedAttention):
        return layer
    if hasattr(layer, "to_numpy"):
        return as_layer(layer.to_numpy())
    if not hasattr(layer, "get_weights"):
        kind = type(layer).__name__
        raise TypeError(f"write: layer: found {kind}, expected a MemoryAugmentedAttention")
    arrays = list(layer.get_weights())
    complete = (WEIGHT_NAMES, without_biases(WEIGHT_NAMES))
    names = next((names for names in complete if len(names) == len(arrays)), None)
    if names is None:
        expected = "9, or 5 without biases"
        raise ValueError(f"write: layer: found {len(arrays)} weights, expected {expected}")
    found = dict(zip(names, arrays, strict=True))
    weights = {name: as_array(f"write: {name}", array) for name, array in found.items()}
    problem = shape_problem({name: array.shape for name, array in weights.items()})
    if problem is not None:
        raise ValueError(f"write: layer: found {problem[0]}, expected {problem[1]}")
    config = layer.get_config() if hasattr(layer, "get_config") else {}
    return make_layer(weights, {name: config[name] for name in OPTIONS if name in config})
