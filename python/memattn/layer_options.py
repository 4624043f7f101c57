"""Options of the layers in every framework: checks, JSON for the compiled part, and routes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np

from memattn import _memattn

MemoryInitializer: TypeAlias = str | Mapping[str, Any]
Route: TypeAlias = Literal["folded", "projected"]
PairRoute: TypeAlias = Literal[
    "as_written",
    "left_read",
    "right_read",
    "right_value",
    "right_value_dense2",
    "left_read_dense",
    "left_read_dense1",
]
Precision: TypeAlias = Literal["float32", "bfloat16"]
PAIR_ROUTES: tuple[PairRoute, ...] = get_args(PairRoute)
ScoresChoice: TypeAlias = bool | Literal["mean"]


class PairWay(NamedTuple):
    """The products of a route of an attention between two inputs (docs/siblings-math.md)."""

    dense1: bool  # whether the query input passes through its Dense layer, or is used as it is
    dense2: bool  # the same for the key input
    logits: Literal["project", "left", "right"]
    read: Literal["project", "source", "value"]


PAIR_WAYS: Mapping[PairRoute, PairWay] = {
    "as_written": PairWay(True, True, "project", "project"),
    "left_read": PairWay(False, False, "left", "source"),
    "right_read": PairWay(False, False, "right", "source"),
    "right_value": PairWay(False, False, "right", "value"),
    "right_value_dense2": PairWay(False, True, "right", "value"),
    "left_read_dense": PairWay(True, True, "left", "source"),
    "left_read_dense1": PairWay(True, False, "left", "source"),
}


class PairSizes(NamedTuple):
    """Sizes of an attention between two inputs; HierarchicalAttention has two of them."""

    units: int
    source1_units: int
    source2_units: int
    num_heads: int
    key_dim: int
    value_dim: int
    one_source: bool  # queries and keys come from the same input, through one Dense layer

    def cheapest_route(self, batch: int, steps1: int, steps2: int, training: bool) -> PairRoute:
        """Return the cheapest route, for frameworks that compute with their own operators.

        With `training` the cost includes the fold, which each step repeats. `docs/siblings-math.md`
        has the costs.
        """
        found = _memattn.cheapest_pair_route(
            **self._asdict(), batch=batch, steps1=steps1, steps2=steps2, training=training
        )
        return cast("PairRoute", found)


def cheaper_route(units: int, memory_size: int, key_dim: int, value_dim: int) -> Route:
    """Return the route with fewer multiply-adds per token and head; a tie folds (docs/math.md)."""
    projections = units * (key_dim + value_dim)
    projected = projections + memory_size * (key_dim + value_dim)
    return "folded" if 2 * units * memory_size <= projected else "projected"


def config_json(*, layer: str = "MemoryAugmentedAttention", **options: Any) -> str:
    """Return the options as JSON for the compiled part, which checks them.

    `layer` is the layer's name in messages.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        return dict(value) if isinstance(value, Mapping) else value

    try:
        return json.dumps({name: plain(value) for name, value in options.items()}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{layer}: {error}") from error


def checked_dtype(
    dtype: str | np.dtype[Any] | type[np.floating[Any]], layer: str = "MemoryAugmentedAttention"
) -> str:
    """Return the name of a layer's dtype; raise ValueError for an unsupported one."""
    try:
        name = str(np.dtype(dtype))
    except TypeError:
        name = repr(dtype)
    if name not in ("float32", "float64"):
        raise ValueError(f'{layer}: dtype: found {name}, expected "float32" or "float64"')
    return name


def checked_precision(precision: Precision, layer: str) -> Precision:
    """Return a layer's precision; raise ValueError for an unsupported one."""
    if precision not in ("float32", "bfloat16"):
        found = f'found {precision!r}, expected "float32" or "bfloat16"'
        raise ValueError(f"{layer}: precision: {found}")
    return precision


def check_scores_choice(where: str, choice: object) -> None:
    """Raise ValueError unless `return_attention_scores` is True, False or "mean"."""
    if choice not in (True, False, "mean"):
        raise ValueError(f'{where}: found {choice!r}, expected True, False or "mean"')
