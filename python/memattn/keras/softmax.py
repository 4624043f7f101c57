"""Softmax over slots or steps, with and without a mask, in operations of Keras."""

from __future__ import annotations

from typing import Any

from memattn.keras.host import ops


def softmax(logits: Any, dtype: str) -> Any:
    """Return the softmax over the last axis, computed in float32 if `dtype` has 16 bits."""
    if logits.shape[-1] == 1:  # Keras 3 warns about an axis of size 1
        return ops.exp(logits - logits)
    if dtype not in ("float16", "bfloat16"):
        return ops.softmax(logits, axis=-1)
    return ops.cast(ops.softmax(ops.cast(logits, "float32"), axis=-1), dtype)


def masked_softmax(logits: Any, keep: Any, dtype: str, fully_masked: str, poison: Any) -> Any:
    """Return the softmax over the kept part of the last axis; other gradients are exactly 0.

    Parameters
    ----------
    logits : tensor of `dtype`
        The logits, with the poison already added.
    keep : tensor of bool
        Broadcasts to the logits; True keeps.
    dtype : str
        The dtype of the logits.
    fully_masked : {"zero", "uniform"}
        The scores of a row without a kept logit: 0, or equal.
    poison : tensor of `dtype`
        Broadcasts to the logits: NaN for a slot or step that is not finite, else 0.

    Returns
    -------
    tensor, of the logits' shape
    """
    lowest = -6e4 if dtype == "float16" else -1e30  # its exp underflows to 0
    if fully_masked == "zero":
        return ops.where(keep, softmax(ops.where(keep, logits, lowest), dtype), 0.0)
    # A row without a kept logit gets equal logits of 0, or NaN for slots that are not finite.
    alive = ops.any(keep, axis=-1, keepdims=True)
    filler = ops.where(alive, lowest, poison)
    return softmax(ops.where(keep, logits, filler), dtype)


def finite_part(source: Any) -> tuple[Any, Any]:
    """Return `source` (..., S, F) with non-finite rows set to 0, and the poison (..., S).

    The poison is NaN for a non-finite row, else 0, and is added to the logits. Masks replace
    logits, so a masked row affects no result, while its product 0·NaN would. A row that is read
    still gives NaN.
    """
    finite = ops.all(ops.isfinite(source), axis=-1)
    source = ops.where(ops.expand_dims(finite, -1), source, 0.0)
    return source, ops.where(finite, ops.sum(source * 0.0, -1), float("nan"))
