"""Windows of the past, forecast as they would have been forecast then."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from memattn.errors import refused
from memattn.forecast.arguments import whole_number
from memattn.forecast.checkpoint import Trainer, named, train_engine, trainer_of
from memattn.forecast.data.panel import Panel, panel_with_season
from memattn.forecast.data.windows import Rolling, Windows, known_rows, rolling_windows
from memattn.forecast.evaluation import Evaluation, evaluate
from memattn.forecast.fitting import forecast, held_back, intervals_of, share_of, train
from memattn.forecast.forecaster_settings import Settings
from memattn.forecast.progress import Progress


def backtest(
    where: str,
    read: Callable[[Rolling], Panel],
    choose: Callable[[Panel], Settings],
    *,
    horizon: int,
    n_windows: int,
    step_size: int,
    val_size: int,
    refit: bool | int,
    levels: list[float],
    calibrated: bool,
    progress: Progress | None,
    checkpoint: str | os.PathLike[str] | None,
    resume: bool,
) -> Evaluation:
    """Forecast the last windows of a panel by models of what was known before them.

    Parameters
    ----------
    where : str
        Who asks, for messages.
    read : callable
        The panel, all of it, read for these windows.
    choose : callable
        The settings for what is known before the first window; they are those of all windows.
    horizon, n_windows, step_size, val_size, refit, levels, progress, checkpoint, resume
        As in `Forecaster.cross_validation`.
    calibrated : bool
        Whether levels are calibrated; quantiles that were trained need not be.

    Raises
    ------
    ValueError
        No series is longer than the horizon, or a number cannot be.
    """
    whole_number(where, "n_windows", n_windows, 1)
    whole_number(where, "step_size", step_size, 1)
    panel = read(Rolling(horizon, n_windows, step_size))
    windows = rolling_windows(panel, horizon, n_windows, step_size)
    if not len(windows):
        longest = f"found series of at most {int(panel.lengths.max())} values"
        expected = f"expected one longer than horizon = {horizon}"
        raise refused(where, "data", f"{longest}, {expected}")
    if panel.season_found:
        panel, _ = panel_with_season(panel, Rolling(horizon, n_windows, step_size))
    every = n_windows
    if not isinstance(refit, bool) or refit:
        every = whole_number(where, "refit", int(refit) if refit is True else refit, 1)
    # By the place of a window from the first one on: `every` of them have a model together.
    back = (panel.lengths[windows.series] - horizon - windows.ends) // step_size
    places = (n_windows - 1 - back) // every
    groups = [places == place for place in sorted(set(places.tolist()))]
    intervals_wanted = calibrated and bool(levels)
    forecasts = np.empty((len(windows), horizon))
    intervals = {level: (forecasts.copy(), forecasts.copy()) for level in levels}
    settings: Settings | None = None
    trainer: Trainer = train_engine
    for k, group in enumerate(groups):
        some = Windows(windows.series[group], windows.ends[group])
        known = panel.until(known_rows(panel, some))
        if settings is None:
            settings = choose(known if val_size == 0 else held_back(known, val_size))
            choices = {"n_windows": n_windows, "step_size": step_size, "refit": refit}
            choices |= {"val_size": val_size, "intervals": intervals_wanted}
            trainer = trainer_of(where, panel, settings, checkpoint, resume, **choices)
        share = share_of(progress, k, len(groups))
        fitted = train(known, settings, val_size, share, intervals_wanted, named(trainer, f"{k}."))
        settings = fitted.settings  # what was to be decided is, by the first one
        found = forecast(fitted.engine, settings, panel, some)
        forecasts[group] = found.points
        ends = intervals_of(where, fitted, found, levels, (panel, some))
        for one, (low, high) in ends.items():
            intervals[one][0][group], intervals[one][1][group] = low, high
    return evaluate(panel, windows, forecasts, intervals)
