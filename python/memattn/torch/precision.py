"""The dtype in which PyTorch's own operators compute."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def exact(weight: Tensor) -> Tensor:
    """Return a weight in at least float32, so that products of weights are exact enough."""
    return weight.to(torch.promote_types(weight.dtype, torch.float32))


def autocasts(x: Tensor) -> bool:
    """Whether autocast is on for the tensor's device."""
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind) is True


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Return a context in which products keep the dtype of their operands."""
    kind = x.device.type
    if not torch.amp.is_autocast_available(kind):
        return nullcontext()
    context: AbstractContextManager[None] = torch.autocast(kind, enabled=False)
    return context
