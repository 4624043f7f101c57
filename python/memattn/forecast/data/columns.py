"""Reads the columns of a long table from any source as arrays: ids, times and numbers.

`TextColumns` reads text (a CSV file); frame_columns.py reads data frames. Text is parsed once for
each distinct cell, which makes 50,000 series of the same dates cheap.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn.csv_reader import (
    MISSING,
    Table,
    like_number,
    number_problem,
    parse_number,
)
from memattn.errors import DataError, quoted
from memattn.forecast.data.column_types import kept_zone
from memattn.forecast.data.text_facts import (
    MICROSECOND,
    PLAIN,
    ClockFacts,
    NumberFacts,
    plain_number,
)
from memattn.forecast.data.time_zones import FIRST, LAST, Ticks
from memattn.forecast.data.times import (
    EPOCH,
    EXPECTED_DATE,
    WHOLE_NUMBER,
    Moment,
    Style,
    number_kind,
    orders_of,
    parse_moment,
)

Array = npt.NDArray[np.float64]

DIGITS = re.compile(r"[+-]?\d+", re.ASCII)
EXACT = 2.0**53  # up to here, float64 holds every whole number
NUMBER, BOOLEAN, TEXT, CATEGORY = "number", "boolean", "text", "category"  # kinds of columns
UTC_STYLE = Style(time_mark=" ", seconds=True, zone="Z")


@dataclass(frozen=True)
class Times:
    """A column of times.

    Attributes
    ----------
    ticks : array (rows,)
        Microseconds since 1970, in UTC where there is a zone; numbers as they are.
    is_number : bool
        Whether the times are whole numbers without a calendar.
    zone : tzinfo, optional
        The zone on whose clock days and months are counted.
    dtype : object
        The type of the caller's column; None for text.
    style : Style, optional
        Format of times in text; None if times were not text.
    note : str
        What was done to the times, or empty.
    """

    ticks: Ticks
    is_number: bool
    zone: tzinfo | None = None
    dtype: object = None
    style: Style | None = None
    note: str = ""


@dataclass(frozen=True)
class Ids:
    """A column of ids: `codes` (rows,) are indices into `values`, which are distinct."""

    codes: Ticks
    values: npt.NDArray[Any]
    dtype: object = None


class Columns:
    """A table of `rows` rows whose columns can be read as ids, times or numbers.

    This class reads text and objects, from the distinct cells of each column.
    """

    library = "csv"  # or "pandas", "polars", "pyarrow"
    names: list[str]
    rows: int
    comma = False  # whether numbers in text have decimal commas

    def __init__(self) -> None:
        # By column, the first row whose number float64 cannot hold.
        self.rounded: dict[str, int | None] = {}

    def cells(self, name: str) -> tuple[Ticks, list[Any]]:
        """Returns for each row the index of its cell, and the distinct cells, None if missing."""
        raise NotImplementedError

    def error(self, kind: str, problem: str, row: int, column: str) -> DataError:
        """Returns the DataError for a cell; `row` counts from 0."""
        raise NotImplementedError

    def place(self, row: int) -> str:
        """Returns the position of a row for messages, such as "row 7" or "line 8"."""
        raise NotImplementedError

    def ids(self, name: str) -> Ids:
        """Returns the column as ids. Raises DataError if one is missing."""
        raise NotImplementedError

    def times(self, name: str, day_first: bool | None = None) -> Times:
        """Returns the column as times. Raises DataError for a cell that is missing or not a time.

        `day_first` is as in `parse_moment`.
        """
        return parse_times(*self.cells(name), partial(self.cell_error, name), day_first=day_first)

    def cell_error(self, name: str, row: int, problem: tuple[str, str]) -> DataError:
        """Returns the DataError for a `problem`, which is its kind and its text."""
        return self.error(*problem, row, name)

    def number_kind(self, name: str, numbers: Ticks) -> str | None:
        """Returns the kind of dates that all whole numbers in a column of times may be, or None."""
        return number_kind(numbers)

    def kind_of_text(self, name: str) -> str | None:
        """Returns the kind of all cells of a text column, if the table is part of a larger one."""
        return None

    def numbers(self, name: str, booleans: bool = False) -> Array:
        """Returns the column as numbers, NaN for missing ones. Raises DataError for other text.

        With `booleans`, a column of booleans becomes 0 and 1; otherwise it is an error.
        """
        codes, cells = self.cells(name)
        error = partial(self.cell_error, name)
        values = parse_numbers(codes, cells, error, self.comma, self.number_form(name))

        def whole(row: int) -> int:
            cell = str(cells[codes[row]]).strip()
            return int(cell) if DIGITS.fullmatch(cell) else int(values[row])

        self.rounded[name] = first_rounded(values, whole)
        return values

    def number_form(self, name: str) -> str | None:
        """Returns how the numbers of a column are written, if the table is part of a larger one."""
        return None

    def kind(self, name: str) -> str:
        """Returns the kind of a column by its type: number, boolean, text or category.

        Cells of the kind text may hold anything, as in a CSV file.
        """
        return TEXT

    def number_type(self, name: str) -> str | None:
        """Returns the NumPy type of a column of numbers; None if it has none, such as text."""
        return None

    def is_numeric(self, name: str) -> bool:
        """Returns whether the column seems to hold numbers."""
        raise NotImplementedError

    def find_times(self, names: Sequence[str]) -> str | None:
        """Returns the first column in which at least half of the non-missing cells are dates."""
        return find_times(self, names)


class TextColumns(Columns):
    """The columns of a CSV file."""

    @property
    def header(self) -> Sequence[str]:
        """The names in the first line of the file; empty if they were checked already."""
        return self.names

    def ids(self, name: str) -> Ids:
        """Returns the column as ids, as text stripped of spaces."""
        codes, cells = self.cells(name)
        if "" in cells:
            row = int(np.argmax(codes == cells.index("")))
            raise self.error("missing-id", "the id is missing", row, name)
        return sorted_ids(codes, cells)

    def is_numeric(self, name: str) -> bool:
        """Returns whether at least half of the non-missing cells are numbers."""
        return mostly_numbers(*self.cells(name))


def first_places(names: Sequence[str]) -> dict[str, int]:
    """Returns the first index of each name; searching the list for each would be quadratic."""
    return {name: index for index, name in reversed(list(enumerate(names)))}


def find_times(columns: Columns, names: Sequence[str]) -> str | None:
    """Returns the first column in which at least half of the non-missing cells are dates."""
    return next((name for name in names if mostly_dates(*columns.cells(name))), None)


def mostly_dates(codes: Ticks, cells: Sequence[Any]) -> bool:
    """Returns whether at least half of the non-missing cells are dates, day or month first."""
    return _mostly(codes, cells, lambda cell: _moment(cell, None) is not None or _orders(cell))


def mostly_numbers(codes: Ticks, cells: Sequence[Any]) -> bool:
    """Returns whether at least half of the non-missing cells are numbers."""
    return _mostly(codes, cells, _is_number)


def _is_number(cell: Any) -> bool:
    return like_number(cell) if isinstance(cell, str) else _number(cell) is not None


def _orders(cell: Any) -> tuple[bool, ...]:
    return orders_of(cell) if isinstance(cell, str) else ()


def _mostly(codes: Ticks, cells: Sequence[Any], suits: Callable[[Any], object]) -> bool:
    """Returns whether at least half of the non-missing cells suit, and there are any."""
    count = np.bincount(codes, minlength=len(cells))
    said = np.array([str(cell).strip().lower() not in MISSING for cell in cells], dtype=bool)
    good = np.array([bool(suits(cell)) for cell in cells], dtype=bool)
    return bool(2 * count[said & good].sum() >= count[said].sum() > 0)


class TableColumns(TextColumns):
    """The columns of a CSV file that our own reader has read."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table
        self.comma = table.comma
        self.names = table.names
        self.rows = len(table.rows)
        self._index = first_places(table.names)

    def cells(self, name: str) -> tuple[Ticks, list[str]]:
        """Returns for each row the index of its cell, and the distinct cells of a column."""
        return distinct(self.table.cells(self._index[name]))

    def error(self, kind: str, problem: str, row: int, column: str) -> DataError:
        """Returns the DataError for a cell, with file and line."""
        return self.table.error(kind, problem, row, self._index[column])

    def place(self, row: int) -> str:
        """Returns the position of a row, such as "line 8"."""
        return f"line {self.table.lines[row]:,}"


def first_rounded(values: Array, whole: Callable[[int], int]) -> int | None:
    """Returns the first row whose whole number, `whole(row)`, float64 cannot hold, or None."""
    large = np.flatnonzero(np.abs(values) >= EXACT)
    return next((int(row) for row in large if whole(int(row)) != int(values[row])), None)


def distinct(cells: Sequence[Any]) -> tuple[Ticks, list[Any]]:
    """Returns each cell's index among the distinct cells, and these in order of appearance."""
    seen: dict[Any, int] = {}
    codes = np.fromiter(
        (seen.setdefault(cell, len(seen)) for cell in cells), dtype=np.int64, count=len(cells)
    )
    return codes, list(seen)


def sorted_ids(codes: Ticks, values: Sequence[Any], dtype: object = None) -> Ids:
    """Returns the ids in ascending order, whatever the order of the rows."""
    order = sorted(range(len(values)), key=values.__getitem__)  # TypeError for unlike values
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    ordered = np.empty(len(order), dtype=object)
    ordered[:] = [values[k] for k in order]
    return Ids(rank[codes], ordered, dtype)


def parse_numbers(
    codes: Ticks,
    cells: Sequence[Any],
    error: Callable[[int, tuple[str, str]], DataError],
    comma: bool = False,
    form: str | None = None,
) -> Array:
    """Parses cells of text or objects as numbers; None and NaN are missing values.

    `comma` is whether the file has decimal commas. `form` is how the numbers are written; by
    default it is found from these cells. Cells are parsed unchanged if they are not all written in
    one way, or if that way has two meanings, as in 1,234 alone.
    """
    values = np.empty(len(cells))
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    if form is None:
        form = PLAIN
        if comma or any("," in cell or cell.count(".") > 1 for cell in texts):
            facts = NumberFacts()
            facts.add(texts)
            form = facts.form(comma)
    if form != PLAIN:
        said = {text: plain_number(text, form) for text in texts if text.lower() not in MISSING}
        cells = [said.get(cell.strip(), cell) if isinstance(cell, str) else cell for cell in cells]
    for k, cell in enumerate(cells):
        number = _number(cell)
        if number is None or math.isinf(number):
            text = cell.strip() if isinstance(cell, str) else str(cell)
            problem = number_problem(text)
            if number is not None:
                problem = ("not-finite", f"found {quoted(text)}, expected a finite number")
            raise error(int(np.argmax(codes == k)), problem)
        values[k] = number
    return values[codes] if len(cells) else np.empty(0)


def _number(cell: Any) -> float | None:
    if cell is None:
        return math.nan
    if isinstance(cell, str):
        return parse_number(cell.strip())
    if isinstance(cell, bool | np.bool_ | complex | date | timedelta):
        return None
    try:
        return float(cell)  # int, float, Decimal, Fraction and NumPy's
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def parse_times(
    codes: Ticks,
    cells: Sequence[Any],
    error: Callable[[int, tuple[str, str]], DataError],
    day_first: bool | None = None,
    known: ClockFacts | bool | None = None,
) -> Times:
    """Parses distinct cells of text, or Python's dates, as the times of the rows of `codes`.

    `known` has the facts about all cells of a larger table; True: all are whole numbers.
    """

    def first_row(k: int) -> int:
        return int(np.argmax(codes == k))

    texts = [cell.strip() if isinstance(cell, str) else cell for cell in cells]
    may_count = not isinstance(known, ClockFacts)
    if may_count and all(isinstance(one, str) and WHOLE_NUMBER.fullmatch(one) for one in texts):
        numbers = np.array([int(text) for text in texts], dtype=np.int64)
        return Times(numbers[codes], is_number=True, style=Style())
    moments: list[Moment] = []
    for k, text in enumerate(texts):
        moment = _moment(text, day_first)
        if moment is None:
            failure = error(first_row(k), ("not-a-date", _no_date(text, texts, day_first)))
            failure.argument = "day_first" if "{day_first}" in failure.said(str) else None
            raise failure
        if moments and (moment.offset is None) != (moments[0].offset is None):
            found, wanted = ("a", "none") if moments[0].offset is None else ("no", "one")
            problem = f"found {found} zone offset, expected {wanted} as in the rows above"
            raise error(first_row(k), ("mixed-zones", problem))
        moments.append(moment)
    is_text = isinstance(cells[0], str)
    facts = known if isinstance(known, ClockFacts) else ClockFacts()
    if facts is not known:
        facts.add(moments)
    ticks, zone, style, note = _one_clock(moments, facts, None if is_text else _zone_of(cells))
    bad = (ticks < FIRST) | (ticks > LAST)
    if bad.any():
        k = int(np.argmax(bad))
        problem = f"found {quoted(str(texts[k]))}, expected a year from 1 to 9999"
        raise error(first_row(k), ("not-a-date", problem))
    kind = datetime if any(isinstance(cell, datetime) for cell in cells) else date
    dtype, style_of_text = (None, style) if is_text else (kind, None)
    return Times(ticks[codes], False, zone, dtype, style_of_text, note)


def _zone_of(cells: Sequence[datetime]) -> tzinfo | None:
    """Returns the zone of all cells, or None unless they share one that has a name."""
    zones = {id(zone): zone for zone in (getattr(cell, "tzinfo", None) for cell in cells)}
    try:
        kept = {kept_zone(zone) for zone in zones.values()}
    except ValueError:
        return None
    return kept.pop() if len(kept) == 1 else None


def _no_date(text: Any, texts: Sequence[Any], day_first: bool | None) -> str:
    """Returns what is wrong with a cell, given the order of day and month in all cells."""
    found = "an empty cell" if text in ("", None) else quoted(str(text))
    if not _orders(text):
        return f"found {found}, expected {EXPECTED_DATE}"
    if day_first is not None:
        order = "the day first" if day_first else "the month first"
        return f"found {found}, expected dates with {order}, because of {{day_first}}{day_first}"
    possible = set.intersection(*(set(one) for one in map(_orders, texts) if one))
    if len(possible) == 2:
        which = "pass {day_first}True if the day comes first, {day_first}False if the month does"
        return f"{found} is ambiguous; {which}"
    if not possible:
        return f"found {found}, expected the same order of day and month as in the other rows"
    (first,) = possible
    order = "day" if first else "month"
    return (
        f"found {found}, expected {EXPECTED_DATE}; the dates of this column have the {order} "
        f"first: pass {{day_first}}{first}"
    )


def _moment(cell: Any, day_first: bool | None) -> Moment | None:
    if isinstance(cell, str):
        return parse_moment(cell, day_first)
    if isinstance(cell, datetime):
        if cell != cell:  # pandas' NaT is a datetime
            return None
        local = datetime(*cell.timetuple()[:6], cell.microsecond)
        return Moment(local, cell.utcoffset(), Style(time_mark=" ", seconds=True))
    if isinstance(cell, date):
        return Moment(datetime(cell.year, cell.month, cell.day), None, Style())
    return None


def _one_clock(
    moments: Sequence[Moment], facts: ClockFacts, shared: tzinfo | None
) -> tuple[Ticks, tzinfo | None, Style, str]:
    """Returns the times on one clock: a zone or an offset that they share, else UTC."""
    offsets = facts.offsets
    local = np.array([(moment.local - EPOCH) // MICROSECOND for moment in moments], dtype=np.int64)
    style = facts.style
    if offsets == {None}:
        return local, None, style, ""
    distance = [(moment.offset or timedelta(0)) // MICROSECOND for moment in moments]
    ticks = local - np.array(distance, dtype=np.int64)
    if shared is not None:
        return ticks, shared, style, ""
    if len(offsets) == 1:
        (offset,) = offsets
        assert offset is not None
        return ticks, timezone(offset), style, ""
    found = f"{len(offsets)} offsets from UTC in one column"
    if facts.is_of_local_days:
        # Days on a local clock that is set forward and back; in UTC they would be uneven.
        note = (
            f"{found}, always {moments[0].local:%H:%M} on the local clock: days are counted there"
        )
        return local, None, replace(style, zone=""), note
    return ticks, timezone.utc, UTC_STYLE, f"{found}: converted to UTC"
