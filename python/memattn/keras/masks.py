"""The masks of Keras' MultiHeadAttention, reshaped to broadcast to (B, T, S); True keeps."""

from __future__ import annotations

from operator import index
from typing import Any, TypeAlias

import numpy as np

from memattn.arrays import as_place
from memattn.keras.host import ops

Size: TypeAlias = int | None  # None if unknown before the call


def attention_rows(mask: Any, full: tuple[Size, ...]) -> Any:
    """Return a mask that broadcasts to `full`, (B, T, S)."""
    if mask is None:
        return None
    mask = _as_bool("attention_mask", mask)
    padded = (1,) * (3 - len(mask.shape)) + tuple(mask.shape)
    if len(padded) != 3 or any(
        None not in (have, want) and have not in (1, want)
        for have, want in zip(padded, full, strict=True)
    ):
        found = f"shape {tuple(mask.shape)}"
        raise ValueError(f"attention_mask: found {found}, expected one that broadcasts to {full}")
    for _ in range(3 - len(mask.shape)):
        mask = ops.expand_dims(mask, 0)
    return mask


def token_rows(name: str, mask: Any, full: tuple[Size, ...]) -> Any:
    """Return a mask (B, T) of tokens as (B, T, 1)."""
    return None if mask is None else ops.expand_dims(_two_axes(name, mask, full), 2)


def slot_rows(name: str, mask: Any, full: tuple[Size, ...]) -> Any:
    """Return a mask (B, S) of slots as (B, 1, S)."""
    return None if mask is None else ops.expand_dims(_two_axes(name, mask, full), 1)


def checked_first_step(first_step: Any, slots: Size) -> Any:
    """Return the first step as a scalar tensor; only the type of a symbolic one is checked."""
    if hasattr(first_step, "shape") and not isinstance(first_step, (np.generic, np.ndarray)):
        first_step = ops.convert_to_tensor(first_step)
        if len(first_step.shape) != 0 or "int" not in str(first_step.dtype):
            found = f"dtype {first_step.dtype} of shape {tuple(first_step.shape)}"
            raise TypeError(f"first_step: found {found}, expected an integer, at least 0")
        try:
            index(first_step)
        except TypeError:  # a symbolic tensor has no value yet
            return first_step
    # A step beyond the last slot reads all slots. The limit keeps the number within int32.
    last = 2**30 if slots is None else slots
    return ops.convert_to_tensor(min(as_place("first_step", first_step, 0), last))


def causal_rows(steps: Any, slots: Any, first: Any) -> Any:
    """Return a mask (1, T, S) with which step t reads slots 0 to first + t."""
    step, slot = ops.arange(steps), ops.arange(slots)
    step = step + ops.cast(first, step.dtype)
    return ops.expand_dims(ops.expand_dims(slot, 0) <= ops.expand_dims(step, 1), 0)


def joined_mask(*masks: Any) -> Any:
    """Return the AND of the masks that are not None, or None without any."""
    joined = None
    for mask in masks:
        if mask is not None:
            joined = mask if joined is None else ops.logical_and(joined, mask)
    return joined


def _two_axes(name: str, mask: Any, full: tuple[Size, ...]) -> Any:
    mask = _as_bool(name, mask)
    if len(mask.shape) != 2 or any(
        None not in (have, want) and have != want
        for have, want in zip(mask.shape, full, strict=True)
    ):
        raise ValueError(f"{name}: found shape {tuple(mask.shape)}, expected {full}")
    return mask


def _as_bool(name: str, mask: Any) -> Any:
    mask = ops.convert_to_tensor(mask)
    if not any(kind in str(mask.dtype) for kind in ("bool", "int")):
        found = f"dtype {mask.dtype}"
        raise TypeError(f"{name}: found {found}, expected booleans, True where a slot may be read")
    return ops.cast(mask, "bool")
