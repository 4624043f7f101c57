"""Reads data as a panel: frequency, season and grid, with notes on what was done.

>>> from memattn.forecast.data.panel import panel_from_frame
>>> panel = panel_from_frame(frame)  # unique_id, ds, y; of pandas or Polars  # doctest: +SKIP
>>> panel.notes  # what was found and done  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import numpy as np

from memattn.errors import DataError, quoted, refused
from memattn.forecast.data.bad_series import RAISE, OnGrid, check_on_bad, on_grid
from memattn.forecast.data.calendar import calendar_columns, check_calendar, check_calendar_of_fit
from memattn.forecast.data.column_choice import (
    ID_COL,
    SHOWN,
    TARGET_COL,
    TIME_COL,
    Roles,
    choose,
)
from memattn.forecast.data.columns import Columns
from memattn.forecast.data.covariate_columns import (
    covariate_lists,
    covariates_of_fit,
    read_covariates,
)
from memattn.forecast.data.covariate_rows import check_covariates, on_grid_rows
from memattn.forecast.data.covariates import FUTR, HIST, STAT
from memattn.forecast.data.filling import fill
from memattn.forecast.data.flat_rows import offsets_of
from memattn.forecast.data.frequency import COUNTED, Asked, Frequency, parse_frequency
from memattn.forecast.data.long_rows import LongRows, Names, plural
from memattn.forecast.data.panel_covariates import with_asked_covariates
from memattn.forecast.data.panel_files import errors_of_file, read_columns
from memattn.forecast.data.season_search import season_of_values
from memattn.forecast.data.series import Flags, Form, Given, Panel
from memattn.forecast.data.sources import Table, columns_of_frame
from memattn.forecast.data.spacing import Spacing, find_spacing
from memattn.forecast.data.static_table import read_static
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import (
    Least,
    Rolling,
    first_cutoffs,
    known_rows,
    rolling_windows,
)

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame
    from typing_extensions import Unpack

RESERVED = ("cutoff", "memattn")  # columns of forecasts and backtests
# What a note says about unused columns, with the names of Python arguments.
TO_USE_COLUMNS = (
    "; list covariates in futr_exog_list (known ahead), hist_exog_list (in the past) or "
    "stat_exog_list"
)
__all__ = ["Data", "Form", "Panel", "Table", "panel_from_file", "panel_from_frame", "panel_of"]
Data: TypeAlias = "IntoFrame | Panel | Columns | str | os.PathLike[str]"
Join: TypeAlias = Callable[[LongRows], "LongRows | Panel"]


class PanelOptions(TypedDict, total=False):
    """The options of `panel_from_frame`, which describes them."""

    id_col: str | None
    time_col: str
    target_col: str | Sequence[str]
    freq: str | int | None
    season: int | None
    held: Rolling | None
    least: Least | None
    like: Panel | None
    day_first: bool | None
    on_bad_series: str
    futr_exog_list: str | Sequence[str]
    hist_exog_list: str | Sequence[str]
    stat_exog_list: str | Sequence[str]
    static_df: Table | None
    ahead: int
    calendar: bool | str
    country: str | None
    join: Join | None


def panel_from_frame(frame: IntoFrame, **options: Unpack[PanelOptions]) -> Panel:
    """Reads a panel from a data frame, long or wide as in `panel_from_file`.

    Parameters
    ----------
    frame : DataFrame, LazyFrame, Table or relation
        Of pandas, Polars, PyArrow, DuckDB, or another library that narwhals reads. Index levels of
        pandas with one of the names count as columns, and so does an index of dates where there
        is no column `time_col`. Rows may be in any order. Times may be whole numbers: years,
        202001, 20200131, seconds or milliseconds since 1970, or a count. Forecasts go back in the
        same library, those of a LazyFrame as a DataFrame, those of a DuckDB relation as a PyArrow
        table.
    id_col, time_col, target_col : str
        Names of the columns, by default unique_id, ds and y; ``id_col=None`` means that all rows
        are one series.
    freq : str or int, optional
        The frequency as an alias of pandas or Polars, or the step of times that are whole numbers.
        Default: the coarsest that fits all rows.
    season : int, optional
        Rows in a season; 1 for no season. Default: from the frequency; for numbered rows found in
        the first two thirds of the values.
    held : Rolling, optional
        Windows of a backtest. Frequency, season and missing rows are then determined from the rows
        before the first window.
    least : Least, optional
        The first times of these windows, if the table has only some of their series.
    like : Panel, optional
        A panel whose frequency, season and time zone are used; without `held`, any number of rows
        may be missing.
    day_first : bool, optional
        Whether dates in text such as 01/02/2020 have the day first (True) or the month (False).
        Default: such dates raise an error.
    on_bad_series : str
        ``"raise"``: a bad series is a DataError. ``"drop"``: it is left out, with a note, when it
        has no value, lacks too many rows, has a time twice or off the grid, another frequency than
        most series, a number that is infinite or too large, or a bad covariate. In a backtest, bad
        rows after the first cutoff are left out instead of their series.
    futr_exog_list, hist_exog_list, stat_exog_list : str or sequence of str
        Columns that hold covariates: known over the horizon, known in the past only, and constant
        in each series. They hold numbers, booleans, or text, which is categories. In a wide frame
        they are those of all series. Rows after the last value of a series may give those known
        over the horizon.
    static_df : DataFrame or path, optional
        Columns of `stat_exog_list` that the frame need not have, with a row for each series.
    ahead : int
        Rows after the last value of each series for which the panel has covariates: the horizon.
    calendar : bool or "auto"
        Whether parts of the calendar are covariates too, as `calendar_columns` makes them.
    country : str, optional
        The country of public holidays, such as ``"NO"``, or a part of it, such as ``"DE-BY"``.
    join : callable, optional
        Takes the rows of the table and returns the rows of the panel, or the panel.

    Returns
    -------
    Panel

    Raises
    ------
    DataError
        If the data cannot be used. The message names row and column; a subclass of ValueError.
    TypeError
        If `frame` is not a data frame.
    ModuleNotFoundError
        If narwhals is not installed.
    """
    read = partial(columns_of_frame, "panel_from_frame: frame", frame)
    return _panel(read, nullcontext(), **options)


def panel_from_file(path: str | Path, **options: Unpack[PanelOptions]) -> Panel:
    """Reads a panel from a CSV or Parquet file (by its name), long or wide.

    A file with the column `id_col`, or with `time_col` and `target_col`, is long, as in
    `panel_from_frame`. Any other file is wide: its series are the columns in `target_col`, or all
    numeric columns except those without a name, row numbers, and parts of the dates. Times are in
    `time_col`, else in the first column of dates; without dates, rows are numbered. The options are
    those of `panel_from_frame`.

    Raises
    ------
    DataError
        If the file cannot be used. The message names file, line and column; a subclass of
        ValueError.
    ModuleNotFoundError
        If the file is Parquet, and narwhals or a Parquet reader is not installed.
    """
    path = Path(path)
    try:
        return _panel(lambda _: read_columns(path), errors_of_file(path), **options)
    except DataError as error:
        if error.file is None and error.kind != "option":
            error.file = path
        raise


def panel_of(where: str, data: Data, *, season: int | None, **options: Any) -> Panel:
    """Returns the panel of a data frame, path or panel; `where` names the caller in messages.

    Parameters
    ----------
    where : str
        For messages.
    data : DataFrame, path or Panel
        A panel is used unchanged, except for a given season and covariates that are not listed.
    season, options
        As in `panel_from_file`.
    """
    if isinstance(data, Panel):
        if not len(data):
            raise refused(where, "data", "the panel has no series")
        if season is not None:
            data = replace(data, season=season, season_found=False)
        return _asked(where, data, options)
    if isinstance(data, str | os.PathLike):
        return panel_from_file(Path(data), season=season, **options)
    if isinstance(data, Columns):  # columns that were read already
        return _panel(lambda _: data, nullcontext(), season=season, **options)
    if type(data).__module__ in ("builtins", "numpy"):
        found = "None" if data is None else f"a value of type {type(data).__name__}"
        problem = f"found {found}, expected a data frame or the path of a file"
        hint = "" if data is None else "; memattn.forecast.quick forecasts an array of one series"
        raise TypeError(f"{where}: data: {problem}{hint}")
    return panel_from_frame(data, season=season, **options)


def _asked(where: str, panel: Panel, options: Mapping[str, Any]) -> Panel:
    """Returns a panel that was read before, with the covariates that the options name."""
    if options.get("static_df") is not None:
        problem = "cannot be passed with a panel, which has the covariates of its series"
        raise refused(where, "static_df", problem)
    check_calendar(options.get("calendar", False), options.get("country"))
    lists = covariate_lists(*(options.get(f"{role}_exog_list") for role in (FUTR, HIST, STAT)))
    names = ("ahead", "calendar", "country", "like")
    more = {name: options[name] for name in names if name in options}
    return with_asked_covariates(where, panel, lists, **more)


def _panel(
    read: Callable[[Sequence[str]], Columns],
    errors: AbstractContextManager[None],
    *,
    id_col: str | None = ID_COL,
    time_col: str = TIME_COL,
    target_col: str | Sequence[str] = TARGET_COL,
    freq: str | int | None = None,
    season: int | None = None,
    held: Rolling | None = None,
    least: Least | None = None,
    like: Panel | None = None,
    day_first: bool | None = None,
    on_bad_series: str = RAISE,
    futr_exog_list: str | Sequence[str] = (),
    hist_exog_list: str | Sequence[str] = (),
    stat_exog_list: str | Sequence[str] = (),
    static_df: Table | None = None,
    ahead: int = 0,
    calendar: bool | str = False,
    country: str | None = None,
    join: Join | None = None,
) -> Panel:
    """Returns the panel of a table. `read` returns the columns with the given names.

    The block `errors` adds the place to errors about the table.
    """
    numbered = isinstance(freq, int) or (like is not None and like.frequency.unit in COUNTED)
    check_calendar(calendar, country)
    lists = covariate_lists(futr_exog_list, hist_exog_list, stat_exog_list)
    fitted = {} if like is None else covariates_of_fit(lists, like.covariates)
    static, in_table = None, lists
    if static_df is not None:
        static = read_static(static_df, lists, id_col, fitted)
        others = tuple(name for name in lists.stat if name not in static.columns)
        in_table = replace(lists, stat=others)
    roles = Roles(id_col, time_col, target_col, day_first, numbered, in_table)
    with errors:
        ids = [] if id_col is None else [id_col]
        columns = read([time_col, *ids, *roles.targets, *in_table.names])
        rows = choose(columns, roles)
        rows.covariates = read_covariates(columns, in_table, ahead, fitted)
    if join is not None:
        joined = join(rows)
        if isinstance(joined, Panel):
            return joined
        rows = joined
    known = np.bincount(rows.codes[~np.isnan(rows.values)], minlength=len(rows.ids))
    given = Given(rows.ids, known.astype(np.int64))
    check_on_bad(on_bad_series)
    if season is not None and season < 1:
        raise DataError("option", f"found {season}, expected at least 1", argument="season")
    _check_names(rows.names_out)
    asked = None if freq is None else parse_frequency(freq)
    how = "from the times" if asked is None else "as given"
    if like is not None:
        asked, how, season = Asked("", like.frequency), "as in training", like.season
        if rows.times.zone is not None and like.zone is not None and rows.times.style is None:
            rows.times = replace(rows.times, zone=like.zone)
    _note_columns(rows, named=bool(roles.named))

    def arrange(rows: LongRows, asked: Asked | None) -> OnGrid:
        every = np.ones(len(rows.ticks), dtype=bool)
        seen = None if held is None else _seen(rows, asked, held, least)
        spacing = find_spacing(rows, asked, seen)
        counted = seen if seen is not None else every if like is None else ~every
        filled = fill(rows, spacing, counted)
        check_covariates(rows, spacing.steps, seen)
        return rows, spacing, filled

    seen_of = None if held is None else partial(_seen, held=held, least=least)
    rows, spacing, (values, offsets, last) = on_grid(rows, asked, on_bad_series, arrange, seen_of)
    frequency = spacing.frequency
    rows.note("frequency", f"one row every {frequency.every} ({how})", len(rows.ids))
    panel = _outline(rows, spacing, offsets, last)
    panel = replace(panel, values=values, season=season or 1, form=_form(rows), given=given)
    why = "as given" if like is None else "as in training"
    if season is None:
        panel, why = panel_with_season(panel, held)
    rows.note("season", f"season: {panel.season} ({why})", len(rows.ids))
    if lists.names or calendar:
        of_series = {} if static is None else static.of_series(rows)
        found = on_grid_rows(rows, spacing.steps, panel.offsets, lists.names, of_series)
        if calendar:
            found = found.beside(*calendar_columns(panel, ahead, country))
        if like is not None:
            check_calendar_of_fit(found, like.covariates)
        panel = replace(panel, covariates=found)
    _note_marks(panel, rows)
    return replace(panel, notes=tuple(rows.notes))


def _outline(rows: LongRows, spacing: Spacing, offsets: Ticks, last: Ticks) -> Panel:
    """Returns a panel without values, season and notes; the arguments are as in `Panel`."""
    return Panel(
        ids=rows.ids,
        values=np.zeros(0),
        offsets=offsets,
        frequency=spacing.frequency,
        season=1,
        last=last,
        day=spacing.day,
        zone=rows.times.zone,
        notes=(),
        form=Form(rows.columns.library),
        time=spacing.time,
    )


def _seen(rows: LongRows, asked: Asked | None, held: Rolling, least: Least | None = None) -> Flags:
    """Returns the rows that are known before the first window of a backtest.

    The windows depend on the frequency, which must be found from these rows alone. Both are
    updated until they agree.
    """
    known, starts = ~np.isnan(rows.values), rows.offsets[:-1]
    places = np.arange(len(known))
    first = np.minimum.reduceat(np.where(known, places, len(known) - 1), starts)
    last = np.maximum.reduceat(np.where(known, places, 0), starts)
    seen: Flags | None = None
    tried: list[Frequency] = []
    while True:
        spacing = find_spacing(rows, asked, seen, checked=False)
        if spacing.frequency in tried[:-1]:
            problem = "the frequency is ambiguous: it changes with the number of rows; pass {freq}"
            raise DataError("no-frequency", problem, argument="freq")
        lengths = np.maximum(spacing.steps[last] - spacing.steps[first] + 1, 1)
        offsets = offsets_of(lengths)
        outline = _outline(rows, spacing, offsets, rows.ticks[last])
        windows = rolling_windows(outline, *held)
        if not len(windows) and least is None:
            return np.ones(len(known), dtype=bool)
        seen = rows.ticks <= first_cutoffs(outline, windows, least)[rows.codes]
        if asked is not None or spacing.frequency in tried:
            return seen
        tried.append(spacing.frequency)


def panel_with_season(panel: Panel, held: Rolling | None) -> tuple[Panel, str]:
    """Returns the panel with the season of its frequency, and the reason for it.

    The season of numbered rows is found in their values, in a backtest those before its first
    window.
    """
    season = panel.frequency.season
    found = panel.frequency.unit in COUNTED
    if not found:
        why = "usual for this frequency" if season > 1 else "none is usual for this frequency"
    else:
        if held is not None and len(windows := rolling_windows(panel, *held)):
            known = panel.until(known_rows(panel, windows))
        else:
            known = panel
        season = season_of_values(known.filled, known.offsets)
        why = "found in the values" if season > 1 else "the values show none"
    return replace(panel, season=season, season_found=found), why


def _form(rows: LongRows) -> Form:
    names = rows.names_out
    kinds = {rows.columns.number_type(name) for name in rows.names.values}
    return Form(
        library=rows.columns.library,
        id_col=names.ids or ID_COL,
        time_col=names.times or TIME_COL,
        target_col=names.values[0],
        id_dtype=rows.id_dtype,
        time_dtype=rows.times.dtype,
        style=rows.times.style,
        number_type=kinds.pop() if len(kinds) == 1 else None,
    )


def _check_names(names: Names) -> None:
    """Raises DataError if a column of the output would have the name of another."""
    roles = {"time_col": names.times, "target_col": names.values[0], "id_col": names.ids or ID_COL}
    seen: dict[str | None, str] = dict.fromkeys(RESERVED, "a column of every forecast")
    for argument, name in roles.items():
        other = seen.get(name) if argument == "time_col" or name not in RESERVED else None
        if other is not None:
            problem = f"the column {quoted(str(name))} is also {other}; rename it"
            raise DataError("option", problem, argument=argument)
        seen[name] = argument


def _note_columns(rows: LongRows, named: bool) -> None:
    """Notes which columns are not used, and which have inexact numbers.

    In a wide table whose targets are not `named`, the note on its series names unused columns.
    """
    names, columns = rows.names, rows.columns
    covariates = [column.name for column in rows.covariates.columns]
    used = {names.ids, names.times, *names.values, *covariates}
    unused = [quoted(name) for name in columns.names if name not in used]
    if unused and (named or all(note.kind != "wide" for note in rows.notes)):
        more = f" and {len(unused) - SHOWN:,} more" if len(unused) > SHOWN else ""
        text = f"not used: {', '.join(unused[:SHOWN])}{more}{TO_USE_COLUMNS}"
        rows.note("unused", text, len(unused))
    for name, row in columns.rounded.items():
        if row is not None and name in used:
            text = f"{quoted(name)} has whole numbers beyond 2**53, first {columns.place(row)}"
            rows.note("rounded", f"{text}: rounded to the nearest float64", 1)


def _note_marks(panel: Panel, rows: LongRows) -> None:
    """Notes which series are handled separately."""
    for kind, marked, text in (
        ("not-positive", ~panel.positive, "with zeros or negative values: used without logs"),
        ("constant", panel.constant & (panel.lengths > 1), "with constant values"),
        ("short", panel.lengths < 2, "with a single value: forecast by that value"),
    ):
        count = int(marked.sum())
        if count:
            first = rows.series(int(np.argmax(marked)))
            rows.note(
                kind, f"{plural(count, 'series', 'series')} {text}; the first is {first}", count
            )
