"""One-step forecasts of the rows that a model was trained on."""

from __future__ import annotations

import numpy as np

from memattn.forecast.data.columns import Array
from memattn.forecast.data.windows import Windows, with_their_series
from memattn.forecast.fitting import FEWEST_VALUES, Fitted, forecast
from memattn.forecast.forecaster_settings import trained_levels

BATCH_VALUES = 1 << 22  # of forecasts at once, 32 MiB: the engine forecasts whole horizons


def forecast_in_sample(fitted: Fitted) -> tuple[Windows, Array]:
    """Windows (W,) of all rows but the first few of each series, and their forecasts (W, 1)."""
    panel, settings = fitted.panel, fitted.settings
    counts = np.maximum(panel.lengths - FEWEST_VALUES, 0)
    series = np.repeat(np.arange(len(panel)), counts)
    ends = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + FEWEST_VALUES
    found = np.empty((len(series), 1))
    quantiles = 2 * len(trained_levels(settings)) + 1
    batch = max(1, BATCH_VALUES // (settings["horizon"].value * quantiles))
    for start in range(0, len(series), batch):
        rows = slice(start, start + batch)
        some, windows = with_their_series(panel, Windows(series[rows], ends[rows]))
        found[rows] = forecast(fitted.engine, settings, some, windows).points[:, :1]
    return Windows(series, ends), found
