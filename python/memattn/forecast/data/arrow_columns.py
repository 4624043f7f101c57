"""Reads the columns of a large CSV file with PyArrow, faster than `TableColumns` does.

A file that PyArrow might read differently is left to our own reader, which also explains errors:
one with quotes, blank lines, a row of another length, or an empty column or row at its end. So is a
file of many columns and few rows, for which our own reader is faster.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from memattn.csv_reader import MAX_COLUMNS, MISSING, decimal_comma, delimiter_of
from memattn.errors import DataError
from memattn.forecast.data.columns import Array, TextColumns, distinct, find_times, first_places
from memattn.forecast.data.text_facts import COMMA, GROUPS, PLAIN
from memattn.forecast.data.time_zones import Ticks

BOM = b"\xef\xbb\xbf"
# PyArrow takes 0.3 ms for a column, about what our own reader takes for 40 short cells.
BYTES_A_COLUMN = 256


def arrow_columns(path: Path, data: bytes) -> ArrowColumns | None:
    """Returns the columns of the CSV file `data`, or None if our own reader has to read it."""
    data = data.removeprefix(BOM).rstrip(b"\r\n")
    odd = (b'"', b"\0", b"\n\n", b"\n\r")
    if any(mark in data for mark in odd) or data.count(b"\r") != data.count(b"\r\n"):
        return None
    header, newline, _ = data.partition(b"\n")
    try:
        text = header.decode()
        delimiter = delimiter_of(text)
        columns = text.count(delimiter) + 1  # nothing is quoted
        if columns > MAX_COLUMNS or len(data) < BYTES_A_COLUMN * columns:
            return None
        names = [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), [])]
        last = data[data.rfind(b"\n") + 1 :].decode().replace(delimiter, " ")
        if not names or not names[-1] or not last.strip():
            return None
        table = arrow_csv.read_csv(
            pa.BufferReader(memoryview(data)[len(header) + len(newline) :]),
            arrow_csv.ReadOptions(column_names=[str(k) for k in range(len(names))]),
            arrow_csv.ParseOptions(delimiter=delimiter, quote_char=False),
            arrow_csv.ConvertOptions(
                column_types={str(k): pa.string() for k in range(len(names))},
                strings_can_be_null=False,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError, csv.Error):
        return None
    if len(set(names)) < len(names):
        return None
    found = ArrowColumns(table, names, path)
    found.comma = delimiter != "," and b"," in data and decimal_comma(data.decode(), delimiter)
    return found


class ArrowColumns(TextColumns):
    """The columns of a table of text whose rows are lines 2, 3, ... of a file."""

    def __init__(self, table: Any, names: list[str], file: Path) -> None:
        super().__init__()
        self.table = table
        self.names = names
        self.rows = table.num_rows
        self.file = file
        self._index = first_places(names)
        self._plain: dict[str, Array | None] = {}

    def cells(self, name: str) -> tuple[Ticks, list[str]]:
        """Returns for each row the index of its cell, and the distinct cells of a column."""
        # Not combined into one chunk, which could not hold 2 GiB of text.
        chunks = self._column(name).dictionary_encode().unify_dictionaries().chunks
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in chunks])
        merged, cells = distinct([cell.strip() for cell in chunks[0].dictionary.to_pylist()])
        return merged[codes], cells

    def numbers(self, name: str, booleans: bool = False) -> Array:
        """Returns the column as numbers, NaN for empty cells and names of missing values."""
        found = self._plain_numbers(name)
        return super().numbers(name) if found is None else found

    def is_numeric(self, name: str) -> bool:
        """Returns whether at least half of the non-missing cells are numbers."""
        found = self._plain_numbers(name)
        return super().is_numeric(name) if found is None else not bool(np.isnan(found).all())

    def find_times(self, names: Sequence[str]) -> str | None:
        """Returns the first column of dates. Skips columns of numbers, which may all differ."""
        return find_times(self, [name for name in names if self._plain_numbers(name) is None])

    def error(self, kind: str, problem: str, row: int, column: str) -> DataError:
        """Returns the DataError for a cell, with file and line."""
        return DataError(kind, problem, file=self.file, line=row + 2, column=column)

    def place(self, row: int) -> str:
        """Returns the position of a row, such as "line 8"."""
        return f"line {row + 2:,}"

    def _column(self, name: str) -> Any:
        return self.table.column(self._index[name])

    def _plain_numbers(self, name: str) -> Array | None:
        """Returns the result of `_read_numbers`, computed once for each column."""
        if name not in self._plain:
            self._plain[name] = self._read_numbers(name)
        return self._plain[name]

    def _read_numbers(self, name: str) -> Array | None:
        """Returns the column as numbers, or None unless each cell is a finite number or missing."""
        form = self.number_form(name) or PLAIN
        if self.comma and form == PLAIN:
            return None
        return numbers_of_text(self._column(name), form)


def numbers_of_text(column: Any, form: str = PLAIN) -> Array | None:
    """Returns a text column as numbers, NaN if missing; None unless all others are finite."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if form == PLAIN and (found := _cast(column)) is not None:
        return found
    text = pc.utf8_trim_whitespace(column)
    missing = is_missing(text)
    for mark, plain in {COMMA: ((".", ""), (",", ".")), GROUPS: ((",", ""),)}.get(form, ()):
        text = pc.replace_substring(text, mark, plain)
    return _cast(pc.if_else(missing, pa.scalar(None, pa.string()), text))


def is_missing(text: Any) -> Any:
    """Returns which cells, stripped of spaces, mean a missing value."""
    return pc.is_in(pc.utf8_lower(text), value_set=pa.array(sorted(MISSING)))


def _cast(text: Any) -> Array | None:
    try:
        values = pc.cast(text, pa.float64())
    except pa.ArrowException:
        return None
    if not pc.all(pc.is_finite(values)).as_py():  # missing values are skipped
        return None
    found: Array = values.to_numpy()
    return found
