"""Forecasts that any model has to beat, for all windows of a panel at once."""

from __future__ import annotations

import numpy as np

from memattn.forecast.data.columns import Array
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.windows import Windows


def naive(panel: Panel, windows: Windows, horizon: int) -> Array:
    """Returns the last known value for each step ahead (W, horizon)."""
    last = panel.latest[panel.offsets[windows.series] + windows.ends - 1]
    return np.repeat(panel.values[last][:, None], horizon, axis=1)


def seasonal_naive(panel: Panel, windows: Windows, horizon: int, season: int) -> Array:
    """Returns the value one season before (W, horizon).

    Windows with less than one season of history repeat the last value.

    Raises
    ------
    ValueError
        If `season` is below 1.
    """
    if season < 1:
        raise ValueError(f"seasonal_naive: season: found {season}, expected at least 1")
    back = np.where(windows.ends < season, 1, season)[:, None]
    row = windows.ends[:, None] - back + np.arange(horizon) % back
    start = panel.offsets[windows.series]
    last = panel.latest[start + windows.ends - 1]
    before: Array = panel.filled[np.minimum(start[:, None] + row, last[:, None])]
    return before
