"""A table of few features, for forecasts where neither pandas nor Polars is installed."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn.files import write_atomically

SHOWN = 10  # rows of a long table that `repr` shows


class SmallTable:
    """Columns of equal length, by name; `table["ds"]` is an array.

    Parameters
    ----------
    columns : mapping of str to array (n,)
        Ids, times as text, and numbers.
    """

    def __init__(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        self._columns = dict(columns)

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._columns)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name]

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __repr__(self) -> str:
        shown = [self.columns, *(map(_short, row) for row in self._rows(SHOWN))]
        cells = [list(row) for row in shown]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in cells]
        more = len(self) - SHOWN
        return "\n".join([*lines, f"... and {more:,} more rows"] if more > 0 else lines)

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns as lists."""
        return {name: column.tolist() for name, column in self._columns.items()}

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """The table as CSV: into a file, or without `path` returned as text.

        Numbers are written with as many digits as it takes to read the same bits; a missing one is
        an empty cell.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self._rows(len(self)))
        if path is None:
            return text.getvalue()
        write_atomically(Path(path), text.getvalue().encode())
        return None

    def _rows(self, count: int) -> Iterator[tuple[Any, ...]]:
        """The first rows, None for missing numbers."""
        return zip(*(_cells(column[:count]) for column in self._columns.values()), strict=True)


def _cells(column: npt.NDArray[Any]) -> list[Any]:
    cells: list[Any] = column.tolist()
    if column.dtype.kind == "f":
        for row in np.flatnonzero(np.isnan(column)):
            cells[row] = None
    return cells


def _short(cell: Any) -> str:
    """A cell for people."""
    if isinstance(cell, float) and math.isfinite(cell):
        return f"{cell:.6g}"
    return "" if cell is None else str(cell)
