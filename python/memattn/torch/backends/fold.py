"""The folded matrices of a memory layer for GPU kernels, kept between calls in evaluation mode.

Values of weights are not compared as on the CPU, since that would wait for the GPU. Instead,
version counters show whether a weight has changed. Fused optimizers and collectives of
``torch.distributed`` do not increment them, so in training mode every call folds.
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
    """The folded matrices, scaled for a softmax of powers of 2."""

    a: Tensor  # (U, H·S), in float32 if a gradient needs it, else in the dtype of products
    c: Tensor  # (H·S,), float32
    b: Tensor  # (H·S, U), as a
    bias: Tensor | None  # (U,), float32

    def to(self, dtype: torch.dtype) -> Folded:
        """Return the matrices rounded to the dtype of products."""
        return self._replace(a=self.a.to(dtype), b=self.b.to(dtype))


class _Kept(NamedTuple):
    storages: list[StorageWeakRef]  # of the weights; their ids are not reused while these exist
    state: tuple[Any, ...]
    folded: Folded


# Folds by the addresses of the weights, then by dtype and mask. There are no references to
# parameters, since `torch.utils.swap_tensors` refuses parameters with any. Adding an entry removes
# those whose weights no longer exist.
_kept: dict[tuple[int, ...], dict[tuple[torch.dtype, bool], _Kept]] = {}


def fold(weights: MemoryWeights, dtype: torch.dtype, *, masked: bool, keep: bool) -> Folded:
    """Return the fold for products in `dtype`, with a graph if a weight needs a gradient.

    With `masked`, a non-finite slot gets zeros in A and B and a NaN in c. Then only tokens that
    read it become NaN, while 0·NaN would make all of them NaN. With `keep`, the fold is kept for
    later calls until the version of a weight changes.
    """
    if torch.compiler.is_compiling():
        return _fold(weights, dtype, masked)
    present = [weight for weight in weights if weight is not None]
    if torch.is_grad_enabled() and any(weight.requires_grad for weight in present):
        if _kept:  # weights that are trained in evaluation mode are about to change
            _kept.pop(_addresses(present), None)
        return _fold(weights, dtype, masked)
    # Tensors computed during a capture have no values before the graph runs, and a graph must own
    # the tensors it reads: kept ones may be freed before it is replayed.
    keep = keep and not _capturing(weights.memory)
    # Inference tensors have no versions.
    if not keep or any(weight.is_inference() for weight in present):
        return _fold(weights, dtype, masked).to(dtype)
    folds = _kept  # `forget` may replace the dict while this call folds
    addresses, key = _addresses(present), (dtype, masked)
    # State and storages are read before the fold, so that a concurrent change leads to a new fold.
    state = _state(present)
    kept = folds.get(addresses, {}).get(key)
    if kept is not None and kept.state == state:
        return kept.folded
    storages = [StorageWeakRef(weight.untyped_storage()) for weight in present]
    with torch.inference_mode(mode=False), torch.no_grad():
        folded = _fold(weights, dtype, masked).to(dtype)
        if folded.bias is not None:  # may be the parameter itself, which must not be referenced
            folded = folded._replace(bias=folded.bias.detach().clone())
    _drop_dead(folds)
    folds.setdefault(addresses, {})[key] = _Kept(storages, state, folded)
    return folded


def forget() -> None:
    """Discard all folds, since weights may have changed without a new version."""
    global _kept
    _kept = {}  # a call that is folding now adds its fold to the old dict


# Torch keeps the objects that operators refer to until after the interpreter has shut down.
atexit.register(forget)


def _capturing(memory: Tensor) -> bool:
    return bool(memory.is_cuda and torch.cuda.is_current_stream_capturing())


def _addresses(present: list[Tensor]) -> tuple[int, ...]:
    return tuple(weight.data_ptr() for weight in present)


def _state(present: list[Tensor]) -> tuple[Any, ...]:
    """Return values that change with the weights, and the stream of the fold."""
    first = present[0]
    stream = torch.cuda.current_stream(first.device).cuda_stream if first.is_cuda else 0
    of_weights = (
        # Freed memory may be reused at the same address, but as another storage.
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
