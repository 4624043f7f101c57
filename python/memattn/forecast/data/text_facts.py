"""Gathers facts about all cells of a text column, some rows at a time.

How one cell is read may depend on all others: dates with several offsets are converted to one
clock, 1,234 is a number beside 1,234,567, and whole numbers may all be dates. A table that is read
at once uses the facts of its own cells; the parts of a larger table share the facts of all its
rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from memattn.csv_reader import MISSING, NUMBER, WITH_COMMA, WITH_POINT
from memattn.forecast.data.time_zones import DAY, Ticks
from memattn.forecast.data.times import EPOCH, Moment, Style, kind_of_range, misfits

MICROSECOND = timedelta(microseconds=1)
PLAIN, COMMA, GROUPS = "plain", "comma", "groups"  # how the numbers of a column are written


@dataclass
class ClockFacts:
    """Offsets from UTC, styles and times of day of the moments of a column."""

    offsets: set[timedelta | None] = field(default_factory=set)
    styles: set[Style] = field(default_factory=set)
    local: set[int] = field(default_factory=set)  # times of day, at most two of them
    utc: set[int] = field(default_factory=set)

    def add(self, moments: Iterable[Moment]) -> None:
        """Adds moments."""
        for moment in moments:
            self.offsets.add(moment.offset)
            self.styles.add(moment.style)
            if moment.offset is None:
                continue
            ticks = (moment.local - EPOCH) // MICROSECOND
            if len(self.local) < 2:
                self.local.add(ticks % DAY)
            if len(self.utc) < 2:
                self.utc.add((ticks - moment.offset // MICROSECOND) % DAY)

    @property
    def style(self) -> Style:
        """The most detailed style, whatever the order of the rows."""
        return max(self.styles, key=_fullness)

    @property
    def is_of_local_days(self) -> bool:
        """Whether moments of several offsets have one time of day on the local clock only."""
        return len(self.local) == 1 < len(self.utc)


def _fullness(style: Style) -> tuple[bool, bool, int, str]:
    return bool(style.time_mark), style.seconds, style.fraction_digits, repr(style)


@dataclass
class WholeFacts:
    """Whole numbers of a column that may all be dates."""

    low: int = 0
    high: int = 0
    step: int = 0  # the greatest common divisor of all distances from the first number
    first: int | None = None
    misfit: set[str] = field(default_factory=set)  # kinds of dates that some number does not fit

    def add(self, numbers: Ticks) -> None:
        """Adds one or more numbers."""
        if self.first is None:
            self.first = self.low = self.high = int(numbers[0])
        self.low, self.high = min(self.low, int(numbers.min())), max(self.high, int(numbers.max()))
        self.step = math.gcd(self.step, int(np.gcd.reduce(numbers - self.first)))
        for kind in ("YYYYMM", "YYYYMMDD"):
            if kind not in self.misfit and misfits(numbers, kind).any():
                self.misfit.add(kind)

    @property
    def kind(self) -> str | None:
        """The `number_kind` of all numbers."""
        return kind_of_range(self.low, self.high, lambda: self.step, self.misfit.__contains__)


@dataclass
class NumberFacts:
    """How the numbers of a column are written."""

    points: bool = True  # all are numbers with a point, perhaps with groups of digits
    commas: bool = True  # all may be numbers with a decimal comma
    groups: bool = False  # one has unambiguous groups of digits

    def add(self, cells: Sequence[str]) -> None:
        """Adds cells, stripped of spaces."""
        for cell in cells:
            if cell.lower() in MISSING:
                continue
            if self.points:
                self.points = bool(NUMBER.fullmatch(cell) or WITH_POINT.fullmatch(cell))
            self.commas = self.commas and WITH_COMMA.fullmatch(cell) is not None
            if cell.count(",") > 1 or ("," in cell and "." in cell):
                self.groups = True

    def form(self, comma: bool) -> str:
        """Returns how the numbers are written; `comma` is whether the file has decimal commas."""
        if comma and self.commas:
            return COMMA
        return GROUPS if self.points and self.groups else PLAIN


def plain_number(cell: str, form: str) -> str:
    """Returns a cell that is not missing as Python writes numbers."""
    if form == COMMA:
        return cell.replace(".", "").replace(",", ".")
    return cell.replace(",", "") if form == GROUPS else cell
