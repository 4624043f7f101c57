"""The units in which the times of equally spaced rows are counted, and spans of them as text."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum


class Unit(Enum):
    """What one step of the axis counts."""

    ROW = "row"
    NUMBER = "step"
    MONTH = "month"
    DAY = "day"
    BUSINESS_DAY = "business day"
    MICROSECOND = "microsecond"
    CLOCK = "microsecond of the local clock"


def describe_span(unit: Unit, count: int) -> str:
    """Returns a span of the axis as text, such as "3 months"."""
    if unit not in (Unit.MICROSECOND, Unit.CLOCK):
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
