"""Finds the line on which a row of a CSV file begins, for messages about many rows."""

from __future__ import annotations

import bisect
from contextlib import suppress
from pathlib import Path

from memattn.errors import DataError
from memattn.forecast.data.csv_blocks import CsvBlocks

MOST_STEPS = 1 << 18  # kept per file: rows after blank lines, or after cells of several lines


class LinesOfRows:
    """The lines of the rows of a file, which is read once.

    Keeps only the rows at which the line number minus the row number changes: one in most files.
    For a row after `MOST_STEPS` of them the file is read again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[int] = []
        self._before: list[int] = []  # line minus row, from each of these rows on
        self._is_whole = True
        with suppress(DataError):  # about a later row than those that were read
            for row, before in CsvBlocks(path).steps():
                if len(self._rows) == MOST_STEPS:
                    self._is_whole = False
                    break
                self._rows.append(row)
                self._before.append(before)

    def line(self, row: int) -> int:
        """Returns the line on which a row begins; rows count from 0, lines from 1."""
        if not self._is_whole and row >= self._rows[-1]:
            return row + self._read_again(row)
        place = bisect.bisect_right(self._rows, row) - 1
        return row + (self._before[place] if place >= 0 else 2)

    def _read_again(self, row: int) -> int:
        found = 2
        with suppress(DataError):
            for first, before in CsvBlocks(self._path).steps():
                if first > row:
                    break
                found = before
        return found
