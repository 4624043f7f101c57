"""The kernels for eager calls: an autograd function, several times cheaper than an operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from memattn.torch import kernels, plain
from memattn.torch.call import Call, Weights

_PLAIN = (Tensor, torch.nn.Parameter)


def applies(x: Tensor, weights: Weights) -> bool:
    """Whether the kernels can read all tensors, and nobody watches the operators that they replace.

    Tracers, transforms (``torch.func``), forward-mode derivatives, dispatch modes and subclasses of
    Tensor do.
    """
    if (
        x.dtype not in kernels.DTYPES
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch.jit.is_tracing()
    ):
        return False
    dtype = x.dtype
    for tensor in (x, *weights):
        if tensor is not None and not (
            type(tensor) in _PLAIN and tensor.dtype is dtype and tensor.is_cpu
        ):
            return False
    return True


def attend(x: Tensor, weights: Weights, call: Call) -> tuple[Tensor, Tensor | None]:
    """Return y and the scores, or None, as `plain.attend` does."""
    x, weights, call = x.contiguous(), weights.contiguous(), call.prepared()
    if not torch.is_grad_enabled():
        return kernels.forward(x, weights, call)[:2]
    result: tuple[Tensor, Tensor | None] = _Attention.apply(call, x, *weights)
    return result


class _Attention(torch.autograd.Function):  # type: ignore[misc]  # mypy has no types of torch here
    @staticmethod
    def forward(ctx: Any, call: Call, x: Tensor, *weights: Tensor | None) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *weights)
        y, scores, folded = kernels.forward(x, Weights(*weights), call, keep=_keeps(ctx))
        ctx.call, ctx.folded = call, folded
        return y, scores

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor | None, grad_scores: Tensor | None) -> Any:
        x, *tensors = ctx.saved_tensors
        weights, call = Weights(*tensors), ctx.call
        if torch.is_grad_enabled():  # create_graph: these gradients are to be differentiated
            return _differentiable(ctx, grad_y, grad_scores, x, weights)
        # Given away here, so that the next forward may write over it; a second backward through
        # the same graph finds it again by its weights.
        folded, ctx.folded = ctx.folded or kernels.fold(weights, call), None
        _, needs_x, *needs = ctx.needs_input_grad
        grad_x, flat = kernels.backward(
            grad_y, grad_scores, x, weights, call, folded, needs_x=needs_x
        )
        if not any(needs):
            return None, grad_x, *(None for _ in needs)
        grads = zip(kernels.split(flat, weights), needs, strict=True)
        return None, grad_x, *[grad if need else None for grad, need in grads]


def _keeps(ctx: Any) -> bool:
    """Whether backward is to have the scores: not where somebody saves memory by hooks on tensors.

    ``torch.utils.checkpoint`` does.
    """
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(False)
    return hooks is None and any(ctx.needs_input_grad)


def _differentiable(
    ctx: Any, grad_y: Tensor | None, grad_scores: Tensor | None, x: Tensor, weights: Weights
) -> Any:
    """Return the gradients as PyTorch's own operators give them, with a graph of their own."""
    if ctx.call.drops:
        raise NotImplementedError(
            "MemoryAugmentedAttention: second derivatives through dropout are not supported; "
            "call eval() on the layer or make it with dropout=0"
        )
    inputs = (x, *weights)
    needed = [t for t, need in zip(inputs, ctx.needs_input_grad[1:], strict=True) if need]
    y, scores = plain.attend(x, weights, ctx.call)
    pairs = [
        (output, grad)
        for output, grad in ((y, grad_y), (scores, grad_scores))
        if output is not None and grad is not None
    ]
    found = iter(
        torch.autograd.grad(
            [output for output, _ in pairs],
            needed,
            [grad for _, grad in pairs],
            create_graph=True,
            materialize_grads=True,
        )
    )
    return None, *(next(found) if need else None for need in ctx.needs_input_grad[1:])
