"""The Triton kernels as operators, which torch.compile can include in a graph and trace.

PyTorch keeps compiled graphs on disk under the names of their operators. A change of an operator's
arguments or results must therefore increment the number in both names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.library import wrap_triton

from memattn.torch.backends.fold import Folded
from memattn.torch.backends.triton_backward import tokens_kernel, weights_kernel
from memattn.torch.backends.triton_forward import forward_kernel, scores_kernel
from memattn.torch.backends.triton_launch import INTERPRETED, Options, backward, forward

_PARTS = len(Folded._fields)


def attend(x: Tensor, folded: Folded, options: Options) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, the `lse` for the backward pass, and the scores."""
    keep = torch.is_grad_enabled()
    outputs: tuple[Tensor, Tensor, Tensor] = torch.ops.memattn.triton_attention_v1(
        x, *folded, *options, keep
    )
    return outputs


def _forward(
    x: Tensor,
    a: Tensor,
    c: Tensor,
    b: Tensor,
    bias: Tensor | None,
    attention_mask: Tensor | None,
    query_mask: Tensor | None,
    value_mask: Tensor | None,
    dropout_seed: Tensor | None,
    heads: int,
    use_causal_mask: bool,
    first_step: int,
    first_sequence: int,
    residual: bool,
    uniform_when_masked: bool,
    dropout: float,
    scores: str,
    dtype: torch.dtype,
    y_dtype: torch.dtype,
    scores_dtype: torch.dtype,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    options = Options(
        attention_mask=attention_mask,
        query_mask=query_mask,
        value_mask=value_mask,
        dropout_seed=dropout_seed,
        heads=heads,
        use_causal_mask=use_causal_mask,
        first_step=first_step,
        first_sequence=first_sequence,
        residual=residual,
        uniform_when_masked=uniform_when_masked,
        dropout=dropout,
        scores=scores,
        dtype=dtype,
        y_dtype=y_dtype,
        scores_dtype=scores_dtype,
    )
    kernels = _real(wrap_triton(forward_kernel)), _real(wrap_triton(scores_kernel))
    return forward(x, Folded(a, c, b, bias), options, keep=keep, kernels=kernels)


def _backward(
    grad_y: Tensor,
    grad_scores: Tensor | None,
    lse: Tensor,
    x: Tensor,
    a: Tensor,
    c: Tensor,
    b: Tensor,
    bias: Tensor | None,
    attention_mask: Tensor | None,
    query_mask: Tensor | None,
    value_mask: Tensor | None,
    dropout_seed: Tensor | None,
    heads: int,
    use_causal_mask: bool,
    first_step: int,
    first_sequence: int,
    residual: bool,
    uniform_when_masked: bool,
    dropout: float,
    scores: str,
    dtype: torch.dtype,
    y_dtype: torch.dtype,
    scores_dtype: torch.dtype,
    needs_x: bool,
    needs_weights: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    options = Options(
        attention_mask=attention_mask,
        query_mask=query_mask,
        value_mask=value_mask,
        dropout_seed=dropout_seed,
        heads=heads,
        use_causal_mask=use_causal_mask,
        first_step=first_step,
        first_sequence=first_sequence,
        residual=residual,
        uniform_when_masked=uniform_when_masked,
        dropout=dropout,
        scores=scores,
        dtype=dtype,
        y_dtype=y_dtype,
        scores_dtype=scores_dtype,
    )
    return backward(
        *(grad_y, grad_scores, x, Folded(a, c, b, bias), lse, options),
        needs_x=needs_x,
        needs_weights=needs_weights,
        kernels=(_real(wrap_triton(tokens_kernel)), _real(wrap_triton(weights_kernel))),
    )


def _split(arguments: tuple[Any, ...]) -> tuple[Tensor, Options]:
    count = len(Options._fields)
    return arguments[0], Options(*arguments[1 + _PARTS : 1 + _PARTS + count])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.tensors = [isinstance(value, Tensor) for value in inputs]
    ctx.others = [None if isinstance(value, Tensor) else value for value in inputs]
    given = (value for value in inputs if isinstance(value, Tensor))
    ctx.save_for_backward(output[1], *given)


def _gradient(
    ctx: Any, grad_y: Tensor | None, _: Tensor | None, grad_scores: Tensor | None
) -> tuple[Tensor | None, ...]:
    lse, *given = ctx.saved_tensors
    saved = iter(given)
    arguments = [
        next(saved) if tensor else other
        for tensor, other in zip(ctx.tensors, ctx.others, strict=True)
    ]
    x, options = _split(tuple(arguments))
    if options.scores == "none":
        grad_scores = None
    if grad_y is None:
        grad_y = x.new_zeros(x.shape, dtype=options.y_dtype)
    needs = ctx.needs_input_grad[: 1 + _PARTS]
    grads = torch.ops.memattn.triton_attention_backward_v1(
        *(grad_y, grad_scores, lse, *arguments[:-1], needs[0], any(needs[1:]))
    )
    given = [grad if need else None for grad, need in zip(grads, needs, strict=True)]
    return (*given, *(None for _ in arguments[1 + _PARTS :]))


class _Nothing:
    """A kernel that does nothing, for calls that only compute the shapes of outputs."""

    def __getitem__(self, grid: Any) -> Any:
        return lambda *arguments, **constants: None


_faking = False  # set only with the interpreter


def _real(kernel: Any) -> Any:
    return _Nothing() if _faking else kernel


def _fake(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function for an operator's output shapes, which calls it without the kernels."""

    def fake(*arguments: Any, **keywords: Any) -> Any:
        global _faking
        _faking = True
        try:
            return function(*arguments, **keywords)
        finally:
            _faking = False

    return fake


def _register() -> list[Any]:
    # With the interpreter a kernel is a Python function, which a compiler cannot trace.
    make = torch.library.custom_op if INTERPRETED else torch.library.triton_op
    operator = make("memattn::triton_attention_v1", _forward, mutates_args=())
    operator.register_autograd(_gradient, setup_context=_setup_context)
    of_gradients = make("memattn::triton_attention_backward_v1", _backward, mutates_args=())
    if INTERPRETED:
        operator.register_fake(_fake(_forward))
        of_gradients.register_fake(_fake(_backward))
    return [operator, of_gradients]


_operators = _register()  # referenced here, since operators exist only as long as a reference
