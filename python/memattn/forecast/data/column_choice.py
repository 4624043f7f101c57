"""Chooses the columns of ids, times and values in a table, by their names or their content."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memattn.errors import DataError, quoted
from memattn.forecast.data.column_looks import (
    PARTS,
    Clock,
    check_ids,
    check_unread_dates,
    check_unread_numbers,
    counts,
    is_unnamed,
    times_in_numbers,
    whole,
)
from memattn.forecast.data.columns import Array, Columns, TextColumns, Times, mostly_dates
from memattn.forecast.data.covariate_columns import NO_COVARIATES, CovariateLists
from memattn.forecast.data.long_rows import LongRows, Names, Note, plural, read_rows
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.times import NUMBERS, Style, misfits, number_kind, ticks_of

ID_COL, TIME_COL, TARGET_COL = "unique_id", "ds", "y"
SHOWN = 20  # names in a message
FEW = 0.1  # largest share of misprints in a column of dates


@dataclass(frozen=True)
class Roles:
    """The roles of columns that the caller has named.

    Attributes
    ----------
    id_col : str or None
        The column of ids; None: all rows are one series.
    time_col : str
        The column of times.
    target_col : str or sequence of str
        The column of values, or several.
    day_first : bool, optional
        Whether 01/02/2013 is in February.
    numbered : bool
        Whether times that are whole numbers count rows, whatever they look like.
    covariates : CovariateLists
        Columns of the table that hold covariates.
    """

    id_col: str | None = ID_COL
    time_col: str = TIME_COL
    target_col: str | Sequence[str] = TARGET_COL
    day_first: bool | None = None
    numbered: bool = False
    covariates: CovariateLists = NO_COVARIATES

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the columns of values."""
        one = isinstance(self.target_col, str)
        return (self.target_col,) if one else tuple(self.target_col)  # type: ignore[return-value]

    @property
    def named(self) -> tuple[str, ...]:
        """The targets, if the caller has named any."""
        return () if self.targets == (TARGET_COL,) else self.targets

    def check(self, columns: Columns) -> None:
        """Raises DataError for a column in two roles, or a non-default name that is no column."""
        roles = [("time_col", self.time_col, TIME_COL), ("id_col", self.id_col, ID_COL)]
        roles[1:1] = [("target_col", name, TARGET_COL) for name in self.targets]
        seen: dict[str | None, str] = {}
        for argument, name, usual in roles:
            if name is not None and name in seen:
                problem = f"{quoted(name)} is already {seen[name]}"
                problem += "; name another column"
                raise DataError("option", problem, column=name, argument=argument)
            seen[name] = argument
            if name is not None and name != usual:
                check_name(columns, argument, name)
        for argument, _, name in self.covariates:
            if name in seen:
                problem = f"{quoted(name)} is already {seen[name]}"
                problem += "; name another column"
                raise DataError("option", problem, column=name, argument=argument)
            check_name(columns, argument, name, tuple(seen))

    def others(self, columns: Columns, *used: str | None) -> list[str]:
        """Returns the columns that are neither covariates nor `used`."""
        taken = {*self.covariates.names, *used}
        return [name for name in columns.names if name not in taken]

    def times(self, columns: Columns, name: str) -> Times:
        """Returns a column of times; whole numbers that are all dates are read as dates."""
        times = columns.times(name, self.day_first)
        if not times.is_number or self.numbered or not len(times.ticks):
            return times
        kind = columns.number_kind(name, times.ticks)
        if kind is None:
            _check_misprints(columns, name, times.ticks)
            return times
        ticks, note = ticks_of(times.ticks, kind), f"whole numbers, read as {kind}"
        return replace(times, ticks=ticks, is_number=False, style=Style(kind), note=note)


def _choose_long(columns: Columns, asked: Roles) -> LongRows:
    """Returns the rows of a long table, which is one series if it has no column of ids."""
    id_col, time_col, (target_col,) = asked.id_col, asked.time_col, asked.targets
    for argument, name in (("time_col", time_col), ("target_col", target_col)):
        check_name(columns, argument, name, (id_col, time_col))
    has_ids = id_col in columns.names
    names = Names(id_col if has_ids else None, time_col, (target_col,))
    others = asked.others(columns, id_col, time_col, target_col)
    times, notes = asked.times(columns, time_col), []
    if not has_ids:
        why = "as id_col=None says" if id_col is None else f"no column {quoted(id_col)}"
        if id_col is not None:
            check_ids(columns, others, {}, times, id_col)
        notes.append(Note("one-series", f"{why}: one series, called {quoted(target_col)}", 1))
    return read_rows(columns, names, times, names, notes)


def choose(columns: Columns, asked: Roles) -> LongRows:
    """Returns the rows of a long or wide table, in the order of the table.

    A table is long if it has the column of ids, or the columns of times and of a single target. In
    a table without `time_col`, the times are in the first column of dates.

    Raises
    ------
    DataError
        If a column is missing, there are no rows, another column seems to hold ids, a text file has
        no column names, or a cell cannot be used.
    """
    asked.check(columns)
    if columns.rows == 0:
        raise DataError("no-rows", "the table has no rows")
    if isinstance(columns, TextColumns):
        check_header(columns.header)
    targets, id_col, time_col = asked.targets, asked.id_col, asked.time_col
    has_ids, has_times = id_col in columns.names, time_col in columns.names
    if not has_ids and not (has_times and len(targets) == 1 and targets[0] in columns.names):
        return _choose_wide(columns, asked)
    if len(targets) > 1:
        found = f"found {len(targets)} names, expected one: the column {quoted(id_col or '')} names"
        problem = f"{found} the series, so the table is long"
        raise DataError("option", problem, column=targets[1], argument="target_col")
    if not has_times:
        others = asked.others(columns, id_col, targets[0])
        numbers = _whole_columns(columns, others, {})
        found_times = columns.find_times(others) or times_in_numbers(numbers)
        asked = replace(asked, time_col=found_times or time_col)
    return _choose_long(columns, asked)


def _choose_wide(columns: Columns, asked: Roles) -> LongRows:
    targets, time_col = asked.named, asked.time_col
    others = asked.others(columns, *targets)
    found = time_col if time_col in columns.names else columns.find_times(others)
    numeric = [name for name in others if name != found and columns.is_numeric(name)]
    read = targets or numeric
    values = {name: columns.numbers(name) for name in read}
    if found is None and not asked.numbered:
        numbers = _whole_columns(columns, numeric, values)
        found = times_in_numbers(numbers)
        years = [] if found is None else [n for n in numeric if n != found and n.lower() in PARTS]
        if found is not None and years and number_kind(numbers[found]) == "years":
            parts = " and ".join(quoted(name) for name in (found, *years))
            problem = f"the dates are split over the columns {parts}; join them in one column, "
            raise DataError("split-dates", problem + "such as 2020-01-31 or 2020-01", column=found)
    if found is None:
        check_unread_dates(columns, [name for name in others if name not in numeric])
        times = Times(np.arange(1, columns.rows + 1), is_number=True)
        when = "no column of dates, so the rows are counted"
    else:
        times, when = asked.times(columns, found), f"times in {quoted(found)}"
    series = targets or tuple(name for name in numeric if name != found)
    why = {} if targets else _no_series(series, values, Clock(times))
    series = tuple(name for name in series if name not in why)
    if not series:  # row numbers may be the only numbers
        series = tuple(name for name in why if not why[name].startswith(("no name", "dates")))
    used = {name: values[name] for name in series}
    left = asked.others(columns, found, *used)
    if not series:
        check_unread_numbers(columns, left)
        have = _listed(columns.names)
        problem = f"there is no numeric column to forecast among {have}"
        problem += f"; left out: {_listed(left, why)}" if why else ""
        raise DataError("no-target", problem)
    if asked.id_col is not None:
        known = {found, *targets, *why, *(values if found is None else ())}
        candidates = asked.others(columns, *known)
        check_ids(columns, candidates, values, times, asked.id_col)
    which = "as named" if targets else "the numeric columns"
    text = f"{plural(len(series), 'series', 'series')}, {which}"
    text += f"; left out: {_listed(left, why)}" if left and not targets else ""
    target = targets[0] if len(targets) == 1 else TARGET_COL
    names_out = Names(asked.id_col, found or time_col, (target,))
    notes = [Note("wide", f"{text}; {when}", len(series))]
    return read_rows(columns, Names(None, found, series), times, names_out, notes, used)


def _whole_columns(
    columns: Columns, names: Iterable[str], values: Mapping[str, Array]
) -> dict[str, Ticks]:
    """Returns the columns of whole numbers among `names`; `values` are columns already read."""
    numeric = [name for name in names if name in values or columns.is_numeric(name)]
    read = ((n, whole(values[n] if n in values else columns.numbers(n))) for n in numeric)
    return {name: numbers for name, numbers in read if numbers is not None}


def _no_series(names: Iterable[str], values: dict[str, Array], clock: Clock) -> dict[str, str]:
    """Returns the columns of numbers that are not series, each with the reason."""
    why = {}
    for name in names:
        if is_unnamed(name):
            why[name] = "no name"
            continue
        numbers = whole(values[name])
        if numbers is None:
            continue
        if counts(numbers) and name != TARGET_COL:
            why[name] = "row numbers"
        elif (part := clock.part(numbers)) is not None:
            why[name] = f"the {part} of the times"
        elif (kind := number_kind(numbers)) is not None and kind != "years" and clock.parts:
            years = ticks_of(numbers, kind).astype("datetime64[us]").astype("datetime64[Y]")
            if np.array_equal(clock.parts["year"], years.astype(np.int64) + 1970):
                why[name] = f"dates as {kind}"
    return why


def _listed(names: Sequence[str], why: dict[str, str] | None = None) -> str:
    """Lists the first `SHOWN` names, each with its reason in `why`."""
    shown = [
        quoted(name) + (f" ({why[name]})" if why and name in why else "") for name in names[:SHOWN]
    ]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(shown) or "none") + more


def _check_misprints(columns: Columns, name: str, numbers: np.ndarray) -> None:
    """Raises DataError for a few numbers that are not dates among many that are."""
    for kind, (least, most) in NUMBERS.items():
        if kind not in ("YYYYMM", "YYYYMMDD") or not least <= np.median(numbers) <= most:
            continue
        bad = misfits(numbers, kind)
        if bad.sum() <= FEW * len(numbers):
            row = int(np.argmax(bad))
            problem = f"found {numbers[row]}, expected a date of the form {kind} as in other rows"
            raise columns.error("not-a-date", problem, row, name)


def check_header(header: Sequence[str]) -> None:
    """Raises DataError if the first line of a text file holds data instead of names."""
    names = [name for name in header if name]
    dates = [name for name in names if mostly_dates(np.zeros(1, np.int64), [name])]
    numbers = [name for name in names if name.isdecimal()]
    counted = numbers in (
        [str(k) for k in range(len(numbers))],
        [str(k + 1) for k in range(len(numbers))],
    )
    if dates or (names and all(_is_number(name) for name in names) and not counted):
        first = quoted((dates or names)[0])
        problem = (
            f"found {first} in the first line, expected column names; add a line such as "
            '"date,sales" above it, or transpose the table if each series is a row'
        )
        raise DataError("no-header", problem, line=1)


def _is_number(name: str) -> bool:
    try:
        float(name.replace(",", "."))
    except ValueError:
        return False
    return True


def check_name(
    columns: Columns, argument: str, name: str, taken: tuple[str | None, ...] = ()
) -> None:
    """Checks that a table has exactly one column of a name.

    Parameters
    ----------
    columns : Columns
        The table.
    argument, name : str
        The argument that names the column, and the name.
    taken : tuple of str
        Names that the message does not propose.

    Raises
    ------
    DataError
        If there is no such column, or there are two.
    """
    if name not in columns.names:
        lower = [one for one in columns.names if one.lower().strip() == name.lower().strip()]
        near = lower or difflib.get_close_matches(name, columns.names, n=1)
        hint = f" (did you mean {quoted(near[0])}?)" if near else ""
        free = _listed([one for one in columns.names if one not in taken] or columns.names)
        problem = f"found no column {quoted(name)}{hint}; the columns are {free}"
        if name in (TARGET_COL, TIME_COL):
            problem = (
                f"found no column {quoted(name)}{hint}; pass {{{argument}}} with one of {free}"
            )
        raise DataError("missing-column", problem, column=name, argument=argument)
    if columns.names.count(name) > 1:
        problem = f"there are two columns {quoted(name)}; rename or remove one"
        raise DataError("duplicate-column", problem, column=name, argument=argument)
