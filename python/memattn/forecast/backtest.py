"""Windows of the past, forecast as they would have been forecast then."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from memattn.errors import refused
from memattn.forecast.arguments import whole_number
from memattn.forecast.checkpoint import Trainer, train_model, trainer_of
from memattn.forecast.data.panel import Panel, panel_with_season
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Rolling, Windows, known_rows, rolling_windows
from memattn.forecast.evaluation import Evaluation, evaluate
from memattn.forecast.fitting import forecast, held_back, intervals_of, train
from memattn.forecast.forecaster_settings import Settings
from memattn.forecast.prior import Prior
from memattn.forecast.progress import Progress, share_of


def backtest(
    where: str,
    read: Callable[[Rolling], Panel],
    choose: Callable[[Panel, Ticks], tuple[Settings, Prior | None]],
    rolling: Rolling,
    *,
    val_size: int,
    refit: bool | int,
    levels: list[float],
    calibrated: bool,
    progress: Progress | None,
    checkpoint: str | os.PathLike[str] | None,
    resume: bool,
) -> Evaluation:
    """Forecast the last windows of a panel by models of what was known before them.

    The arguments are those of `Forecaster.cross_validation`, but for `read`, which gives the whole
    panel, read for these windows; `choose`, the settings of all windows for what is known before
    the first one and the phases at which windows begin, and the prior that may be used; and
    `calibrated`, whether levels are, as quantiles that were trained need not be.
    """
    horizon, n_windows, step_size = rolling
    panel = read(rolling)
    windows = rolling_windows(panel, *rolling)
    if not len(windows):
        longest = f"found series of at most {int(panel.lengths.max())} values"
        expected = f"expected one longer than horizon = {horizon}"
        raise refused(where, "data", f"{longest}, {expected}")
    if panel.season_found:
        panel, _ = panel_with_season(panel, rolling)
    every = n_windows
    if not isinstance(refit, bool) or refit:
        every = whole_number(where, "refit", int(refit) if refit is True else refit, 1)
    # By the place of a window from the first one on: `every` of them have a model together.
    back = (panel.lengths[windows.series] - horizon - windows.ends) // step_size
    places = (n_windows - 1 - back) // every
    groups = [places == place for place in sorted(set(places.tolist()))]
    intervals_wanted = calibrated and bool(levels)
    forecasts = np.empty((len(windows), horizon))
    intervals = {level: np.empty((2, *forecasts.shape)) for level in levels}
    settings: Settings | None = None
    prior: Prior | None = None
    trainer: Trainer = train_model
    for k, group in enumerate(groups):
        some = Windows(windows.series[group], windows.ends[group])
        known = panel.until(known_rows(panel, some))
        if settings is None:
            phases = panel.phases(windows.series, windows.ends)
            settings, prior = choose(known if val_size == 0 else held_back(known, val_size), phases)
            choices = {"n_windows": n_windows, "step_size": step_size, "refit": refit}
            choices |= {"val_size": val_size, "intervals": intervals_wanted}
            trainer = trainer_of(where, panel, settings, checkpoint, resume, **choices)
        share = share_of(progress, k, len(groups))
        fitted = train(known, settings, val_size, share, intervals_wanted, trainer, f"{k}.", prior)
        settings = fitted.settings  # what was to be decided is, by the first one
        found = forecast(fitted.model, panel, some)
        forecasts[group] = found.points
        ends = intervals_of(where, fitted, found, levels, (panel, some))
        for level, pair in ends.items():
            intervals[level][:, group] = pair
    pairs = {level: (low, high) for level, (low, high) in intervals.items()}
    return evaluate(panel, windows, forecasts, pairs)
