"""Reads a CSV file in blocks of rows as Arrow tables of text, with the same cells as `read_csv`.

PyArrow reads the blocks in which it and Python's csv module agree: each cell has no quotes, or is
quoted as a whole on one line. From the first other block on, the csv module reads the file; it is
ten times as slow, and its errors say what is wrong.
"""

from __future__ import annotations

import csv
import io
import itertools
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from memattn.csv_reader import (
    COMMA_CELL,
    MAX_COLUMNS,
    POINT_CELL,
    check_header_names,
    columns_error,
    decoding_error,
    delimiter_of,
    empty_error,
    nul_error,
    quotes_error,
    ragged_error,
    said_cells,
)
from memattn.errors import DataError
from memattn.file_kinds import GZIP, HEAD, check_is_text, unpacked_blocks

BLOCK_BYTES = 8 << 20
ROWS = 1 << 16  # rows that the csv module reads at once
BOM, WIDE = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


class CsvBlocks:
    """The rows of a CSV file. The header is read first, then `tables` reads some columns.

    Attributes
    ----------
    names : list of str
        The columns of the file.
    delimiter : str
        The mark between its cells.
    shows_comma, shows_point : bool
        Whether the rows read so far have decimal commas, and decimal points, if the delimiter is
        not a comma.

    Raises
    ------
    DataError
        If the file cannot be read or is not a table, here or in `tables`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shows_comma = self.shows_point = False
        self._blocks = _whole_lines(path)
        self._lines = 0  # before `_left`
        first = next(self._blocks, b"")
        while first and not first.strip(b"\r\n"):
            self._lines += len(first.splitlines())
            first = next(self._blocks, b"")
        if not first:
            raise empty_error(path)
        self._wide = first.startswith(WIDE)
        self._left = first if self._wide else first.removeprefix(BOM)
        self._rows: Iterator[tuple[list[str], int]] | None = None
        self._read_header()
        if not self.names:
            self._check_says_something()

    def _read_header(self) -> None:
        line, newline, rest = self._left.partition(b"\n")
        text = line.removesuffix(b"\r").decode("utf-8", "replace")
        self.delimiter = delimiter_of(text)
        self._plain = _pattern(self.delimiter)
        simple = newline and text.strip() and "\r" not in text and "\ufffd" not in text
        if simple and not self._wide and _matches(self._plain, line + newline):
            if self._looks:
                self._look(text)
            cells = next(csv.reader([text], delimiter=self.delimiter))
            self._lines += 1
            self._header_line = self._lines
            self._left = rest or next(self._blocks, b"")  # a block may end after the header
        else:
            text = self._first_line()
            self.delimiter = delimiter_of(text)
            self._rows = self._by_csv()
            found = next(self._rows, None)
            if found is None:
                raise empty_error(self.path)
            cells, self._header_line = found
        cells = [cell.strip() for cell in cells]
        self._width = len(cells)
        self.names = cells[: said_cells(cells)]
        if len(self.names) > MAX_COLUMNS:
            raise columns_error(self.path, self._header_line, len(self.names))
        check_header_names(self.path, self._header_line, self.names)

    def _check_says_something(self) -> None:
        """Raises DataError if the file has neither a name in its header nor a cell in its rows."""
        rows = self._rows or self._by_csv()
        first = next((one for one in rows if any(cell.strip() for cell in one[0])), None)
        if first is None:
            raise empty_error(self.path)
        self._rows = itertools.chain([first], rows)

    def _first_line(self) -> str:
        """Returns the first line that is not blank, from which the delimiter is found."""
        text = self._left.decode("utf-16" if self._wide else "utf-8", "replace")
        return next((one for one in text.splitlines() if one.strip()), "")

    def tables(self, wanted: Sequence[str]) -> Iterator[Any]:
        """Yields tables of text columns; spaces around cells are kept."""
        places = [self.names.index(name) for name in wanted]
        rows = 0
        while self._rows is None and self._left:
            table = self._by_arrow(wanted, places)
            if table is None:
                self._rows = self._by_csv()
                break
            if self._looks:
                self._look(self._left.decode())
            self._lines += self._left.count(b"\n")
            rows += table.num_rows
            if table.num_rows:
                yield table
            self._left = next(self._blocks, b"")
        if self._rows is not None:
            for table in self._tables_by_csv(self._rows, wanted, places):
                rows += table.num_rows
                yield table

    def _by_arrow(self, wanted: Sequence[str], places: Sequence[int]) -> Any:
        """Reads the block `_left` with PyArrow; returns None if it may read it differently."""
        block = self._left
        if b"\0" in block or not _is_utf8(block) or not _matches(self._plain, block):
            return None
        names = [str(k) for k in range(self._width)]
        own = [names[place] for place in places]
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(block),
                arrow_csv.ReadOptions(column_names=names),
                arrow_csv.ParseOptions(delimiter=self.delimiter),
                arrow_csv.ConvertOptions(
                    include_columns=own,
                    column_types=dict.fromkeys(own, pa.string()),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowException:
            return None
        if self._width > len(self.names) or (
            table.num_rows and not any(table.column(name)[-1].as_py().strip() for name in own)
        ):
            return None  # rows at the end, or columns, that may be empty
        return table.rename_columns(list(wanted))

    def _by_csv(self) -> Iterator[tuple[list[str], int]]:
        """Yields the remaining rows with their lines, read by Python's csv module."""
        raw = io.BufferedReader(_Blocks(self._left, self._blocks))
        encoding = "utf-16" if self._wide else "utf-8"
        text = io.TextIOWrapper(raw, encoding, newline="")
        before, line = self._lines, self._lines + 1
        reader = csv.reader(self._checked(text), delimiter=self.delimiter, strict=True)
        try:
            for row in reader:
                if row:
                    yield row, line
                line = before + reader.line_num + 1
        except csv.Error as error:
            raise quotes_error(self.path, line, error) from None
        except UnicodeDecodeError:
            raise self._bad_text() from None

    def _checked(self, lines: Iterator[str]) -> Iterator[str]:
        for number, line in enumerate(lines, self._lines + 1):
            if "\0" in line:
                raise nul_error(self.path, number)
            if self._looks:
                self._look(line)
            yield line

    def _tables_by_csv(
        self, rows: Iterator[tuple[list[str], int]], wanted: Sequence[str], places: Sequence[int]
    ) -> Iterator[Any]:
        """Yields tables of the rows, without empty rows at the end."""
        found: list[list[str]] = []
        empty: list[tuple[list[str], int]] = []
        for row, line in rows:
            if len(row) > 1 and not any(cell.strip() for cell in row):
                empty.append((row, line))
                continue
            for one, number in (*empty, (row, line)):
                self._check_width(one, number)
                found.append([one[place] for place in places])
            empty = []
            if len(found) >= ROWS:
                yield _table(found, wanted)
                found = []
        if found:
            yield _table(found, wanted)

    def _check_width(self, row: list[str], line: int) -> None:
        width = len(self.names)
        if len(row) == self._width:
            return
        if len(row) < width or said_cells([cell.strip() for cell in row]) > width:
            raise ragged_error(self.path, line, len(row), self._header_line, self.names)

    def steps(self) -> Iterator[tuple[int, int]]:
        """Yields each row at which its line minus its number changes, and that difference.

        Rows count from 0, lines from 1. Rows that `tables` has read are left out.
        """
        row, last = 0, 0
        while self._rows is None and self._left:
            if b"\0" in self._left or not _matches(self._plain, self._left):
                self._rows = self._by_csv()
                break
            for lines in _runs_of_lines(self._left):
                before = self._lines + 1 + lines.start - row
                if len(lines) and before != last:
                    yield row, before
                    last = before
                row += len(lines)
            self._lines += self._left.count(b"\n")
            self._left = next(self._blocks, b"")
        for number, (_, line) in enumerate(self._rows or (), row):
            if line - number != last:
                yield number, line - number
                last = line - number

    @property
    def _looks(self) -> bool:
        """Whether decimal commas and points still have to be looked for."""
        return self.delimiter != "," and not (self.shows_comma and self.shows_point)

    def _look(self, text: str) -> None:
        """Looks for decimal commas and points, as `decimal_comma` does."""
        if not self.shows_comma and "," in text:
            self.shows_comma = COMMA_CELL.search(text) is not None
        if not self.shows_point and "." in text:
            self.shows_point = POINT_CELL.search(text) is not None

    def _bad_text(self) -> DataError:
        """Returns the DataError for a file with a line that is not UTF-8."""
        line = 0
        if not self._wide:
            for block in _whole_lines(self.path):
                for one in block.splitlines(keepends=True):
                    try:
                        one.decode()
                    except UnicodeDecodeError as error:
                        return decoding_error(self.path, one[error.start], line + 1)
                    line += one.endswith(b"\n")
        return decoding_error(self.path)


def _table(rows: list[list[str]], names: Sequence[str]) -> Any:
    columns = [pa.array([row[k] for row in rows], pa.string()) for k in range(len(names))]
    return pa.table(columns, names=list(names))


def _pattern(delimiter: str) -> str:
    mark = "\\" + delimiter if delimiter == "|" else delimiter
    cell = f'(?:"(?:[^"\\n\\r]|"")*"|[^"\\n\\r{delimiter}]*)'
    return f"\\A(?:{cell}(?:{mark}{cell})*\\r?\\n)*(?:{cell}(?:{mark}{cell})*)?\\z"


def _matches(pattern: str, block: bytes) -> bool:
    """Returns whether each cell has no quotes, or is quoted as a whole on one line."""
    if b'"' not in block:
        return b"\r" not in block or block.count(b"\r") == block.count(b"\r\n")
    found: bool = pc.match_substring_regex(pa.array([block], pa.large_binary()), pattern=pattern)[
        0
    ].as_py()
    return found


def _runs_of_lines(block: bytes) -> Iterator[range]:
    """Yields the runs of non-empty lines in a plain block, counted from 0."""
    begin = 0
    if block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block:
        for number, line in enumerate(block.splitlines()):
            if not line:
                yield range(begin, number)
                begin = number + 1
    yield range(begin, block.count(b"\n") + (not block.endswith(b"\n")))


def _is_utf8(block: bytes) -> bool:
    """Returns whether a block is UTF-8, including the columns that are not read."""
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


class _Blocks(io.RawIOBase):
    """A file object that reads from an iterator of blocks."""

    def __init__(self, first: bytes, blocks: Iterator[bytes]) -> None:
        super().__init__()
        self._left, self._blocks = memoryview(first), blocks

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = memoryview(block)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Yields the unpacked bytes of a file in blocks that end after a line."""
    left, begun = b"", False
    for piece in _unpacked(path):
        if not begun:
            begun = True
            wide = piece.startswith(WIDE)
        end = len(piece) if wide else piece.rfind(b"\n") + 1
        if end:
            yield left + piece[:end]
            left = piece[end:]
        else:
            left += piece
    if left:
        yield left


def _unpacked(path: Path) -> Iterator[bytes]:
    """Yields the bytes of a text file, unpacked if gzip has packed it."""
    size = _size_of(path)
    with path.open("rb") as file:
        first = file.read(BLOCK_BYTES)
        pieces = itertools.chain([first], iter(partial(file.read, BLOCK_BYTES), b""))
        packed = first.startswith(GZIP)
        blocks = unpacked_blocks(pieces, size, path, BLOCK_BYTES) if packed else pieces
        head = b""
        for block in blocks:  # the members of a gzip file may be short, or empty
            head += block
            if len(head) >= HEAD:
                break
        check_is_text(head, path, was_packed=packed)
        yield head
        yield from blocks


def _size_of(path: Path) -> int:
    """Returns the size in bytes of a regular, readable file. Raises DataError for any other."""
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            path.open("rb").close()
            return found.st_size
    except FileNotFoundError:
        raise DataError("not-found", "no such file; expected a CSV file", file=path) from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise DataError("unreadable", problem, file=path) from None
    problem = "found a pipe or a device, expected a CSV file, which is read several times"
    raise DataError("not-a-file", problem, file=path)
