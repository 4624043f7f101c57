"""Breaks the symmetry of identical slots, so that training can separate them again.

The slots of a group that are alike get a random jitter of mean zero. Equal slots have equal scores,
so the jitter cancels in what they add together, and the output changes in second order only. By how
much at most follows from norms, for every token of norm R or less.

Let m be what a token reads of each group, q what it reads of the slots in one, as shares of m, B
what the slots of a group add, b its mean over them, which a jitter of mean zero leaves alone, and
let primes stand for the layer after the repair. With u for equal shares, a head changes by

    Σ m'·q'·B' − Σ m·q·B = Σ (m' − m)·b + Σ m'·(q' − u)·B' − Σ m·(q − u)·B

Logits that change by ω relative to each other change shares by tanh(ω / 4) in total variation, and
shares that differ so much change a mean of rows by that times their diameter. In a group logits
change by ω at most, so q' − u is bounded; q − u is 0 where the slots are equal. The logit of a
group as a whole changes by the logarithm of a mean of exponentials of changes of mean zero, which
lies between 0 and ω² / 8 (Hoeffding), so m' − m is bounded.
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

MAX_CHANGE = 1e-3  # of the output's size: far below what a trained model's errors are
MAX_JITTER = 1.0  # the deviation of a new memory; more would be a new memory, not a repaired one
MIN_JITTER = 1e-30
MARGIN = 0.98  # of the allowed change, the rest is for rounding
PRECISION = 1e-3  # of the jitter

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
        Of the jitter.
    jitter : float
        Its standard deviation.
    allowed : float
        By how much a token's output was allowed to change: the norm of the change, relative to
        `output_norm`.
    bound : float
        By how much it can change at most, for every token of norm `token_norm` or less.
    measured : float
        By how much it changed at most on `tokens`, rounding included.
    token_norm : float
        The largest norm of those tokens.
    output_norm : float
        Root mean square norm of the old layer's output on them.
    tokens : Tokens
        What the layer was measured with.
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
    # With what rounding has made of the jitter.
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
    """Standard normal rows for the slots of groups, of mean zero in each group; else zero."""
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
    """The largest jitter whose bound is allowed, by bisection; the bound grows with the jitter."""
    # The fold is linear in the memory, but for the biases of the values.
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
    """How far the output of a token of that norm can move at most; see the top of the file."""
    total = 0.0
    for old, change in zip(before, changes, strict=True):
        within, drifts, jitters, means = [], [], [], old.b.copy()
        for g in groups:
            torn = logit_range(old.a[:, g], old.c[g], token_norm)  # 0 where slots are equal
            jitter = logit_range(change.a[:, g], change.c[g], token_norm)
            within.append(
                2 * math.tanh((torn + jitter) / 4) * spread(old.b[g] + change.b[g])
                + 2 * math.tanh(torn / 4) * spread(old.b[g])
                + float(np.linalg.norm(change.b[g].mean(axis=0)))  # by rounding
            )
            # Rounding and unequal shares let the mean of a group's change be other than 0.
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
    """The largest norm by which the output of a token differs."""
    largest = 0.0
    for chunk in tokens.chunks(max(1, VALUES_A_CALL // tokens.values.shape[1])):
        x = np.ascontiguousarray(chunk, old.dtype)[None]
        change = new(x).astype(np.float64) - old(x)
        largest = max(largest, float(np.linalg.norm(change, axis=-1).max()))
    return largest
