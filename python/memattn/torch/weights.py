"""The weights of each layer as tuples of tensors, in the order of the files."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from torch import Tensor

from memattn.layer_options import cheaper_route


class MemoryWeights(NamedTuple):
    """The weights of MemoryAugmentedAttention; biases are None without `use_bias`."""

    memory: Tensor  # (S, U)
    query_kernel: Tensor  # (U, H, D)
    query_bias: Tensor | None  # (H, D)
    key_kernel: Tensor  # (U, H, D)
    key_bias: Tensor | None  # (H, D)
    value_kernel: Tensor  # (U, H, Dv)
    value_bias: Tensor | None  # (H, Dv)
    output_kernel: Tensor  # (H, Dv, U)
    output_bias: Tensor | None  # (U,)

    def folding_pays(self) -> bool:
        """Whether the folded route is less work per token, by the cost rule of docs/math.md."""
        slots, units = self.memory.shape
        key_dim, value_dim = self.query_kernel.shape[2], self.value_kernel.shape[2]
        return cheaper_route(units, slots, key_dim, value_dim) == "folded"


class CrossWeights(NamedTuple):
    """The weights of CrossAttention; biases are None without `use_bias`."""

    source1_kernel: Tensor  # (F1, U)
    source1_bias: Tensor | None  # (U,)
    source2_kernel: Tensor  # (F2, U)
    source2_bias: Tensor | None  # (U,)
    query_kernel: Tensor  # (U, H, D)
    query_bias: Tensor | None  # (H, D)
    key_kernel: Tensor  # (U, H, D)
    key_bias: Tensor | None  # (H, D)
    value_kernel: Tensor  # (U, H, Dv)
    value_bias: Tensor | None  # (H, Dv)
    output_kernel: Tensor  # (H, Dv, U)
    output_bias: Tensor | None  # (U,)


class HierarchicalWeights(NamedTuple):
    """The weights of HierarchicalAttention, with shapes as in CrossWeights."""

    short_dense_kernel: Tensor  # (Fs, U)
    short_dense_bias: Tensor | None
    long_dense_kernel: Tensor  # (Fl, U)
    long_dense_bias: Tensor | None
    short_query_kernel: Tensor
    short_query_bias: Tensor | None
    short_key_kernel: Tensor
    short_key_bias: Tensor | None
    short_value_kernel: Tensor
    short_value_bias: Tensor | None
    short_output_kernel: Tensor
    short_output_bias: Tensor | None
    long_query_kernel: Tensor
    long_query_bias: Tensor | None
    long_key_kernel: Tensor
    long_key_bias: Tensor | None
    long_value_kernel: Tensor
    long_value_bias: Tensor | None
    long_output_kernel: Tensor
    long_output_bias: Tensor | None

    def sides(self) -> tuple[CrossWeights, CrossWeights]:
        """Return the weights of both self-attentions; the Dense layer of each is both sources."""
        return CrossWeights(*self[:2], *self[:2], *self[4:12]), CrossWeights(
            *self[2:4], *self[2:4], *self[12:]
        )


Weights = MemoryWeights | CrossWeights | HierarchicalWeights
_Weights = TypeVar("_Weights", bound=MemoryWeights | CrossWeights | HierarchicalWeights)


def contiguous(weights: _Weights) -> _Weights:
    """Return the weights as contiguous tensors; `weights` itself if they already are."""
    for weight in weights:
        if weight is not None and not weight.is_contiguous():
            return type(weights)(*(w if w is None else w.contiguous() for w in weights))
    return weights
