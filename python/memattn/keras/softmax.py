"""Softmax over slots or steps, with and without a mask, in operations of Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from memattn.keras.host import ops

Guard: TypeAlias = Callable[..., Any]  # FinitePart or as_it_is


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


class FinitePart:
    """Keeps non-finite rows out of products, and marks their logits instead.

    A row that is not finite, or whose products overflow, counts as 0, and its logits become NaN.
    A masked logit is replaced, so its row cannot reach a result, not even as 0·NaN. A row that is
    read gives NaN, as it would without this.
    """

    def __init__(self) -> None:
        self.poison: Any = None  # of the rows so far: NaN where one was not finite, else 0

    def __call__(self, source: Any, axes: Sequence[int] | None = None) -> Any:
        """Return the source with the rows that are not finite set to 0.

        Parameters
        ----------
        source : tensor
        axes : sequence of int, optional
            The axes of a row, in ascending order; default: all after the first two.
        """
        axes = tuple(range(2, len(source.shape))) if axes is None else tuple(axes)
        finite = ops.all(ops.isfinite(source), axis=axes)
        poison = ops.where(finite, ops.cast(finite, source.dtype) * 0.0, float("nan"))
        self.poison = poison if self.poison is None else self.poison + poison
        for axis in axes:
            finite = ops.expand_dims(finite, axis)
        return ops.where(finite, source, 0.0)


def as_it_is(source: Any, axes: Sequence[int] | None = None) -> Any:
    """Return the source itself; stands for `FinitePart` in calls without a mask."""
    return source
