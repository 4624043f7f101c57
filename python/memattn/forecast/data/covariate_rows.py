"""Puts covariates on the grid of their series, and checks the rows that must have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from memattn.errors import quoted
from memattn.forecast.data.columns import Array, Columns
from memattn.forecast.data.covariate_columns import TableCovariates
from memattn.forecast.data.covariates import (
    FUTR,
    HIST,
    MAX_MAGNITUDE,
    STAT,
    UNKNOWN,
    Covariate,
    Covariates,
    row_starts,
)
from memattn.forecast.data.long_rows import LongRows, plural
from memattn.forecast.data.time_zones import Ticks

Flags = npt.NDArray[np.bool_]


def future_rows(rows: LongRows, steps: Ticks) -> Flags:
    """Returns which rows after the last value of their series have covariates that are used (n,).

    These are the first `ahead` rows that hold a covariate of role futr.

    Parameters
    ----------
    rows : LongRows
        Rows in order; each series has a value.
    steps : array (n,)
        As in `Spacing`.
    """
    if not any(rows.covariates.of_role(FUTR)):
        return np.zeros(len(steps), dtype=bool)
    _, last = rows.ends()
    behind = steps - steps[last][rows.codes]
    later: Flags = (behind > 0) & (behind <= rows.covariates.ahead)
    given = np.zeros(len(later), dtype=bool)
    for _, values in rows.covariates.of_role(FUTR):
        given |= ~np.isnan(values[rows.source])
    return later & given


def check_covariates(rows: LongRows, steps: Ticks, seen: Flags | None = None) -> None:
    """Checks the covariates of rows in order, and notes those that are missing.

    Parameters
    ----------
    rows, steps
        As in `future_rows`.
    seen : array (n,), optional
        Which rows are known before the first window of a backtest; default: all.

    Raises
    ------
    DataError
        If a number is infinite or too large, a cell of role futr is empty in a row of the horizon,
        or a covariate of role stat has two values in a series.
    """
    table = rows.covariates
    if not table.columns:
        return
    first, last = rows.ends()
    index = np.arange(len(rows.codes))
    past = (index >= first[rows.codes]) & (index <= last[rows.codes])
    ahead = future_rows(rows, steps)
    used = past | ahead
    if seen is not None:
        ahead |= past & ~seen
    for column, cells in zip(table.columns, table.values, strict=True):
        values = cells[rows.source]
        needed = used if column.role == FUTR else past
        check_size(rows.columns, column.name, cells, rows.source[needed])
        missing = needed & np.isnan(values)
        if column.role == FUTR and (missing & ahead).any():
            row = int(np.argmax(missing & ahead))
            what = "a category; use a word such as none" if column.categories else "a number"
            problem = f"found an empty cell at {rows.when(int(rows.ticks[row]))}, expected {what}"
            raise rows.error("missing-covariate", problem, row, column=column.name)
        if column.role in (FUTR, HIST) and missing.any():
            count = plural(int(missing.sum()), "empty cell")
            place = rows.row(int(np.argmax(missing)))
            text = f"{quoted(column.name)} has {count}, first {place}"
            text += ": filled with the previous value, marked as missing"
            rows.note("missing-covariates", text, int(missing.sum()))
        if column.role == STAT:
            _check_constant(rows, column, values)


def check_size(columns: Columns, name: str, cells: Array, rows: Ticks | None = None) -> None:
    """Checks that the numbers of a column are finite and not too large.

    Parameters
    ----------
    columns : Columns
        The table.
    name : str
        The column.
    cells : array (rows,)
        Its numbers, NaN for missing ones.
    rows : array of whole numbers, optional
        The rows that are used; default: all.

    Raises
    ------
    DataError
        If a number is infinite or too large.
    """
    bad = np.abs(cells if rows is None else cells[rows]) > MAX_MAGNITUDE  # False for NaN
    if not bad.any():
        return
    row = int(np.argmax(bad) if rows is None else rows[bad].min())
    value = float(cells[row])
    if np.isinf(value):
        raise columns.error("not-finite", f"found {value}, expected a finite number", row, name)
    problem = f"found {value:g}, expected a magnitude of at most {MAX_MAGNITUDE:g}; rescale it"
    raise columns.error("too-large", problem, row, name)


def _of_series(rows: LongRows, values: Array) -> tuple[Array, Ticks]:
    """Returns the first value of each series (N,), NaN if it has none, and its row."""
    known = np.flatnonzero(~np.isnan(values))
    codes, places = np.unique(rows.codes[known], return_index=True)
    found, at = np.full(len(rows.ids), np.nan), np.zeros(len(rows.ids), np.int64)
    at[codes] = known[places]
    found[codes] = values[at[codes]]
    return found, at


def _check_constant(rows: LongRows, column: Covariate, values: Array) -> None:
    found, at = _of_series(rows, values)
    differ = ~np.isnan(values) & (values != found[rows.codes])
    if not differ.any():
        return
    row = int(np.argmax(differ))
    first = int(at[rows.codes[row]])
    says = [_said(column, float(values[k])) for k in (row, first)]
    problem = (
        f"found {says[0]} in {rows.row(row)} and {says[1]} in {rows.row(first)}, expected one "
        "value per series; list a column that changes in {futr_exog_list} if it is known ahead"
    )
    raise rows.error("not-constant", problem, row, argument="futr_exog_list", column=column.name)


def _said(column: Covariate, value: float) -> str:
    """Returns a value as text."""
    if not column.categories:
        return f"{value:.10g}"
    return "an unknown category" if value == UNKNOWN else quoted(column.categories[int(value)])


def on_grid_rows(
    rows: LongRows,
    steps: Ticks,
    offsets: Ticks,
    names: Sequence[str],
    static: Mapping[str, tuple[Covariate, Array]],
) -> Covariates:
    """Returns the covariates of a panel, from rows that `check_covariates` accepts.

    Parameters
    ----------
    rows, steps
        As in `future_rows`.
    offsets : array (N + 1,)
        The offsets of the panel.
    names : sequence of str
        The names of all covariates, in their order.
    static : mapping
        By name, the covariates that the table lacks and their value for each series (N,).

    Returns
    -------
    Covariates
        In rows that the table lacks, only covariates of role stat are given.
    """
    table: TableCovariates = rows.covariates
    first, last = rows.ends()
    starts, index = row_starts(offsets, table.ahead), np.arange(len(rows.codes))
    past = (index >= first[rows.codes]) & (index <= last[rows.codes])
    kept = {HIST: np.flatnonzero(past), FUTR: np.flatnonzero(past | future_rows(rows, steps))}
    place = steps + (starts[:-1] - steps[first])[rows.codes]
    values = np.full((starts[-1], len(names)), np.nan)
    pairs = zip(table.columns, table.values, strict=True)
    in_table = {column.name: (column, cells) for column, cells in pairs}
    columns = []
    for k, name in enumerate(names):
        column, cells = static[name] if name in static else in_table[name]
        columns.append(column)
        if name in static:
            values[:, k] = np.repeat(cells, np.diff(starts))
        elif column.role == STAT:
            own = note_missing(rows, column, of_series(rows, cells))
            values[:, k] = np.repeat(own, np.diff(starts))
        else:
            at = kept[column.role]
            own = cells[rows.source[at]]
            values[place[at], k] = own
            note_unknown(rows, column, own, "row", "rows")
    return Covariates(tuple(columns), values, table.ahead)


def of_series(rows: LongRows, cells: Array) -> Array:
    """Returns a covariate (rows,) of role stat as one value for each series (N,)."""
    return _of_series(rows, cells[rows.source])[0]


def note_missing(rows: LongRows, column: Covariate, own: Array) -> Array:
    """Returns the values of series (N,), missing categories as unknown, and notes missing ones."""
    note_unknown(rows, column, own, "series", "series")
    missing = np.isnan(own)
    if count := int(missing.sum()):
        first = rows.series(int(np.argmax(missing)))
        series = plural(count, "series", "series")
        rows.note(
            "missing-static", f"{quoted(column.name)} is empty in {series}, first {first}", count
        )
    return np.where(missing, UNKNOWN, own) if column.categories else own


def note_unknown(rows: LongRows, column: Covariate, own: Array, one: str, many: str) -> None:
    """Notes how many values (m,) are categories new to fit; `one` and `many` are their noun."""
    if column.categories and (count := int((own == UNKNOWN).sum())):
        where = plural(count, one, many)
        text = f"{quoted(column.name)} has categories that fit has not seen in {where}"
        rows.note("unknown-categories", text, count)
