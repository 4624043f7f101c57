"""Which columns of a table are ids, times and values: as named, or as they look."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from memattn.errors import DataError, quoted
from memattn.forecast.data.columns import Columns, Times
from memattn.forecast.data.long_rows import Names, Note, plural

ID_COL, TIME_COL, TARGET_COL = "unique_id", "ds", "y"
SHOWN = 20  # names in a message


@dataclass(frozen=True)
class Choice:
    """The columns of a table and what forecasts call them.

    Attributes
    ----------
    names : Names
        In the table; several of values are one series each.
    times : Times
        What the column of times holds, or numbers of rows.
    names_out : Names
        What goes out.
    notes : list of Note
        How they were chosen.
    """

    names: Names
    times: Times
    names_out: Names
    notes: list[Note] = field(default_factory=list)


def choose_long(columns: Columns, id_col: str, time_col: str, target_col: str) -> Choice:
    """The columns of a long table; without one of ids it is one series.

    Raises
    ------
    DataError
        No such column, or no rows.
    """
    for argument, name in (("time_col", time_col), ("target_col", target_col)):
        _check_name(columns, argument, name)
    _check_rows(columns)
    has_ids = id_col in columns.names
    names = Names(id_col if has_ids else None, time_col, (target_col,))
    notes = []
    if not has_ids:
        text = f"no column {quoted(id_col)}: one series, called {quoted(target_col)}"
        notes.append(Note("one-series", text, 1))
    return Choice(names, columns.times(time_col), names, notes)


def choose_of_file(
    columns: Columns, id_col: str, time_col: str, target_col: str | Sequence[str]
) -> Choice:
    """The columns of a file, which may be long or wide.

    It is long when it has the column of ids, or those of times and of one target. In a long one
    without `time_col`, and in a wide one, the times are in the first column of dates.

    Raises
    ------
    DataError
        No such column, a name that is not the usual one included, or no rows.
    """
    targets = (target_col,) if isinstance(target_col, str) else tuple(target_col)
    named = () if targets == (TARGET_COL,) else targets
    for argument, name, usual in (
        ("id_col", id_col, ID_COL),
        ("time_col", time_col, TIME_COL),
        *(("target_col", name, TARGET_COL) for name in named),
    ):
        if name != usual:
            _check_name(columns, argument, name)
    has_ids, has_times = id_col in columns.names, time_col in columns.names
    if not has_ids and not (has_times and len(targets) == 1 and targets[0] in columns.names):
        return _choose_wide(columns, id_col, time_col, named)
    if len(targets) > 1:
        found = f"found {len(targets)} names and the column of ids {quoted(id_col)}"
        problem = f"{found}, expected one name: such a table is long"
        raise DataError("option", problem, column=targets[1], argument="target_col")
    if not has_times and columns.rows:
        time_col = columns.find_times() or time_col
    return choose_long(columns, id_col, time_col, targets[0])


def _choose_wide(columns: Columns, id_col: str, time_col: str, targets: Sequence[str]) -> Choice:
    _check_rows(columns)
    found = time_col if time_col in columns.names else columns.find_times()
    others = [name for name in columns.names if name != found]
    numeric = tuple(targets) or tuple(name for name in others if columns.is_numeric(name))
    if not numeric:
        have = ", ".join(quoted(name) for name in columns.names[:SHOWN])
        problem = f"found no column of numbers to forecast among {have}, expected at least one"
        raise DataError("no-target", problem)
    which = "as named" if targets else "the columns of numbers"
    text = f"{plural(len(numeric), 'series', 'series')}, {which}"
    used = set(numeric)
    left = [quoted(name) for name in others if name not in used]
    text += f"; left out: {', '.join(left[:10])}" if left and not targets else ""
    if found is None:
        text += "; no column of dates, so the rows are counted"
        times = Times(np.arange(1, columns.rows + 1), is_number=True)
    else:
        text += f"; times in {quoted(found)}"
        times = columns.times(found)
    names_out = Names(id_col, found or time_col, (targets[0] if len(targets) == 1 else TARGET_COL,))
    notes = [Note("wide", text, len(numeric))]
    return Choice(Names(None, found, numeric), times, names_out, notes)


def _check_name(columns: Columns, argument: str, name: str) -> None:
    if name not in columns.names:
        near = difflib.get_close_matches(name, columns.names, n=1)
        hint = f" (did you mean {quoted(near[0])}?)" if near else ""
        have = ", ".join(quoted(one) for one in columns.names[:SHOWN]) or "none"
        more = f" and {len(columns.names) - SHOWN} more" if len(columns.names) > SHOWN else ""
        problem = f"found no column {quoted(name)}{hint}, expected one of {have}{more}"
        raise DataError("missing-column", problem, column=name, argument=argument)
    if columns.names.count(name) > 1:
        problem = f"found the column {quoted(name)} twice, expected it once"
        raise DataError("duplicate-column", problem, column=name, argument=argument)


def _check_rows(columns: Columns) -> None:
    if columns.rows == 0:
        raise DataError("no-rows", "found a table without rows, expected rows")
