"""PyTorch's own operators, for every device, dtype, transform and exporter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memattn.torch.call import Call
from memattn.torch.kinds import Kind
from memattn.torch.precision import without_autocast
from memattn.torch.weights import Weights

NAME = "plain"


def fits(kind: Kind, inputs: Sequence[Tensor], weights: Weights, *, drops: bool) -> str:
    """Return an empty string, since these operators support every call."""
    return ""


def attend(
    kind: Kind, inputs: Sequence[Tensor], weights: Weights, call: Call
) -> tuple[Tensor, ...]:
    """Return y and the scores that the call wants, connected to autograd if needed."""
    if not inputs[0].is_cpu:
        return kind.attend(inputs, weights, call)
    with without_autocast(inputs[0]):  # on the CPU, autocast does not apply to this layer
        return kind.attend(inputs, weights, call)


forward = attend


def backward(
    outputs: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    tensors: Sequence[Tensor | None],
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients of the tensors that need one, as part of a new graph."""
    needed = [tensor for tensor, need in zip(tensors, needs, strict=True) if need]
    pairs = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None]
    found: Any = iter(
        torch.autograd.grad(
            [output for output, _ in pairs],
            needed,
            [grad for _, grad in pairs],
            create_graph=True,
            materialize_grads=True,
        )
    )
    return [next(found) if need else None for need in needs]
