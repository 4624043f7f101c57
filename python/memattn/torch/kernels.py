"""The compiled kernels on float32 and float64 tensors of the CPU, with their gradients.

One fold serves forward and backward of a training step, and every call until a weight changes.
"""

from __future__ import annotations

import atexit
import json
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from memattn import _memattn
from memattn.torch import plain
from memattn.torch.call import Call, Weights

DTYPES: dict[torch.dtype, Any] = {
    torch.float32: _memattn.HostedFloat32,
    torch.float64: _memattn.HostedFloat64,
}


class _Entry(NamedTuple):
    hosted: Any  # weights, copied, and their fold; compares itself with the weights of each call
    storages: list[StorageWeakRef]  # of the weights


# For the whole process and not in the modules: so eager, compiled and exported calls share folds,
# and a module is nothing but its parameters, to be copied and pickled as any other. An entry whose
# weights are gone goes when the next one comes.
_entries: dict[tuple[Any, ...], _Entry] = {}
# Torch keeps the operators of this package, and what they see, beyond the end of the interpreter.
atexit.register(_entries.clear)


def aligned(tensor: Tensor) -> Tensor:
    """Return a tensor that lies on a multiple of its item's size, itself if it does.

    ``torch.frombuffer`` makes others, which C++ must not read as numbers.
    """
    return tensor if tensor.data_ptr() % tensor.element_size() == 0 else tensor.clone()


def fit(x: Tensor, weights: Weights) -> bool:
    """Whether all are tensors that the kernels can read, but for gaps in them."""
    dtype = weights.memory.dtype
    return (
        dtype in DTYPES
        and x.is_cpu
        and x.dtype == dtype
        and all(w is None or (w.dtype == dtype and w.is_cpu) for w in weights)
    )


def fold(weights: Weights, call: Call) -> Any:
    """Return the weights, folded: made at the first call that sees these values."""
    present = [weight for weight in weights if weight is not None]
    addresses = [weight.data_ptr() for weight in present]
    if any(address % weights.memory.element_size() for address in addresses):
        present = [aligned(weight) for weight in present]
        addresses = [weight.data_ptr() for weight in present]
    options = (
        weights.memory.dtype,
        weights.memory.shape[0],
        *weights.query_kernel.shape,
        weights.value_kernel.shape[2],
        weights.query_bias is not None,
        call.residual,
        call.uniform_when_masked,
        call.dropout,
    )
    key = (options, *addresses)
    entry = _entries.get(key)
    if entry is None:
        entry = _entries[key] = _Entry(
            _reuse(options) or _make(options),
            [StorageWeakRef(weight.untyped_storage()) for weight in present],
        )
    return entry.hosted.fold(addresses, torch.get_num_threads())


def _reuse(options: tuple[Any, ...]) -> Any:
    """Drop the entries whose weights are gone; return the copy of one with these options."""
    reusable = None
    for key, entry in list(_entries.items()):
        if any(storage.expired() for storage in entry.storages):
            _entries.pop(key, None)
            if key[0] == options:
                reusable = entry.hosted
    return reusable


def _make(options: tuple[Any, ...]) -> Any:
    dtype, slots, units, heads, key_dim, value_dim, use_bias, residual, uniform, dropout = options
    config = {
        "units": units,
        "memory_size": slots,
        "num_heads": heads,
        "key_dim": key_dim,
        "value_dim": value_dim,
        "use_bias": use_bias,
        "residual": residual,
        "dropout": dropout,
        "fully_masked": "uniform" if uniform else "zero",
        "memory_initializer": "zeros",
    }
    return DTYPES[dtype](json.dumps(config))


def _hosted_call(x: Tensor, weights: Weights, call: Call) -> Any:
    batch, steps, _ = x.shape
    mask = call.attention_mask
    mask_batch, mask_steps, mask_slots = (0, 0, 0) if mask is None else mask.shape
    return _memattn.hosted_call(
        0 if mask is None else mask.data_ptr(),
        mask_batch,
        mask_steps,
        mask_slots,
        0 if call.query_mask is None else call.query_mask.data_ptr(),
        batch * steps,
        0 if call.value_mask is None else call.value_mask.data_ptr(),
        batch * weights.memory.shape[0],
        call.use_causal_mask,
        call.dropout_seed is not None,
        0 if call.dropout_seed is None else call.dropout_seed.item(),
        call.first_step,
        call.first_sequence,
        torch.get_num_threads(),
    )


def forward(
    x: Tensor, weights: Weights, call: Call, *, keep: bool = False
) -> tuple[Tensor, Tensor | None, Any]:
    """Return y, the scores if they are wanted, and what `backward` takes as `folded`.

    With `keep` that also holds the scores, so that `backward` need not compute them again. All
    tensors are contiguous, of one dtype among `DTYPES`, and in main memory.
    """
    x = aligned(x)
    folded = fold(weights, call)
    batch, steps, _ = x.shape
    y = torch.empty_like(x)
    scores = None
    if call.scores != "none":
        heads = () if call.scores == "mean" else (weights.query_kernel.shape[1],)
        scores = x.new_empty((batch, *heads, steps, weights.memory.shape[0]))
    DTYPES[x.dtype].forward(
        folded,
        _hosted_call(x, weights, call),
        batch,
        steps,
        x.data_ptr(),
        y.data_ptr(),
        0 if scores is None else scores.data_ptr(),
        call.scores == "mean",
        keep,
    )
    return y, scores, folded


def backward(
    grad_y: Tensor | None,
    grad_scores: Tensor | None,
    x: Tensor,
    weights: Weights,
    call: Call,
    folded: Any,
    *,
    needs_x: bool,
) -> tuple[Tensor | None, Tensor]:
    """Return the gradient of x, if it is needed, and those of the weights in one flat tensor.

    `split` cuts the latter: one allocation is several times cheaper than nine.
    """
    x = aligned(x)
    grad_x = torch.empty_like(x) if needs_x else None
    flat = x.new_empty(sum(weight.numel() for weight in weights if weight is not None))
    grad_y = torch.zeros_like(x) if grad_y is None else aligned(grad_y.contiguous())
    batch, steps, _ = x.shape
    DTYPES[x.dtype].backward(
        folded,
        _hosted_call(x, weights, call),
        batch,
        steps,
        x.data_ptr(),
        grad_y.data_ptr(),
        0 if grad_x is None else grad_x.data_ptr(),
        flat.data_ptr(),
    )
    if grad_scores is not None:
        more_x, more = plain.scores_gradients(grad_scores, x, weights, call)
        if grad_x is not None:
            grad_x += more_x
        for name, grad in zip(Weights._fields, split(flat, weights), strict=True):
            if grad is not None and name in more:
                grad += more[name]
    return grad_x, flat


def split(flat: Tensor, weights: Weights) -> list[Tensor | None]:
    """Return a flat tensor in views of the shapes of the weights, which are contiguous."""
    parts: list[Tensor | None] = []
    offset = 0
    for weight in weights:
        if weight is None:
            parts.append(None)
        else:
            parts.append(flat.as_strided(weight.shape, weight.stride(), offset))
            offset += weight.numel()
    return parts
