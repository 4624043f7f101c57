"""Reads covariates known over the horizon from a table of the rows after each series."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from memattn.errors import DataError, quoted
from memattn.forecast.data.column_choice import check_name
from memattn.forecast.data.columns import Columns, Times
from memattn.forecast.data.covariate_columns import read_covariate
from memattn.forecast.data.covariate_rows import check_size
from memattn.forecast.data.covariates import FUTR, UNKNOWN, Covariates
from memattn.forecast.data.frequency import CALENDAR, COUNTED
from memattn.forecast.data.long_rows import Note, plural, say_time
from memattn.forecast.data.series import Panel
from memattn.forecast.data.sources import Table, opened
from memattn.forecast.data.time_zones import Ticks, clock_of
from memattn.forecast.data.times import DAY_FIRST, MONTH_FIRST, NO_TIME, NUMBERS, ticks_of

ARGUMENT = "X_df"


def with_future(panel: Panel, future: Table | None, steps: int) -> Panel:
    """Returns the panel with covariates that are known over the next `steps` rows of each series.

    Parameters
    ----------
    panel : Panel
        A panel of N series; its covariates of these rows are replaced.
    future : DataFrame or path, optional
        Rows with the panel's columns of ids and times and its covariates of role futr, in any
        order. Other columns, rows and series are ignored. Without a column of ids, each row applies
        to all series. None: the panel's own table has the rows after each series.
    steps : int
        Number of rows after the last value of each series, at most the panel's `ahead`. The
        covariates of later rows are NaN.

    Returns
    -------
    Panel
        The panel, with notes on what was done.

    Raises
    ------
    DataError
        If a column or row is missing, a row occurs twice, times are of another kind than the
        panel's, or a cell is empty or cannot be used; or if there is no table and the panel lacks
        rows.
    TypeError
        If `future` is neither a data frame nor a path.
    """
    known = panel.covariates
    places = [] if known is None else known.places(FUTR)
    if known is None or not places:
        return panel
    if not 1 <= steps <= known.ahead:
        raise DataError("option", f"found {steps}, expected 1 to {known.ahead}", argument="h")
    names = [known.columns[k].name for k in places]
    if future is None:
        return _complete(panel, known, names, places, steps)
    form = panel.form
    with opened(ARGUMENT, future, [form.time_col, form.id_col, *names]) as columns:
        for name in (form.time_col, *names):
            check_name(columns, ARGUMENT, name)
        rows, notes = _find_rows(panel, columns, steps)
        values = np.full((len(panel), known.ahead, len(names)), np.nan)
        for k, name in enumerate(names):
            column, cells = read_covariate(columns, name, known.columns[places[k]])
            missing = np.isnan(cells[rows])
            if missing.any():
                what = "a category" if column.categories else "a number"
                problem = f"the cell is empty, expected {what} in each row of the horizon"
                raise columns.error("missing-covariate", problem, int(rows[missing].min()), name)
            check_size(columns, name, cells, rows)
            values[:, :steps, k] = cells[rows]
            unseen = np.unique(rows[cells[rows] == UNKNOWN]) if column.categories else rows[:0]
            if count := len(unseen):
                text = f"{quoted(name)} has categories that fit has not seen in "
                text += f"{plural(count, 'row')} of X_df, first {columns.place(int(unseen.min()))}"
                notes.append(Note("unknown-categories", text, count))
    found = replace(known, values=known.values.copy())
    found.values[known.ahead_rows(panel.offsets)[:, :, None], places] = values
    return replace(panel, covariates=found, notes=(*panel.notes, *notes))


def _complete(
    panel: Panel, known: Covariates, names: list[str], places: list[int], steps: int
) -> Panel:
    """Returns the panel. Raises DataError if it lacks covariates of role futr in the next rows."""
    ahead = known.values[known.ahead_rows(panel.offsets)[:, :steps]][:, :, places]
    gone = np.isnan(ahead).any(axis=2)
    if not gone.any():
        return panel
    wanted, columns = plural(steps, "row"), ", ".join(map(quoted, names))
    problem = f"pass the {wanted} after each series, with {columns}"
    if not gone.all():
        k, step = (int(place) for place in np.argwhere(gone)[0])
        problem += f"; the data lacks {int(gone.sum()):,} of these rows, first "
        problem += f"row {step + 1} after series {quoted(str(panel.ids[k]))}"
    raise DataError("option", problem, argument=ARGUMENT)


def _find_rows(panel: Panel, columns: Columns, steps: int) -> tuple[Ticks, list[Note]]:
    """Returns the table's row for each row after the series (N, steps), and notes on other ids."""
    times = _times(panel, columns)
    wanted = panel.future(steps)
    moments = np.unique(wanted)
    rank = np.minimum(np.searchsorted(moments, times.ticks), len(moments) - 1)
    near = np.flatnonzero(moments[rank] == times.ticks)  # rows of other times are ignored
    series, notes = _series(panel, columns)
    if series is None:  # each row holds for all series
        near, codes = np.tile(near, len(panel)), np.repeat(np.arange(len(panel)), len(near))
    else:
        codes = series[near]  # -1, for other series, is in no wanted row
    keys = codes * len(moments) + rank[near]
    order = np.argsort(keys, kind="stable")
    near, keys = near[order], keys[order]
    grid = np.arange(len(panel))[:, None] * len(moments) + np.searchsorted(moments, wanted)
    place = np.searchsorted(keys, grid)
    asked = _Asked(panel, columns, times, wanted)
    if len(keys) == 0:
        raise asked.missing(np.ones_like(grid, dtype=bool))
    found = np.minimum(place, len(keys) - 1)
    gone = keys[found] != grid
    if gone.any():
        raise asked.missing(gone)
    again = np.minimum(found + 1, len(keys) - 1)
    double = (again > found) & (keys[again] == grid)
    if double.any():
        raise asked.twice(double, near[found], near[again])
    return near[found], notes


@dataclass(frozen=True)
class _Asked:
    """The rows that a table must have, for messages: `wanted` (N, steps) are their times."""

    panel: Panel
    columns: Columns
    times: Times
    wanted: Ticks

    def _row(self, k: int, step: int) -> str:
        when = say_time(int(self.wanted[k, step]), self.times)
        return f"series {quoted(str(self.panel.ids[k]))} at {when}"

    def missing(self, gone: np.ndarray) -> DataError:
        """Returns the error for rows that the table lacks."""
        k, step = (int(place) for place in np.argwhere(gone)[0])
        steps, count = self.wanted.shape[1], int(gone.sum())
        more = f" and {count - 1:,} more" if count > 1 else ""
        after = plural(steps, "row")
        problem = (
            f"there is no row for {self._row(k, step)}{more}, expected the {after} after the last "
        )
        problem += f"value of each series, here {say_time(int(self.panel.last[k]), self.times)}"
        return DataError("missing-row", problem, column=self.panel.form.time_col)

    def twice(self, double: np.ndarray, rows: Ticks, again: Ticks) -> DataError:
        """Returns the error for rows (N, steps) that occur twice in the table."""
        k, step = (int(place) for place in np.argwhere(double)[0])
        first, second = int(rows[k, step]), int(again[k, step])
        problem = f"{self._row(k, step)} occurs twice, here and in {self.columns.place(first)}"
        name = self.panel.form.time_col
        if self.panel.form.id_col not in self.columns.names:
            problem += f". The table has no column {quoted(self.panel.form.id_col)}"
        return self.columns.error("duplicate-time", problem, second, name)


def _series(panel: Panel, columns: Columns) -> tuple[Ticks | None, list[Note]]:
    """Returns the series of each row (rows,), -1 for one that the panel lacks; None without ids."""
    id_col = panel.form.id_col
    if id_col not in columns.names:
        return None, []
    ids = columns.ids(id_col)
    places = {str(one): k for k, one in enumerate(panel.ids.tolist())}
    names = [str(one) for one in ids.values.tolist()]
    codes = np.array([places.get(name, -1) for name in names], dtype=np.int64)
    other = np.flatnonzero(codes < 0)
    if not len(other):
        return codes[ids.codes], []
    text = f"X_df has {plural(len(other), 'series', 'series')} that the data lacks, "
    text += f"first {quoted(names[other[0]])}: ignored"
    return codes[ids.codes], [Note("other-ids", text, len(other))]


def _times(panel: Panel, columns: Columns) -> Times:
    """Returns the times of a table. Raises DataError for another kind than the panel's."""
    name, style = panel.form.time_col, panel.form.style
    orders = {DAY_FIRST: True, MONTH_FIRST: False}
    kind = "" if style is None else style.kind
    times = columns.times(name, orders.get(kind))
    if times.is_number and kind in NUMBERS:
        ticks = ticks_of(times.ticks, kind)
        bad = ticks == NO_TIME
        if bad.any():
            row = int(np.argmax(bad))
            problem = f"found {times.ticks[row]}, expected {kind} as in the data"
            raise columns.error("not-a-date", problem, row, name)
        return replace(times, ticks=ticks, is_number=False)
    counted = panel.frequency.unit in COUNTED
    if times.is_number != counted:
        found, expected = ("dates", "whole numbers") if counted else ("whole numbers", "dates")
        problem = f"found {found}, expected {expected} as in the data"
        raise columns.error("other-times", problem, 0, name)
    on_clock = panel.zone is None and panel.frequency.unit in CALENDAR
    if on_clock and style is not None and times.zone is not None and times.style is not None:
        # Text of days with several offsets from UTC was read on the local clock; a horizon may have
        # just one of them.
        local = clock_of(times.zone, times.ticks).to_local(times.ticks)
        return replace(times, ticks=local, zone=None)
    if (times.zone is None) != (panel.zone is None):
        found, expected = ("no", "one") if times.zone is None else ("a", "none")
        problem = f"found {found} time zone, expected {expected} as in the data"
        raise columns.error("other-times", problem, 0, name)
    return times
