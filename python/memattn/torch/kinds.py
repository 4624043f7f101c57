"""Descriptions of the three layers for the code between a module and the kernels.

A kind lists the inputs and weights of its layer, the compiled class with its kernels, and the
function that computes it with PyTorch's own operators.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from memattn import _memattn
from memattn.torch import pair_plain, plain
from memattn.torch.call import Call
from memattn.torch.weights import CrossWeights, HierarchicalWeights, MemoryWeights

Shape = tuple[Any, ...]  # sizes may be symbolic


class Kind(ABC):
    """One of the layers."""

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]  # their names
    weights: ClassVar[Any]  # the class of the tuple of weights
    hosted: ClassVar[dict[torch.dtype, Any]]  # the compiled class for each dtype
    keeps_scores: ClassVar[bool] = False  # whether the backward pass reuses the scores
    no_scores: ClassVar[tuple[int, ...]] = (0,)  # null addresses, for calls without scores
    option_names: ClassVar[tuple[str, ...]]  # names of the values of `options`
    # The operator, and its names for the fields of a call.
    operator: ClassVar[str]
    backward_operator: ClassVar[str]
    call_fields: ClassVar[tuple[str, ...]]

    def split(self, tensors: Sequence[Any]) -> tuple[Sequence[Tensor], Any]:
        """Split a flat sequence into the inputs and the weights."""
        count = len(self.inputs)
        return tensors[:count], self.weights(*tensors[count:])

    @abstractmethod
    def options(self, weights: Any, call: Call) -> tuple[Any, ...]:
        """Return the values of the layer's options, from which the compiled object is made."""

    @abstractmethod
    def sizes(self, inputs: Sequence[Tensor]) -> Shape:
        """Return the sizes of a call as the kernels take them."""

    @abstractmethod
    def empty_y(self, inputs: Sequence[Tensor], weights: Any) -> Tensor:
        """Return an uninitialised tensor for the result."""

    @abstractmethod
    def shapes_of_scores(self, inputs: Sequence[Tensor], weights: Any, call: Call) -> list[Shape]:
        """Return the shape of each array of scores, for a call that wants them."""

    @abstractmethod
    def attend(self, inputs: Sequence[Tensor], weights: Any, call: Call) -> tuple[Tensor, ...]:
        """Return y, and the scores that the call wants, computed by PyTorch's own operators."""

    @abstractmethod
    def scores_gradients(
        self,
        grad_scores: Sequence[Tensor | None],
        inputs: Sequence[Tensor],
        weights: Any,
        call: Call,
    ) -> tuple[Sequence[Any], dict[str, Tensor]]:
        """Return the contributions of the scores to gradients of inputs, and of weights by name."""


_COMMON_OPTIONS = (
    *("units", "num_heads", "key_dim", "value_dim", "use_bias", "dropout", "fully_masked"),
)


def _shape_of_scores(batch: Any, heads: Any, queries: Any, keys: Any, call: Call) -> Shape:
    return (batch, queries, keys) if call.scores == "mean" else (batch, heads, queries, keys)


class _Memory(Kind):
    name = "MemoryAugmentedAttention"
    inputs = ("x",)
    weights = MemoryWeights
    hosted: ClassVar = {
        torch.float32: _memattn.HostedFloat32,
        torch.float64: _memattn.HostedFloat64,
    }
    keeps_scores = True
    option_names = ("memory_size", "residual", *_COMMON_OPTIONS)
    operator = "attention_v2"
    backward_operator = "attention_backward_v2"
    call_fields = (
        *("attention_mask", "query_mask", "value_mask", "dropout_seed", "use_causal_mask"),
        *("first_step", "first_sequence", "residual", "uniform_when_masked", "dropout"),
        *("training", "scores"),
    )

    def options(self, weights: MemoryWeights, call: Call) -> tuple[Any, ...]:
        return (
            weights.memory.shape[0],
            call.residual,
            *weights.query_kernel.shape,
            weights.value_kernel.shape[2],
            weights.query_bias is not None,
            call.dropout,
            "uniform" if call.uniform_when_masked else "zero",
        )

    def sizes(self, inputs: Sequence[Tensor]) -> Shape:
        batch, steps, _ = inputs[0].shape
        return batch, steps

    def empty_y(self, inputs: Sequence[Tensor], weights: MemoryWeights) -> Tensor:
        return torch.empty_like(inputs[0])

    def shapes_of_scores(
        self, inputs: Sequence[Tensor], weights: MemoryWeights, call: Call
    ) -> list[Shape]:
        batch, steps, _ = inputs[0].shape
        heads, slots = weights.query_kernel.shape[1], weights.memory.shape[0]
        return [_shape_of_scores(batch, heads, steps, slots, call)]

    def attend(
        self, inputs: Sequence[Tensor], weights: MemoryWeights, call: Call
    ) -> tuple[Tensor, ...]:
        return plain.attend(inputs[0], weights, call)

    def scores_gradients(
        self,
        grad_scores: Sequence[Tensor | None],
        inputs: Sequence[Tensor],
        weights: MemoryWeights,
        call: Call,
    ) -> tuple[Sequence[Any], dict[str, Tensor]]:
        (grad,) = grad_scores
        of_x, of_weights = plain.scores_gradients(grad, inputs[0], weights, call)
        return [of_x], of_weights


class _Cross(Kind):
    name = "CrossAttention"
    inputs = ("x1", "x2")
    weights = CrossWeights
    hosted: ClassVar = {
        torch.float32: _memattn.HostedCrossAttentionFloat32,
        torch.float64: _memattn.HostedCrossAttentionFloat64,
    }
    option_names = ("source1_units", "source2_units", *_COMMON_OPTIONS)
    operator = "cross_attention_v1"
    backward_operator = "cross_attention_backward_v1"
    call_fields = (
        *("attention_mask", "query_mask", "value_mask", "dropout_seed", "use_causal_mask"),
        *("first_step", "first_sequence", "uniform_when_masked", "dropout", "training"),
        *("scores", "route"),
    )

    def options(self, weights: CrossWeights, call: Call) -> tuple[Any, ...]:
        return (
            weights.source1_kernel.shape[0],
            weights.source2_kernel.shape[0],
            *weights.query_kernel.shape,
            weights.value_kernel.shape[2],
            weights.query_bias is not None,
            call.dropout,
            "uniform" if call.uniform_when_masked else "zero",
        )

    def sizes(self, inputs: Sequence[Tensor]) -> Shape:
        return (*inputs[0].shape[:2], inputs[1].shape[1])

    def empty_y(self, inputs: Sequence[Tensor], weights: CrossWeights) -> Tensor:
        return inputs[0].new_empty((*inputs[0].shape[:2], weights.query_kernel.shape[0]))

    def shapes_of_scores(
        self, inputs: Sequence[Tensor], weights: CrossWeights, call: Call
    ) -> list[Shape]:
        batch, queries, keys = self.sizes(inputs)
        return [_shape_of_scores(batch, weights.query_kernel.shape[1], queries, keys, call)]

    def attend(
        self, inputs: Sequence[Tensor], weights: CrossWeights, call: Call
    ) -> tuple[Tensor, ...]:
        return pair_plain.attend_cross(inputs, weights, call)

    def scores_gradients(
        self,
        grad_scores: Sequence[Tensor | None],
        inputs: Sequence[Tensor],
        weights: CrossWeights,
        call: Call,
    ) -> tuple[Sequence[Any], dict[str, Tensor]]:
        return pair_plain.cross_scores_gradients(grad_scores, inputs, weights, call)


class _Hierarchical(Kind):
    name = "HierarchicalAttention"
    inputs = ("short", "long")
    weights = HierarchicalWeights
    hosted: ClassVar = {
        torch.float32: _memattn.HostedHierarchicalAttentionFloat32,
        torch.float64: _memattn.HostedHierarchicalAttentionFloat64,
    }
    no_scores = (0, 0)
    option_names = ("short_units", "long_units", *_COMMON_OPTIONS)
    operator = "hierarchical_attention_v1"
    backward_operator = "hierarchical_attention_backward_v1"
    call_fields = (
        *("attention_mask", "query_mask", "value_mask", "dropout_seed", "use_causal_mask"),
        *("first_sequence", "uniform_when_masked", "dropout", "training", "scores", "route"),
    )

    def options(self, weights: HierarchicalWeights, call: Call) -> tuple[Any, ...]:
        return (
            weights.short_dense_kernel.shape[0],
            weights.long_dense_kernel.shape[0],
            *weights.short_query_kernel.shape,
            weights.short_value_kernel.shape[2],
            weights.short_query_bias is not None,
            call.dropout,
            "uniform" if call.uniform_when_masked else "zero",
        )

    def sizes(self, inputs: Sequence[Tensor]) -> Shape:
        batch, steps, _ = inputs[0].shape
        return batch, steps

    def empty_y(self, inputs: Sequence[Tensor], weights: HierarchicalWeights) -> Tensor:
        return inputs[0].new_empty((*inputs[0].shape[:2], weights.short_query_kernel.shape[0]))

    def shapes_of_scores(
        self, inputs: Sequence[Tensor], weights: HierarchicalWeights, call: Call
    ) -> list[Shape]:
        batch, steps = self.sizes(inputs)
        heads = weights.short_query_kernel.shape[1]
        return [_shape_of_scores(batch, heads, steps, steps, call)] * 2

    def attend(
        self, inputs: Sequence[Tensor], weights: HierarchicalWeights, call: Call
    ) -> tuple[Tensor, ...]:
        return pair_plain.attend_hierarchical(inputs, weights, call)

    def scores_gradients(
        self,
        grad_scores: Sequence[Tensor | None],
        inputs: Sequence[Tensor],
        weights: HierarchicalWeights,
        call: Call,
    ) -> tuple[Sequence[Any], dict[str, Tensor]]:
        return pair_plain.hierarchical_scores_gradients(grad_scores, inputs, weights, call)


MEMORY, CROSS, HIERARCHICAL = _Memory(), _Cross(), _Hierarchical()
KINDS: tuple[Kind, ...] = (MEMORY, CROSS, HIERARCHICAL)
