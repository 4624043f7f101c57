"""Calls in bfloat16 on the CPU, by the compiled kernels.

JAX cannot trace the kernels. So calls under ``jax.jit``, ``jax.grad`` or ``jax.vmap``, whose
arguments are tracers, use JAX's own operators.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memattn.jax.arguments import Array
from memattn.jax.numpy_layer import to_numpy


class _Entry(NamedTuple):
    parameters: list[weakref.ref[Any]]
    layer: Any  # the NumPy layer, with bfloat16 precision


# Prepared layers by options and identities of the parameters, since JAX arrays never change. Adding
# an entry removes those whose parameters no longer exist.
_entries: dict[tuple[Any, ...], _Entry] = {}


def applies(params: Mapping[str, Array], *others: Array | None) -> bool:
    """Whether all arguments are untraced arrays on the CPU, in bfloat16 or of booleans."""
    return _are_here(params.values(), jnp.bfloat16) and all(
        other is None or _are_here((other,), jnp.bfloat16, jnp.bool_) for other in others
    )


def attend(
    layer_class: Any,
    config: Any,
    params: Mapping[str, Array],
    *inputs: Array,
    scores: Any,
    **masks: Array | bool | None,
) -> Any:
    """Return the result of the NumPy layer in bfloat16, as bfloat16 arrays.

    Parameters
    ----------
    layer_class : class
        The class of the NumPy layer.
    config : object
        The options, with the parameters' `shapes`.
    params : mapping of names to arrays
        The parameters.
    *inputs : array
        The inputs of the call.
    scores : bool or "mean"
        The scores to return, as `return_attention_scores`.
    **masks : array, bool or None
        The masks of the call.

    Raises
    ------
    ValueError
        If a name or a shape of `params` does not fit.
    """
    layer = _layer(layer_class, config, params)
    result = layer(
        *(np.asarray(x).astype(np.float32) for x in inputs),
        return_attention_scores=scores,
        **{k: np.asarray(v) if isinstance(v, jax.Array) else v for k, v in masks.items()},
    )
    (device,) = inputs[0].devices()
    half = np.dtype(jnp.bfloat16)
    return jax.tree.map(lambda array: jax.device_put(array.astype(half), device), result)


def _are_here(arrays: Iterable[Any], *dtypes: Any) -> bool:
    return all(
        isinstance(array, jax.Array)
        and not isinstance(array, jax.core.Tracer)
        and array.dtype in dtypes
        and [device.platform for device in array.devices()] == ["cpu"]
        for array in arrays
    )


def _layer(layer_class: Any, config: Any, params: Mapping[str, Array]) -> Any:
    key = (layer_class, config, *((name, id(array)) for name, array in params.items()))
    entry = _entries.get(key)
    if entry is None or any(
        reference() is not array
        for reference, array in zip(entry.parameters, params.values(), strict=True)
    ):
        for other, of_other in list(_entries.items()):
            if any(reference() is None for reference in of_other.parameters):
                _entries.pop(other, None)
        layer = to_numpy("apply", params, config, layer_class)
        layer.precision = "bfloat16"
        entry = _entries[key] = _Entry([weakref.ref(array) for array in params.values()], layer)
    return entry.layer
