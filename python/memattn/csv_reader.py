"""Reads a CSV file into columns of text with line numbers, and converts them to numbers.

Any problem with a file raises a DataError that names the file, line and column.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted
from memattn.file_kinds import check_is_text, unpacked

DELIMITERS = (",", ";", "\t", "|")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Numbers with grouped digits: 1,234,567.89 with a decimal point, and 1.234.567,89 with a comma.
WITH_POINT = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", re.ASCII)
WITH_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?|[+-]?,\d+", re.ASCII)
# Matches a cell between delimiters other than a comma. COMMA_CELL and POINT_CELL match cells that
# can only have a decimal comma or a decimal point.
_CELL = r'(?:^|[;\t|])[ "]*[+-]?(?:%s)[ "]*(?:$|[;\t|\r])'
COMMA_CELL = re.compile(_CELL % r"\d{1,3}(?:\.\d{3})*,\d+|\d*,\d+", re.ASCII | re.MULTILINE)
POINT_CELL = re.compile(
    _CELL % r"\d{1,3}(?:,\d{3})+\.\d+|\d*\.(?:\d{1,2}|\d{4,})", re.ASCII | re.MULTILINE
)
# Each column takes a millisecond and a few kilobytes, however few rows it has.
MAX_COLUMNS = 1_000_000
MAX_PIPE_BYTES = 1 << 30  # the size of a pipe is not known in advance, and it may never end
PIECE = 1 << 20
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "--", "?", ".", "<na>", "nat"})
MISSING |= {"#n/a", "#na", "#nv", "#n/a n/a", "#null!"}  # as spreadsheets write them


@dataclass(frozen=True)
class Table:
    """The cells of a file as text, stripped of surrounding spaces.

    Attributes
    ----------
    names : list of str
        Column names, all different.
    rows : list of list of str
        One list of ``len(names)`` cells for each row.
    lines : list of int
        The line, counted from 1, on which each row begins; for data in memory, the row number.
    file : Path, optional
        The file that the table was read from.
    comma : bool
        Whether its numbers have decimal commas.
    """

    names: list[str]
    rows: list[list[str]]
    lines: list[int]
    file: Path | None = None
    comma: bool = False

    def cells(self, index: int) -> list[str]:
        """Returns the cells of one column."""
        return [row[index] for row in self.rows]

    def error(self, kind: str, problem: str, row: int, index: int) -> DataError:
        """Returns a DataError for one cell."""
        return DataError(
            kind, problem, file=self.file, line=self.lines[row], column=self.names[index]
        )

    def looks_numeric(self, index: int) -> bool:
        """Whether at least half of the cells that are not missing values are numbers."""
        said = [cell for cell in self.cells(index) if cell.lower() not in MISSING]
        return 2 * sum(bool(NUMBER.fullmatch(cell)) for cell in said) >= len(said) > 0

    def numbers(self, index: int) -> npt.NDArray[np.float64]:
        """Returns one column as finite numbers; raises DataError for the first cell that is not."""
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
    """Returns a cell as a number: NaN for a missing value, None for any other text."""
    if NUMBER.fullmatch(cell):
        return float(cell)
    return math.nan if cell.lower() in MISSING else None


def like_number(cell: str) -> bool:
    """Whether a cell is a number, possibly with a decimal comma or grouped digits."""
    return any(form.fullmatch(cell) for form in (NUMBER, WITH_POINT, WITH_COMMA))


def decimal_comma(text: str, delimiter: str) -> bool:
    """Whether a file has decimal commas and no decimal points; False if commas separate cells."""
    shown = delimiter != "," and "," in text and COMMA_CELL.search(text) is not None
    return shown and POINT_CELL.search(text) is None


def number_problem(cell: str) -> tuple[str, str]:
    """Returns the kind of error and its message for a cell that is not a number."""
    if cell == "":
        problem = "found an empty cell, expected a number; fill or remove missing values first"
        return "empty-cell", problem
    if cell.lower().lstrip("+-") in {"nan", "inf", "infinity"}:
        return "not-finite", f"found {quoted(cell)}, expected a finite number"
    kind, expected = "not-a-number", "a number"
    sign = next((mark for mark in cell if mark in "%‰" or unicodedata.category(mark) == "Sc"), "")
    plain = cell.replace(sign, "", 1).strip()
    if WITH_POINT.fullmatch(plain):
        expected = "a number with a decimal point and without commas"
    elif WITH_COMMA.fullmatch(plain) and not NUMBER.fullmatch(plain):
        expected = "a number with a decimal point"
    elif cell.lower() in MISSING:
        expected = "a number; fill or remove missing values first"
    if sign and like_number(plain):
        kind, expected = "number-with-sign", f"{expected}; remove the {quoted(sign)}"
    return kind, f"found {quoted(cell)}, expected {expected}"


def read_csv(path: Path, data: bytes | None = None) -> Table:
    """Reads a CSV file: UTF-8, or UTF-16 with a byte-order mark; one header line, then the rows.

    The delimiter is the most frequent of ``, ; tab |`` in the header. All rows have as many cells
    as the header. Blank lines are skipped. So are columns at the right without a name or a value,
    and rows at the end without a value, which spreadsheets write.
    The file is regular, or a pipe of at most `MAX_PIPE_BYTES` bytes; gzip is unpacked. `data` is
    the result of `read_text_file`, if it was called already.

    Raises
    ------
    DataError
        If the file cannot be read or is not such a table.
    """
    text = _decoded(read_text_file(path) if data is None else data, path)
    rows: list[list[str]] = []
    lines: list[int] = []
    delimiter = _delimiter(path, text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                rows.append([cell.strip() for cell in row])
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise quotes_error(path, line, error) from None
    width = _cut_empty_ends(rows)
    if not width:
        raise empty_error(path)
    table = Table(rows[0], rows[1:], lines[1 : len(rows)], path, decimal_comma(text, delimiter))
    _check_shape(table, header_line=lines[0])
    return table


def _cut_empty_ends(rows: list[list[str]]) -> int:
    """Removes empty rows at the end, and trailing columns that are empty in every row.

    Returns the number of columns that are left.
    """
    while len(rows) > 1 and len(rows[-1]) > 1 and not any(rows[-1]):
        rows.pop()
    width = max((said_cells(row) for row in rows), default=0)
    for row in rows:
        del row[width:]
    return width


def said_cells(row: Sequence[str]) -> int:
    """Returns the number of cells up to the last one that is not empty."""
    return next((count for count in range(len(row), 0, -1) if row[count - 1]), 0)


def read_text_file(path: Path) -> bytes:
    """Returns the content of a text file, unpacked if it is gzip. Raises DataError for others."""
    packed = read_table_file(path, "a CSV file")
    data = unpacked(packed, path)
    check_is_text(data, path, was_packed=data is not packed)
    return data


def _decoded(data: bytes, path: Path) -> str:
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        if wide:
            raise decoding_error(path) from None
        line = data.count(b"\n", 0, error.start) + 1
        raise decoding_error(path, data[error.start], line) from None
    if "\0" in text:
        raise nul_error(path, text.count("\n", 0, text.index("\0")) + 1)
    return text


def decoding_error(path: Path, byte: int | None = None, line: int = 1) -> DataError:
    """Returns a DataError for a byte that is not UTF-8, or without a byte for damaged UTF-16."""
    problem = "the text is damaged UTF-16; save the file as UTF-8"
    if byte is not None:
        problem = (
            f"found the byte 0x{byte:02X}, expected UTF-8; the file is perhaps in "
            "Windows-1252 or Latin-1: save it as UTF-8"
        )
    return DataError("encoding", problem, file=path, line=line)


def nul_error(path: Path, line: int) -> DataError:
    """Returns a DataError for a NUL character."""
    problem = "the text has a NUL character; save the file as UTF-8"
    return DataError("encoding", problem, file=path, line=line)


def quotes_error(path: Path, line: int, error: csv.Error) -> DataError:
    """Returns a DataError for a row that the csv module cannot read."""
    problem = f"this row is not valid CSV ({error}), expected cells with matched quotes"
    return DataError("malformed-csv", problem, file=path, line=line)


def empty_error(path: Path) -> DataError:
    """Returns a DataError for a file without a header."""
    problem = "the file is empty, expected a header line and rows"
    return DataError("empty-file", problem, file=path)


def columns_error(path: Path, line: int, columns: int) -> DataError:
    """Returns a DataError for more than `MAX_COLUMNS` columns."""
    problem = f"found {columns:,} columns, expected at most {MAX_COLUMNS:,}"
    return DataError("too-many-columns", problem, file=path, line=line)


def read_table_file(path: Path, expected: str) -> bytes:
    """Returns the content of a regular file or a pipe.

    Parameters
    ----------
    path : Path
        The file or the pipe.
    expected : str
        The expected kind of file for messages, such as "a CSV file".

    Raises
    ------
    DataError
        If the file does not exist, cannot be read, is a folder or a device, or if a pipe has more
        than `MAX_PIPE_BYTES`.
    """
    try:
        # O_NONBLOCK: a pipe that no process has opened for writing counts as empty, without a wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode):
                with open(descriptor, "rb", closefd=False) as file:
                    return file.read()
            if stat.S_ISFIFO(mode):
                os.set_blocking(descriptor, True)
                return _read_pipe(descriptor, path, expected)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise DataError("not-found", f"no such file; expected {expected}", file=path) from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise DataError("unreadable", problem, file=path) from None
    found = "a folder" if stat.S_ISDIR(mode) else "a device"
    raise DataError("not-a-file", f"found {found}, expected {expected}", file=path)


def _read_pipe(descriptor: int, path: Path, expected: str) -> bytes:
    data = bytearray()
    while piece := os.read(descriptor, PIECE):
        data += piece
        if len(data) > MAX_PIPE_BYTES:
            problem = f"the pipe has more than {MAX_PIPE_BYTES:,} bytes; save them as {expected}"
            raise DataError("too-large", problem, file=path)
    return bytes(data)


def delimiter_of(header: str) -> str:
    """Returns the most frequent delimiter of a header."""
    return max(DELIMITERS, key=_outside_quotes(header).count)


def _delimiter(path: Path, text: str) -> str:
    """Returns the delimiter of a file. Raises DataError for too many columns."""
    begin = re.search(r"\S", text)
    place = begin.start() if begin else 0
    start = max(text.rfind("\n", 0, place), text.rfind("\r", 0, place)) + 1
    end = re.compile(r"[\r\n]|\Z").search(text, place)
    header = text[start : end.start() if end else None]
    delimiter = delimiter_of(header)
    columns = _outside_quotes(header).count(delimiter) + 1
    if columns > MAX_COLUMNS:
        raise columns_error(path, text.count("\n", 0, start) + 1, columns)
    return delimiter


def _outside_quotes(header: str) -> str:
    return re.sub(r'"[^"]*"', "", header)


def _check_shape(table: Table, header_line: int) -> None:
    assert table.file is not None
    check_header_names(table.file, header_line, table.names)
    for row, line in zip(table.rows, table.lines, strict=True):
        if len(row) != len(table.names):
            raise ragged_error(table.file, line, len(row), header_line, table.names)
    if not table.rows:
        problem = "the table has no rows below its header"
        raise DataError("no-rows", problem, file=table.file, line=header_line)


def check_header_names(path: Path, line: int, names: Sequence[str]) -> None:
    """Raises DataError if two columns of the header have the same name; it begins on `line`."""
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        before = first.setdefault(name, index)
        if before != index:
            places = f"(columns {before + 1} and {index + 1})"
            problem = f"there are two columns {quoted(name)} {places}; rename or remove one"
            if not name:
                problem = f"two columns have no name {places}; name them"
                problem += _title_hint(names, line)
            raise DataError("duplicate-column", problem, file=path, line=line, column=name)


def ragged_error(
    path: Path, line: int, cells: int, header_line: int, names: Sequence[str]
) -> DataError:
    """Returns a DataError for a row with more or fewer cells than the header has names."""
    column = names[cells] if cells < len(names) else None
    problem = f"found {cells} cells, expected {len(names)} as in the header"
    problem += _title_hint(names, header_line)
    return DataError("ragged-row", problem, file=path, line=line, column=column)


def _title_hint(names: Sequence[str], header_line: int) -> str:
    """Returns advice for a header with a single name."""
    if sum(map(bool, names)) > 1:
        return ""
    return f"; is line {header_line} a title? Remove the lines above the column names"
