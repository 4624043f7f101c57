"""In which dtype PyTorch's own operators compute."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def exact(weight: Tensor) -> Tensor:
    """Return a weight in float32 at least: products of weights lose nothing to half precision."""
    return weight.to(torch.promote_types(weight.dtype, torch.float32))


def autocasts(x: Tensor) -> bool:
    """Whether autocast is on for the tensor's device."""
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind) is True


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Return a context in which products keep the dtype of what they multiply."""
    kind = x.device.type
    if not torch.amp.is_autocast_available(kind):
        return nullcontext()
    context: AbstractContextManager[None] = torch.autocast(kind, enabled=False)
    return context
