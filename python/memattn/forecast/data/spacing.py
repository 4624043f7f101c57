"""The frequency that the rows of a panel show, or a check of the one that the caller gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError
from memattn.forecast.data.frequency import (
    CALENDAR,
    MONTH_END,
    MONTHS,
    SAID,
    WEEKDAYS,
    Asked,
    Frequency,
    days_of_month,
    positions_of,
    weekdays,
)
from memattn.forecast.data.long_rows import LongRows
from memattn.forecast.data.time_axis import Unit, describe_span
from memattn.forecast.data.time_zones import DAY, Ticks

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Spacing:
    """Where the rows lie on the grid of their series.

    Attributes
    ----------
    frequency : Frequency
        Of all series.
    steps : array (n,)
        Steps since the first row of the series.
    day : array (N,)
        With months, the day of the month on which the rows of a series lie; 31 is the last one;
        with other units 0.
    """

    frequency: Frequency
    steps: Ticks
    day: Ticks


@dataclass(frozen=True)
class _Facts:
    """What the clock says about rows in order: computed once, for all units."""

    rows: LongRows
    clock: Ticks  # (n,)
    offsets: Ticks  # (N + 1,)
    inner: Flags  # (n - 1,)

    def first(self, values: Ticks) -> Ticks:
        """The value at the first row of its series, for each row."""
        return np.repeat(values[self.offsets[:-1]], np.diff(self.offsets))

    def steps(self, unit: Unit) -> tuple[Ticks, Ticks]:
        """Positions (n,), and their differences within the series, in order."""
        positions = positions_of(unit, self.clock if unit in CALENDAR else self.rows.ticks)
        return positions, np.diff(positions)[self.inner]


def find_spacing(rows: LongRows, asked: Asked | None) -> Spacing:
    """The spacing of rows in order, inferred or as asked.

    The unit is the coarsest one that fits all rows; the step is the commonest one, of equally
    common ones the smallest.

    Raises
    ------
    DataError
        No two rows in any series, rows between the steps, or series of different frequencies.
    """
    facts = _Facts(rows, rows.clock(), rows.offsets, rows.inner)
    lengths = np.diff(facts.offsets)
    dom, month_length = (
        days_of_month(facts.clock) if not rows.times.is_number else (facts.clock, facts.clock)
    )
    day = _days(facts, dom, month_length)
    if asked is not None:
        _check_asked(rows, asked)
        frequency = asked.frequency
        if asked.day:
            day = np.full_like(day, 1 if asked.day == "start" else MONTH_END)
        misfit = _misfits(facts, frequency.unit, dom, month_length, day)
        misfit |= _breaks_anchor(asked, facts.clock)
        if misfit.any():
            row = int(np.argmax(misfit))
            problem = f"found {rows.row(row)}, expected a time of frequency {asked.text!r}"
            raise rows.error("off-grid", problem, row, of_time=True)
    else:
        if not np.any(lengths > 1):
            problem = (
                "found no series with two rows, expected some to see the frequency; "
                f"pass {{freq}}, {SAID}"
            )
            raise DataError("no-frequency", problem, argument="freq")
        frequency = _infer(facts, dom, month_length, day)
    positions, _ = facts.steps(frequency.unit)
    _check_steps(facts, frequency, positions, given=asked is not None)
    steps = (positions - facts.first(positions)) // frequency.step
    return Spacing(frequency, steps, day if frequency.unit is Unit.MONTH else np.zeros_like(day))


def _days(facts: _Facts, dom: Ticks, month_length: Ticks) -> Ticks:
    """For each series the day of the month, were its rows months: of all rows the latest."""
    starts = facts.offsets[:-1]
    latest: Ticks = np.maximum.reduceat(dom, starts)
    at_end = np.logical_and.reduceat(dom == month_length, starts)
    return np.where(at_end, MONTH_END, latest)


def _misfits(facts: _Facts, unit: Unit, dom: Ticks, month_length: Ticks, day: Ticks) -> Flags:
    """The rows that do not fit a calendar unit, as the first rows of their series say it."""
    none = np.zeros(len(facts.clock), dtype=bool)
    if unit not in CALENDAR:
        return none
    time_of_day = facts.clock % DAY
    misfit: Flags = time_of_day != facts.first(time_of_day)
    if unit is Unit.MONTH:
        wanted = np.minimum(np.repeat(day, np.diff(facts.offsets)), month_length)
        misfit |= dom != wanted
    if unit is Unit.BUSINESS_DAY:
        misfit |= weekdays(facts.clock) >= 5
    return misfit


def _check_asked(rows: LongRows, asked: Asked) -> None:
    if (asked.frequency.unit is Unit.NUMBER) == rows.times.is_number:
        return
    kind, wanted = ("whole numbers", "an integer") if rows.times.is_number else ("dates", SAID)
    problem = f"found {asked.text!r} for times that are {kind}, expected {wanted}"
    raise DataError("option", problem, column=rows.names.times, argument="freq")


def _breaks_anchor(asked: Asked, clock: Ticks) -> Flags:
    wrong = np.zeros(len(clock), dtype=bool)
    if asked.anchor in WEEKDAYS:
        wrong |= weekdays(clock) != WEEKDAYS.index(asked.anchor)
    elif asked.anchor:
        month = positions_of(Unit.MONTH, clock)
        wrong |= (month - MONTHS.index(asked.anchor)) % asked.frequency.step != 0
    return wrong


def _infer(facts: _Facts, dom: Ticks, month_length: Ticks, day: Ticks) -> Frequency:
    if facts.rows.times.is_number:
        unit = Unit.NUMBER
    elif not _misfits(facts, Unit.MONTH, dom, month_length, day).any():
        unit = Unit.MONTH
    elif not _misfits(facts, Unit.DAY, dom, month_length, day).any():
        unit = Unit.DAY
    else:
        unit = Unit.MICROSECOND
    _, steps = facts.steps(unit)
    step = _commonest(steps)
    if unit is Unit.DAY and step == 1 and _skips_weekends(facts, steps):
        return Frequency(Unit.BUSINESS_DAY, 1)
    return Frequency(unit, step)


def _commonest(steps: Ticks) -> int:
    sizes, counts = np.unique(steps, return_counts=True)
    return int(sizes[np.argmax(counts)])  # argmax and ascending sizes: of equal ones the smallest


def _skips_weekends(facts: _Facts, steps: Ticks) -> bool:
    """Whether no row lies on a weekend although series go on from Friday to Monday."""
    if np.any(weekdays(facts.clock) >= 5):
        return False
    _, business = facts.steps(Unit.BUSINESS_DAY)
    return bool(np.any((steps == 3) & (business == 1)))


def _check_steps(facts: _Facts, frequency: Frequency, positions: Ticks, given: bool) -> None:
    """Raises DataError for a series of another frequency and for rows between the steps."""
    rows = facts.rows
    difference = np.diff(positions)
    uneven = facts.inner & (difference % frequency.step != 0)
    if not given:
        _check_one_frequency(facts, frequency, difference)
    if not uneven.any():
        return
    row = int(np.argmax(uneven)) + 1
    found = describe_span(frequency.unit, int(difference[row - 1]))
    problem = (
        f"found a step of {found} from {rows.row(row - 1)} to {rows.when(int(rows.ticks[row]))}, "
        f"expected whole steps of {frequency.words}"
    )
    if not given:
        problem += ", the commonest; pass {freq} if it is another one"
    if rows.times.zone is not None and frequency.unit not in CALENDAR:
        problem += ". If these are days of a place with summer time, give the times its zone"
    raise rows.error("uneven-time", problem, row, of_time=True, argument="freq")


def _check_one_frequency(facts: _Facts, frequency: Frequency, difference: Ticks) -> None:
    """A series in which less than half of three steps or more are the panel's has another one."""
    rows = facts.rows
    lengths = np.diff(facts.offsets)
    usual = np.zeros(len(difference) + 1, dtype=np.int64)
    usual[1:] = facts.inner & (difference == frequency.step)
    hits = np.add.reduceat(usual, facts.offsets[:-1])
    other = (lengths > 3) & (2 * hits < lengths - 1)
    if not other.any():
        return
    code = int(np.argmax(other))
    start, end = int(facts.offsets[code]), int(facts.offsets[code + 1])
    own = _commonest(difference[start : end - 1])
    share = np.mean(difference[start : end - 1] == own)
    if own == frequency.step or not share > 0.5:
        problem = (
            f"found no step that is half of all steps (the commonest, "
            f"{describe_span(frequency.unit, own)}, is {share:.0%}), expected equally spaced "
            "times; pass {freq} if some rows are missing"
        )
        raise rows.error("no-frequency", problem, start + 1, of_time=True, argument="freq")
    like = int(np.argmax(2 * hits >= lengths - 1))
    problem = (
        f"found a row every {describe_span(frequency.unit, own)}, expected one every "
        f"{frequency.words} as in series {rows.series(like)}; make one panel for each frequency"
    )
    raise rows.error("mixed-frequencies", problem, start, of_time=True)
