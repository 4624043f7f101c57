"""The columns of rows that come from several files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from memattn.errors import DataError, printable
from memattn.forecast.data.frame_columns import FrameColumns, frame_columns
from memattn.forecast.data.time_zones import Ticks


class FileSetColumns(FrameColumns):
    """The columns of an Arrow table whose rows come from files."""

    def __init__(
        self, table: Any, source: Path, rows: Ticks, place_of: Callable[[int], tuple[Path, int]]
    ) -> None:
        super().__init__(frame_columns(table, file=source).frame, source)
        self._rows, self._place_of = rows, place_of

    def error(self, kind: str, problem: str, row: int, column: str) -> DataError:
        """Returns the DataError for a cell, with its file and the row in it."""
        file, number = self._place_of(int(self._rows[row]))
        return DataError(kind, f"row {number + 1}: {problem}", file=file, column=column)

    def place(self, row: int) -> str:
        """Returns the position of a row, such as "row 7 of a.parquet"."""
        file, number = self._place_of(int(self._rows[row]))
        return f"row {number + 1:,} of {printable(file.name)}"
