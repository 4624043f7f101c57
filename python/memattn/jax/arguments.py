"""Converts arguments to checked JAX arrays: parameters, masks, the first step of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from memattn.arrays import as_place, check_shape
from memattn.layer_options import ScoresChoice

Array: TypeAlias = Any  # jax.Array, a tracer, or an argument of jnp.asarray
Params: TypeAlias = dict[str, Array]


def as_params(
    where: str, params: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], *others: Array
) -> tuple[Params, Any]:
    """Return checked parameters, and the dtype that they and `others` are promoted to.

    Raises
    ------
    ValueError
        If a name or a shape differs from `shapes`.
    TypeError
        If an array does not hold real numbers.
    """
    if set(params) != set(shapes):
        found, expected = ", ".join(sorted(params)) or "nothing", ", ".join(shapes)
        raise ValueError(f"{where}: params: found {found}, expected {expected}")
    arrays = {name: jnp.asarray(params[name]) for name in shapes}
    for name, shape in shapes.items():
        check_shape(f"{where}: params: {name}", arrays[name].shape, shape)
    return arrays, real_dtype(where, *arrays.values(), *others)


def real_dtype(where: str, *arrays: Array) -> Any:
    """Return the floating-point dtype that all arrays are promoted to.

    Raises
    ------
    TypeError
        If an array does not hold real numbers.
    """
    dtype = jnp.result_type(*arrays, float)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{where}: found dtype {dtype}, expected real numbers")
    return dtype


def scores_of(scores: Array, choice: ScoresChoice, dtype: Any) -> Array:
    """Return scores (B, H, T, S) as the caller wants them: of each head, or their mean."""
    scores = scores.astype(dtype)
    return scores.mean(1) if choice == "mean" else scores


def as_attention_mask(value: Array | None, full: tuple[int, int, int]) -> Array | None:
    """Return a mask of booleans that broadcasts to `full`.

    Raises
    ------
    ValueError
        If the mask does not broadcast.
    TypeError
        If it does not hold booleans or integers.
    """
    if value is None:
        return None
    mask = _as_mask("attention_mask", value)
    if mask.ndim > 3 or any(
        have not in (1, want) for have, want in zip(mask.shape[::-1], full[::-1], strict=False)
    ):
        found = f"found shape {mask.shape}"
        raise ValueError(f"apply: attention_mask: {found}, expected one that broadcasts to {full}")
    return mask


def as_step_mask(name: str, value: Array | None, shape: tuple[int, int]) -> Array | None:
    """Return a mask of steps or slots as booleans of exactly this shape.

    Raises
    ------
    ValueError
        If the shape differs.
    TypeError
        If the mask does not hold booleans or integers.
    """
    if value is None:
        return None
    mask = _as_mask(name, value)
    check_shape(f"apply: {name}", mask.shape, shape)
    return mask


def as_first_step(value: int | Array, steps: int) -> int | Array:
    """Return a checked first step; only the type of a traced one is checked.

    Raises
    ------
    ValueError
        If it is negative, or the last step exceeds 63 bits.
    TypeError
        If it is not an integer.
    """
    if isinstance(value, jax.core.Tracer):
        if value.shape != () or not jnp.issubdtype(value.dtype, jnp.integer):
            found = f"found dtype {value.dtype} of shape {value.shape}"
            raise TypeError(f"apply: first_step: {found}, expected an integer, at least 0")
        return value.astype(int)
    # JAX's integers may be too short for the value, which is only compared with key positions.
    return min(as_place("apply: first_step", value, steps), 2**31 - 1)


def kept(
    full: tuple[int, int, int],
    attention_mask: Array | None,
    query_mask: Array | None,
    value_mask: Array | None,
    first_step: int | Array | None,
) -> Array | None:
    """Return which keys each query may read.

    Parameters
    ----------
    full : tuple of int
        The sizes of batch, queries and keys.
    attention_mask, query_mask, value_mask : array of bool, optional
        Results of the functions above; they are ANDed.
    first_step : int or integer scalar, optional
        If given, query t reads only keys 0 to ``first_step + t``.

    Returns
    -------
    array of bool with the shape `full`, or None if nothing is masked
    """
    _, queries, keys = full
    masks = [attention_mask]
    masks.append(None if query_mask is None else query_mask[:, :, None])
    masks.append(None if value_mask is None else value_mask[:, None])
    if first_step is not None:
        # A step beyond the last key reads all keys. The minimum keeps the number within int32.
        places = jnp.arange(queries) + jnp.minimum(first_step, keys)
        masks.append(jnp.arange(keys) <= places[:, None])
    keep = None
    for mask in masks:
        if mask is not None:
            keep = mask if keep is None else keep & mask
    return None if keep is None else jnp.broadcast_to(keep, full)


def _as_mask(name: str, mask: Array) -> Array:
    mask = jnp.asarray(mask)
    if not (mask.dtype == bool or jnp.issubdtype(mask.dtype, jnp.integer)):
        found = f"found dtype {mask.dtype}"
        raise TypeError(f"apply: {name}: {found}, expected booleans, True where a slot may be read")
    return mask != 0
