"""Backtests: forecasts of past windows from only the rows known before them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from memattn.errors import DataError, quoted, refused
from memattn.forecast.arguments import whole_number
from memattn.forecast.checkpoint import Trainer, train_model, trainer_of
from memattn.forecast.data.panel import Panel, panel_with_season
from memattn.forecast.data.series_sample import sample_of
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Rolling, Windows, known_rows, rolling_windows
from memattn.forecast.evaluation import Evaluation, evaluate
from memattn.forecast.fitting import forecast, held_back, intervals_of, train
from memattn.forecast.forecaster_settings import Settings, stride
from memattn.forecast.prior import Prior
from memattn.forecast.progress import Progress, share_of
from memattn.forecast.sampled_fit import with_sample

Choose: TypeAlias = Callable[[Panel, Ticks], tuple[Settings, Prior | None]]


def backtest(
    where: str,
    read: Callable[[Rolling], Panel],
    choose: Choose,
    rolling: Rolling,
    *,
    val_size: int,
    refit: bool | int,
    levels: list[float],
    calibrated: bool,
    progress: Progress | None,
    checkpoint: str | os.PathLike[str] | None,
    resume: bool,
    seed: int = 0,
) -> Evaluation:
    """Forecast the last windows of a panel with models of the rows before them.

    The arguments are those of `Forecaster.cross_validation`, but for `read`, which gives the whole
    panel, read for these windows; `choose`, the settings of all windows for what is known before
    the first one and the phases at which windows begin, and the prior that may be used;
    `calibrated`, whether levels are, as quantiles that were trained need not be; and `seed`, which
    draws the sample of very many series.
    """
    horizon, n_windows, step_size = rolling
    panel = read(rolling)
    sample = sample_of(panel, seed)
    trained = panel if sample is None else sample.panel
    windows = rolling_windows(panel, *rolling)
    if not len(windows):
        raise no_window(where, panel, horizon)
    if panel.season_found:
        trained, _ = panel_with_season(trained, rolling)
    panel = trained if sample is None else replace(sample.whole, season=trained.season)
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
        rows = known_rows(panel, some)
        known = trained.until(rows if sample is None else rows[sample.places])
        if settings is None:
            own = rolling_windows(trained, *rolling)
            settings, prior = chosen(choose, known, val_size, trained, own)
            if sample is not None:
                settings = with_sample(settings, sample.panel)
            check_phases(where, panel, windows, settings)
            choices = {"n_windows": n_windows, "step_size": step_size, "refit": refit}
            choices |= {"val_size": val_size, "intervals": intervals_wanted}
            trainer = trainer_of(where, trained, settings, checkpoint, resume, **choices)
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


def no_window(where: str, panel: Panel, horizon: int) -> DataError:
    """The error for series that are too short for a window."""
    longest = f"the longest series has {int(panel.lengths.max())} values"
    return refused(where, "data", f"{longest}, expected more than horizon = {horizon}")


def chosen(
    choose: Choose, known: Panel, val_size: int, panel: Panel, windows: Windows
) -> tuple[Settings, Prior | None]:
    """Returns the settings for the part of a panel before its windows."""
    phases = panel.phases(windows.series, windows.ends)
    return choose(known if val_size == 0 else held_back(known, val_size), phases)


def check_phases(where: str, panel: Panel, windows: Windows, settings: Settings) -> None:
    """Raises if forecasts must begin at one phase of the season and a window begins at another."""
    if stride(settings) == 1:
        return
    other = panel.phases(windows.series, windows.ends) != settings["origin_phase"].value
    if other.any():
        first = quoted(str(panel.ids[windows.series[int(np.argmax(other))]]))
        problem = f"windows of {first} begin at another phase of the season of {panel.season} rows"
        hint = "than the windows trained on; cut the series so that the phases agree"
        raise refused(where, "data", f"{problem} {hint}")
