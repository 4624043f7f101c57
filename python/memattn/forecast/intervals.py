"""The intervals of forecasts, calibrated by a fit and by errors of windows after it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from memattn.errors import refused
from memattn.forecast.arguments import LEVELS, check_trained
from memattn.forecast.conformal import between_levels, calibrate, interval_ends, rolling_ends
from memattn.forecast.data.frames import Intervals
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Span, Windows, windows_from
from memattn.forecast.fitting import Fitted, WindowForecasts, forecast, some_windows
from memattn.forecast.forecaster_settings import (
    only_levels,
    stride,
    trained_levels,
    uses_prior,
)


class Later(NamedTuple):
    """The ages of windows that are calibrated on the errors known when each begins.

    Attributes
    ----------
    age : array (W,)
        Rows after each window begins, as `ages` counts them.
    among : array
        The ages of all windows, of which these W are some.
    """

    age: Ticks
    among: Ticks


def available_levels(fitted: Fitted) -> tuple[float, ...]:
    """Returns the default levels to show; empty without intervals.

    With trained quantiles they are the trained levels, calibrated or not. Otherwise a calibration
    offers any level, and these are the usual ones.
    """
    if uses_prior(fitted.settings):
        return LEVELS
    if trained_levels(fitted.settings):
        there = fitted.calibration is not None or fitted.settings["steps"].value > 0
        return trained_levels(fitted.settings) if there else ()
    return LEVELS if fitted.calibration is not None else ()


def intervals_of(
    where: str,
    fitted: Fitted,
    forecasts: WindowForecasts,
    levels: list[float],
    later: Later | None = None,
) -> Intervals:
    """Returns the intervals of forecasts. Raises ValueError for levels that `fit` does not offer.

    With a prior any level is available, interpolated between the trained ones.

    With `later`, each window is calibrated on the errors known when it begins; `fitted` then is the
    result of `with_later_errors`.
    """
    if not levels:
        return {}
    if uses_prior(fitted.settings):
        ends = _ends_of(fitted, forecasts, [*trained_levels(fitted.settings)], later)
        return between_levels(ends, forecasts.points, forecasts.domain, levels)
    check_levels(where, fitted, levels)
    return _ends_of(fitted, forecasts, levels, later)


def check_levels(where: str, fitted: Fitted, levels: list[float]) -> None:
    """Raises ValueError for levels that `fit` has not calibrated or trained."""
    if not levels or uses_prior(fitted.settings):
        return
    check_trained(where, only_levels(fitted.settings), levels)
    if not available_levels(fitted):
        hint = "fit with intervals=True and let the training end"
        raise refused(where, "level", f"this fit has no intervals: {hint}")


def _ends_of(
    fitted: Fitted, forecasts: WindowForecasts, levels: list[float], later: Later | None
) -> Intervals:
    """As `intervals_of`, for levels that were calibrated or trained."""
    trained = trained_levels(fitted.settings)
    calibration, domain, quantiles = fitted.calibration, forecasts.domain, forecasts.quantiles
    if later is None or calibration is None:
        return interval_ends(calibration, domain, quantiles, levels, trained)
    return rolling_ends(calibration, later.age, domain, quantiles, levels, trained, later.among)


def with_later_errors(
    fitted: Fitted, panel: Panel, windows: Windows, span: Span, oldest: int
) -> Fitted | None:
    """Returns the fit with a calibration that includes its errors up to its last window.

    Returns None if there is no calibration, or no row between the windows of any series.

    Parameters
    ----------
    fitted : Fitted
        The fit to the rows before the windows.
    panel : Panel
        The series of the fit, with all rows.
    windows : Windows
        The windows of these series.
    span, oldest
        When all series begin and end, and the age of the oldest window of all series.
    """
    calibration = fitted.calibration
    if calibration is None or not len(windows):
        return None
    every, horizon = stride(fitted.settings), fitted.settings["horizon"].value
    since = some_windows(_between(windows, every).clear(panel, horizon))
    if not len(since):
        return None
    then = forecast(fitted.model, panel, since).quantiles
    logs, trained = fitted.settings["logs"].value, trained_levels(fitted.settings)
    more = calibrate(panel, since, then, logs, trained, every, span)
    return replace(fitted, calibration=calibration.joined(more, oldest))


def _between(windows: Windows, every: int) -> Windows:
    """Returns windows `every` rows apart, from each series' first window to before its last one."""
    series, first, count = np.unique(windows.series, return_index=True, return_counts=True)
    begin = windows.ends[first]
    rows = windows.ends[first + count - 1] - begin
    return windows_from(series, begin, -(-rows // every), every)
