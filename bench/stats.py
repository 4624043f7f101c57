"""Statistics over rounds: medians with quartiles, and ratios taken within a round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Rounds = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Spread:
    """The median of some values, their quartiles, and their minimum."""

    median: float
    low: float
    high: float
    least: float


def quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile, linear between neighbours."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("quantile: found no value, expected at least one")
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(values: Sequence[float]) -> Spread:
    """Return median, quartiles and minimum."""
    return Spread(
        quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75), min(values)
    )


def times(rounds: Rounds, key: str) -> list[float]:
    """Return one contestant's times, without the rounds in which it failed."""
    return [one[key] for one in rounds if key in one]


def ratio(rounds: Rounds, over: str, under: str) -> Spread:
    """Return how many times longer `over` takes than `under`, round by round.

    A round is short, so a slow machine slows both: the ratio is steadier than either time.
    """
    return spread([one[over] / one[under] for one in rounds if over in one and under in one])


def fastest(rounds: Rounds, keys: Sequence[str]) -> str | None:
    """Return the contestant with the least median, or None if none was measured."""
    measured = {key: times(rounds, key) for key in keys}
    medians = {key: quantile(values, 0.5) for key, values in measured.items() if values}
    return min(medians, key=lambda key: medians[key]) if medians else None
