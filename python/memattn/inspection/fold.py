"""The folded form of each head in float64: its logits and its output for each slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memattn.arrays import Array

Array64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FoldedHead:
    """One head: logits ``x·a + c``, and output ``b`` for each slot (docs/math.md).

    Attributes
    ----------
    a : array (U, S)
        The matrix from tokens to logits.
    c : array (S,)
        The logits of a zero token.
    b : array (S, U)
        The vector that reading a slot adds to the token.
    """

    a: Array64
    c: Array64
    b: Array64


def fold_heads(weights: Mapping[str, Array]) -> Iterator[FoldedHead]:
    """Yields each head, from the weights by name; an overflow gives an infinity or a NaN."""
    w = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    for h in range(w["query.kernel"].shape[1]):
        yield _fold_head(w, h)


@np.errstate(over="ignore", invalid="ignore")
def _fold_head(w: Mapping[str, Array64], h: int) -> FoldedHead:
    keys = w["memory"] @ w["key.kernel"][:, h] / np.sqrt(w["key.kernel"].shape[2])
    values = w["memory"] @ w["value.kernel"][:, h]
    c = np.zeros(len(keys))
    if "query.bias" in w:
        c = keys @ w["query.bias"][h]
        values = values + w["value.bias"][h]
    return FoldedHead(w["query.kernel"][:, h] @ keys.T, c, values @ w["output.kernel"][h])


@np.errstate(over="ignore", invalid="ignore")
def spread(rows: Array64) -> float:
    """Returns the largest distance of a row (n, ...) from the mean row.

    No two rows are farther apart than twice this distance.
    """
    return float(np.linalg.norm(rows - rows.mean(axis=0), axis=-1).max())


def logit_range(a: Array64, c: Array64, token_norm: float) -> float:
    """Returns a bound on the difference of two logits x·a + c (S,) of a token of that norm."""
    return 2 * (token_norm * spread(a.T) + spread(c[:, None]))
