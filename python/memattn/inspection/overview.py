"""What is in a layer: sizes, cost, slots, and what is read of them."""

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

# A slot that no token gives this part of an equal share, in any head, is dead: it adds nothing, and
# as its gradient is in proportion to its score, training does not find it either.
DEAD_SHARE = 0.01


@dataclass(frozen=True)
class Cost:
    """Multiply-adds for one token, by three ways to the same result (docs/math.md).

    Attributes
    ----------
    steps : int
        Steps of a sequence, which matter to the first way only.
    as_written : float
        As Keras writes it: the memory is projected again for every sequence.
    projected, folded : int
        With the memory projected once; with the projections folded into two matrices.
    route : str
        Which one the layer takes, ``"folded"`` or ``"projected"``.
    """

    steps: int
    as_written: float
    projected: int
    folded: int
    route: str

    @property
    def speed_up(self) -> float:
        """How many times less work the layer does than as written."""
        return self.as_written / (self.folded if self.route == "folded" else self.projected)

    path = RenamedProperty("route", removed_in="0.3")


@dataclass(frozen=True)
class Inspection:
    """What `inspect_layer` found.

    Attributes
    ----------
    config : dict
        The layer's `get_config()`.
    shapes : dict
        Shape of each weight, by name.
    cost : Cost
        What a token costs.
    similarity : Similarity
        Norms of the slots and how alike they are.
    tokens : Tokens
        What the layer was read with.
    reading : Reading
        What those tokens read.
    """

    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    cost: Cost
    similarity: Similarity
    tokens: Tokens
    reading: Reading

    @property
    def parameters(self) -> int:
        """The number of values in all weights together."""
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
        """The slots that no token reads; None when there are too few tokens to say so."""
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
    """Looks into a layer; nothing of it changes.

    Parameters
    ----------
    layer : MemoryAugmentedAttention, CrossAttention or HierarchicalAttention
        The layer.
    tokens : array (N, U) or (B, T, U), or Tokens, optional
        What it reads in use: for a layer of two inputs a tuple of two arrays (B, T, F), or
        PairTokens. When not given, standard normal tokens, always the same.

    Returns
    -------
    Inspection, or PairInspection of a layer of two inputs

    Raises
    ------
    DataError
        The tokens do not fit the layer or are not finite.
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
    """The tokens that a caller gave, or those of reference."""
    if tokens is None:
        return reference_tokens(layer)
    return tokens if isinstance(tokens, Tokens) else as_tokens(tokens, layer)


def cost_of(layer: MemoryAugmentedAttention, steps: int = REFERENCE_STEPS) -> Cost:
    """The multiply-adds that one token costs in sequences of `steps`."""
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
    """The slots that no token reads in any head; None when there are too few tokens to say so."""
    slots = reading.peak.shape[1]
    if len(tokens) < TOKENS_A_SLOT * slots:
        return None
    most: Array64 = reading.peak.max(axis=0)
    return [int(slot) for slot in np.flatnonzero(most < DEAD_SHARE / slots)]
