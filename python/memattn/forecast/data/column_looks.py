"""Recognises columns that are not named: row numbers, parts of dates, ids of series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from memattn.errors import DataError, quoted
from memattn.forecast.data.columns import Array, Columns, TextColumns, Times
from memattn.forecast.data.time_zones import DAY, Ticks, clock_of
from memattn.forecast.data.times import number_kind

HEAD = 64  # rows in which most columns of fractions show one
HOUR, MINUTE = 3_600_000_000, 60_000_000
MOST = 0.9  # share of distinct times above which repeated ones are a mistake
UNNAMED = ("", "index", "__index_level_0__")
TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(:\d\d)?(\.\d+)?( ?[AaPp]\.?[Mm]\.?)?", re.ASCII)
LIKE_A_DATE = re.compile(
    r"([^\W\d]{3,9},? )?\d{1,4}([-/. ])\w{1,9}\2\d{2,4}\b"
    r"|(?i:\d{4}[-/. ]?(w|cw|kw|wk|week) ?\d{1,2}\b"
    r"|(w|cw|kw|wk|week)[-. ]?\d{1,2}[-/,. ]{1,2}\d{4}\b)"
)
# Parts of a date that stand beside a column of years.
PARTS = frozenset({"quarter", "month", "week", "day", "hour", "minute", "qtr", "mon", "weekday"})


def whole(values: Array) -> Ticks | None:
    """Returns values as whole numbers, or None if one is missing or has a fraction."""
    parts = (values[:HEAD], values) if len(values) > HEAD else (values,)
    if not all((part == np.rint(part)).all() for part in parts) or np.abs(values).max() >= 2**53:
        return None
    return values.astype(np.int64)


def counts(numbers: Ticks) -> bool:
    """Returns whether numbers go up by one from 0 or 1, as row numbers do."""
    if numbers[-1] - numbers[0] != len(numbers) - 1:
        return False
    return len(numbers) > 1 and numbers[0] in (0, 1) and bool(np.all(np.diff(numbers) == 1))


def is_unnamed(name: str) -> bool:
    """Returns whether a column has no name, or the name that pandas gives to such a column."""
    return name.lower() in UNNAMED or name.startswith("Unnamed:")


def times_in_numbers(numbers: Mapping[str, Ticks]) -> str | None:
    """Returns the first column of whole numbers that look like dates, or None."""
    for name, found in numbers.items():
        kind, steps = number_kind(found), np.diff(found)
        if kind is None or not steps.any():
            continue
        ordered = bool(np.all(steps > 0))
        if kind.startswith("YYYY") or (ordered and (kind != "years" or np.ptp(steps) == 0)):
            return name
        if any(word in name.lower() for word in ("year", "date", "time")):
            return name
    return None


@dataclass(frozen=True)
class Clock:
    """The times of a table, for comparisons with its other columns."""

    times: Times

    @cached_property
    def order(self) -> Ticks:
        """The rows in order of time."""
        return np.argsort(self.times.ticks, kind="stable")

    @cached_property
    def places(self) -> Ticks:
        """The index of each row's time among the distinct times."""
        return np.unique(self.times.ticks, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def ascending(self) -> bool:
        """Whether each row is later than the one before."""
        return bool(np.all(np.diff(self.times.ticks) > 0))

    @cached_property
    def repeats(self) -> bool:
        """Whether times occur in several rows, and more often than by mistake."""
        return not self.ascending and int(self.places.max()) + 1 <= MOST * len(self.places)

    @cached_property
    def parts(self) -> dict[str, Ticks]:
        """The years, months and so on of the times; empty for numbered rows."""
        if self.times.is_number:
            return {}
        ticks, zone = self.times.ticks, self.times.zone
        ticks = ticks if zone is None else clock_of(zone, ticks).to_local(ticks)
        days = ticks // DAY
        dates = days.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        years = dates.astype("datetime64[Y]")
        month, year = months.astype(np.int64), years.astype(np.int64)
        thursday = (days + 3) // 7 * 7  # of the same week
        of_year = thursday - thursday.astype("datetime64[D]").astype("datetime64[Y]").astype(
            "datetime64[D]"
        ).astype(np.int64)
        parts = {
            "year": year + 1970,
            "month": month % 12 + 1,
            "quarter": month % 12 // 3 + 1,
            "week": of_year // 7 + 1,
            "day": (dates - months.astype("datetime64[D]")).astype(np.int64) + 1,
            "day of the year": (dates - years.astype("datetime64[D]")).astype(np.int64) + 1,
            "weekday": (days + 3) % 7,
            "weekday from Sunday": (days + 4) % 7,
            "hour": ticks % DAY // HOUR,
            "minute": ticks % HOUR // MINUTE,
            "months": month,
            "quarters": month // 3,
        }
        # A part that is the same in all rows says nothing, except for the year.
        return {name: part for name, part in parts.items() if name == "year" or np.ptp(part)}

    def part(self, numbers: Ticks) -> str | None:
        """Returns the part of the times that `numbers` are, counted from 0 or 1, or None."""
        first, last = int(numbers[0]), int(numbers[-1])
        for name, start, end in self._ends:
            shift = first - start
            near = last - end == shift and abs(shift) <= (name != "year")
            if near and np.array_equal(numbers, self.parts[name] + shift):
                return name
        return None

    @cached_property
    def _ends(self) -> list[tuple[str, int, int]]:
        return [(name, int(part[0]), int(part[-1])) for name, part in self.parts.items()]

    def names_a_part(self, codes: Ticks) -> bool:
        """Returns whether values and years, months or other parts correspond one to one."""
        count = int(codes.max()) + 1
        for part in self.parts.values():
            ranks = np.unique(part, return_inverse=True)[1]
            if ranks.max() + 1 == count == len(np.unique(ranks * count + codes)):
                return True
        return False

    def blocks(self, codes: Ticks, names: bool) -> bool:
        """Returns whether two or more values each fill one block of rows, as ids do."""
        count, rows = int(codes.max()) + 1, len(codes)
        if not 2 <= count <= rows // 2 or (not names and self.ascending and count**2 > rows):
            return False
        runs = np.count_nonzero(np.diff(codes)) + 1
        if runs != count and not self.ascending and not self.repeats:
            runs = np.count_nonzero(np.diff(codes[self.order])) + 1
        return runs == count and not self.names_a_part(codes)

    def different(self, codes: Ticks) -> int:
        """Returns the number of distinct pairs of time and value."""
        return len(np.unique(self.places * (int(codes.max()) + 1) + codes))


def check_ids(columns: Columns, others: Iterable[str], values: Mapping[str, Array], times: Times,
              names_of: str) -> None:  # fmt: skip
    """Raises DataError if another column of a table without ids seems to hold them.

    Parameters
    ----------
    columns : Columns
        The table.
    others : iterable of str
        Columns that may hold ids.
    values : mapping
        The columns of numbers that were read already.
    times : Times
        The times of its rows.
    names_of : str
        The name of the missing column of ids.

    Raises
    ------
    DataError
        If the values of a column repeat in blocks of rows, or times repeat and a column tells them
        apart.
    """
    clock = Clock(times)
    best, most = "", int(clock.places.max()) + 1 if clock.repeats else columns.rows
    for name, codes, shown, are_names in _candidates(columns, others, values, clock):
        if clock.blocks(codes, are_names):
            found = f"found no column {quoted(names_of)}, but column {quoted(name)} has {shown}"
            found += " in blocks of rows"
            raise _asked(columns, found, name)
        repeat = 2 * (int(codes.max()) + 1) <= columns.rows
        if clock.repeats and repeat and (pairs := clock.different(codes)) > most:
            best, most, said = name, pairs, shown
    if best and most < columns.rows:
        said += "; no single column tells rows of the same time apart, so join the columns that do"
    if best:
        raise _asked(
            columns, f"several rows have the same time, and column {quoted(best)} has {said}", best
        )


def _candidates(
    columns: Columns, others: Iterable[str], values: Mapping[str, Array], clock: Clock
) -> Iterator[tuple[str, Ticks, str, bool]]:
    """Yields columns that may hold ids: the name, the codes of the rows, and some values as text.

    The last item is whether the values are names instead of numbers.
    """
    for name in others:
        are_names = False
        if name in values or columns.is_numeric(name):
            try:
                numbers = whole(values[name] if name in values else columns.numbers(name))
            except DataError:
                continue
            if numbers is None or (numbers[0] == numbers[-1] and not clock.repeats):
                continue
            flags = clock.ascending and numbers.min() == 0 and numbers.max() == 1
            runs = np.count_nonzero(np.diff(numbers)) + 1
            if flags or (clock.ascending and 2 * runs > len(numbers)) or clock.part(numbers):
                continue
            found, first, codes = np.unique(numbers, return_index=True, return_inverse=True)
            cells = [str(cell) for cell in found[:2]]
            if isinstance(columns, TextColumns):  # in text, 001 is not 1
                ids = columns.ids(name)
                cells = [ids.values[ids.codes[row]] for row in first[:2]]
                codes = ids.codes
        else:
            try:
                ids = columns.ids(name)
            except (DataError, TypeError):
                continue
            are_names, codes, cells = True, ids.codes, [str(cell) for cell in ids.values[:2]]
        yield name, codes, f"values that repeat ({', '.join(map(quoted, cells))}, ...)", are_names


def _asked(columns: Columns, found: str, name: str) -> DataError:
    if not columns.is_numeric(name) and TIME_OF_DAY.fullmatch(str(columns.ids(name).values[0])):
        problem = "the time of day is in a separate column; join it with the date, as in "
        return DataError("split-dates", problem + "2020-01-31 13:00", column=name)
    problem = (
        f"{found}; if it names the series of each row, pass {{id_col}} with {quoted(name)}; if"
        " all rows are one series, remove that column (in Python: pass id_col=None)"
    )
    return DataError("no-ids", problem, column=name, argument="id_col")


def check_unread_dates(columns: Columns, names: Iterable[str]) -> None:
    """Raises DataError if a table without times has a column of dates that cannot be read."""
    for name in names:
        try:
            cell = str(columns.ids(name).values[0])
        except (DataError, TypeError, IndexError):
            continue
        if LIKE_A_DATE.match(cell):
            problem = f"{quoted(cell)} looks like a date in an unsupported format; "
            problem += (
                "write dates such as 2020-01-31 or 2020-01-31 13:00, and weeks such as 2020-W05"
            )
            raise DataError("not-a-date", problem, column=name)


def check_unread_numbers(columns: Columns, names: Iterable[str]) -> None:
    """Raises DataError for a column of numbers with signs, such as $5 or 12 %."""
    for name in names:
        try:
            columns.numbers(name)
        except DataError as error:
            if error.kind == "number-with-sign":
                raise
