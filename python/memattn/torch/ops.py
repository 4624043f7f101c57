"""The kernels as custom operators, which graphs of torch.compile and torch.export can contain.

``torch.ops.memattn.attention_v2`` and ``torch.ops.memattn.attention_backward_v2``, and likewise
``cross_attention_v1`` and ``hierarchical_attention_v1``, take inputs, weights and the fields of the
call as separate arguments. An exported program with them needs ``memattn.torch`` to be imported.

PyTorch keeps compiled graphs on disk under the names of their operators. A change of an operator's
arguments or results must therefore increment the number in both names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from memattn.torch import kernels
from memattn.torch.call import Call
from memattn.torch.kinds import KINDS, Kind
from memattn.torch.weights import Weights

_TYPES = {
    **dict.fromkeys(("attention_mask", "query_mask", "value_mask", "dropout_seed"), "Tensor?"),
    **dict.fromkeys(("use_causal_mask", "residual", "uniform_when_masked", "training"), "bool"),
    **dict.fromkeys(("first_step", "first_sequence"), "SymInt"),
    **dict.fromkeys(("scores", "route"), "str"),
    "dropout": "float",
}


def attend(
    kind: Kind, inputs: Sequence[Tensor], weights: Weights, call: Call
) -> tuple[Tensor, ...]:
    """Return y, and the scores that the call wants, as `kind.attend` does."""
    prepared = call.prepared()
    operator = getattr(torch.ops.memattn, kind.operator)
    y, *scores = operator(*inputs, *weights, *(getattr(prepared, f) for f in kind.call_fields))
    return (y,) if call.scores == "none" else (y, *scores)


class _Operators:
    """The forward and backward operators of one kind: arguments, computation and gradient."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.tensors = len(kind.inputs) + len(kind.weights._fields)

    def register(self) -> None:
        kind = self.kind
        weights = (
            f"Tensor{'?' if name.endswith('bias') else ''} {name}" for name in kind.weights._fields
        )
        fields = (f"{_TYPES[name]} {name}" for name in kind.call_fields)
        arguments = ", ".join([*(f"Tensor {name}" for name in kind.inputs), *weights, *fields])
        scores = ", Tensor" * len(kind.no_scores)
        forward = torch.library.custom_op(
            f"memattn::{kind.operator}",
            self.forward,
            mutates_args=(),
            device_types="cpu",
            schema=f"({arguments}) -> (Tensor{scores})",
        )
        forward.register_fake(self.forward_fake)
        forward.register_autograd(self.gradient, setup_context=_setup_context)
        optional = ", ".join(self.gradient_names("Tensor? grad_{}scores"))
        needs = ", ".join(f"bool needs_{name}" for name in kind.inputs)
        backward = torch.library.custom_op(
            f"memattn::{kind.backward_operator}",
            self.backward,
            mutates_args=(),
            device_types="cpu",
            schema=(
                f"(Tensor grad_y, {optional}, {needs}, {arguments}) -> "
                f"({'Tensor, ' * len(kind.inputs)}Tensor)"
            ),
        )
        backward.register_fake(self.backward_fake)

    def gradient_names(self, pattern: str) -> list[str]:
        """Return the pattern with the name of each array of scores filled in."""
        count = len(self.kind.no_scores)
        names = [""] if count == 1 else [f"{name}_" for name in self.kind.inputs]
        return [pattern.format(name) for name in names]

    def split(self, arguments: Sequence[Any]) -> tuple[Sequence[Tensor], Any, Call]:
        """Split the arguments into inputs, weights and the call."""
        inputs, weights = self.kind.split(arguments[: self.tensors])
        fields = zip(self.kind.call_fields, arguments[self.tensors :], strict=True)
        return inputs, weights, Call(**dict(fields))

    def padded(self, outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return y and the scores, with empty tensors for scores that the call does not want."""
        y, *scores = outputs
        return (y, *(scores or (y.new_empty(0) for _ in self.kind.no_scores)))

    def forward(self, *arguments: Any) -> tuple[Tensor, ...]:
        inputs, weights, call = self.split(_contiguous(arguments))
        return self.padded(kernels.forward(self.kind, inputs, weights, call)[0])

    def forward_fake(self, *arguments: Any) -> tuple[Tensor, ...]:
        inputs, weights, call = self.split(arguments)
        y = self.kind.empty_y(inputs, weights)
        if call.scores == "none":
            return self.padded([y])
        shapes = self.kind.shapes_of_scores(inputs, weights, call)
        return self.padded([y, *(y.new_empty(shape) for shape in shapes)])

    def split_backward(
        self, arguments: Sequence[Any]
    ) -> tuple[Sequence[Tensor | None], Sequence[bool], Sequence[Any]]:
        """Split the arguments: gradients of outputs, inputs that need one, forward's arguments."""
        outputs, inputs = 1 + len(self.kind.no_scores), len(self.kind.inputs)
        return (
            arguments[:outputs],
            arguments[outputs : outputs + inputs],
            arguments[outputs + inputs :],
        )

    def backward(self, *arguments: Any) -> tuple[Tensor, ...]:
        (grad_y, *grad_scores), needs, rest = self.split_backward(_contiguous(arguments))
        inputs, weights, call = self.split(rest)
        folded = kernels.fold(self.kind, weights, call)
        grads, flat = kernels.backward(
            self.kind, grad_y, grad_scores, inputs, weights, call, folded, needs=needs
        )
        return (*(flat.new_empty(0) if grad is None else grad for grad in grads), flat)

    def backward_fake(self, *arguments: Any) -> tuple[Tensor, ...]:
        _, needs, rest = self.split_backward(arguments)
        inputs, weights, _ = self.split(rest)
        size = sum(weight.numel() for weight in weights if weight is not None)
        grads = (
            x.new_empty(x.shape if need else (0,)) for x, need in zip(inputs, needs, strict=True)
        )
        return (*grads, inputs[0].new_empty(size))

    def gradient(self, ctx: Any, grad_y: Tensor | None, *grad_scores: Tensor | None) -> Any:
        saved = iter(ctx.saved_tensors)
        arguments = [
            next(saved) if tensor else other
            for tensor, other in zip(ctx.tensors, ctx.others, strict=True)
        ]
        inputs, weights, call = self.split(arguments)
        if grad_y is None:
            grad_y = torch.zeros_like(self.kind.empty_y(inputs, weights))
        if call.scores == "none":
            grad_scores = (None,) * len(grad_scores)
        needs = ctx.needs_input_grad[: self.tensors]
        of_inputs, of_weights = needs[: len(inputs)], needs[len(inputs) :]
        operator = getattr(torch.ops.memattn, self.kind.backward_operator)
        *grads, flat = operator(grad_y, *grad_scores, *of_inputs, *arguments)
        present = [weight for weight in weights if weight is not None]
        parts = iter(flat.split([weight.numel() for weight in present]))
        pieces = [None if weight is None else next(parts).view(weight.shape) for weight in weights]
        return (
            *(grad if need else None for grad, need in zip(grads, of_inputs, strict=True)),
            *(piece if need else None for piece, need in zip(pieces, of_weights, strict=True)),
            *(None for _ in self.kind.call_fields),
        )

    def decomposed(self, *arguments: Any) -> tuple[Tensor, ...]:
        """Return the result of `forward`, computed by PyTorch's own operators."""
        return self.padded(self.kind.attend(*self.split(arguments)))


def _contiguous(arguments: Sequence[Any]) -> list[Any]:
    return [a.contiguous() if isinstance(a, Tensor) else a for a in arguments]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.set_materialize_grads(False)
    ctx.tensors = [isinstance(value, Tensor) for value in inputs]
    ctx.others = [None if isinstance(value, Tensor) else value for value in inputs]
    ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))


_OPERATORS = [_Operators(kind) for kind in KINDS]
for _operators in _OPERATORS:
    _operators.register()


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return decompositions of the layers' operators into PyTorch's own operators.

    The operators are ``torch.ops.memattn.attention_v2``, ``cross_attention_v1`` and
    ``hierarchical_attention_v1``. Pass the result to ``ExportedProgram.run_decompositions``; the
    program then runs without memattn.
    """
    return {
        getattr(torch.ops.memattn, one.kind.operator).default: one.decomposed for one in _OPERATORS
    }
