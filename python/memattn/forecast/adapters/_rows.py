"""Forecasts and quantiles of the rows that another library asks for; the adapters share these.

A `Forecaster` forecasts the rows after the last value of a series. Other libraries expect those
after its last row, which may have no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from memattn.forecast.data.frequency import COUNTED
from memattn.forecast.data.series import Panel
from memattn.forecast.forecaster import Forecaster

ID, TIME, TARGET = "unique_id", "ds", "y"  # of the tables that the forecaster reads
Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Forecasts (N, k) of k rows of N series, and quantiles (N, k, Q)."""

    values: Array
    quantiles: Array


def level_of(quantile: float) -> float:
    """Returns the level in percent of the interval that has a quantile as a bound."""
    return float(f"{abs(200 * quantile - 100):g}")


def levels_of(quantiles: Sequence[float]) -> list[float]:
    """Returns the levels to request; quantiles near the median need none: they are the forecast."""
    return sorted({level for level in map(level_of, quantiles) if level >= 1})


def dates_of(times: pd.Index) -> pd.Index:
    """Returns times as the forecaster reads them: of a period its beginning."""
    return times.to_timestamp() if isinstance(times, pd.PeriodIndex) else times


def panel_of_values(rows: pd.DataFrame, freq: str | int | None) -> Panel:
    """Reads the series without covariates, to find where each of them ends."""
    return Forecaster(1, season=1, freq=freq).panel(rows[[ID, TIME, TARGET]])


def rows_to(where: str, panel: Panel, times: pd.Index, count: int | None = None) -> Counts:
    """Returns how many rows after the last value of each series some times are (N, count).

    `times` has `count` dates or numbers for all N series, or for one series after another.
    """
    times, count = dates_of(times), count or len(times)
    is_date = isinstance(times, pd.DatetimeIndex)
    ticks = times.as_unit("us").asi8 if is_date else times.to_numpy(np.int64)
    each = np.broadcast_to(ticks.reshape(-1, count), (len(panel), count))
    ahead = panel.rows_to(each)
    grid = panel.times(np.repeat(np.arange(len(panel)), count), ahead.ravel())
    if (off := np.flatnonzero(grid != each.ravel())).size:
        name, time = panel.ids[off[0] // count], times[off[0] % len(times)]
        problem = f"series {name!r} has no row at {time}, since it has one every "
        problem += f"{panel.frequency.every}; ask for times of its rows"
        raise ValueError(f"{where}: {problem}")
    return ahead


def times_after(panel: Panel, count: int) -> pd.Index:
    """Returns the times of the next rows of the first series."""
    ticks = panel.future(count)[0]
    if panel.frequency.unit in COUNTED:
        return pd.Index(ticks)
    dates = pd.DatetimeIndex(ticks.astype("datetime64[us]"))
    return dates if panel.zone is None else dates.tz_localize("UTC").tz_convert(panel.zone)


def forecasts_of_rows(
    where: str,
    forecaster: Forecaster,
    panel: Panel,
    ahead: Counts,
    *,
    quantiles: Sequence[float] = (),
    X_df: Any = None,  # noqa: N803 - nixtla's name
) -> Rows:
    """Forecasts some rows of each series.

    Parameters
    ----------
    where : str
        Name of the calling function, for messages.
    forecaster : Forecaster
        A fitted forecaster.
    panel : Panel
        N series, as the forecaster reads them.
    ahead : array (N, k)
        The rows, counted from the last value of each series.
    quantiles : sequence of float
        Numbers between 0 and 1. A quantile is the bound of a calibrated interval.
    X_df : DataFrame, optional
        Covariates of the rows after the last value of each series; others are ignored.

    Raises
    ------
    ValueError
        If a row is not after the last value of its series, or is beyond the horizon.
    """
    early, late = ahead.min(axis=1), ahead.max(axis=1)
    if early.min() < 1:
        problem = f"series {panel.ids[early.argmin()]!r} has values up to a time to forecast"
        raise ValueError(f"{where}: {problem}; fit again to forecast from an earlier cutoff")
    if late.max() > forecaster.horizon:
        problem = f"the last forecast is {late.max()} rows after the last value of series "
        problem += f"{panel.ids[late.argmax()]!r}, but this model was fitted for a horizon of "
        problem += f"{forecaster.horizon}; cut off rows without a value, or fit again"
        raise ValueError(f"{where}: {problem}")
    found = forecaster.forecasts(panel, X_df=X_df, h=late, level=levels_of(quantiles))
    both = found.values, found.values
    bounds = [found.intervals.get(level_of(one), both)[int(one > 0.5)] for one in quantiles]
    every = np.stack([found.values, *bounds], axis=2)
    taken = np.take_along_axis(every, ahead[:, :, None] - 1, axis=1)
    return Rows(taken[:, :, 0], taken[:, :, 1:])
