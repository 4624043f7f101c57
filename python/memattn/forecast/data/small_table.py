"""A minimal table for forecasts if neither pandas nor Polars is installed."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn.files import write_atomically

SHOWN = 10  # rows of a long table that `repr` shows


class SmallTable:
    """A table of columns with equal lengths; `table["ds"]` is an array.

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
        cells = [
            [name, *map(_short, column[:SHOWN].tolist())] for name, column in self._columns.items()
        ]
        padded = [[cell.rjust(max(map(len, column))) for cell in column] for column in cells]
        lines = ["  ".join(row) for row in zip(*padded, strict=True)]
        more = len(self) - SHOWN
        return "\n".join([*lines, f"... and {more:,} more rows"] if more > 0 else lines)

    def to_dict(self) -> dict[str, list[Any]]:
        """Returns the columns as lists."""
        return {name: column.tolist() for name, column in self._columns.items()}

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Writes the table as CSV to `path`, or returns it as text.

        Numbers are written with as many digits as needed to restore the same bits; a missing number
        is an empty cell.
        """
        text = io.StringIO(newline="")
        text.write(",".join(map(_quoted, self.columns)) + "\n")
        cells = [map(str, _texts(column)) for column in self._columns.values()]
        text.writelines(",".join(row) + "\n" for row in zip(*cells, strict=True))
        if path is None:
            return text.getvalue()
        write_atomically(Path(path), text.getvalue().encode())
        return None


def _texts(column: npt.NDArray[Any]) -> Iterable[Any]:
    """Returns cells for CSV; `str` of each number restores the same bits."""
    cells: list[Any] = column.tolist()
    if column.dtype == object:
        quoted = {cell: _quoted(str(cell)) for cell in set(cells)}
        return map(quoted.__getitem__, cells)
    if column.dtype.kind == "f":
        for row in np.flatnonzero(np.isnan(column)):
            cells[row] = ""
    return cells


def _quoted(cell: str) -> str:
    """Returns a text, with quotes around it if CSV needs them."""
    if any(mark in cell for mark in ',"\r\n'):
        return '"' + cell.replace('"', '""') + '"'
    return cell or '""'  # a lone empty cell would be a blank line


def _short(cell: Any) -> str:
    """Returns a cell as short text."""
    if isinstance(cell, float):
        return "" if math.isnan(cell) else f"{cell:.6g}"
    return str(cell)
