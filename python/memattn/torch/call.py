"""The arguments of a call besides its inputs and the weights."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from memattn.layer_options import PairRoute


class Call(NamedTuple):
    """The arguments of a call, and the options of the layer that its weights do not determine.

    Q is the number of query steps, K that of slots or key steps. In a call of
    HierarchicalAttention, `query_mask` and `value_mask` are `short_mask` and `long_mask`.
    """

    attention_mask: Tensor | None = None  # bool, three axes that broadcast to (B, Q, K); True keeps
    query_mask: Tensor | None = None  # bool (B, Q)
    value_mask: Tensor | None = None  # bool (B, K)
    dropout_seed: Tensor | None = None  # int64 (1,), for dropout in the kernels
    use_causal_mask: bool = False
    first_step: int = 0  # the position of the call's first step in its sequences
    first_sequence: int = 0  # the position of the call's first sequence in the batch
    residual: bool = False
    uniform_when_masked: bool = False
    dropout: float = 0.0
    training: bool = False
    scores: str = "none"  # "none", "each" or "mean"
    route: PairRoute | Literal["auto"] = "auto"

    @property
    def drops(self) -> bool:
        """Whether the call applies dropout."""
        return self.training and self.dropout > 0

    def prepared(self) -> Call:
        """Return the call for the kernels: with contiguous masks and a drawn dropout seed."""
        attention, query, value = self.attention_mask, self.query_mask, self.value_mask
        if attention is query is value is None and not self.drops:
            return self
        seed = None
        if self.drops:
            # One draw per call from PyTorch's generator, so that torch.manual_seed repeats a run.
            seed = torch.randint(2**63 - 1, (1,), dtype=torch.int64, device="cpu")
        return self._replace(
            attention_mask=None if attention is None else attention.contiguous(),
            query_mask=None if query is None else query.contiguous(),
            value_mask=None if value is None else value.contiguous(),
            dropout_seed=seed,
        )
