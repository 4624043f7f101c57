"""The folded matrices of a memory layer for kernels on a GPU: kept in evaluation mode alone.

The values of weights are not compared, as they are on the CPU: that would wait for the GPU. The
version counters of the weights tell whether one has changed, but fused optimizers and collectives
of ``torch.distributed`` do not count. So in training mode every call folds.
"""

from __future__ import annotations

import atexit
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

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
    storages: list[StorageWeakRef]  # of the weights: while these are held, no other has their names
    state: tuple[Any, ...]
    folded: Folded


# By the addresses of the weights, then by dtype and mask. No references to parameters, which
# `torch.utils.swap_tensors` refuses: so an entry whose weights are gone goes when the next one
# comes, or with all others.
_kept: dict[tuple[int, ...], dict[tuple[torch.dtype, bool], _Kept]] = {}


def fold(weights: MemoryWeights, dtype: torch.dtype, *, masked: bool, keep: bool) -> Folded:
    """Return the fold for products in `dtype`, with a graph if a weight needs a gradient.

    With `masked` a slot that holds a NaN or an infinity gets zeros in A and B and a NaN in c. So it
    makes NaN of the tokens that read it and of no others: 0·NaN would be NaN for all of them. With
    `keep` the fold serves later calls, too, until the version of a weight changes.
    """
    if torch.compiler.is_compiling():
        return _fold(weights, dtype, masked)
    present = [weight for weight in weights if weight is not None]
    if torch.is_grad_enabled() and any(weight.requires_grad for weight in present):
        if _kept:  # what is trained in evaluation mode is about to change
            _kept.pop(_addresses(present), None)
        return _fold(weights, dtype, masked)
    # What is computed in a capture has no values before the graph runs, and what a graph reads must
    # be its own: kept tensors may be freed before it is replayed.
    keep = keep and not _capturing(weights.memory)
    if not keep or any(weight.is_inference() for weight in present):  # those have no versions
        return _fold(weights, dtype, masked).to(dtype)
    folds = _kept  # `forget` may put another in its place while this call folds
    addresses, key = _addresses(present), (dtype, masked)
    # Before the fold, as the storages: a weight that changes meanwhile is folded again.
    state = _state(present)
    kept = folds.get(addresses, {}).get(key)
    if kept is not None and kept.state == state:
        return kept.folded
    storages = [StorageWeakRef(weight.untyped_storage()) for weight in present]
    with torch.inference_mode(mode=False), torch.no_grad():
        folded = _fold(weights, dtype, masked).to(dtype)
        if folded.bias is not None:  # perhaps the parameter itself, which is not to be held
            folded = folded._replace(bias=folded.bias.detach().clone())
    _drop_dead(folds)
    folds.setdefault(addresses, {})[key] = _Kept(storages, state, folded)
    return folded


def forget() -> None:
    """Fold all weights again: they may have been changed where no version counts it."""
    global _kept
    _kept = {}  # a call that is folding now keeps what it makes in the old one


# Torch keeps what its operators see beyond the end of the interpreter.
atexit.register(forget)


def _capturing(memory: Tensor) -> bool:
    return bool(memory.is_cuda and torch.cuda.is_current_stream_capturing())


def _addresses(present: list[Tensor]) -> tuple[int, ...]:
    return tuple(weight.data_ptr() for weight in present)


def _state(present: list[Tensor]) -> tuple[Any, ...]:
    """Return what changes with the weights, and the stream on which the fold is there."""
    first = present[0]
    stream = torch.cuda.current_stream(first.device).cuda_stream if first.is_cuda else 0
    of_weights = (
        # Memory that was freed comes back at the same address, but as another storage.
        (
            *(id(weight), weight._version, weight.untyped_storage()._cdata),
            *(weight.dtype, weight.shape, weight.stride()),
        )
        for weight in present
    )
    return (stream, *of_weights)


def _drop_dead(folds: dict[tuple[int, ...], dict[tuple[torch.dtype, bool], _Kept]]) -> None:
    for addresses, kept in list(folds.items()):
        if any(one.expired() for fold in list(kept.values()) for one in fold.storages):
            folds.pop(addresses, None)


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
