"""Dates as people write them in CSV files: reading one, and writing the next ones in the same form.

Understood are ISO 8601 (``2013-01-31``, ``2013-01-31T13:00:00Z``, ``2013-01-31 13:00+02:00``), the
same with slashes, months (``2013-01``) and quarters (``2013-Q1``). A date such as ``01/02/2013`` is
not: it means two different days on the two sides of the Atlantic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

EPOCH = datetime(1970, 1, 1)
EXPECTED_DATE = "a date such as 2013-01-31, 2013-01-31T13:00:00Z, 2013-01 or 2013-Q1"
WHOLE_NUMBER = re.compile(r"[+-]?\d{1,15}", re.ASCII)  # a time, too, that counts rows
MAX_NUMBER = 10**15 - 1  # the largest that WHOLE_NUMBER has digits for
QUARTER = re.compile(r"(\d{4})-?[Qq]([1-4])", re.ASCII)
MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
MOMENT = re.compile(
    r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})"
    r"(?:([Tt]|\ {1,9})(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    r"\ ?(Z|z|UTC|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)


@dataclass(frozen=True)
class Style:
    """How a date is written, apart from its digits."""

    kind: str = "moment"  # "quarter", "month" or "moment"
    quarter_mark: str = "-Q"
    date_mark: str = "-"
    time_mark: str = ""  # between date and time; empty: a date alone
    seconds: bool = False
    fraction_digits: int = 0
    zone: str = ""  # as written: "", "Z", "+02:00", ...


@dataclass(frozen=True)
class Moment:
    """A date as read: the clock that it shows, its distance from UTC, and how it was written."""

    local: datetime  # without zone
    offset: timedelta | None
    style: Style


def parse_moment(text: str) -> Moment | None:
    """The date that `text` says, or None when it is none."""
    try:
        return _parse(text)
    except (ValueError, OverflowError):  # a day or an hour that does not exist
        return None


def _parse(text: str) -> Moment | None:
    if match := QUARTER.fullmatch(text):
        mark = text[4:-1]
        local = datetime(int(match[1]), 3 * int(match[2]) - 2, 1)
        return Moment(local, None, Style("quarter", quarter_mark=mark))
    if match := MONTH.fullmatch(text):
        return Moment(datetime(int(match[1]), int(match[2]), 1), None, Style("month"))
    match = MOMENT.fullmatch(text)
    if match is None:
        return None
    year, date_mark, month, day, time_mark, hour, minute, second, fraction, zone = match.groups()
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
        date_mark=date_mark,
        time_mark=time_mark or "",
        seconds=second is not None,
        fraction_digits=min(len(fraction or ""), 6),
        zone=zone or "",
    )
    return Moment(local, _offset(zone), style)


def is_readable(style: Style) -> bool:
    """Whether dates are read that are written in `style`, which may be any texts and numbers."""
    if not 0 <= style.fraction_digits <= 6:
        return False
    moment = parse_moment(format_moment(datetime(2001, 1, 2, 3, 4, 5, 678901), style))
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
    """`local` written in `style`."""
    if style.kind == "quarter":
        return f"{local.year:04d}{style.quarter_mark}{(local.month + 2) // 3}"
    if style.kind == "month":
        return f"{local.year:04d}-{local.month:02d}"
    mark = style.date_mark
    text = f"{local.year:04d}{mark}{local.month:02d}{mark}{local.day:02d}"
    if not style.time_mark:
        return text
    text += f"{style.time_mark}{local.hour:02d}:{local.minute:02d}"
    if style.seconds:
        text += f":{local.second:02d}"
    if style.fraction_digits:
        text += f".{local.microsecond:06d}"[: 1 + style.fraction_digits]
    return text + style.zone
