"""Softmax over what is read, with and without a mask, in the host's operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from memattn.keras.host import ops

Guard: TypeAlias = Callable[..., Any]  # FinitePart or as_it_is


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


class FinitePart:
    """Keeps what is not finite out of products, and has it mark logits instead.

    A row that is not finite, or of which a product overflows, counts as 0, and its logits become
    NaN. A masked logit is replaced, so nothing of its row can reach a result, where 0·NaN would. A
    row that is read gives NaN, as it would have.
    """

    def __init__(self) -> None:
        self.poison: Any = None  # of the rows so far: NaN where one was not finite, else 0

    def __call__(self, source: Any, axes: Sequence[int] | None = None) -> Any:
        """Return the source with the rows that are not finite set to 0.

        Parameters
        ----------
        source : tensor
        axes : sequence of int, optional
            Those along a row, in order; default: all behind the first two.
        """
        axes = tuple(range(2, len(source.shape))) if axes is None else tuple(axes)
        finite = ops.all(ops.isfinite(source), axis=axes)
        poison = ops.where(finite, ops.cast(finite, source.dtype) * 0.0, float("nan"))
        self.poison = poison if self.poison is None else self.poison + poison
        for axis in axes:
            finite = ops.expand_dims(finite, axis)
        return ops.where(finite, source, 0.0)


def as_it_is(source: Any, axes: Sequence[int] | None = None) -> Any:
    """Stand for `FinitePart` where nothing is masked."""
    return source
