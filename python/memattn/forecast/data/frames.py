"""Turns forecasts into a table of the caller's library, with nixtla's column names."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError
from memattn.forecast.data.columns import EXACT, Array
from memattn.forecast.data.frequency import COUNTED
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.small_table import SmallTable
from memattn.forecast.data.time_zones import DAY, SECOND, Ticks, clock_of
from memattn.forecast.data.times import EPOCH, NUMBERS, Style, format_moment
from memattn.forecast.data.windows import Windows

MODEL = "memattn"
LONGEST_NS = 2**63 // 1000  # microseconds from 1970 that 64-bit nanoseconds can hold

# Level in percent -> the lower and the upper bounds, each of the forecasts' shape.
Intervals: TypeAlias = Mapping[float, tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Forecasts of the rows after each series of a panel.

    Attributes
    ----------
    panel : Panel
        N series.
    values : array (N, horizon)
        The forecasts.
    intervals : mapping
        The lower and upper bounds (N, horizon) for each level in percent.
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
    kind: str | None = None,
) -> Any:
    """Returns the forecast table: unique_id, ds, memattn, memattn-lo-80, memattn-hi-80, ...

    Parameters
    ----------
    panel : Panel
        The panel that was forecast.
    forecasts : array (N, horizon)
        Forecasts of the rows after each series.
    intervals : mapping, optional
        The lower and upper bounds (N, horizon) for each level in percent.
    model : str
        Name of the forecast column.
    kind : str, optional
        As in `to_table`. Default: the library that the panel came from; for a file pandas if it is
        installed, else Polars, else a `SmallTable`.

    Returns
    -------
    DataFrame, Table or SmallTable
        In the panel's own library, ids and times keep their type and zone. In another library, ids
        are text or whole numbers and times are datetimes; in a `SmallTable`, times are text.

    Raises
    ------
    ValueError
        If a shape does not fit the panel.
    DataError
        If the type cannot hold the times.
    """
    kind = kind or kind_of(panel)
    _check_shapes("forecast_frame", forecasts, intervals, len(panel), "N")
    horizon = forecasts.shape[1]
    columns = {
        panel.form.id_col: _ids(panel, np.repeat(np.arange(len(panel)), horizon), kind),
        panel.form.time_col: _times(panel, panel.future(horizon).ravel(), kind),
        **_numbers(forecasts, intervals, model),
    }
    return to_table(columns, kind)


def cross_validation_frame(
    panel: Panel,
    windows: Windows,
    forecasts: Array,
    intervals: Intervals | None = None,
    *,
    model: str = MODEL,
    kind: str | None = None,
    with_cutoffs: bool = True,
) -> Any:
    """Returns the table of a backtest: unique_id, ds, cutoff, y, memattn, memattn-lo-80, ...

    Parameters
    ----------
    panel : Panel
        The panel that was forecast.
    windows : Windows
        The windows that were forecast; the cutoff is the time of the last known row.
    forecasts : array (W, horizon)
        Forecasts of the windows; rows after the end of a series are left out.
    intervals : mapping, optional
        The lower and upper bounds (W, horizon) for each level in percent.
    model, kind
        As in `forecast_frame`.
    with_cutoffs : bool
        Whether to include the column cutoff.

    Returns
    -------
    DataFrame, Table or SmallTable
        As in `forecast_frame`; y has its original number type.
    """
    kind = kind or kind_of(panel)
    where, series, ends = "cross_validation_frame", windows.series, windows.ends
    _check_shapes(where, forecasts, intervals, len(series), "W")
    lengths = panel.lengths[series]
    if np.shape(ends) != np.shape(series) or np.any((ends < 1) | (ends > lengths)):
        msg = f"{where}: windows: found an end outside of its series"
        raise ValueError(f"{msg}, expected ends from 1 to the length of each series")
    horizon = forecasts.shape[1]
    row = (ends[:, None] + np.arange(horizon)).ravel()
    window = np.repeat(np.arange(len(series)), horizon)
    known = row < lengths[window]
    row, window = row[known], window[known]
    owner = series[window]
    last = panel.lengths[owner] - 1
    cutoffs = panel.times(series, ends - lengths)
    columns = {
        panel.form.id_col: _ids(panel, owner, kind),
        panel.form.time_col: _times(panel, panel.times(owner, row - last), kind),
        "cutoff": _times(panel, cutoffs[window], kind),
        panel.form.target_col: _observed(panel, panel.offsets[owner] + row),
        **{name: numbers[known] for name, numbers in _numbers(forecasts, intervals, model).items()},
    }
    if not with_cutoffs:
        del columns["cutoff"]
    return to_table(columns, kind)


def series_frame(panel: Panel, series: Ticks, columns: Mapping[str, Any]) -> Any:
    """Returns a table of the ids of `series` (n,), indices in the panel, and other columns (n,)."""
    kind = kind_of(panel)
    return to_table({panel.form.id_col: _ids(panel, series, kind), **columns}, kind)


def panel_frame(panel: Panel) -> Any:
    """Returns the rows of the panel as a table of the caller's library: unique_id, ds, y."""
    kind = kind_of(panel)
    columns = {
        panel.form.id_col: _ids(panel, np.repeat(np.arange(len(panel)), panel.lengths), kind),
        panel.form.time_col: _times(panel, panel.past(), kind),
        panel.form.target_col: _observed(panel, np.arange(len(panel.values))),
    }
    return to_table(columns, kind)


def kind_of(panel: Panel) -> str:
    """Returns the kind of table for forecasts of a panel, as in `to_table`."""
    if panel.form.library != "csv":
        return panel.form.library
    found = (name for name in ("pandas", "polars") if importlib.util.find_spec(name) is not None)
    return next(found, "small")


def to_table(columns: Mapping[str, Any], kind: str) -> Any:
    """Returns a table of a kind.

    Parameters
    ----------
    columns : mapping
        Arrays, or for a data frame columns of its library.
    kind : str
        ``"pandas"``, ``"polars"``, ``"pyarrow"``, or ``"small"`` for a `SmallTable`.
    """
    if kind == "small":
        return SmallTable(columns)
    library: Any = importlib.import_module(kind)
    return library.table(dict(columns)) if kind == "pyarrow" else library.DataFrame(dict(columns))


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


def _observed(panel: Panel, rows: Ticks) -> npt.NDArray[Any]:
    """Returns values in their original type; whole numbers of a CSV file stay whole."""
    values, kind = panel.values[rows], panel.form.number_type
    whole = bool(np.all((values == np.rint(values)) & (np.abs(values) <= EXACT)))
    if kind is None:
        kind = "int64" if whole and panel.form.library == "csv" else "float64"
    return values.astype(kind) if whole or np.dtype(kind).kind == "f" else values


def _ids(panel: Panel, series: Ticks, kind: str) -> Any:
    own = kind == panel.form.library
    ids = panel.ids[series]
    if own and panel.form.id_dtype is not None:
        return _column(kind, ids, panel.form.id_dtype)
    return _column(kind, ids if isinstance(panel.ids[0], str) else ids.astype(np.int64), None)


def _times(panel: Panel, ticks: Ticks, kind: str) -> Any:
    """Returns times (n,) as a column; each distinct time is formatted once."""
    form = panel.form
    own = kind == form.library
    dtype = form.time_dtype if own else None
    whole = form.style is not None and form.style.kind in NUMBERS
    if kind == "small" or whole or (own and form.style is not None):
        distinct, places = np.unique(ticks, return_inverse=True)
        cells = time_texts(panel, distinct)
        if whole and kind != "small" and (dtype is None or "int" in str(dtype).lower()):
            cells = cells.astype(np.int64)
        return _column(kind, cells[places], dtype)
    if panel.frequency.unit in COUNTED:
        return _column(kind, ticks, dtype)
    if "ns" in str(dtype) and len(ticks) and np.abs(ticks).max() >= LONGEST_NS:
        problem = f"the horizon reaches beyond the latest time that {dtype} can hold"
        raise DataError("time-overflow", problem)
    return _moments(kind, ticks, dtype, panel.zone)


def _column(kind: str, cells: npt.NDArray[Any], dtype: Any) -> Any:
    """Returns ids, texts or whole numbers as a column of a type; None for the default."""
    if kind == "small":
        return cells
    if kind == "pandas":
        import pandas as pd

        column = pd.Series(cells, dtype=object if cells.dtype == object and dtype else None)
        return column if dtype is None else column.astype(dtype)
    if kind == "polars":
        import polars as pl

        plain = pl.Series(cells.tolist() if cells.dtype == object else cells)
        return plain if dtype is None else plain.cast(dtype)
    import pyarrow as pa

    column = pa.array(cells)
    if dtype is None or not pa.types.is_dictionary(dtype):
        return column if dtype is None else column.cast(dtype)
    parts = column.cast(dtype.value_type).dictionary_encode()
    codes = parts.indices.cast(dtype.index_type)
    return pa.DictionaryArray.from_arrays(codes, parts.dictionary, ordered=dtype.ordered)


def _moments(kind: str, ticks: Ticks, dtype: Any, zone: tzinfo | None) -> Any:
    """Returns times as a column of a type; of the default one for None or a Python type."""
    moments = ticks.astype("datetime64[us]")
    if kind == "pandas":
        import pandas as pd

        column = pd.Series(moments)
        if dtype is date:
            return column.dt.date.astype(object)
        column = column if zone is None else column.dt.tz_localize("UTC").dt.tz_convert(zone)
        return column if dtype is None or isinstance(dtype, type) else column.astype(dtype)
    if kind == "polars":
        import polars as pl

        if dtype is None or isinstance(dtype, type):
            name = getattr(zone, "key", None) or ("UTC" if zone is not None else None)
            dtype = pl.Date() if dtype is date else pl.Datetime("us", name)
        if dtype == pl.Date:
            return pl.Series(moments).cast(dtype)
        plain = pl.Series(moments).cast(pl.Datetime(dtype.time_unit))
        if dtype.time_zone is None:
            return plain
        return plain.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)
    import pyarrow as pa

    if dtype is None:
        name = getattr(zone, "key", None) or ("UTC" if zone is not None else None)
        dtype = pa.timestamp("us", name)
    return pa.array(moments).cast(dtype)


def time_texts(panel: Panel, ticks: Ticks) -> npt.NDArray[Any]:
    """Returns times as text, dates in their original style."""
    if panel.frequency.unit in COUNTED:
        return ticks.astype(str).astype(object)
    local, offsets = ticks, np.zeros_like(ticks)
    if panel.zone is not None and len(ticks):
        local = clock_of(panel.zone, ticks).to_local(ticks)
        offsets = local - ticks
    style = panel.form.style
    plain = Style()
    if style is None and (panel.zone is not None or np.any(local % DAY)):
        digits = 6 if np.any(local % SECOND) else 0
        plain = Style(time_mark=" ", seconds=True, fraction_digits=digits)
    texts = [
        format_moment(EPOCH + timedelta(microseconds=tick), style or plain)
        + (_offset_text(offset) if style is None and panel.zone is not None else "")
        for tick, offset in zip(local.tolist(), offsets.tolist(), strict=True)
    ]
    return np.array(texts, dtype=object)


def _offset_text(offset: int) -> str:
    """Returns an offset from UTC, in microseconds, as text such as +05:30."""
    minutes, seconds = divmod(abs(offset) // SECOND, 60)
    text = f"{'-' if offset < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{text}:{seconds:02d}" if seconds else text
