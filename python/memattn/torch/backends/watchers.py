"""Detects modes and subclasses that must see PyTorch's own operators, which kernels would hide."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.autograd import forward_ad

_ORDINARY = (Tensor, torch.nn.Parameter)


def watcher() -> str:
    """Return the mode that must see the operators of an eager call, or an empty string."""
    if torch._C._len_torch_dispatch_stack() > 0:
        return "a dispatch mode is on"
    if torch._C._are_functorch_transforms_active():
        return "a transform of torch.func is on"
    if forward_ad._current_level >= 0:
        return "forward-mode derivatives are on"
    if torch.jit.is_tracing():
        return "torch.jit.trace is on"
    return ""


def subclass(tensors: Iterable[Tensor | None]) -> str:
    """Return which subclass of Tensor is among them, or an empty string."""
    for tensor in tensors:
        if tensor is not None and type(tensor) not in _ORDINARY:
            return f"a tensor is a {type(tensor).__name__}"
    return ""
