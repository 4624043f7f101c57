"""The season of numbered rows, which have no calendar to tell it: the values are asked.

Only the first two thirds of each series are looked at, so that a backtest on the last third has
not seen through its season what it is to forecast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from memattn.forecast.data.columns import Array
from memattn.forecast.data.time_zones import Ticks

CANDIDATES = (4, 5, 6, 7, 12, 24, 48, 52)
SEASONS = 3  # that a series must have to have a say
MOST_SERIES = 200  # asked; more would not say otherwise
ROUNDING = 1e-12  # of the values: changes along a straight line differ by as little
STRONG_ENOUGH = 0.9  # of the strongest: its multiples repeat as well as a season


def season_of_values(values: Array, offsets: Ticks) -> int:
    """Return the candidate season that fits best, 1 if none does.

    The changes from row to row are asked, which a trend does not hide, and the values, for of slow
    waves under noise the changes are noise.

    Parameters
    ----------
    values : array (n,)
        Of all series, finite.
    offsets : array (N + 1,)
        Where each begins, and n.
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
    """The autocorrelation after a season, on average; 0 where that is no more than chance.

    It must be larger than after half a season, as that of what wanders is not.
    """
    whole, half = (
        float(np.mean([autocorrelation(values, lag) for values in series]))
        for lag in (season, season // 2)
    )
    return whole if whole > max(chance, half + chance) else 0.0


def _best(strengths: Mapping[int, float]) -> int:
    """The strongest, or what divides it and is about as strong; 1 for none."""
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
    """The correlation with the values `lag` rows later, without a straight line; 0 on one."""
    if not 0 < lag < len(values) - 1:
        return 0.0
    # From the first value, which leaves exactly 0 of constant values, as their mean may not.
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
