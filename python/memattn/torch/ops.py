"""The kernels as operators of their own, which torch.compile and torch.export can hold in a graph.

``torch.ops.memattn.attention_v2`` and ``torch.ops.memattn.attention_backward_v2`` take the weights
and the call one by one. An exported program that holds them runs where ``memattn.torch`` is
imported.

PyTorch keeps compiled graphs on disk under the names of their operators: whoever changes what one
of these takes or gives has to count up the number in both names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memattn.torch import kernels, plain
from memattn.torch.call import Call, Weights

_ARGUMENTS = ", ".join(
    [
        "Tensor x",
        *(f"Tensor{'?' if name.endswith('bias') else ''} {name}" for name in Weights._fields),
        *("Tensor? attention_mask", "Tensor? query_mask", "Tensor? value_mask"),
        *("Tensor? dropout_seed", "bool use_causal_mask"),
        *("SymInt first_step", "SymInt first_sequence", "bool residual"),
        *("bool uniform_when_masked", "float dropout", "bool training", "str scores"),
    ]
)
_WEIGHTS = len(Weights._fields)


def attend(x: Tensor, weights: Weights, call: Call) -> tuple[Tensor, Tensor | None]:
    """Return y and the scores, or None, as `plain.attend` does."""
    y, scores = torch.ops.memattn.attention_v2(x, *weights, *call.prepared())
    return y, None if call.scores == "none" else scores


def _split(arguments: tuple[Any, ...]) -> tuple[Weights, Call]:
    return Weights(*arguments[:_WEIGHTS]), Call(*arguments[_WEIGHTS:])


def _contiguous(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.contiguous() if isinstance(a, Tensor) else a for a in arguments)


def _attention(*arguments: Any) -> tuple[Tensor, Tensor]:
    x, *rest = _contiguous(arguments)
    y, scores, _ = kernels.forward(x, *_split(tuple(rest)))
    return y, x.new_empty(0) if scores is None else scores


def _attention_fake(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    weights, call = _split(arguments)
    shape: tuple[Any, ...] = (0,)
    if call.scores != "none":
        heads = () if call.scores == "mean" else (weights.query_kernel.shape[1],)
        shape = (x.shape[0], *heads, x.shape[1], weights.memory.shape[0])
    return x.new_empty(x.shape), x.new_empty(shape)


def _attention_backward(
    grad_y: Tensor, grad_scores: Tensor | None, needs_x: bool, *arguments: Any
) -> tuple[Tensor, Tensor]:
    x, *rest = _contiguous(arguments)
    weights, call = _split(tuple(rest))
    folded = kernels.fold(weights, call)
    grad_x, flat = kernels.backward(grad_y, grad_scores, x, weights, call, folded, needs_x=needs_x)
    return x.new_empty(0) if grad_x is None else grad_x, flat


def _attention_backward_fake(
    grad_y: Tensor, grad_scores: Tensor | None, needs_x: bool, x: Tensor, *arguments: Any
) -> tuple[Tensor, Tensor]:
    weights, _ = _split(arguments)
    size = sum(weight.numel() for weight in weights if weight is not None)
    return x.new_empty(x.shape if needs_x else (0,)), x.new_empty(size)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.set_materialize_grads(False)
    ctx.tensors = [isinstance(value, Tensor) for value in inputs]
    ctx.others = [None if isinstance(value, Tensor) else value for value in inputs]
    ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))


def _backward(ctx: Any, grad_y: Tensor | None, grad_scores: Tensor | None) -> Any:
    saved = iter(ctx.saved_tensors)
    inputs = [
        next(saved) if tensor else other
        for tensor, other in zip(ctx.tensors, ctx.others, strict=True)
    ]
    x, (weights, call) = inputs[0], _split(tuple(inputs[1:]))
    if grad_y is None:
        grad_y = torch.zeros_like(x)
    if call.scores == "none":
        grad_scores = None
    needs_x, *needs = ctx.needs_input_grad[: 1 + _WEIGHTS]
    grad_x, flat = torch.ops.memattn.attention_backward_v2(grad_y, grad_scores, needs_x, *inputs)
    present = [weight for weight in weights if weight is not None]
    parts = iter(flat.split([weight.numel() for weight in present]))
    grads = [None if weight is None else next(parts).view(weight.shape) for weight in weights]
    return (
        grad_x if needs_x else None,
        *(grad if need else None for grad, need in zip(grads, needs, strict=True)),
        *(None for _ in call),
    )


def _register() -> None:
    forward = torch.library.custom_op(
        "memattn::attention_v2",
        _attention,
        mutates_args=(),
        device_types="cpu",
        schema=f"({_ARGUMENTS}) -> (Tensor, Tensor)",
    )
    forward.register_fake(_attention_fake)
    forward.register_autograd(_backward, setup_context=_setup_context)
    gradients = f"Tensor grad_y, Tensor? grad_scores, bool needs_x, {_ARGUMENTS}"
    backward = torch.library.custom_op(
        "memattn::attention_backward_v2",
        _attention_backward,
        mutates_args=(),
        device_types="cpu",
        schema=f"({gradients}) -> (Tensor, Tensor)",
    )
    backward.register_fake(_attention_backward_fake)


_register()


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return what replaces ``torch.ops.memattn.attention_v2`` by PyTorch's own operators.

    For ``ExportedProgram.run_decompositions``: the program then runs without memattn.
    """
    return {torch.ops.memattn.attention_v2.default: _decomposed}


def _decomposed(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    y, scores = plain.attend(x, *_split(arguments))
    return y, x.new_empty(0) if scores is None else scores
