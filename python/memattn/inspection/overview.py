"""The inspection of a layer: sizes, cost, slots and attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from memattn.cross_attention import CrossAttention
from memattn.deprecation import RenamedProperty
from memattn.hierarchical_attention import HierarchicalAttention
from memattn.inspection.fold import Array64
from memattn.inspection.pair_overview import PairInspection, inspect_pair
from memattn.inspection.pair_tokens import PairTokens
from memattn.inspection.reading import Reading, read_memory
from memattn.inspection.similarity import Similarity, compare_slots
from memattn.inspection.tokens import (
    REFERENCE_STEPS,
    TOKENS_A_SLOT,
    Tokens,
    as_tokens,
    reference_tokens,
)
from memattn.layer import MemoryAugmentedAttention
from memattn.layer_file import Layer

# A slot is dead if no token gives it this fraction of an equal share in any head. It adds nothing,
# and training hardly changes it, since its gradient is proportional to its score.
DEAD_SHARE = 0.01


@dataclass(frozen=True)
class Cost:
    """Multiply-adds for one token, for three algorithms with the same result (docs/math.md).

    Attributes
    ----------
    steps : int
        Steps of a sequence, which affect only `as_written`.
    as_written : float
        As in Keras: the memory is projected again for every sequence.
    projected, folded : int
        With the memory projected once, and with the projections folded into two matrices.
    route : str
        The route of the layer, ``"folded"`` or ``"projected"``.
    """

    steps: int
    as_written: float
    projected: int
    folded: int
    route: str

    @property
    def speed_up(self) -> float:
        """The factor by which the layer does less work than as written."""
        return self.as_written / (self.folded if self.route == "folded" else self.projected)

    path = RenamedProperty("route", removed_in="0.3")


@dataclass(frozen=True)
class Inspection:
    """The result of `inspect_layer`.

    Attributes
    ----------
    config : dict
        The layer's `get_config()`.
    shapes : dict
        Shape of each weight, by name.
    cost : Cost
        Cost of a token.
    similarity : Similarity
        Norms of the slots, and their similarity.
    tokens : Tokens
        The inputs that were used.
    reading : Reading
        The attention of these inputs.
    """

    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    cost: Cost
    similarity: Similarity
    tokens: Tokens
    reading: Reading

    @property
    def parameters(self) -> int:
        """The total number of weights."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    @property
    def folded_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the folded matrices, heads side by side."""
        units, columns = self.config["units"], self.config["num_heads"] * self.config["memory_size"]
        return {"a": (units, columns), "c": (columns,), "b": (columns, units)}

    @property
    def by_usage(self) -> list[int]:
        """The slots, most used first."""
        share = np.nan_to_num(self.reading.share)
        return [int(slot) for slot in np.argsort(-share, kind="stable")]

    @property
    def dead_slots(self) -> list[int] | None:
        """The slots that no token reads; None if there are too few tokens to tell."""
        return dead_slots(self.reading, self.tokens)


@overload
def inspect_layer(
    layer: MemoryAugmentedAttention, tokens: Tokens | object | None = None
) -> Inspection: ...


@overload
def inspect_layer(
    layer: CrossAttention | HierarchicalAttention, tokens: PairTokens | object | None = None
) -> PairInspection: ...


def inspect_layer(layer: Layer, tokens: object | None = None) -> Inspection | PairInspection:
    """Inspects a layer without changing it.

    Parameters
    ----------
    layer : MemoryAugmentedAttention, CrossAttention or HierarchicalAttention
        The layer.
    tokens : array (N, U) or (B, T, U), or Tokens, optional
        Typical inputs; for a layer of two inputs a tuple of two arrays (B, T, F), or PairTokens.
        Default: standard normal tokens, always the same.

    Returns
    -------
    Inspection, or PairInspection of a layer of two inputs

    Raises
    ------
    DataError
        If the tokens do not fit the layer or are not finite.
    """
    if not isinstance(layer, MemoryAugmentedAttention):
        return inspect_pair(layer, tokens)
    chosen = choose_tokens(layer, tokens)
    weights = layer.weights
    return Inspection(
        config=layer.get_config(),
        shapes={name: value.shape for name, value in weights.items()},
        cost=cost_of(layer, chosen.steps),
        similarity=compare_slots(weights),
        tokens=chosen,
        reading=read_memory(layer, chosen),
    )


def choose_tokens(layer: MemoryAugmentedAttention, tokens: Tokens | object | None) -> Tokens:
    """Returns the given tokens, or the reference tokens."""
    if tokens is None:
        return reference_tokens(layer)
    return tokens if isinstance(tokens, Tokens) else as_tokens(tokens, layer)


def cost_of(layer: MemoryAugmentedAttention, steps: int = REFERENCE_STEPS) -> Cost:
    """Returns the multiply-adds of one token in sequences of `steps`."""
    weights = layer.weights
    slots, units = weights["memory"].shape
    heads, key_dim = weights["query.kernel"].shape[1:]
    value_dim = weights["value.kernel"].shape[2]
    both = key_dim + value_dim
    projected = heads * both * (units + slots)
    return Cost(
        steps=steps,
        as_written=projected + heads * slots * units * both / steps,
        projected=projected,
        folded=2 * heads * units * slots,
        route=layer.route,
    )


def dead_slots(reading: Reading, tokens: Tokens) -> list[int] | None:
    """Returns the slots that no token reads in any head; None if there are too few tokens."""
    slots = reading.peak.shape[1]
    if len(tokens) < TOKENS_A_SLOT * slots:
        return None
    most: Array64 = reading.peak.max(axis=0)
    return [int(slot) for slot in np.flatnonzero(most < DEAD_SHARE / slots)]
