"""Forecasts of a panel as the caller's kind of table, with nixtla's columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from memattn.forecast.data.columns import Array
from memattn.forecast.data.frequency import COUNTED
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import DAY, Ticks, clock_of
from memattn.forecast.data.times import EPOCH, Style, format_moment
from memattn.forecast.data.windows import Windows

MODEL = "memattn"

# From a level in percent to the lower and the upper ends, like the forecasts.
Intervals: TypeAlias = Mapping[float, tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What comes after the last value of each series of a panel.

    Attributes
    ----------
    panel : Panel
        N series.
    values : array (N, horizon)
        The forecasts.
    intervals : mapping
        For each level in percent the two ends (N, horizon).
    """

    panel: Panel
    values: Array
    intervals: Intervals


def forecast_frame(
    panel: Panel,
    forecasts: Array,
    intervals: Intervals | None = None,
    *,
    model: str = MODEL,
) -> Any:
    """The forecast table: unique_id, ds, memattn, memattn-lo-80, memattn-hi-80, and so on.

    Parameters
    ----------
    panel : Panel
        What was forecast.
    forecasts : array (N, horizon)
        The values after the last one of each series.
    intervals : mapping, optional
        For each level in percent the two ends (N, horizon).
    model : str
        What the forecast column is called.

    Returns
    -------
    DataFrame or str
        What the panel came as: pandas, Polars, or for a file the text of a CSV. Ids and times have
        the type and the zone that they came with.

    Raises
    ------
    ValueError
        A shape that is not the panel's.
    DataError
        Times that the caller's type cannot hold.
    """
    return _table(panel, forecast_columns(panel, forecasts, intervals, model=model))


def forecast_columns(
    panel: Panel,
    forecasts: Array,
    intervals: Intervals | None = None,
    *,
    model: str = MODEL,
) -> dict[str, Any]:
    """The columns of `forecast_frame`; of a panel from a file ids and times are text."""
    _check_shapes("forecast_frame", forecasts, intervals, len(panel), "N")
    horizon = forecasts.shape[1]
    series = np.repeat(np.arange(len(panel)), horizon)
    return {
        panel.form.id_col: _ids(panel, series),
        panel.form.time_col: _times(panel, panel.future(horizon).ravel()),
        **_numbers(forecasts, intervals, model),
    }


def cross_validation_frame(
    panel: Panel,
    windows: Windows,
    forecasts: Array,
    intervals: Intervals | None = None,
    *,
    model: str = MODEL,
) -> Any:
    """The table of a backtest: unique_id, ds, cutoff, y, memattn, memattn-lo-80, and so on.

    Parameters
    ----------
    panel : Panel
        What was forecast.
    windows : Windows
        Which values were forecast; the cutoff is the time of the last known one.
    forecasts : array (W, horizon)
        The windows' forecasts; rows after the end of a series are left out.
    intervals : mapping, optional
        For each level in percent the two ends (W, horizon).
    model : str
        What the forecast column is called.

    Returns
    -------
    DataFrame or str
        As `forecast_frame`.
    """
    where, series, ends = "cross_validation_frame", windows.series, windows.ends
    _check_shapes(where, forecasts, intervals, len(series), "W")
    lengths = panel.lengths[series]
    if np.shape(ends) != np.shape(series) or np.any((ends < 1) | (ends > lengths)):
        msg = f"{where}: windows: found ends outside of 1 to the lengths of the series"
        raise ValueError(f"{msg}, expected one within them for each window")
    horizon = forecasts.shape[1]
    row = (ends[:, None] + np.arange(horizon)).ravel()
    window = np.repeat(np.arange(len(series)), horizon)
    known = row < lengths[window]
    row, window = row[known], window[known]
    owner = series[window]
    last = panel.lengths[owner] - 1
    cutoffs = panel.times(series, ends - lengths)
    columns = {
        panel.form.id_col: _ids(panel, owner),
        panel.form.time_col: _times(panel, panel.times(owner, row - last)),
        "cutoff": _times(panel, cutoffs[window]),
        panel.form.target_col: panel.values[panel.offsets[owner] + row],
        **{name: numbers[known] for name, numbers in _numbers(forecasts, intervals, model).items()},
    }
    return _table(panel, columns)


def panel_frame(panel: Panel) -> Any:
    """The panel's own rows as the caller's kind of table: unique_id, ds, y, nothing missing."""
    series = np.repeat(np.arange(len(panel)), panel.lengths)
    columns = {
        panel.form.id_col: _ids(panel, series),
        panel.form.time_col: _times(panel, panel.past()),
        panel.form.target_col: panel.values,
    }
    return _table(panel, columns)


def _check_shapes(
    where: str, forecasts: Array, intervals: Intervals | None, rows: int, letter: str
) -> None:
    named = {"forecasts": forecasts}
    for level, ends in (intervals or {}).items():
        named[f"intervals[{level:g}][0]"], named[f"intervals[{level:g}][1]"] = ends
    for name, array in named.items():
        if array.ndim != 2 or array.shape[0] != rows or array.shape != forecasts.shape:
            expected = f"({letter} = {rows}, horizon)"
            raise ValueError(f"{where}: {name}: found shape {array.shape}, expected {expected}")


def _numbers(forecasts: Array, intervals: Intervals | None, model: str) -> dict[str, Array]:
    columns = {model: forecasts.ravel()}
    for level, (low, high) in sorted((intervals or {}).items()):
        columns[f"{model}-lo-{level:g}"] = low.ravel()
        columns[f"{model}-hi-{level:g}"] = high.ravel()
    return columns


def _table(panel: Panel, columns: dict[str, Any]) -> Any:
    if panel.form.library == "pandas":
        from memattn.forecast.data.pandas_columns import pandas_frame

        return pandas_frame(columns)
    if panel.form.library == "polars":
        from memattn.forecast.data.polars_columns import polars_frame

        return polars_frame(columns)
    return _csv_text(columns)


def _csv_text(columns: Mapping[str, Any]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    cells = [
        [f"{number:.8g}" for number in column] if column.dtype == np.float64 else column.tolist()
        for column in columns.values()
    ]
    writer.writerows(zip(*cells, strict=True))
    return text.getvalue()


def _ids(panel: Panel, series: Ticks) -> Any:
    form = panel.form
    ids = panel.ids[series]
    if form.id_dtype is None or form.library == "csv":
        return ids
    if form.library == "pandas":
        from memattn.forecast.data.pandas_columns import pandas_ids

        return pandas_ids(ids, form.id_dtype)
    from memattn.forecast.data.polars_columns import polars_ids

    return polars_ids(ids, form.id_dtype)


def _times(panel: Panel, ticks: Ticks) -> Any:
    """Times (n,) as the caller's kind of column; each different one is made once."""
    form = panel.form
    distinct, places = np.unique(ticks, return_inverse=True)
    is_number = panel.frequency.unit in COUNTED
    if form.time_dtype is None or form.library == "csv":
        return time_texts(panel, distinct)[places]
    if is_number:
        return _whole_numbers(panel, ticks)
    if form.library == "pandas":
        from memattn.forecast.data.pandas_columns import pandas_times

        return pandas_times(ticks, panel.zone, form.time_dtype)
    from memattn.forecast.data.polars_columns import polars_times

    return polars_times(ticks, form.time_dtype)


def _whole_numbers(panel: Panel, ticks: Ticks) -> Any:
    if panel.form.library == "pandas":
        import pandas as pd

        return pd.Series(ticks).astype(panel.form.time_dtype)
    import polars as pl

    return pl.Series(ticks).cast(panel.form.time_dtype)  # type: ignore[arg-type]


def time_texts(panel: Panel, ticks: Ticks) -> npt.NDArray[Any]:
    """Times as text, dates in the style in which they came."""
    if panel.frequency.unit in COUNTED:
        return ticks.astype(str).astype(object)
    local, offsets = ticks, np.zeros_like(ticks)
    if panel.zone is not None and len(ticks):
        local = clock_of(panel.zone, ticks).to_local(ticks)
        offsets = local - ticks
    style = panel.form.style
    texts = []
    for tick, offset in zip(local.tolist(), offsets.tolist(), strict=True):
        moment = EPOCH + timedelta(microseconds=tick)
        used = style or _plain_style(panel, bool(np.any(local % DAY)), offset)
        texts.append(format_moment(moment, used))
    return np.array(texts, dtype=object)


def _plain_style(panel: Panel, has_time: bool, offset: int) -> Style:
    """How dates are written that did not come as text."""
    if panel.zone is None:
        return Style(time_mark=" ", seconds=True) if has_time else Style()
    minutes = offset // 60_000_000
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    return Style(time_mark=" ", seconds=True, zone=f"{sign}{hours:02d}:{minutes:02d}")
