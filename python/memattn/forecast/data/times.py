"""Reads dates in CSV files, and writes the dates of forecasts in the same style.

The formats are ISO 8601 (``2013-01-31``, ``2013-01-31T13:00:00Z``, ``2013-01-31 13:00+02:00``), the
same with slashes, weeks (``2013-W05``, which is its Monday, ``2013-W05-1``), months (``2013-01``,
``Jan 2013``), quarters (``2013-Q1``) and ``31-Jan-2013``. A date such as ``01/02/2013`` is read
when the caller says whether the day comes first. Whole numbers may be years, ``201301``,
``20130131``, or seconds or milliseconds since 1970.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

Ticks = npt.NDArray[np.int64]

EPOCH = datetime(1970, 1, 1)
EXPECTED_DATE = "a date such as 2013-01-31, 2013-01-31T13:00:00Z, 2013-01, 2013-Q1 or 2013-W05"
WHOLE_NUMBER = re.compile(r"[+-]?\d{1,15}", re.ASCII)  # also a time that counts rows
MAX_NUMBER = 10**15 - 1  # the largest that WHOLE_NUMBER matches
QUARTER = re.compile(r"(\d{4})-?[Qq]([1-4])", re.ASCII)
WEEK = re.compile(r"(\d{4})(-?)[Ww](\d{2})(?:\2([1-7]))?", re.ASCII)  # of ISO 8601
MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_CLOCK = (
    r"(?:([Tt]|,?\ {1,9})(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    r"\ ?(Z|z|UTC|[+-]\d{2}:?\d{2})?)?"
)
MOMENT = re.compile(r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})" + _CLOCK, re.ASCII)
ORDERED = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + _CLOCK, re.ASCII)
NAMED_DAY = re.compile(r"(\d{1,2})([- ])([A-Za-z]{3})\2(\d{4})", re.ASCII)
NAMED_MONTH = re.compile(r"([A-Za-z]{3})([- ])(\d{4})|(\d{4})([- ])([A-Za-z]{3})", re.ASCII)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAY_FIRST, MONTH_FIRST = "day-first", "month-first"
# Whole numbers that are dates: the name of each kind, and the range of its numbers.
NUMBERS = {
    "years": (1800, 2100),
    "YYYYMM": (1800_01, 2100_12),
    "YYYYMMDD": (1800_01_01, 2100_12_31),
    "seconds since 1970": (250_000_000, 4_102_444_800),  # 1977 to 2099
    "milliseconds since 1970": (250_000_000_000, 4_102_444_800_000),
}
TICKS = {"seconds since 1970": 1_000_000, "milliseconds since 1970": 1000}  # microseconds
NO_TIME = np.iinfo(np.int64).min
MINUTE = 60  # seconds; numbers that are not multiples of it apart may count something else


@dataclass(frozen=True)
class Style:
    """How a date is written, apart from its digits."""

    # "quarter", "week", "week-day", "month", "moment"; "day-first", "month-first"; "day-name",
    # "month-name", "name-month"; or one of NUMBERS
    kind: str = "moment"
    quarter_mark: str = "-Q"  # or "-W" for a week
    date_mark: str = "-"
    time_mark: str = ""  # between date and time; empty: a date alone
    seconds: bool = False
    fraction_digits: int = 0
    zone: str = ""  # as written: "", "Z", "+02:00", ...


@dataclass(frozen=True)
class Moment:
    """A date that was read: its local time, its offset from UTC, and its style."""

    local: datetime  # without zone
    offset: timedelta | None
    style: Style


def parse_moment(text: str, day_first: bool | None = None) -> Moment | None:
    """Parses `text` as a date; returns None if it is none.

    `day_first` is whether 01/02/2013 is in February; with None, such text is no date.
    """
    try:
        return _parse(text, day_first)
    except (ValueError, OverflowError):  # a day or an hour that does not exist
        return None


def orders_of(text: str) -> tuple[bool, ...]:
    """Returns each `day_first` with which `text` is a date such as 01/02/2013."""
    if not ORDERED.fullmatch(text):
        return ()
    return tuple(first for first in (True, False) if parse_moment(text, first) is not None)


def _parse(text: str, day_first: bool | None) -> Moment | None:
    if match := QUARTER.fullmatch(text):
        mark = text[4:-1]
        local = datetime(int(match[1]), 3 * int(match[2]) - 2, 1)
        return Moment(local, None, Style("quarter", quarter_mark=mark))
    if match := WEEK.fullmatch(text):
        local = datetime.fromisocalendar(int(match[1]), int(match[3]), int(match[4] or 1))
        mark = text[4 : match.start(3)]
        return Moment(local, None, Style("week-day" if match[4] else "week", quarter_mark=mark))
    if match := MONTH.fullmatch(text):
        return Moment(datetime(int(match[1]), int(match[2]), 1), None, Style("month"))
    if match := MOMENT.fullmatch(text):
        kind, (year, date_mark, month, day, *clock) = "moment", match.groups()
    elif day_first is not None and (match := ORDERED.fullmatch(text)):
        kind, (day, date_mark, month, year, *clock) = DAY_FIRST, match.groups()
        if not day_first:
            kind, day, month = MONTH_FIRST, month, day
    else:
        return _named(text)
    time_mark, hour, minute, second, fraction, zone = clock
    local = datetime(
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "0").ljust(6, "0")[:6]),
    )
    style = Style(
        kind,
        date_mark=date_mark,
        time_mark=time_mark or "",
        seconds=second is not None,
        fraction_digits=min(len(fraction or ""), 6),
        zone=zone or "",
    )
    return Moment(local, _offset(zone), style)


def _named(text: str) -> Moment | None:
    """Parses a date with an English name of a month. Raises ValueError for another word."""
    day = "1"
    if match := NAMED_DAY.fullmatch(text):
        kind, (day, mark, name, year) = "day-name", match.groups()
    elif match := NAMED_MONTH.fullmatch(text):
        kind = "name-month" if match[1] else "month-name"
        year, mark, name = match[3] or match[4], match[2] or match[5], match[1] or match[6]
    else:
        return None
    month = MONTHS.index(name.lower()) + 1
    return Moment(datetime(int(year), month, int(day)), None, Style(kind, date_mark=mark))


def number_kind(numbers: Ticks) -> str | None:
    """Returns the kind in `NUMBERS` that all whole numbers, in any order, may be, or None.

    Numbers that only count are not dates, except for years: no 32 dates are consecutive numbers.
    """
    low, high = int(numbers.min()), int(numbers.max())
    return kind_of_range(
        low,
        high,
        lambda: int(np.gcd.reduce(numbers - low)),
        lambda kind: bool(misfits(numbers, kind).any()),
    )


def kind_of_range(
    low: int, high: int, step: Callable[[], int], is_misfit: Callable[[str], bool]
) -> str | None:
    """Returns the `number_kind` of numbers from `low` to `high`.

    `step` returns the greatest common divisor of their differences, `is_misfit` whether one of them
    is not a date of a kind.
    """
    found = [kind for kind, (least, most) in NUMBERS.items() if least <= low <= high <= most]
    if not found:
        return None
    (kind,) = found
    if kind in TICKS:
        span = step() or low  # a single time has no step
        return kind if span % (MINUTE * 1_000_000 // TICKS[kind]) == 0 else None
    return None if is_misfit(kind) else kind


def misfits(numbers: Ticks, kind: str) -> npt.NDArray[np.bool_]:
    """Returns which numbers are not dates of a kind."""
    bad: npt.NDArray[np.bool_] = ticks_of(numbers, kind) == NO_TIME
    return bad


def ticks_of(numbers: Ticks, kind: str) -> Ticks:
    """Returns numbers of a kind as microseconds since 1970, `NO_TIME` if they are not dates."""
    if kind in TICKS:
        return numbers * TICKS[kind]
    years, rest = np.divmod(numbers, {"years": 1, "YYYYMM": 100, "YYYYMMDD": 10_000}[kind])
    month, day = np.divmod(rest, 100) if kind == "YYYYMMDD" else (rest, np.ones_like(rest))
    month = np.ones_like(rest) if kind == "years" else month
    months = ((years - 1970) * 12 + month - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (day - 1)
    good = (month >= 1) & (month <= 12) & (dates.astype("datetime64[M]") == months)
    ticks = dates.astype("datetime64[us]").astype(np.int64)
    return np.where(good, ticks, NO_TIME)


def is_readable(style: Style) -> bool:
    """Returns whether dates written in `style`, which may hold any text and number, are read."""
    if not 0 <= style.fraction_digits <= 6:
        return False
    if style.kind in NUMBERS:
        return style == Style(style.kind)
    text = format_moment(datetime(2001, 1, 2, 3, 4, 5, 678901), style)
    moment = parse_moment(text, style.kind == DAY_FIRST)
    return moment is not None and moment.style == style


def _offset(zone: str | None) -> timedelta | None:
    if not zone:
        return None
    if zone.upper() in {"Z", "UTC"}:
        return timedelta(0)
    sign = -1 if zone[0] == "-" else 1
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 14 or minutes > 59:
        raise ValueError(zone)
    return sign * timedelta(hours=hours, minutes=minutes)


def format_moment(local: datetime, style: Style) -> str:
    """Returns `local` as text in `style`."""
    if style.kind == "quarter":
        return f"{local.year:04d}{style.quarter_mark}{(local.month + 2) // 3}"
    if style.kind in ("week", "week-day"):
        week = local.isocalendar()
        text = f"{week.year:04d}{style.quarter_mark}{week.week:02d}"
        return text if style.kind == "week" else f"{text}{style.quarter_mark[:-1]}{week.weekday}"
    if style.kind == "month":
        return f"{local.year:04d}-{local.month:02d}"
    if style.kind in TICKS:
        return str((local - EPOCH) // timedelta(microseconds=TICKS[style.kind]))
    if style.kind in NUMBERS:
        digits = len(str(NUMBERS[style.kind][0]))
        return f"{local.year:04d}{local.month:02d}{local.day:02d}"[:digits]
    mark = style.date_mark
    year, month, day = f"{local.year:04d}", f"{local.month:02d}", f"{local.day:02d}"
    name = MONTHS[local.month - 1].title()
    parts = {
        DAY_FIRST: (day, month, year),
        MONTH_FIRST: (month, day, year),
        "day-name": (day, name, year),
        "month-name": (year, name),
        "name-month": (name, year),
    }
    text = mark.join(parts.get(style.kind, (year, month, day)))
    if not style.time_mark:
        return text
    text += f"{style.time_mark}{local.hour:02d}:{local.minute:02d}"
    if style.seconds:
        text += f":{local.second:02d}"
    if style.fraction_digits:
        text += f".{local.microsecond:06d}"[: 1 + style.fraction_digits]
    return text + style.zone
