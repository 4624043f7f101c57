"""The similarity of the slots of a memory, as vectors and after each head's projections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memattn.arrays import Array
from memattn.inspection.fold import Array64

# Above this number, slots are not compared pair by pair.
PAIRWISE_SLOTS = 2048
# Slots count as equal if they differ by at most this, relative to their norm: 16 roundings of
# float32.
ALIKE = 1e-6
# All slots count as alike if none is farther than this from their mean, relative to its norm. Such
# differences change scores too little for training.
COLLAPSED = 1e-4


@dataclass(frozen=True)
class Similarity:
    """Norms and cosines of slots.

    Cosines of zero vectors are NaN. For very many slots the cosines of pairs are None.

    Attributes
    ----------
    norms : array (S,)
        Norm of each slot.
    cosine : array (S, S), optional
        Cosine of each pair of slots.
    nearest : array (S,), optional
        For each slot the most similar other slot by cosine, -1 if there is none.
    key_cosine, value_cosine : array (H,)
        Mean cosine over pairs of slots after projection by a head's key or value kernel, without
        the biases, which all slots share.
    """

    norms: Array64
    cosine: Array64 | None
    nearest: npt.NDArray[np.int64] | None
    key_cosine: Array64
    value_cosine: Array64


def compare_slots(weights: Mapping[str, Array]) -> Similarity:
    """Compares the slots of a layer, given its weights by name."""
    memory = np.asarray(weights["memory"], np.float64)
    slots = len(memory)
    cosine = nearest = None
    with np.errstate(all="ignore"):
        if slots <= PAIRWISE_SLOTS:
            directions = _directions(memory)
            cosine = np.clip(directions @ directions.T, -1, 1)
            others = np.where(np.eye(slots, dtype=bool) | np.isnan(cosine), -np.inf, cosine)
            nearest = np.where(np.isfinite(others).any(axis=1), others.argmax(axis=1), -1)
        return Similarity(
            norms=np.linalg.norm(memory, axis=1),
            cosine=cosine,
            nearest=nearest,
            key_cosine=_mean_cosines(memory, weights["key.kernel"]),
            value_cosine=_mean_cosines(memory, weights["value.kernel"]),
        )


def alike_groups(memory: Array) -> list[list[int]]:
    """Returns groups of slots that are equal up to rounding; one group if nearly all are equal.

    Above PAIRWISE_SLOTS slots, only those that are equal to the last bit are grouped.
    """
    m = np.asarray(memory, np.float64)
    if len(m) > 1 and np.linalg.norm(m - m.mean(axis=0), axis=1).max() <= COLLAPSED * (
        np.linalg.norm(m.mean(axis=0))
    ):
        return [list(range(len(m)))]
    if len(m) > PAIRWISE_SLOTS:
        labels = np.unique(m, axis=0, return_inverse=True)[1].reshape(-1)
    else:
        labels = np.full(len(m), -1)
        norms = np.linalg.norm(m, axis=1)
        for slot in range(len(m)):
            if labels[slot] < 0:
                near = np.linalg.norm(m - m[slot], axis=1) <= ALIKE * norms[slot]
                labels[near & (labels < 0)] = slot
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    groups = [part.tolist() for part in np.split(order, cuts) if len(part) > 1]
    return sorted(groups)


def _directions(rows: Array64) -> Array64:
    # Rows are first scaled by their largest value, so that no square overflows or underflows.
    scaled = rows / np.abs(rows).max(axis=1, keepdims=True)
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)  # type: ignore[no-any-return]


def _mean_cosines(memory: Array64, kernel: Array) -> Array64:
    """Returns the mean cosine over pairs (H,), computed from the norm of the sum of directions."""
    slots = len(memory)
    means = []
    for h in range(kernel.shape[1]):
        total = _directions(memory @ kernel[:, h].astype(np.float64)).sum(axis=0)
        means.append((total @ total - slots) / (slots * (slots - 1)) if slots > 1 else np.nan)
    return np.array(means)
