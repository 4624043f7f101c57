"""The kernels for eager calls, as an autograd function, several times cheaper than an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memattn.torch import kernels
from memattn.torch.backends import plain
from memattn.torch.backends.watchers import watcher
from memattn.torch.call import Call
from memattn.torch.kinds import Kind
from memattn.torch.weights import Weights, contiguous

_PLAIN = (Tensor, torch.nn.Parameter)


def applies(
    inputs: Sequence[Tensor],
    weights: Weights,
    dtypes: Sequence[torch.dtype] = kernels.DTYPES,
) -> bool:
    """Whether all tensors have one of the dtypes, on the CPU, and the call may skip operators.

    It may not under tracers, transforms (``torch.func``), forward-mode derivatives and dispatch
    modes, or with subclasses of Tensor, which must see PyTorch's operators.
    """
    dtype = inputs[0].dtype
    if dtype not in dtypes or watcher():
        return False
    for tensor in (*inputs, *weights):
        if tensor is not None and not (
            type(tensor) in _PLAIN and tensor.dtype is dtype and tensor.is_cpu
        ):
            return False
    return True


def attend(
    kind: Kind, inputs: Sequence[Tensor], weights: Weights, call: Call
) -> tuple[Tensor, ...]:
    """Return y, and the scores that the call wants, as `kind.attend` does."""
    inputs = [x.contiguous() for x in inputs]
    weights, call = contiguous(weights), call.prepared()
    if not torch.is_grad_enabled():
        return kernels.forward(kind, inputs, weights, call)[0]
    result: tuple[Tensor, ...] = _Attention.apply(kind, call, *inputs, *weights)
    return result


class _Attention(torch.autograd.Function):  # type: ignore[misc]  # mypy has no types of torch here
    @staticmethod
    def forward(ctx: Any, kind: Kind, call: Call, *tensors: Tensor | None) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        inputs, weights = kind.split(tensors)
        outputs, folded = kernels.forward(kind, inputs, weights, call, keep=_keeps(ctx))
        ctx.kind, ctx.call, ctx.folded = kind, call, folded
        return outputs

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor | None, *grad_scores: Tensor | None) -> Any:
        kind, call = ctx.kind, ctx.call
        inputs, weights = kind.split(ctx.saved_tensors)
        if torch.is_grad_enabled():  # create_graph: these gradients will be differentiated
            return _differentiable(ctx, (grad_y, *grad_scores), inputs, weights)
        # Released here, so that the next forward pass may overwrite it. A second backward pass
        # through the same graph finds the fold again by its weights.
        folded, ctx.folded = ctx.folded or kernels.fold(kind, weights, call), None
        needs = ctx.needs_input_grad[2:]
        of_inputs, needs_weights = needs[: len(inputs)], needs[len(inputs) :]
        grads, flat = kernels.backward(
            kind, grad_y, grad_scores, inputs, weights, call, folded, needs=of_inputs
        )
        if not any(needs_weights):
            return None, None, *grads, *(None for _ in needs_weights)
        parts = zip(kernels.split(flat, weights), needs_weights, strict=True)
        return None, None, *grads, *[grad if need else None for grad, need in parts]


def _keeps(ctx: Any) -> bool:
    """Whether to keep the scores for the backward pass.

    Not under hooks on saved tensors, which save memory, as ``torch.utils.checkpoint`` does.
    """
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(False)
    return hooks is None and any(ctx.needs_input_grad)


def _differentiable(
    ctx: Any, grads: Sequence[Tensor | None], inputs: Sequence[Tensor], weights: Weights
) -> Any:
    """Return the gradients computed by PyTorch's own operators, with a graph of their own."""
    if ctx.call.drops:
        raise NotImplementedError(
            f"{ctx.kind.name}: second derivatives through dropout are not supported; "
            "call eval() on the layer or make it with dropout=0"
        )
    needs = ctx.needs_input_grad[2:]
    outputs = ctx.kind.attend(inputs, weights, ctx.call)
    return None, None, *plain.backward(outputs, grads, (*inputs, *weights), needs)
