"""Backtests: forecasts of past windows from only the rows known before them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np

from memattn.errors import DataError, quoted, refused
from memattn.forecast.arguments import whole_number
from memattn.forecast.checkpoint import Trainer, train_model, trainer_of
from memattn.forecast.data.columns import Array
from memattn.forecast.data.frames import Intervals
from memattn.forecast.data.panel import Panel, panel_with_season
from memattn.forecast.data.series_sample import sample_of
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import (
    Extent,
    Rolling,
    Windows,
    ages,
    known_rows,
    outline_of,
    rolling_windows,
)
from memattn.forecast.evaluation import Evaluation, evaluate
from memattn.forecast.fitting import Fitted, forecast, held_back, train
from memattn.forecast.forecaster_settings import Settings, stride
from memattn.forecast.intervals import Later, check_levels, intervals_of, with_later_errors
from memattn.forecast.prior import Prior
from memattn.forecast.progress import Progress, share_of
from memattn.forecast.sampled_fit import with_sample

Choose: TypeAlias = Callable[[Panel, Ticks], tuple[Settings, Prior | None]]


class Plan(NamedTuple):
    """Which windows are forecast, and by how many models.

    Attributes
    ----------
    rolling : Rolling
        The windows of each series.
    every : int
        How many consecutive windows share a model.
    """

    rolling: Rolling
    every: int

    def windows(self, panel: Panel) -> tuple[Windows, Ticks]:
        """Returns the W windows of a panel, and the index (W,) of the model that forecasts each."""
        horizon, n_windows, step_size = self.rolling
        windows = rolling_windows(panel, *self.rolling)
        back = (panel.lengths[windows.series] - horizon - windows.ends) // step_size
        return windows, np.asarray((n_windows - 1 - back) // self.every)

    def extent(self, panel: Panel) -> Extent:
        """Returns the extent of the windows of a panel."""
        return Extent.of(panel, [outline_of(panel, *self.windows(panel))])


@dataclass(frozen=True)
class Training:
    """How the models of a backtest are trained.

    Attributes
    ----------
    where : str
        Name of the calling function, for messages.
    plan : Plan
        The windows.
    refit : bool or int
        The caller's option, which checkpoints store.
    val_size, levels
        As in `Forecaster.cross_validation`.
    calibrated : bool
        Whether intervals are calibrated; trained quantiles need no calibration.
    progress, checkpoint, resume
        As in `Forecaster.cross_validation`.
    """

    where: str
    plan: Plan
    refit: bool | int
    val_size: int
    levels: list[float]
    calibrated: bool
    progress: Progress | None
    checkpoint: str | os.PathLike[str] | None
    resume: bool


class WindowModel(NamedTuple):
    """A model and the windows that it forecasts.

    Attributes
    ----------
    place : int
        The index of the model, as `Plan.windows` returns it for its windows.
    fitted : Fitted
        The model. If errors of later windows are used, its calibration includes them.
    ages : array, optional
        The ages of all windows of this model; None if only the calibration of `fit` is used.
    """

    place: int
    fitted: Fitted
    ages: Ticks | None


def plan_of(where: str, rolling: Rolling, refit: bool | int) -> Plan:
    """Returns the windows of a backtest and, from the caller's option `refit`, their models."""
    if isinstance(refit, bool):
        return Plan(rolling, 1 if refit else rolling.n_windows)
    return Plan(rolling, whole_number(where, "refit", refit, 1))


def backtest(
    how: Training, read: Callable[[Rolling], Panel], choose: Choose, seed: int = 0
) -> Evaluation:
    """Forecast the last windows of a panel with models of the rows before them.

    Parameters
    ----------
    how : Training
        The windows, and how their models are trained.
    read : callable
        Reads the whole panel for these windows.
    choose : callable
        Takes the panel before the first window and the phases at which windows begin. Returns the
        settings for all windows, and the prior that may be used.
    seed : int
        The seed of the sample that is drawn from very many series.
    """
    panel = read(how.plan.rolling)
    sample = sample_of(panel, seed)
    trained = panel if sample is None else sample.panel
    if panel.season_found:
        trained, _ = panel_with_season(trained, how.plan.rolling)
    panel = trained if sample is None else replace(sample.whole, season=trained.season)
    windows, places = how.plan.windows(panel)
    if not len(windows):
        raise no_window(how.where, int(panel.lengths.max()), how.plan.rolling.horizon)
    extent = Extent.of(panel, [outline_of(panel, windows, places)])
    models = trained_models(how, trained, extent, choose, sampled=sample is not None)
    found = forecast_windows(how.where, models, panel, how.plan, extent, how.levels)
    return evaluate(panel, windows, *found)


def trained_models(
    how: Training, panel: Panel, extent: Extent, choose: Choose, *, sampled: bool
) -> Iterator[WindowModel]:
    """Trains the models, each on the rows before its first window, and yields them one by one.

    Parameters
    ----------
    how, choose
        As in `backtest`.
    panel : Panel
        The series to train on, all or a sample, with all their rows.
    extent : Extent
        The extent of the windows of all series.
    sampled : bool
        Whether the panel is a sample.
    """
    windows, at = how.plan.windows(panel)
    _, n_windows, step_size = how.plan.rolling
    intervals = how.calibrated and bool(how.levels)
    settings: Settings | None = None
    prior: Prior | None = None
    trainer: Trainer = train_model
    for k, place in enumerate(extent.places):
        some = Windows(windows.series[at == place], windows.ends[at == place])
        known = panel.until(known_rows(panel, some, extent.least(place)))
        if settings is None:
            settings, prior = chosen(choose, known, how.val_size, panel, windows)
            if sampled:
                settings = with_sample(settings, panel)
            check_phases(how.where, panel, windows, settings)
            choices = {"n_windows": n_windows, "step_size": step_size, "refit": how.refit}
            choices |= {"val_size": how.val_size, "intervals": intervals}
            trainer = trainer_of(how.where, panel, settings, how.checkpoint, how.resume, **choices)
        share = share_of(how.progress, k, len(extent.places))
        fitted = train(known, settings, how.val_size, share, intervals, trainer, f"{k}.", prior)
        settings = fitted.settings  # the first training has made the remaining choices
        check_levels(how.where, fitted, how.levels)
        later = None
        if how.levels:
            oldest = int(extent.ages[place].max())
            later = with_later_errors(fitted, panel, some, extent.span, oldest)
        yield WindowModel(place, later or fitted, extent.ages[place] if later else None)


def forecast_windows(
    where: str,
    models: Iterable[WindowModel],
    panel: Panel,
    plan: Plan,
    extent: Extent,
    levels: list[float],
) -> tuple[Array, Intervals]:
    """Returns the forecasts (W, horizon) of the windows of a panel, and their intervals.

    `extent` is that of all series; the panel may hold only some of them.
    """
    windows, places = plan.windows(panel)
    age = ages(panel, windows, extent.span)
    forecasts = np.empty((len(windows), plan.rolling.horizon))
    intervals = {level: np.empty((2, *forecasts.shape)) for level in levels}
    for place, fitted, among in models:
        mine = places == place
        some = Windows(windows.series[mine], windows.ends[mine])
        check_phases(where, panel, some, fitted.settings)
        if not len(some):
            continue
        found = forecast(fitted.model, panel, some)
        forecasts[mine] = found.points
        later = None if among is None else Later(age[mine], among)
        for level, pair in intervals_of(where, fitted, found, levels, later).items():
            intervals[level][:, mine] = pair
    return forecasts, {level: (low, high) for level, (low, high) in intervals.items()}


def no_window(where: str, longest: int, horizon: int) -> DataError:
    """Returns the error for series that are too short for a window."""
    found = f"the longest series has {longest} values"
    return refused(where, "data", f"{found}, expected more than horizon = {horizon}")


def chosen(
    choose: Choose, known: Panel, val_size: int, panel: Panel, windows: Windows
) -> tuple[Settings, Prior | None]:
    """Returns the settings and the prior that `choose` selects for `known`, without held-out rows.

    `known` is the part of the panel before its windows.
    """
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
