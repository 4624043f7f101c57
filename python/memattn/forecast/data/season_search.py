"""Finds the season of numbered rows, which have no calendar, from their values.

Uses only the first two thirds of each series, so that the season tells a backtest on the last third
nothing about the values that it forecasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from memattn.forecast.data.columns import Array
from memattn.forecast.data.time_zones import Ticks

CANDIDATES = (4, 5, 6, 7, 12, 24, 48, 52)
SEASONS = 3  # seasons that a series needs to be considered
MOST_SERIES = 200  # considered; more would not change the result
ROUNDING = 1e-12  # relative to the values: rounding makes equal changes differ
STRONG_ENOUGH = 0.9  # share of the strongest, which may be a multiple


def season_of_values(values: Array, offsets: Ticks) -> int:
    """Returns the candidate season that fits best, 1 if none does.

    Looks at the changes from row to row, in which a trend hides no season, and at the values, since
    the changes of slow waves with noise are mostly noise.

    Parameters
    ----------
    values : array (n,)
        The values of all series, finite.
    offsets : array (N + 1,)
        Where each series begins, and n.
    """
    heads = np.diff(offsets) * 2 // 3
    strengths = {}
    for season in CANDIDATES:
        long = np.flatnonzero(heads >= SEASONS * season)
        if not len(long) or 2 * len(long) < len(heads):
            continue
        asked = long[np.linspace(0, len(long) - 1, min(len(long), MOST_SERIES)).astype(np.int64)]
        parts = [values[offsets[k] : offsets[k] + heads[k]] for k in asked]
        chance = max(0.1, 3 / np.sqrt(sum(map(len, parts))))
        by_changes = _strength([np.diff(part) for part in parts], season, chance)
        strengths[season] = max(by_changes, _strength(parts, season, 2 * chance))
    return _best(strengths)


def _strength(series: Sequence[Array], season: int, chance: float) -> float:
    """Returns the mean autocorrelation at a lag of one season, 0 if it may be chance.

    It must be larger than at half a season, unlike that of a random walk.
    """
    whole, half = (
        float(np.mean([autocorrelation(values, lag) for values in series]))
        for lag in (season, season // 2)
    )
    return whole if whole > max(chance, half + chance) else 0.0


def _best(strengths: Mapping[int, float]) -> int:
    """Returns the strongest season, or its smallest divisor about as strong; 1 if there is none."""
    strongest = max(strengths, key=lambda season: strengths[season], default=0)
    if not strongest or not strengths[strongest]:
        return 1
    enough = STRONG_ENOUGH * strengths[strongest]
    return min(
        season
        for season, strength in strengths.items()
        if strongest % season == 0 and strength >= enough
    )


def autocorrelation(values: Array, lag: int) -> float:
    """Returns the correlation with the values `lag` rows later, after removing a straight line.

    Returns 0 for values on a straight line.
    """
    if not 0 < lag < len(values) - 1:
        return 0.0
    # Relative to the first value: constant values become exactly 0, as relative to their mean they
    # may not.
    centred = values - values[0]
    size = float(np.max(np.abs(centred)))
    if size <= ROUNDING * float(np.max(np.abs(values))):
        return 0.0
    centred = centred / size  # squares of large values must not overflow
    rows = np.arange(len(values)) - (len(values) - 1) / 2
    centred = centred - centred.mean()
    centred = centred - rows * (float(rows @ centred) / float(rows @ rows))
    power = float(centred @ centred)
    if power <= 1e-20 * len(values):
        return 0.0
    return float(centred[lag:] @ centred[:-lag]) / power
