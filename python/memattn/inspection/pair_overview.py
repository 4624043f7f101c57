"""The inspection of a layer of two inputs: widths, heads and attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from memattn.cross_attention import CrossAttention
from memattn.hierarchical_attention import HierarchicalAttention
from memattn.inspection.pair_fold import (
    PairHead,
    attention_names,
    fold_pair_heads,
    input_widths,
)
from memattn.inspection.pair_reading import PairReading, read_pair
from memattn.inspection.pair_tokens import PairTokens, as_pair_tokens, reference_pair_tokens


@dataclass(frozen=True)
class PairInspection:
    """The result of `inspect_layer` for a CrossAttention or HierarchicalAttention.

    Attributes
    ----------
    name : str
        The layer's class.
    config : dict
        The layer's `get_config()`.
    shapes : dict
        Shape of each weight, by name.
    widths : (int, int)
        F1 and F2.
    routes : dict
        The route of a call with the tokens' sizes, by attention.
    heads : dict
        The logit and value matrices of each head, by attention.
    tokens : PairTokens
        The inputs that were used.
    reading : PairReading
        The attention of these inputs.
    """

    name: str
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    widths: tuple[int, int]
    routes: Mapping[str, str]
    heads: Mapping[str, list[PairHead]]
    tokens: PairTokens
    reading: PairReading

    @property
    def parameters(self) -> int:
        """The total number of weights."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    @property
    def head_widths(self) -> tuple[int, int]:
        """The widths of a head's keys and values, D and Dv."""
        last = {
            name.rpartition(".")[0].rpartition(".")[2]: s
            for name, s in self.shapes.items()
            if name.endswith(".kernel")
        }
        return last["key"][2], last["value"][2]

    @property
    def logits_scale(self) -> float:
        """The factor of the logits, one over the square root of D."""
        return float(1 / np.sqrt(self.head_widths[0]))


def inspect_pair(
    layer: CrossAttention | HierarchicalAttention, tokens: PairTokens | object | None = None
) -> PairInspection:
    """Inspects a layer of two inputs without changing it.

    Parameters
    ----------
    layer : CrossAttention or HierarchicalAttention
        The layer.
    tokens : tuple of two arrays (B, T, F), or PairTokens, optional
        Typical inputs of the layer. Default: standard normal steps, always the same.

    Raises
    ------
    DataError
        If the tokens do not fit the layer or are not finite.
    """
    chosen = choose_pair_tokens(layer, tokens)
    weights = layer.weights
    names = attention_names(weights)
    routes: tuple[str, ...]
    if isinstance(layer, CrossAttention):
        routes = (layer.route_of(len(chosen), *chosen.steps),)
    else:
        routes = layer.route_of(len(chosen), chosen.steps[0])
    return PairInspection(
        name=type(layer)._name,
        config=layer.get_config(),
        shapes={name: value.shape for name, value in weights.items()},
        widths=input_widths(weights),
        routes=dict(zip(names, routes, strict=True)),
        heads={name: fold_pair_heads(weights, name) for name in names},
        tokens=chosen,
        reading=read_pair(layer, chosen),
    )


def choose_pair_tokens(
    layer: CrossAttention | HierarchicalAttention, tokens: PairTokens | object | None
) -> PairTokens:
    """Returns the given tokens, or the reference tokens."""
    if tokens is None:
        return reference_pair_tokens(layer)
    return tokens if isinstance(tokens, PairTokens) else as_pair_tokens(tokens, layer)
