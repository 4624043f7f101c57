"""What a call is made of besides x: the weights, and what the caller asks for."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memattn.layer_options import cheaper_route


class Weights(NamedTuple):
    """The weights in the order of a file; biases are None without `use_bias`."""

    memory: Tensor  # (S, U)
    query_kernel: Tensor  # (U, H, D)
    query_bias: Tensor | None  # (H, D)
    key_kernel: Tensor  # (U, H, D)
    key_bias: Tensor | None  # (H, D)
    value_kernel: Tensor  # (U, H, Dv)
    value_bias: Tensor | None  # (H, Dv)
    output_kernel: Tensor  # (H, Dv, U)
    output_bias: Tensor | None  # (U,)

    def contiguous(self) -> Weights:
        """Return the weights without gaps, themselves if they have none."""
        for weight in self:
            if weight is not None and not weight.is_contiguous():
                return Weights(*(w if w is None else w.contiguous() for w in self))
        return self

    def folding_pays(self) -> bool:
        """Whether the folded form is less work a token: the cost rule of docs/math.md."""
        slots, units = self.memory.shape
        key_dim, value_dim = self.query_kernel.shape[2], self.value_kernel.shape[2]
        return cheaper_route(units, slots, key_dim, value_dim) == "folded"


class Call(NamedTuple):
    """What one call asks for, and the options of the layer that its weights do not show."""

    attention_mask: Tensor | None  # bool, three axes that broadcast to (B, T, S); True keeps
    query_mask: Tensor | None  # bool (B, T)
    value_mask: Tensor | None  # bool (B, S)
    dropout_seed: Tensor | None  # int64 (1,): what falls in the kernels, where something does
    use_causal_mask: bool
    first_step: int  # of the call's first step, in its sequences
    first_sequence: int  # of the call's first sequence, in the batch
    residual: bool
    uniform_when_masked: bool
    dropout: float
    training: bool
    scores: str  # "none", "each" or "mean"

    @property
    def drops(self) -> bool:
        """Whether scores fall."""
        return self.training and self.dropout > 0

    def prepared(self) -> Call:
        """Return the call for the kernels: masks without gaps, and what falls drawn."""
        attention, query, value = self.attention_mask, self.query_mask, self.value_mask
        if attention is query is value is None and not self.drops:
            return self
        seed = None
        if self.drops:
            # From PyTorch's generator, one draw a call, so that torch.manual_seed repeats a run.
            seed = torch.randint(2**63 - 1, (1,), dtype=torch.int64, device="cpu")
        return self._replace(
            attention_mask=None if attention is None else attention.contiguous(),
            query_mask=None if query is None else query.contiguous(),
            value_mask=None if value is None else value.contiguous(),
            dropout_seed=seed,
        )
