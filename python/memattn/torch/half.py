"""Inference of bfloat16 modules on the CPU, by kernels in bfloat16 on weights in float32."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from memattn import _memattn
from memattn.torch import function, kernels
from memattn.torch.call import Call
from memattn.torch.kinds import Kind
from memattn.torch.weights import Weights, contiguous

_DTYPES = (torch.bfloat16,)


class _Widened(NamedTuple):
    weights: Weights  # in float32
    addresses: list[int]  # of the float32 weights
    storages: list[StorageWeakRef]  # of the bfloat16 weights


# As in `kernels._entries`, adding an entry removes those whose weights no longer exist.
_entries: dict[tuple[Any, ...], _Widened] = {}
atexit.register(_entries.clear)


def applies(inputs: Sequence[Tensor], weights: Weights) -> bool:
    """Whether the call is inference in bfloat16 that the kernels support."""
    return function.applies(inputs, weights, _DTYPES) and not learns(inputs, weights)


def learns(inputs: Sequence[Tensor], weights: Weights) -> bool:
    """Whether the call may need gradients."""
    return torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (*inputs, *weights)
    )


def attend(
    kind: Kind, inputs: Sequence[Tensor], weights: Weights, call: Call
) -> tuple[Tensor, ...]:
    """Return y, and the scores that the call wants, in bfloat16.

    Products multiply bfloat16 numbers and sum in float32. Folded weights are rounded once. Softmax,
    biases and residual are computed in float32.
    """
    wide = _widened(contiguous(weights))
    outputs, _ = kernels.forward(
        kind,
        [x.float().contiguous() for x in inputs],
        wide,
        call._replace(training=False).prepared(),
        precision="bfloat16",
    )
    return tuple(output.bfloat16() for output in outputs)


def _widened(weights: Weights) -> Weights:
    """Return the weights in float32, which are kept until their values change.

    Values are compared, since PyTorch's version counters miss writes through ``.data``.
    """
    present = [kernels.aligned(weight) for weight in weights if weight is not None]
    addresses = [weight.data_ptr() for weight in present]
    key = (type(weights), *addresses, *(weight.shape for weight in present))
    entry = _entries.get(key)
    sizes = [weight.numel() for weight in present]
    if entry is None or not _memattn.hold_bfloat16(entry.addresses, addresses, sizes):
        _drop_dead()
        _entries.pop(key, None)
        del entry  # so that the kernels can reuse their copy for the new values
        wide = type(weights)(*(w if w is None else w.detach().float() for w in weights))
        entry = _entries[key] = _Widened(
            wide,
            [weight.data_ptr() for weight in wide if weight is not None],
            [StorageWeakRef(weight.untyped_storage()) for weight in present],
        )
    return entry.weights


def _drop_dead() -> None:
    for key, entry in list(_entries.items()):
        if any(storage.expired() for storage in entry.storages):
            _entries.pop(key, None)
