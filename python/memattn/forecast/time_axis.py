"""The axis of a series: checks that its rows are equally spaced, names the spacing, and goes on.

Every kind of axis is brought to whole numbers: rows, numbers, months, days or microseconds since
1970, so that order, doubles and gaps are one check for all of them.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from memattn.csv_reader import MISSING, Table
from memattn.errors import DataError, quoted
from memattn.forecast.times import (
    EPOCH,
    Moment,
    format_moment,
    from_month_index,
    is_month_end,
    month_index,
    parse_moment,
)

WHOLE_NUMBER = re.compile(r"[+-]?\d{1,15}", re.ASCII)
EXPECTED_DATE = "a date such as 2013-01-31, 2013-01-31T13:00:00Z, 2013-01 or 2013-Q1"
MICROSECOND = timedelta(microseconds=1)


class Unit(Enum):
    """What one step of the axis counts."""

    ROW = "row"
    NUMBER = "step"
    MONTH = "month"
    DAY = "day"
    BUSINESS_DAY = "business day"
    MICROSECOND = "microsecond"


@dataclass(frozen=True)
class TimeAxis:
    """An equally spaced axis.

    Attributes
    ----------
    column : str, optional
        The column that it was read from; None: the row number.
    unit : Unit
        What `positions` count.
    positions : list of int
        One whole number for each row, `step` apart.
    step : int
        The distance between rows, in units.
    labels : list of str
        The times as written.
    last : Moment, optional
        The last time, when the axis has dates.
    """

    column: str | None
    unit: Unit
    positions: list[int]
    step: int
    labels: list[str]
    last: Moment | None = None
    at_month_end: bool = False

    @property
    def spacing(self) -> str:
        """The distance between rows in words: "1 hour", "3 months"."""
        return describe_span(self.unit, self.step)

    def phase(self, row: int, season: int) -> int:
        """The place of a row in its season, 0 to season - 1; seasons start at midnight and so on.

        Hours count from midnight, days from Monday, months from January. `row` may lie beyond the
        last one.
        """
        position = self.positions[0] + row * self.step
        if self.unit is Unit.DAY and self.step == 1:
            position += 3  # 1970-01-01 was a Thursday
        return position // self.step % season

    def continued(self, count: int) -> list[str]:
        """The `count` times after the last row, written as the last one is."""
        return [self._label(self.positions[-1] + k * self.step) for k in range(1, count + 1)]

    def _label(self, position: int) -> str:
        if self.last is None:
            return str(position)
        try:
            if self.unit is Unit.MONTH:
                local = from_month_index(position, self.last.local, self.at_month_end)
            elif self.unit is Unit.DAY:
                local = self.last.local + timedelta(days=position - self.positions[-1])
            else:
                local = self.last.local + (position - self.positions[-1]) * MICROSECOND
        except (ValueError, OverflowError):
            problem = f"found times up to {self.labels[-1]}, expected the horizon before year 9999"
            raise DataError("time-overflow", problem, column=self.column) from None
        return format_moment(local, self.last.style)


def describe_span(unit: Unit, count: int) -> str:
    """A span of the axis in words."""
    if unit is not Unit.MICROSECOND:
        if unit is Unit.MONTH and count % 12 == 0:
            return _plural(count // 12, "year")
        if unit is Unit.DAY and count % 7 == 0:
            return _plural(count // 7, "week")
        return _plural(count, unit.value)
    for name, size in (
        ("day", 86_400_000_000),
        ("hour", 3_600_000_000),
        ("minute", 60_000_000),
        ("second", 1_000_000),
        ("millisecond", 1000),
    ):
        if count % size == 0:
            return _plural(count // size, name)
    return str(timedelta(microseconds=count))


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def find_time_column(table: Table) -> int | None:
    """The first column in which at least half of the cells that say something are dates."""
    for index in range(len(table.names)):
        said = [cell for cell in table.cells(index) if cell.lower() not in MISSING]
        if 2 * sum(parse_moment(cell) is not None for cell in said) >= len(said) > 0:
            return index
    return None


def row_axis(table: Table) -> TimeAxis:
    """The axis of a table without times: its row numbers, from 1."""
    positions = list(range(1, len(table.rows) + 1))
    return TimeAxis(None, Unit.ROW, positions, 1, [str(row) for row in positions])


def read_axis(table: Table, index: int) -> TimeAxis:
    """The axis that the column `index` says, of dates or of whole numbers.

    Raises
    ------
    DataError
        A cell that is neither, a double, a step back, a gap, or an uneven step.
    """
    cells = table.cells(index)
    if all(WHOLE_NUMBER.fullmatch(cell) for cell in cells):
        return _even_axis(table, index, Unit.NUMBER, [int(cell) for cell in cells], None)
    moments = [_moment(table, row, index) for row in range(len(cells))]
    _check_zones(table, index, moments)
    unit, positions, at_month_end = _count(moments)
    return _even_axis(table, index, unit, positions, moments[-1], at_month_end)


def _moment(table: Table, row: int, index: int) -> Moment:
    cell = table.rows[row][index]
    moment = parse_moment(cell)
    if moment is None:
        found = quoted(cell) if cell else "an empty cell"
        problem = f"found {found}, expected {EXPECTED_DATE}"
        raise table.error("not-a-date", problem, row, index)
    return moment


def _check_zones(table: Table, index: int, moments: Sequence[Moment]) -> None:
    zoned = moments[0].offset is not None
    for row, moment in enumerate(moments):
        if (moment.offset is not None) != zoned:
            found, expected = ("no", "one") if zoned else ("a", "none")
            problem = f"found {found} zone offset, expected {expected} as in the first row"
            raise table.error("mixed-zones", problem, row, index)


def _count(moments: Sequence[Moment]) -> tuple[Unit, list[int], bool]:
    """The coarsest unit that fits all times, and the times in it.

    Months and days are counted on the local clock, for a day of 23 hours is a day; anything finer
    in UTC, for an hour that the clock shows twice is two hours.
    """
    local = [moment.local for moment in moments]
    same_time = len({moment.time() for moment in local}) == 1
    if same_time:
        months = [month_index(moment) for moment in local]
        at_month_end = all(is_month_end(moment) for moment in local)
        same_day = len({moment.day for moment in local}) == 1 or at_month_end
        if same_day and len(set(months)) > 1:
            return Unit.MONTH, months, at_month_end
        return Unit.DAY, [(moment - EPOCH).days for moment in local], False
    return Unit.MICROSECOND, [(moment.utc - EPOCH) // MICROSECOND for moment in moments], False


def _even_axis(
    table: Table,
    index: int,
    unit: Unit,
    positions: list[int],
    last: Moment | None,
    at_month_end: bool = False,
) -> TimeAxis:
    steps = [after - before for before, after in itertools.pairwise(positions)]
    cells = table.cells(index)
    for row, step in enumerate(steps, start=1):
        before = f"line {table.lines[row - 1]} ({cells[row - 1]})"
        if step == 0:
            problem = f"found the time {cells[row]} twice, first on {before}; expected it once"
            if last is not None and last.offset is None and unit is Unit.MICROSECOND:
                problem += (
                    ". Local times repeat an hour in autumn: give them with offsets or in UTC"
                )
            raise table.error("duplicate-time", problem, row, index)
        if step < 0:
            problem = f"found {cells[row]}, which lies before {before}; expected ascending times"
            raise table.error("time-backwards", problem, row, index)
    # The commonest step; of equally common ones the smallest.
    counts = Counter(steps)
    step = min(counts, key=lambda size: (-counts[size], size), default=1)
    for row, found in enumerate(steps, start=1):
        if found != step:
            raise _uneven(table, index, row, unit, found, step)
    return TimeAxis(table.names[index], unit, positions, step, cells, last, at_month_end)


def _uneven(table: Table, index: int, row: int, unit: Unit, found: int, expected: int) -> DataError:
    line, cell = table.lines[row - 1], table.rows[row - 1][index]
    here = table.rows[row][index]
    if found % expected == 0:
        missing = found // expected - 1
        every = describe_span(unit, expected).removeprefix("1 ")
        rows = "1 row is" if missing == 1 else f"{missing:,} rows are"
        problem = (
            f"found a gap in time between line {line} ({cell}) and line {table.lines[row]} "
            f"({here}): {rows} missing, expected one every {every}"
        )
        return table.error("gap-in-time", problem, row, index)
    problem = (
        f"found a step of {describe_span(unit, found)} from line {line} ({cell}) to {here}, "
        f"expected {describe_span(unit, expected)} as elsewhere"
    )
    return table.error("uneven-time", problem, row, index)
