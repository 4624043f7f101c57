"""Infers the frequency from the rows of a panel, or checks the one that the caller gives."""

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
from memattn.forecast.data.time_zones import DAY, Ticks, moved_by

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Spacing:
    """Where the rows lie on the grid of their series.

    Attributes
    ----------
    frequency : Frequency
        The frequency of all series.
    steps : array (n,)
        Steps since the first row of the series.
    day, time : array (N,)
        As in `Panel`.
    """

    frequency: Frequency
    steps: Ticks
    day: Ticks
    time: Ticks | None


class _Facts:
    """Facts about the times of ordered rows, computed once for all units."""

    def __init__(self, rows: LongRows) -> None:
        self.rows, self.clock = rows, rows.clock()
        self.offsets, self.inner = rows.offsets, rows.inner
        starts = self.offsets[:-1]
        self.dom, self.month_length = (
            (self.clock, self.clock) if rows.times.is_number else days_of_month(self.clock)
        )
        at_end = np.logical_and.reduceat(self.dom == self.month_length, starts)
        # The day of the month of each series if its rows are months: the latest of all rows.
        self.day = np.where(at_end, MONTH_END, np.maximum.reduceat(self.dom, starts))

    def of_rows(self, values: Ticks) -> Ticks:
        """Repeats a value of each series for each of its rows."""
        return np.repeat(values, np.diff(self.offsets))

    def usual(self, period: int) -> Ticks:
        """Returns the commonest time of each series within a period of the clock (N,)."""
        times = self.clock % period
        if self.rows.times.zone is None:  # then no row is moved
            return times[self.offsets[:-1]]
        kinds, counts = np.unique(self.rows.codes * period + times, return_counts=True)
        order = np.lexsort((kinds, -counts, kinds // period))
        _, first = np.unique(kinds[order] // period, return_index=True)
        usual: Ticks = kinds[order][first] % period
        return usual

    def place(self, frequency: Frequency, day: Ticks) -> tuple[Ticks, Flags, Ticks | None]:
        """Returns the positions of rows, which rows do not fit, and `Panel.time`.

        On a calendar, a row has the usual time of day of its series, or it was moved because the
        clock never showed the usual time on that day.
        """
        unit = frequency.unit
        if unit not in CALENDAR:
            return self.rows.ticks, np.zeros(len(self.clock), dtype=bool), None
        period = frequency.step if unit is Unit.CLOCK else DAY
        usual = self.usual(period)
        late = (self.clock - self.of_rows(usual)) % period
        misfit: Flags = late != 0
        moved = False
        if misfit.any() and self.rows.times.zone is not None:
            misfit[misfit] = late[misfit] > moved_by(
                self.rows.times.zone, (self.clock - late)[misfit]
            )
            moved = bool((late[~misfit] > 0).any())
        if unit is Unit.MONTH:
            misfit |= self.dom != np.minimum(self.of_rows(day), self.month_length)
        if unit is Unit.BUSINESS_DAY:
            misfit |= weekdays(self.clock) >= 5
        return positions_of(unit, self.clock - late), misfit, usual if moved else None


def find_spacing(
    rows: LongRows, asked: Asked | None, seen: Flags | None = None, *, checked: bool = True
) -> Spacing:
    """Returns the spacing of rows in order, inferred or as asked.

    The unit is the coarsest one that fits all rows; the step is the commonest one, the smallest of
    equally common ones.

    Parameters
    ----------
    rows : LongRows
        All rows, which have to fit.
    asked : Asked, optional
        None: the frequency is inferred.
    seen : array (n,), optional
        The rows to infer the frequency from, if a series has two of them. Default: all.
    checked : bool
        False: rows that do not fit get some position.

    Raises
    ------
    DataError
        If no series has two rows, rows lie between the steps, or series have different frequencies.
    """
    facts = _Facts(rows)
    day = facts.day
    if asked is not None:
        _check_asked(rows, asked)
        wanted = f"a time of frequency {asked.text!r}" if asked.text else "{} as in training"
        if asked.day:
            day = np.full_like(day, 1 if asked.day == "start" else MONTH_END)
        frequency, (positions, misfit, time) = _on_the_clock(facts, asked.frequency, day)
        misfit |= _breaks_anchor(asked, facts.clock)
    else:
        wanted = "{}, as before the first cutoff; pass {{freq}} if it is another one"
        shown = facts
        if seen is not None and (facts.inner & seen[1:] & seen[:-1]).any():
            shown = _Facts(rows.alone(seen))
        frequency = _infer(shown)
        positions, misfit, time = facts.place(frequency, day)
    if checked and misfit.any():
        row = int(np.argmax(misfit))
        wanted = wanted.format(f"one row every {frequency.every}")
        problem = f"found {rows.row(row)}, expected {wanted}"
        argument = "freq" if asked is None else None
        raise rows.error("off-grid", problem, row, of_time=True, argument=argument)
    if checked:
        if asked is None:
            _check_one_frequency(shown, frequency)
        _check_steps(facts, frequency, positions, asked)
    steps = (positions - facts.of_rows(positions[facts.offsets[:-1]])) // frequency.step
    day = day if frequency.unit is Unit.MONTH else np.zeros_like(day)
    return Spacing(frequency, steps, day, time)


def _infer(facts: _Facts) -> Frequency:
    if not facts.inner.any():
        problem = f"every series has a single row, which shows no frequency; pass {{freq}}, {SAID}"
        raise DataError("no-frequency", problem, argument="freq")
    is_number = facts.rows.times.is_number
    for unit in () if is_number else (Unit.MONTH, Unit.DAY):
        positions, misfit, _ = facts.place(Frequency(unit, 1), facts.day)
        if not misfit.any():
            steps = np.diff(positions)[facts.inner]
            if unit is Unit.DAY and _skips_weekends(facts, steps):
                return Frequency(Unit.BUSINESS_DAY, 1)
            return Frequency(unit, max(_commonest(steps), 1))
    step = _commonest(np.diff(facts.rows.ticks)[facts.inner])
    unit = Unit.NUMBER if is_number else Unit.MICROSECOND
    return _on_the_clock(facts, Frequency(unit, step), facts.day)[0]


def _on_the_clock(
    facts: _Facts, frequency: Frequency, day: Ticks
) -> tuple[Frequency, tuple[Ticks, Flags, Ticks | None]]:
    """Returns the frequency and its `place`, on the local clock if only there steps are whole."""
    step, placed = frequency.step, facts.place(frequency, day)
    if (
        frequency.unit is Unit.MICROSECOND
        and facts.rows.times.zone is not None
        and DAY % step == 0
        and (np.diff(placed[0])[facts.inner] % step).any()
    ):
        local = Frequency(Unit.CLOCK, step)
        positions, misfit, time = facts.place(local, day)
        steps = np.diff(positions)[facts.inner]
        if not misfit.any() and (steps > 0).all() and not (steps % step).any():
            return local, (positions, misfit, time)
    return frequency, placed


def _check_asked(rows: LongRows, asked: Asked) -> None:
    if (asked.frequency.unit is Unit.NUMBER) == rows.times.is_number:
        return
    if not asked.text:
        kinds = ("whole numbers", "dates") if rows.times.is_number else ("dates", "whole numbers")
        problem = f"found {kinds[0]}, expected {kinds[1]} as in training"
        raise DataError("other-times", problem, column=rows.names.times)
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


def _commonest(steps: Ticks) -> int:
    sizes, counts = np.unique(steps, return_counts=True)
    return int(sizes[np.argmax(counts)])  # the smallest of the commonest, since sizes ascend


def _skips_weekends(facts: _Facts, steps: Ticks) -> bool:
    """Returns whether days are consecutive and never on a weekend, with Monday after Friday."""
    if _commonest(steps) != 1 or np.any(weekdays(facts.clock) >= 5):
        return False
    business = np.diff(positions_of(Unit.BUSINESS_DAY, facts.clock))[facts.inner]
    return bool(np.any((steps == 3) & (business == 1)))


def _check_steps(
    facts: _Facts, frequency: Frequency, positions: Ticks, asked: Asked | None
) -> None:
    """Raises DataError for rows between the steps, or two rows on one step."""
    rows = facts.rows
    difference = np.diff(positions)
    uneven = facts.inner & ((difference % frequency.step != 0) | (difference < 1))
    if not uneven.any():
        return
    row = int(np.argmax(uneven)) + 1
    found = describe_span(frequency.unit, int(difference[row - 1]))
    problem = (
        f"found a step of {found} from {rows.row(row - 1)} to {rows.when(int(rows.ticks[row]))}, "
        f"expected whole steps of {frequency.words}"
    )
    if asked is None:
        problem += ", the most common step; pass {freq} if the frequency is another"
    elif not asked.text:
        problem += " as in training"
    if rows.times.zone is not None and frequency.unit not in CALENDAR:
        problem += (
            ". If these are days in a place with daylight saving time, give the times its zone"
        )
    argument = "freq" if asked is None or asked.text else None
    raise rows.error("uneven-time", problem, row, of_time=True, argument=argument)


def _check_one_frequency(facts: _Facts, frequency: Frequency) -> None:
    """Raises DataError if less than half the steps of a series are the panel's.

    Series of fewer than three steps are not checked.
    """
    rows = facts.rows
    difference = np.diff(facts.place(frequency, facts.day)[0])
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
            f"the times are not equally spaced: the most common step, "
            f"{describe_span(frequency.unit, own)}, is only {share:.0%} of all steps; "
            "pass {freq} if rows are missing"
        )
        raise rows.error("no-frequency", problem, start + 1, of_time=True, argument="freq")
    like = int(np.argmax(2 * hits >= lengths - 1))
    problem = (
        f"found a row every {Frequency(frequency.unit, own).every}, expected one every "
        f"{frequency.every} as in series {rows.series(like)}; make one panel for each frequency"
    )
    raise rows.error("mixed-frequencies", problem, start, of_time=True)
