"""Reads a CSV file into columns of text that remember their lines, and turns them into numbers.

Whatever is wrong with a file becomes a DataError that names file, line and column.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted

DELIMITERS = (",", ";", "\t", "|")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})


@dataclass(frozen=True)
class Table:
    """The cells of a file as text, without the spaces around them.

    Attributes
    ----------
    names : list of str
        Column names, all different.
    rows : list of list of str
        One list of ``len(names)`` cells for each row.
    lines : list of int
        The line, counted from 1, on which each row begins; for data that came from memory, the
        number of the row.
    file : Path, optional
        Where it was read from.
    """

    names: list[str]
    rows: list[list[str]]
    lines: list[int]
    file: Path | None = None

    def cells(self, index: int) -> list[str]:
        """The cells of one column."""
        return [row[index] for row in self.rows]

    def error(self, kind: str, problem: str, row: int, index: int) -> DataError:
        """The DataError for one cell."""
        return DataError(
            kind, problem, file=self.file, line=self.lines[row], column=self.names[index]
        )

    def looks_numeric(self, index: int) -> bool:
        """Whether at least half of the cells that say something are numbers."""
        said = [cell for cell in self.cells(index) if cell.lower() not in MISSING]
        return 2 * sum(bool(NUMBER.fullmatch(cell)) for cell in said) >= len(said) > 0

    def numbers(self, index: int) -> npt.NDArray[np.float64]:
        """One column as finite numbers; the first cell that is none raises DataError."""
        values = np.empty(len(self.rows), dtype=np.float64)
        for row, cell in enumerate(self.cells(index)):
            if not NUMBER.fullmatch(cell):
                raise self._number_error(cell, row, index)
            values[row] = float(cell)
            if not math.isfinite(values[row]):
                problem = f"found {quoted(cell)}, expected a number that float64 can hold"
                raise self.error("not-finite", problem, row, index)
        return values

    def _number_error(self, cell: str, row: int, index: int) -> DataError:
        return self.error(*number_problem(cell), row, index)


def parse_number(cell: str) -> float | None:
    """The number that a cell says, NaN for what means a missing value, None for anything else."""
    if NUMBER.fullmatch(cell):
        return float(cell)
    return math.nan if cell.lower() in MISSING else None


def number_problem(cell: str) -> tuple[str, str]:
    """The kind of problem that a cell which is no number is, and its words."""
    if cell == "":
        problem = "found an empty cell, expected a number; fill or remove missing values first"
        return "empty-cell", problem
    if cell.lower().lstrip("+-") in {"nan", "inf", "infinity"}:
        return "not-finite", f"found {quoted(cell)}, expected a finite number"
    expected = "a number"
    if DECIMAL_COMMA.fullmatch(cell):
        expected = "a number with a decimal point"
    elif cell.lower() in MISSING:
        expected = "a number; fill or remove missing values first"
    return "not-a-number", f"found {quoted(cell)}, expected {expected}"


def read_csv(path: Path) -> Table:
    """Reads a CSV file: UTF-8, one header line, then rows of as many cells.

    The delimiter is the one of ``, ; tab |`` that the header has most of. Blank lines are skipped.

    Raises
    ------
    DataError
        When the file cannot be read or is not such a table.
    """
    text = _read_text(path)
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text), strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                rows.append([cell.strip() for cell in row])
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        problem = f"found a row that is no CSV ({error}), expected cells with matched quotes"
        raise DataError("malformed-csv", problem, file=path, line=line) from None
    if not rows:
        problem = "found an empty file, expected a header line and rows"
        raise DataError("empty-file", problem, file=path)
    table = Table(rows[0], rows[1:], lines[1:], path)
    _check_shape(table, header_line=lines[0])
    return table


def _read_text(path: Path) -> str:
    try:
        if path.is_dir():
            raise DataError("not-a-file", "found a folder, expected a CSV file", file=path)
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError("not-found", "found no such file, expected a CSV file", file=path) from None
    except OSError as error:
        problem = f"found a file that cannot be read ({error.strerror}), expected a CSV file"
        raise DataError("unreadable", problem, file=path) from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problem = "found UTF-16, expected UTF-8; save the file as UTF-8"
        raise DataError("encoding", problem, file=path, line=1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = (
            f"found the byte 0x{data[error.start]:02X}, expected UTF-8; save the file as UTF-8"
        )
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError("encoding", problem, file=path, line=line) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        problem = "found a NUL character, expected text"
        raise DataError("encoding", problem, file=path, line=line)
    return text


def delimiter_of(text: str) -> str:
    """The delimiter that the first line that is not blank has most of."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    outside_quotes = re.sub(r'"[^"]*"', "", header)
    return max(DELIMITERS, key=outside_quotes.count)


def _check_shape(table: Table, header_line: int) -> None:
    for index, name in enumerate(table.names):
        if name in table.names[:index]:
            problem = (
                f"found the column name {quoted(name)} twice (columns "
                f"{table.names.index(name) + 1} and {index + 1}), expected different names"
            )
            raise DataError(
                "duplicate-column", problem, file=table.file, line=header_line, column=name
            )
    for row, line in zip(table.rows, table.lines, strict=True):
        if len(row) != len(table.names):
            column = table.names[len(row)] if len(row) < len(table.names) else None
            problem = f"found {len(row)} cells, expected {len(table.names)} as in the header"
            raise DataError("ragged-row", problem, file=table.file, line=line, column=column)
    if not table.rows:
        problem = "found a header and no rows, expected rows below it"
        raise DataError("no-rows", problem, file=table.file, line=header_line)
