"""The frequency of a panel: parses it, gives its usual season and counts its steps on a calendar.

A step counts rows, numbers, months, days, business days or microseconds. The position of a time is
its count of these units. Equally spaced times have positions a step apart, whatever the length of
months and of days on which the clocks change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted
from memattn.forecast.data.time_axis import Unit, describe_span
from memattn.forecast.data.time_zones import DAY, Ticks
from memattn.forecast.data.times import MAX_NUMBER

CALENDAR = (Unit.MONTH, Unit.DAY, Unit.BUSINESS_DAY, Unit.CLOCK)  # counted on the local clock
COUNTED = (Unit.NUMBER, Unit.ROW)  # whole numbers without a clock
UNITS_A_DAY = {  # on average, of units of times
    Unit.MONTH: 12 / 365.25,
    Unit.DAY: 1,
    Unit.BUSINESS_DAY: 5 / 7,
    Unit.MICROSECOND: DAY,
    Unit.CLOCK: DAY,
}
FIRST_MONDAY = np.datetime64("0001-01-01", "D")  # before all times: NumPy counts back otherwise
MINUTE = 60_000_000  # microseconds
DAYS_TO_SEASON = {1: 7, 7: 52, 14: 26}
MONTH_END = 31  # the day that stands for the last one of any month
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
ALIAS = re.compile(r"(\d{0,9})\s*([A-Za-z]{1,3})(?:-([A-Z]{3}))?", re.ASCII)
SAID = "such as 'h', '15min', 'D', 'B', 'W', 'MS', 'ME', 'QS', 'YS', or a whole number"

# Alias of pandas or Polars -> unit, units in a step, and where in the month a time must lie.
ALIASES: dict[str, tuple[Unit, int, str]] = {
    **dict.fromkeys(("ms", "L"), (Unit.MICROSECOND, 1000, "")),
    **dict.fromkeys(("us", "U"), (Unit.MICROSECOND, 1, "")),
    **dict.fromkeys(("s", "S"), (Unit.MICROSECOND, 1_000_000, "")),
    **dict.fromkeys(("min", "T", "m"), (Unit.MICROSECOND, 60_000_000, "")),
    **dict.fromkeys(("h", "H"), (Unit.MICROSECOND, 3_600_000_000, "")),
    **dict.fromkeys(("D", "d"), (Unit.DAY, 1, "")),
    **dict.fromkeys(("W", "w"), (Unit.DAY, 7, "")),
    "B": (Unit.BUSINESS_DAY, 1, ""),
    **dict.fromkeys(("M", "mo"), (Unit.MONTH, 1, "")),
    **dict.fromkeys(("Q", "q"), (Unit.MONTH, 3, "")),
    **dict.fromkeys(("Y", "y", "A"), (Unit.MONTH, 12, "")),
    "MS": (Unit.MONTH, 1, "start"),
    "QS": (Unit.MONTH, 3, "start"),
    **dict.fromkeys(("YS", "AS"), (Unit.MONTH, 12, "start")),
    "ME": (Unit.MONTH, 1, "end"),
    "QE": (Unit.MONTH, 3, "end"),
    "YE": (Unit.MONTH, 12, "end"),
}


@dataclass(frozen=True)
class Frequency:
    """The time between the rows of every series.

    Attributes
    ----------
    unit : Unit
        What is counted.
    step : int
        Units from one row to the next.
    """

    unit: Unit
    step: int

    @property
    def words(self) -> str:
        """The step as text, such as "1 hour" or "3 months"."""
        return describe_span(self.unit, self.step)

    @property
    def every(self) -> str:
        """The step as it follows "one row every", such as "hour" or "3 months"."""
        return self.words.removeprefix("1 ")

    @property
    def season(self) -> int:
        """The usual number of rows in a season, 1 if there is none."""
        return _usual_season(self.unit, self.step)


def _usual_season(unit: Unit, step: int) -> int:
    if unit is Unit.MONTH:
        return 12 // step if step in (1, 2, 3, 4, 6) else 1
    if unit is Unit.DAY:
        return DAYS_TO_SEASON.get(step, 1)
    if unit is Unit.BUSINESS_DAY:
        return 5 if step == 1 else 1
    if unit in (Unit.MICROSECOND, Unit.CLOCK):
        if step >= MINUTE:
            return DAY // step if DAY % step == 0 else 1
        return MINUTE // step if MINUTE % step == 0 and MINUTE // step <= 60 else 1
    return 1


@dataclass(frozen=True)
class Asked:
    """A frequency that the caller asks for, and what it requires of the times.

    Attributes
    ----------
    text : str
        The caller's text.
    frequency : Frequency
        The frequency that the text means.
    day : str
        ``"start"`` or ``"end"``: where in its month each time must lie; "": anywhere.
    anchor : str
        The weekday or the month on which steps must fall, such as ``"SUN"``; "": on any.
    """

    text: str
    frequency: Frequency
    day: str = ""
    anchor: str = ""


def parse_frequency(freq: object) -> Asked:
    """Parses a frequency: an alias of pandas or Polars, or a whole number.

    Raises
    ------
    DataError
        If `freq` is neither.
    """
    if isinstance(freq, int | np.integer) and not isinstance(freq, bool):
        if not 1 <= freq <= MAX_NUMBER:
            raise _error(str(freq), f"1 to {MAX_NUMBER:g}")
        return Asked(str(freq), Frequency(Unit.NUMBER, int(freq)))
    text = freq if isinstance(freq, str) else str(getattr(freq, "freqstr", ""))
    match = ALIAS.fullmatch(text)
    if match is None or match[2] not in ALIASES:
        raise _error(quoted(text or repr(freq)), f"a frequency {SAID}")
    unit, size, day = ALIASES[match[2]]
    count, anchor = int(match[1] or 1), match[3] or ""
    weekly = match[2] in {"W", "w"}
    known = WEEKDAYS if weekly else MONTHS if unit is Unit.MONTH and size > 1 else ()
    if count < 1 or (anchor and anchor not in known):
        raise _error(quoted(text), f"a frequency {SAID}")
    return Asked(text, Frequency(unit, count * size), day, anchor)


def _error(found: str, expected: str) -> DataError:
    return DataError("option", f"found {found}, expected {expected}", argument="freq")


def positions_of(unit: Unit, clock: Ticks) -> Ticks:
    """Returns the positions of times (n,) in units; calendar units count on the local clock."""
    if unit is Unit.MONTH:
        return _dates(clock).astype("datetime64[M]").astype(np.int64)
    if unit is Unit.DAY:
        return clock // DAY
    if unit is Unit.BUSINESS_DAY:
        return np.busday_count(FIRST_MONDAY, _dates(clock)).astype(np.int64)
    return clock


def clock_at(unit: Unit, position: Ticks, day: Ticks, time_of_day: Ticks) -> Ticks:
    """Returns the times at positions, the inverse of `positions_of`.

    Parameters
    ----------
    unit : Unit
        What positions count.
    position : array (n,)
        The positions.
    day : array (n,)
        For months: the day of the month, the last one in months that are shorter.
    time_of_day : array (n,)
        For calendar units: microseconds since midnight.
    """
    if unit is Unit.MONTH:
        months = position.astype("datetime64[M]")
        first = months.astype("datetime64[D]").astype(np.int64)
        return (first + np.minimum(day, month_lengths(months)) - 1) * DAY + time_of_day
    if unit is Unit.DAY:
        return position * DAY + time_of_day
    if unit is Unit.BUSINESS_DAY:
        days = np.busday_offset(FIRST_MONDAY, position).astype(np.int64)
        return days * DAY + time_of_day
    return position


def month_lengths(months: npt.NDArray[np.datetime64]) -> Ticks:
    """Returns the number of days in each month."""
    first = months.astype("datetime64[D]")
    following = (months + np.timedelta64(1, "M")).astype("datetime64[D]")
    length: Ticks = (following - first).astype(np.int64)
    return length


def days_of_month(clock: Ticks) -> tuple[Ticks, Ticks]:
    """Returns the day of the month of each time, from 1, and the length of that month."""
    dates = _dates(clock)
    months = dates.astype("datetime64[M]")
    day = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
    return day, month_lengths(months)


def weekdays(clock: Ticks) -> Ticks:
    """Returns the weekday of each time, 0 for Monday to 6 for Sunday."""
    return (clock // DAY + 3) % 7  # 1970-01-01 was a Thursday


def _dates(clock: Ticks) -> npt.NDArray[np.datetime64]:
    dates: npt.NDArray[np.datetime64] = (clock // DAY).astype("datetime64[D]")
    return dates
