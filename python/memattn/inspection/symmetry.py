"""Breaks the symmetry of identical slots, so that training can separate them again.

The slots of a group of equal slots get a random jitter of mean zero. Equal slots have equal scores,
so the jitter cancels in their summed outputs, and the layer's output changes in second order only.
Norms bound this change, for every token of norm R or less.

Let m be the scores of the groups, q the scores of the slots in a group as shares of m, B the
outputs of the slots in a group, and b the mean of B, which a jitter of mean zero does not change.
Primes mark the layer after the repair. With u for equal shares, the output of a head changes by

    Σ m'·q'·B' − Σ m·q·B = Σ (m' − m)·b + Σ m'·(q' − u)·B' − Σ m·(q − u)·B

Logits that change by ω relative to each other change shares by tanh(ω / 4) in total variation.
Shares that differ so much change a weighted mean of rows by that times the diameter of the rows. In
a group, logits change by ω at most, so q' − u is bounded; q − u is 0 if the slots are equal. The
logit of a group as a whole changes by the logarithm of a mean of exponentials of changes of mean
zero, which lies between 0 and ω² / 8 (Hoeffding), so m' − m is bounded.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from memattn.arrays import Array
from memattn.errors import DataError
from memattn.inspection.findings import Finding, non_finite_output, non_finite_weights
from memattn.inspection.fold import Array64, FoldedHead, fold_heads, logit_range, spread
from memattn.inspection.overview import choose_tokens
from memattn.inspection.reading import VALUES_A_CALL, read_memory
from memattn.inspection.similarity import alike_groups
from memattn.inspection.tokens import Tokens
from memattn.layer import MemoryAugmentedAttention

MAX_CHANGE = 1e-3  # relative to the output's norm, far below the errors of a trained model
MAX_JITTER = 1.0  # standard deviation of a new memory; a larger jitter would replace the memory
MIN_JITTER = 1e-30
MARGIN = 0.98  # the bisection's share of the allowed change; the rest is for rounding
PRECISION = 1e-3  # relative precision of the jitter

Groups: TypeAlias = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Repair:
    """A repaired layer, and the changes of its output.

    Attributes
    ----------
    layer : MemoryAugmentedAttention
        A new layer; all weights but the memory are those of the old one.
    slots : list of int
        The slots that got a jitter.
    seed : int
        The seed of the jitter.
    jitter : float
        The standard deviation of the jitter.
    allowed : float
        The allowed change of a token's output: the norm of the change, relative to `output_norm`.
    bound : float
        A bound on this change, for every token of norm `token_norm` or less.
    measured : float
        The largest change on `tokens`, including rounding.
    token_norm : float
        The largest norm of those tokens.
    output_norm : float
        Root mean square norm of the old layer's output on them.
    tokens : Tokens
        The inputs on which the change was measured.
    """

    layer: MemoryAugmentedAttention
    slots: list[int]
    seed: int
    jitter: float
    allowed: float
    bound: float
    measured: float
    token_norm: float
    output_norm: float
    tokens: Tokens


def repair(
    layer: MemoryAugmentedAttention,
    seed: int,
    tokens: Tokens | object | None = None,
    *,
    max_change: float = MAX_CHANGE,
) -> Repair:
    """Adds a random jitter to identical slots, as large as the allowed change of output permits.

    Parameters
    ----------
    layer : MemoryAugmentedAttention
        The layer. It is not changed.
    seed : int
        Seed of the jitter, at least 0; the same seed gives the same memory.
    tokens : array (N, U) or (B, T, U), or Tokens, optional
        Typical inputs of the layer. Default: standard normal tokens, always the same.
    max_change : float
        Largest allowed change of a token's output, relative to the root mean square norm of the
        outputs.

    Raises
    ------
    DataError
        If no slots are identical, if a jitter cannot separate them, or if the tokens do not fit.
    """
    if not 0 < max_change < 1:
        problem = f"max_change: found {max_change}, expected a number between 0 and 1"
        raise DataError("option", problem)
    chosen = choose_tokens(layer, tokens)
    weights = layer.weights
    for broken in non_finite_weights(weights):
        raise _refuse(broken)
    reading = read_memory(layer, chosen)
    if not reading.finite:
        raise _refuse(non_finite_output(chosen))
    memory = weights["memory"]
    groups = alike_groups(memory)
    if not groups:
        problem = "no slots are identical, so there is nothing to repair"
        raise DataError("nothing-to-repair", problem)
    direction = _direction(memory.shape, groups, seed)
    allowed = max_change * reading.output_norm
    before = list(fold_heads(weights))
    scale = _largest_scale(weights, before, direction, groups, reading.token_norm, allowed)

    new = (memory.astype(np.float64) + scale * direction).astype(memory.dtype)
    repaired = copy.deepcopy(layer)
    repaired.set_weights({"memory": new})
    # From the new weights, so that the rounding of the jitter counts.
    after = fold_heads(repaired.weights)
    changes = [_difference(one, other) for one, other in zip(after, before, strict=True)]
    bound = _bound(before, changes, groups, reading.token_norm)
    measured = _largest_change(layer, repaired, chosen)
    if alike_groups(new) or not (max(bound, measured) <= allowed):
        problem = (
            f"no jitter in {layer.dtype} can separate the identical slots without changing the "
            f"output by more than {max_change:g} of its norm ({reading.output_norm:.3g}); give the "
            "layer a new memory and train it"
        )
        raise DataError("cannot-repair", problem)
    return Repair(
        layer=repaired,
        slots=sorted(slot for group in groups for slot in group),
        seed=seed,
        jitter=scale,
        allowed=max_change,
        bound=bound / reading.output_norm,
        measured=measured / reading.output_norm,
        token_norm=reading.token_norm,
        output_norm=reading.output_norm,
        tokens=chosen,
    )


def _refuse(broken: Finding) -> DataError:
    return DataError("cannot-repair", f"cannot repair: {broken.found}. {broken.advice}")


def _direction(shape: tuple[int, ...], groups: Groups, seed: int) -> Array64:
    """Returns standard normal rows for the slots in groups, with mean zero in each; zeros else."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    direction = np.zeros(shape)
    for group in groups:
        direction[group] = noise[group] - noise[group].mean(axis=0)
    return direction


def _largest_scale(
    weights: Mapping[str, Array],
    before: Sequence[FoldedHead],
    direction: Array64,
    groups: Groups,
    token_norm: float,
    allowed: float,
) -> float:
    """Finds the largest jitter whose bound is allowed, by bisection: the bound grows with it."""
    # The fold is linear in the memory, except for the biases of the values.
    moved = fold_heads({**weights, "memory": direction})
    still = fold_heads({**weights, "memory": np.zeros_like(direction)})
    changes = [_difference(one, other) for one, other in zip(moved, still, strict=True)]

    def fits(scale: float) -> bool:
        scaled = [FoldedHead(scale * x.a, scale * x.c, scale * x.b) for x in changes]
        return _bound(before, scaled, groups, token_norm) <= MARGIN * allowed

    if fits(MAX_JITTER):
        return MAX_JITTER
    low, high = MIN_JITTER, MAX_JITTER
    while high > (1 + PRECISION) * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _difference(one: FoldedHead, other: FoldedHead) -> FoldedHead:
    return FoldedHead(one.a - other.a, one.c - other.c, one.b - other.b)


def _bound(
    before: Sequence[FoldedHead], changes: Sequence[FoldedHead], groups: Groups, token_norm: float
) -> float:
    """Returns a bound on the output's change for a token of that norm, as derived at the top."""
    total = 0.0
    for old, change in zip(before, changes, strict=True):
        within, drifts, jitters, means = [], [], [], old.b.copy()
        for g in groups:
            torn = logit_range(old.a[:, g], old.c[g], token_norm)  # 0 for equal slots
            jitter = logit_range(change.a[:, g], change.c[g], token_norm)
            within.append(
                2 * math.tanh((torn + jitter) / 4) * spread(old.b[g] + change.b[g])
                + 2 * math.tanh(torn / 4) * spread(old.b[g])
                + float(np.linalg.norm(change.b[g].mean(axis=0)))  # not 0 after rounding
            )
            # Because of rounding and unequal shares, the mean change of a group may differ from 0.
            drift = token_norm * float(np.linalg.norm(change.a[:, g].mean(axis=1)))
            drifts.append(drift + abs(change.c[g].mean()) + jitter * math.tanh(torn / 4))
            jitters.append(jitter)
            means[g] = old.b[g].mean(axis=0)
        shift = 2 * max(drifts) + max(jitters) ** 2 / 8
        total += max(within) + 2 * math.tanh(shift / 4) * spread(means)
    return total


def _largest_change(
    old: MemoryAugmentedAttention, new: MemoryAugmentedAttention, tokens: Tokens
) -> float:
    """Returns the largest norm of the change of a token's output."""
    largest = 0.0
    for chunk in tokens.chunks(max(1, VALUES_A_CALL // tokens.values.shape[1])):
        x = np.ascontiguousarray(chunk, old.dtype)[None]
        change = new(x).astype(np.float64) - old(x)
        largest = max(largest, float(np.linalg.norm(change, axis=-1).max()))
    return largest
