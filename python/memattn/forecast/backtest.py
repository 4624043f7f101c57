"""Windows of the past, forecast as they would have been forecast then."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from memattn.forecast.baselines import Windows
from memattn.forecast.checkpoint import Progress
from memattn.forecast.conformal import Flags
from memattn.forecast.evaluation import Evaluation, evaluate
from memattn.forecast.fitting import forecast, held_back, intervals_of, share_of, train
from memattn.forecast.forecaster_settings import Settings
from memattn.forecast.panel import Panel

UNKNOWN = np.iinfo(np.int64).max


def groups_of(panel: Panel, windows: Windows, horizon: int, step_size: int) -> list[Flags]:
    """Windows of one place, counted from the ends of their series: each has a model with refit."""
    places = (panel.lengths[windows.series] - horizon - windows.ends) // step_size
    return [places == place for place in sorted(set(places.tolist()), reverse=True)]


def backtest(
    where: str,
    panel: Panel,
    windows: Windows,
    groups: Sequence[Flags],
    choose: Callable[[Panel], Settings],
    *,
    horizon: int,
    val_size: int,
    levels: list[float],
    progress: Progress | None,
) -> Evaluation:
    """Forecast each group of windows by a model of what was known before the first of them.

    Parameters
    ----------
    where : str
        Who asks, for messages.
    panel : Panel
        All of it.
    windows : Windows
        W of them, at least one.
    groups : sequence of array (W,)
        In order of time; together all windows.
    choose : callable
        The settings for what is known before the first group; they are those of all groups.
    horizon, val_size, levels, progress
        As in `Forecaster.cross_validation`.
    """
    forecasts = np.empty((len(windows), horizon))
    intervals = {level: (forecasts.copy(), forecasts.copy()) for level in levels}
    settings: Settings | None = None
    for k, group in enumerate(groups):
        some = Windows(windows.series[group], windows.ends[group])
        first_ends = np.full(len(panel), UNKNOWN)
        np.minimum.at(first_ends, some.series, some.ends)
        known = panel.until(np.where(first_ends == UNKNOWN, 0, first_ends))
        if settings is None:
            settings = choose(known if val_size == 0 else held_back(known, val_size))
        share = share_of(progress, k, len(groups))
        fitted = train(known, settings, val_size, share, bool(levels))
        forecasts[group] = forecast(fitted.engine, settings, panel, some)
        ends = intervals_of(where, fitted, panel, some, forecasts[group], levels)
        for one, (low, high) in ends.items():
            intervals[one][0][group], intervals[one][1][group] = low, high
    return evaluate(panel, windows, forecasts, intervals)
