"""Calls the compiled kernels on float32 and float64 tensors on the CPU, and their gradients.

A training step folds once for forward and backward. A fold is kept until a weight changes.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from memattn import _memattn
from memattn.layer_options import Precision
from memattn.torch.call import Call
from memattn.torch.kinds import Kind
from memattn.torch.weights import Weights

DTYPES = (torch.float32, torch.float64)


class _Entry(NamedTuple):
    hosted: Any  # a copy of the weights with their fold; compares them with those of each call
    storages: list[StorageWeakRef]  # of the weights


# One dict for the process and not one per module, so that eager, compiled and exported calls share
# folds, and copies and pickles of a module hold only its parameters. Adding an entry removes those
# whose weights no longer exist.
_entries: dict[tuple[Any, ...], _Entry] = {}
# Torch keeps this package's operators, and the objects they refer to, until after the interpreter
# has shut down.
atexit.register(_entries.clear)


def aligned(tensor: Tensor) -> Tensor:
    """Return a tensor aligned to its item size; the tensor itself if it already is.

    ``torch.frombuffer`` makes unaligned tensors, which C++ must not read as numbers.
    """
    return tensor if tensor.data_ptr() % tensor.element_size() == 0 else tensor.clone()


def fit(inputs: Sequence[Tensor], weights: Weights) -> bool:
    """Whether the kernels support all tensors, once they are contiguous."""
    dtype = inputs[0].dtype
    return dtype in DTYPES and all(
        tensor is None or (tensor.dtype == dtype and tensor.is_cpu)
        for tensor in (*inputs, *weights)
    )


def fold(kind: Kind, weights: Weights, call: Call, precision: Precision = "float32") -> Any:
    """Return the folded weights, which are kept until the weights' values change."""
    present = [weight for weight in weights if weight is not None]
    addresses = [weight.data_ptr() for weight in present]
    if any(address % present[0].element_size() for address in addresses):
        present = [aligned(weight) for weight in present]
        addresses = [weight.data_ptr() for weight in present]
    options = (kind, present[0].dtype, call.route, precision, *kind.options(weights, call))
    key = (options, *addresses)
    entry = _entries.get(key)
    if entry is None:
        entry = _entries[key] = _Entry(
            _reuse(options) or _make(options),
            [StorageWeakRef(weight.untyped_storage()) for weight in present],
        )
    return entry.hosted.fold(addresses, torch.get_num_threads())


def _reuse(options: tuple[Any, ...]) -> Any:
    """Remove entries whose weights no longer exist; return the copy of one with these options."""
    reusable = None
    for key, entry in list(_entries.items()):
        if any(storage.expired() for storage in entry.storages):
            _entries.pop(key, None)
            if key[0] == options:
                reusable = entry.hosted
    return reusable


def _make(options: tuple[Any, ...]) -> Any:
    kind, dtype, route, precision, *values = options
    config = {**dict(zip(kind.option_names, values, strict=True)), "precision": precision}
    return kind.hosted[dtype](json.dumps(config), route)


def _hosted_options(call: Call) -> Any:
    attention, query, value = call.attention_mask, call.query_mask, call.value_mask
    batch, queries, keys = (0, 0, 0) if attention is None else attention.shape
    return _memattn.hosted_options(
        0 if attention is None else attention.data_ptr(),
        batch,
        queries,
        keys,
        0 if query is None else query.data_ptr(),
        0 if query is None else query.numel(),
        0 if value is None else value.data_ptr(),
        0 if value is None else value.numel(),
        call.use_causal_mask,
        call.training,
        0 if call.dropout_seed is None else call.dropout_seed.item(),
        call.first_step,
        call.first_sequence,
        torch.get_num_threads(),
    )


def forward(
    kind: Kind,
    inputs: Sequence[Tensor],
    weights: Weights,
    call: Call,
    *,
    keep: bool = False,
    precision: Precision = "float32",
) -> tuple[tuple[Tensor, ...], Any]:
    """Return y and the scores that the call wants, and the `folded` argument of `backward`.

    With `keep` the latter also holds the memory layer's scores, so that `backward` need not compute
    them again. All tensors are contiguous, in one dtype of `DTYPES`, and in main memory.
    `precision` applies to float32.
    """
    inputs = [aligned(x) for x in inputs]
    folded = fold(kind, weights, call, precision)
    like = inputs[0]
    y = kind.empty_y(inputs, weights)
    scores: list[Tensor] = []
    places = kind.no_scores
    if call.scores != "none":
        scores = [like.new_empty(shape) for shape in kind.shapes_of_scores(inputs, weights, call)]
        places = tuple(values.data_ptr() for values in scores)
    kind.hosted[like.dtype].forward(
        folded,
        _hosted_options(call),
        *kind.sizes(inputs),
        *[x.data_ptr() for x in inputs],
        y.data_ptr(),
        *places,
        call.scores == "mean",
        *((keep,) if kind.keeps_scores else ()),
    )
    return (y, *scores), folded


def backward(
    kind: Kind,
    grad_y: Tensor | None,
    grad_scores: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    weights: Weights,
    call: Call,
    folded: Any,
    *,
    needs: Sequence[bool],
) -> tuple[list[Tensor | None], Tensor]:
    """Return the needed gradients of inputs, and those of the weights as one flat tensor.

    `split` divides the latter: one allocation is several times cheaper than nine.
    """
    inputs = [aligned(x) for x in inputs]
    like = inputs[0]
    grads = [torch.empty_like(x) if need else None for x, need in zip(inputs, needs, strict=True)]
    flat = like.new_empty(sum(weight.numel() for weight in weights if weight is not None))
    if grad_y is None:
        grad_y = kind.empty_y(inputs, weights).zero_()
    grad_y = aligned(grad_y.contiguous())
    kind.hosted[like.dtype].backward(
        folded,
        _hosted_options(call),
        *kind.sizes(inputs),
        *[x.data_ptr() for x in inputs],
        grad_y.data_ptr(),
        *[0 if grad is None else grad.data_ptr() for grad in grads],
        flat.data_ptr(),
    )
    if any(grad is not None for grad in grad_scores):
        more_of_inputs, more = kind.scores_gradients(grad_scores, inputs, weights, call)
        for grad, further in zip(grads, more_of_inputs, strict=True):
            if grad is not None:
                grad += further
        for name, grad in zip(weights._fields, split(flat, weights), strict=True):
            if grad is not None and name in more:
                grad += more[name]
    return grads, flat


def split(flat: Tensor, weights: Weights) -> list[Tensor | None]:
    """Return views into a flat tensor, with the shapes of the weights."""
    parts: list[Tensor | None] = []
    offset = 0
    for weight in weights:
        if weight is None:
            parts.append(None)
        else:
            parts.append(flat.as_strided(weight.shape, weight.stride(), offset))
            offset += weight.numel()
    return parts
