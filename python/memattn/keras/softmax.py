"""Softmax over what is read, with and without a mask, in the host's operations."""

from __future__ import annotations

from typing import Any

from memattn.keras.host import ops


def softmax(logits: Any, dtype: str) -> Any:
    """Softmax over the last axis, in float32 where `dtype` is too short for its sum."""
    if logits.shape[-1] == 1:  # Keras 3 warns of such an axis
        return ops.exp(logits - logits)
    if dtype not in ("float16", "bfloat16"):
        return ops.softmax(logits, axis=-1)
    return ops.cast(ops.softmax(ops.cast(logits, "float32"), axis=-1), dtype)


def masked_softmax(logits: Any, keep: Any, dtype: str, fully_masked: str, poison: Any) -> Any:
    """Softmax over what is kept of the last axis; gradients of the rest are exactly 0.

    Parameters
    ----------
    logits : tensor of `dtype`
        With the poison already added.
    keep : tensor of bool
        Broadcasts to the logits; True keeps.
    dtype : str
        Of the logits.
    fully_masked : {"zero", "uniform"}
        A row without a kept logit is all 0, or the same everywhere.
    poison : tensor of `dtype`
        Broadcasts to the logits: NaN for what holds a number that is not finite, else 0.

    Returns
    -------
    tensor, of the logits' shape
    """
    lowest = -6e4 if dtype == "float16" else -1e30  # exp of it is 0 beside any logit
    if fully_masked == "zero":
        return ops.where(keep, softmax(ops.where(keep, logits, lowest), dtype), 0.0)
    # A row without anything kept reads all alike: logits of 0, or NaN for what holds one.
    alive = ops.any(keep, axis=-1, keepdims=True)
    filler = ops.where(alive, lowest, poison)
    return softmax(ops.where(keep, logits, filler), dtype)


def finite_part(source: Any) -> tuple[Any, Any]:
    """What is read, (..., S, F), with the rows that are not finite set to 0, and their poison.

    The poison, (..., S), goes to their logits: NaN for such a row, else 0. A masked logit is
    replaced, so nothing of its row can reach a result, where 0·NaN would. A row that is read gives
    NaN, as it would have.
    """
    finite = ops.all(ops.isfinite(source), axis=-1)
    source = ops.where(ops.expand_dims(finite, -1), source, 0.0)
    return source, ops.where(finite, ops.sum(source * 0.0, -1), float("nan"))
