"""Finds how to read the columns of a long table of text while its rows go by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from memattn.csv_reader import MISSING, NUMBER, like_number, number_problem
from memattn.errors import DataError, quoted
from memattn.forecast.data import columns as kinds
from memattn.forecast.data.arrow_columns import numbers_of_text
from memattn.forecast.data.columns import distinct, parse_times
from memattn.forecast.data.covariate_columns import BOOLEANS, category_of
from memattn.forecast.data.text_facts import PLAIN, ClockFacts, NumberFacts, WholeFacts
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.times import WHOLE_NUMBER, orders_of, parse_moment

MOST_CELLS = 1 << 20  # distinct cells that are remembered
Failure = Callable[[int, tuple[str, str]], DataError]


class TimeProfile:
    """A column of times: whole numbers, or moments."""

    def __init__(self, day_first: bool | None) -> None:
        self._day_first = day_first
        self._seen: set[str] = set()
        self.clock, self.whole = ClockFacts(), WholeFacts()

    @property
    def known(self) -> ClockFacts | bool:
        """The facts about all cells that `parse_times` needs."""
        return self.clock if self.clock.offsets else True

    def add(self, codes: Ticks, cells: Sequence[str], error: Failure) -> None:
        """Adds rows. Raises DataError for a cell that is not a time, or not like those before."""
        new = [cell for cell in cells if cell not in self._seen]
        if not new:
            return
        if not self.clock.offsets:
            other = [not WHOLE_NUMBER.fullmatch(cell) for cell in new]
            if not any(other):
                self.whole.add(np.array([int(cell) for cell in new], dtype=np.int64))
                self._remember(new)
                return
            if self.whole.first is not None:
                cell = new[other.index(True)]
                problem = f"found {quoted(cell)}, expected a whole number as in the rows before"
                raise error(_row_of(cell, codes, cells), ("not-a-date", problem))
        moments = [parse_moment(cell, self._day_first) for cell in new]
        given = [moment for moment in moments if moment is not None]
        offsets = self.clock.offsets | {moment.offset for moment in given}
        if len(given) < len(new) or (None in offsets and len(offsets) > 1):
            parse_times(codes, cells, error, self._day_first, ClockFacts())  # may raise
            found, wanted = ("a", "none") if None in self.clock.offsets else ("no", "one")
            problem = f"found {found} zone offset, expected {wanted} as in the rows before"
            raise error(_row_of(new[0], codes, cells), ("mixed-zones", problem))
        self.clock.add(given)
        self._remember(new)

    def _remember(self, cells: Sequence[str]) -> None:
        if len(self._seen) > MOST_CELLS:
            self._seen.clear()
        self._seen.update(cells)


class NumberProfile:
    """A column of values."""

    def __init__(self) -> None:
        self._facts = NumberFacts()
        self._odd: DataError | None = None

    def add(self, column: Any, may_be_comma: bool, error: Failure) -> None:
        """Adds rows. Raises DataError for a cell that is not a number in any form."""
        if not may_be_comma and numbers_of_text(column) is not None:
            return
        codes, cells = distinct([cell.strip() for cell in column.to_pylist()])
        for cell in cells:
            plain = NUMBER.fullmatch(cell)
            if cell.lower() in MISSING or (plain and math.isfinite(float(cell))):
                continue
            problem = number_problem(cell)
            if plain:
                problem = ("not-finite", f"found {quoted(cell)}, expected a finite number")
            if plain or not like_number(cell):
                raise error(_row_of(cell, codes, cells), problem)
            if self._odd is None:
                self._odd = error(_row_of(cell, codes, cells), problem)
        self._facts.add(cells)

    def form(self, comma: bool) -> str:
        """Returns how the numbers are written. Raises DataError if they have two meanings."""
        form = self._facts.form(comma)
        if form == PLAIN and self._odd is not None:
            raise self._odd
        return form


class CovariateProfile:
    """A column of numbers, booleans or categories."""

    def __init__(self) -> None:
        self._facts = NumberFacts()
        self._said = self._numbers = self._dates = 0
        self._any, self._booleans = False, True

    def add(self, codes: Ticks, cells: Sequence[str]) -> None:
        """Adds rows."""
        for cell, count in zip(cells, np.bincount(codes, minlength=len(cells)), strict=True):
            if cell.lower() not in MISSING:
                self._said += int(count)
                self._numbers += int(count) if like_number(cell) else 0
                dated = parse_moment(cell) is not None or orders_of(cell)
                self._dates += int(count) if dated else 0
            if category_of(cell) is not None:
                self._any = True
                self._booleans = self._booleans and cell.lower() in BOOLEANS
        self._facts.add(cells)

    def form(self, comma: bool) -> str:
        """Returns how numbers are written."""
        return self._facts.form(comma)

    @property
    def is_numeric(self) -> bool:
        """Whether at least half of the non-missing cells are numbers."""
        return 2 * self._numbers >= self._said > 0

    @property
    def kind(self) -> str | None:
        """The kind of the cells; None for dates, which cannot be used."""
        if not self._any or self.is_numeric:
            return kinds.NUMBER
        if self._booleans:
            return kinds.BOOLEAN
        return None if 2 * self._dates >= self._said > 0 else kinds.TEXT


def _row_of(cell: str, codes: Ticks, cells: Sequence[str]) -> int:
    return int(np.argmax(codes == cells.index(cell)))
