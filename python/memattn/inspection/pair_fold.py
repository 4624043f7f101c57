"""Singular values of the logit and value matrices of each head between two inputs, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from memattn.arrays import Array
from memattn.inspection.fold import Array64

# For larger matrices, singular values come from the product of the matrix with its transpose. This
# loses those below 1e-8 of the largest, which are not used, and takes a fifth of the time for 1024
# units.
SVD_SIZE = 256


@dataclass(frozen=True)
class PairHead:
    """One head: logits ``x1·a·x2`` plus terms of one input, and output ``P·(x2·c) + d``.

    Attributes
    ----------
    logits : array (R,)
        Singular values of a (F1, F2), largest first; R is the highest possible rank.
    values : array (R',)
        Singular values of c (F2, U).
    constant : float
        The norm of d (U,), which is added whatever the head reads.
    """

    logits: Array64
    values: Array64
    constant: float


def attention_names(weights: Mapping[str, Array]) -> tuple[str, ...]:
    """Returns the names of a layer's attentions: ``("",)``, or the short and the long side."""
    return ("short", "long") if "short.query.kernel" in weights else ("",)


def part_name(attention: str, part: str) -> str:
    """Returns the name of a weight's group in an attention, such as ``"short.query"``."""
    return f"{attention}.{part}" if attention else part


def source_names(attention: str) -> tuple[str, str]:
    """Returns the names of the Dense layers before an attention's queries and keys."""
    return (f"{attention}.dense", f"{attention}.dense") if attention else ("source1", "source2")


def input_widths(weights: Mapping[str, Array]) -> tuple[int, int]:
    """Returns the widths F1 and F2 of the two inputs."""
    names = attention_names(weights)
    first, second = source_names(names[0])[0], source_names(names[-1])[1]
    return weights[f"{first}.kernel"].shape[0], weights[f"{second}.kernel"].shape[0]


@np.errstate(over="ignore", invalid="ignore")
def fold_pair_heads(weights: Mapping[str, Array], attention: str) -> list[PairHead]:
    """Returns each head of an attention; an overflow gives an infinity or a NaN."""
    first, second = (_kernel(weights, name) for name in source_names(attention))
    query, key, value, output = (
        _kernel(weights, part_name(attention, role)) for role in ("query", "key", "value", "output")
    )
    shift = _bias(weights, source_names(attention)[1], second.shape[1])
    heads = []
    for h in range(query.shape[1]):
        scale = 1 / np.sqrt(query.shape[2])
        left, right = first @ query[:, h] * scale, second @ key[:, h]
        read = second @ value[:, h]
        bias = _bias(weights, part_name(attention, "value"), 1)
        constant = (shift @ value[:, h] + (bias[h] if bias.ndim > 1 else 0)) @ output[h]
        heads.append(
            PairHead(
                _singular_values(left, right.T),
                _singular_values(read, output[h]),
                float(np.linalg.norm(constant)),
            )
        )
    return heads


def effective_rank(singular_values: Array64) -> float:
    """Returns the effective rank of a matrix: R for R equal singular values, 0 for zeros."""
    if singular_values[0] == 0:
        return 0.0
    squares = (singular_values / singular_values[0]) ** 2
    return float(squares.sum() ** 2 / (squares**2).sum())


def _kernel(weights: Mapping[str, Array], name: str) -> Array64:
    return np.asarray(weights[f"{name}.kernel"], np.float64)


def _bias(weights: Mapping[str, Array], name: str, size: int) -> Array64:
    return np.asarray(weights.get(f"{name}.bias", np.zeros(size)), np.float64)


def _singular_values(left: Array64, right: Array64) -> Array64:
    """Returns the singular values of a product, largest first; NaN if it overflows.

    Those that must be 0 by the shapes of the factors are left out.
    """
    rank = min(*left.shape, right.shape[1])
    product = left @ right
    if not np.isfinite(product).all():
        return np.full(rank, np.nan)
    if min(product.shape) <= SVD_SIZE:
        return np.asarray(np.linalg.svd(product, compute_uv=False)[:rank], np.float64)
    squares = product @ product.T if len(product) <= product.shape[1] else product.T @ product
    return np.sqrt(np.maximum(np.linalg.eigvalsh(squares)[::-1][:rank], 0))
