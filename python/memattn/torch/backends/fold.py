"""The folded matrices of a memory layer for kernels on a GPU: made once a step, kept in inference.

The values of weights are not compared, as they are on the CPU: that would wait for the GPU. The
version counters of the weights tell whether one has changed; `forget` is for what they miss.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from memattn.torch import plain
from memattn.torch.precision import without_autocast
from memattn.torch.weights import MemoryWeights


class Folded(NamedTuple):
    """The matrices of the folded form, for a softmax of powers of 2."""

    a: Tensor  # (U, H·S), float32 where a gradient needs it, else of the dtype of products
    c: Tensor  # (H·S,), float32
    b: Tensor  # (H·S, U), as a
    bias: Tensor | None  # (U,), float32

    def to(self, dtype: torch.dtype) -> Folded:
        """Return it for products of a dtype: rounded once."""
        return self._replace(a=self.a.to(dtype), b=self.b.to(dtype))


class _Kept(NamedTuple):
    weights: list[Callable[[], Tensor | None]]  # weak references
    state: tuple[Any, ...]
    folded: Folded


# By the memory, weakly: a fold goes with its weights.
_kept: Any = WeakTensorKeyDictionary()


def fold(weights: MemoryWeights, dtype: torch.dtype, *, masked: bool) -> Folded:
    """Return the fold for products in `dtype`, with a graph if a weight needs a gradient.

    With `masked` a slot that holds a NaN or an infinity gets zeros in A and B and a NaN in c. So it
    makes NaN of the tokens that read it and of no others: 0·NaN would be NaN for all of them.
    """
    present = [weight for weight in weights if weight is not None]
    learns = any(weight.requires_grad for weight in present)
    if torch.compiler.is_compiling() or (learns and torch.is_grad_enabled()):
        return _fold(weights, dtype, masked)
    if any(weight.is_inference() for weight in present):
        return _fold(weights, dtype, masked).to(dtype)  # they have no versions
    capturing = weights.memory.is_cuda and torch.cuda.is_current_stream_capturing()
    if capturing and learns:
        return _fold(weights, dtype, masked)  # a part of the graph: it follows the weights
    key = (dtype, masked)
    kept = _kept.get(weights.memory, {}).get(key)
    if kept is not None and kept.state == _state(present, capturing, kept):
        same = zip(kept.weights, present, strict=True)
        if all(reference() is weight for reference, weight in same):
            folded: Folded = kept.folded
            return folded
    with torch.inference_mode(mode=False), torch.no_grad():
        folded = _fold(weights, dtype, masked).to(dtype)
    if not capturing:  # what is computed in a capture has no values before the graph runs
        entry = _Kept([weakref.ref(weight) for weight in present], _state(present), folded)
        _kept.setdefault(weights.memory, {})[key] = entry
    return folded


def forget(memory: Tensor) -> None:
    """Fold again at the next call: weights may have been changed where no version counts it.

    Replays of CUDA graphs and writes through ``.data`` do so.
    """
    _kept.pop(memory, None)


def _state(
    present: list[Tensor], capturing: bool = False, kept: _Kept | None = None
) -> tuple[Any, ...]:
    """Return what changes with the weights, and the stream on which the fold is there."""
    if capturing and kept is not None:  # a capture begins when all streams have come to rest
        stream = kept.state[0]
    else:
        first = present[0]
        stream = torch.cuda.current_stream(first.device).cuda_stream if first.is_cuda else 0
    return (stream, *((weight._version, weight.data_ptr()) for weight in present))


def _fold(weights: MemoryWeights, dtype: torch.dtype, masked: bool) -> Folded:
    with without_autocast(weights.memory):
        a, c, b = plain.fold(weights)
        scale = 1 / math.log(2)
        a, c = a * scale, c * scale
        if masked:
            finite = torch.isfinite(a.to(dtype)).all(0) & torch.isfinite(c)
            finite = finite & torch.isfinite(b.to(dtype)).all(1)
            a = torch.where(finite, a, 0)
            c = torch.where(finite, c, torch.nan)
            b = torch.where(finite[:, None], b, 0)
        bias = None if weights.output_bias is None else weights.output_bias.float().contiguous()
        return Folded(a.contiguous(), c.contiguous(), b.contiguous(), bias)
