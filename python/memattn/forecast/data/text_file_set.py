"""A folder or a pattern of CSV files as one long table, read a few rows at a time.

All cells are text until the whole table has been seen once: how its columns are read does not
depend on where the files, or the blocks that are read at once, begin and end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from memattn.errors import DataError, printable, quoted
from memattn.forecast.data.arrow_columns import ArrowColumns, is_missing, numbers_of_text
from memattn.forecast.data.column_choice import check_header
from memattn.forecast.data.columns import Columns, Times, distinct, parse_times
from memattn.forecast.data.csv_blocks import CsvBlocks
from memattn.forecast.data.csv_lines import LinesOfRows
from memattn.forecast.data.file_set import Batch, FileSet, joined
from memattn.forecast.data.folders import csv_files
from memattn.forecast.data.text_profile import CovariateProfile, NumberProfile, TimeProfile
from memattn.forecast.data.time_zones import Ticks

FILE_BITS = 40  # the bits of a row's number below the number of its file


@dataclass(frozen=True)
class Reading:
    """How to read the columns of a table of text, found from all its rows.

    Attributes
    ----------
    comma : bool
        Whether the files have decimal commas.
    times : TimeProfile
        The facts about the column of times.
    forms : mapping
        How the numbers of each column are written, by name.
    covariates : mapping
        The covariates of `fit`, by name.
    """

    comma: bool
    times: TimeProfile
    forms: Mapping[str, str]
    covariates: Mapping[str, CovariateProfile]


@dataclass(frozen=True)
class TextFileSet(FileSet):
    """CSV files that form one table.

    Attributes
    ----------
    day_first : bool, optional
        As in `parse_moment`.
    is_long : bool
        Whether `columns` are ids, times, values and covariates; otherwise they are all columns.
    """

    day_first: bool | None = None
    is_long: bool = True
    is_text: ClassVar[bool] = True

    @property
    def encoded(self) -> tuple[str, ...]:
        """The columns that are dictionary-encoded: all but the values."""
        return self.columns[:2] + self.columns[3:] if self.is_long else ()

    @cached_property
    def schema(self) -> Any:
        """The columns, which are all text."""
        return pa.schema([(name, pa.string()) for name in self.columns])

    @property
    def reading(self) -> Reading | None:
        """How to read the columns, once all rows have been seen; None before."""
        return self.__dict__.get("_reading")

    @property
    def comma(self) -> bool:
        """Whether the rows that were read have decimal commas."""
        return bool(self.__dict__.get("_comma"))

    def _read(self, columns: list[str]) -> Iterator[Batch]:
        watched = None
        if self.is_long and self.reading is None:
            columns, watched = list(self.columns), _Watch(self)
        delimiter, comma, point = "", False, False
        for k, file in enumerate(self.files):
            given = self.of_folders(file)
            with self.unchanged(file):
                blocks = CsvBlocks(file)
                self._check_names(file, blocks.names, given)
                self._check_delimiter(file, blocks.delimiter, delimiter or blocks.delimiter)
                delimiter = blocks.delimiter
                start = k << FILE_BITS
                for table in blocks.tables([name for name in columns if name not in given]):
                    batch = self._batch(table, columns, given, start)
                    start += len(batch)
                    if watched is not None:
                        watched.add(batch, delimiter != ",")
                    yield batch
            comma, point = comma or blocks.shows_comma, point or blocks.shows_point
        self.__dict__["_comma"] = comma and not point
        if watched is not None:
            self.__dict__["_reading"] = watched.reading(self.comma)

    def _check_delimiter(self, file: Path, found: str, expected: str) -> None:
        if found != expected:
            problem = f"found {quoted(found)} between cells, expected {quoted(expected)}"
            raise DataError("mixed-kinds", f"{problem} as in the files before", file=file)

    def _check_names(self, file: Path, names: list[str], given: Mapping[str, str]) -> None:
        try:
            check_header(names)
        except DataError as error:
            error.file = file
            raise
        self._refuse_twice(file, names, given)
        for name in self.columns:
            if name not in names and name not in given:
                self._refuse_missing(file, [*names, *given], name)
        if not self.is_long and (more := [name for name in names if name not in self.columns]):
            problem = "found a column that the files before do not have; expected the same columns"
            raise DataError("mixed-kinds", problem, file=file, column=more[0])

    def _batch(self, table: Any, columns: list[str], given: Mapping[str, str], start: int) -> Batch:
        arrays = []
        for name in columns:
            if name in given:
                array = pa.repeat(given[name], table.num_rows).dictionary_encode()
            else:
                array = table.column(name)
            if name in self.encoded:
                array = _encoded(array, is_id=name == self.columns[0])
            elif name in given:
                array = array.cast(pa.string())
            arrays.append(array)
        return Batch(pa.Table.from_arrays(arrays, names=columns), start + np.arange(len(arrays[0])))

    def given(self, batch: Batch, target: str) -> npt.NDArray[np.bool_]:
        """Returns which rows of a batch have a value."""
        values = numbers_of_text(batch.table[target])
        if values is not None:
            return ~np.isnan(values)
        missing = is_missing(pc.utf8_trim_whitespace(batch.table[target]))
        found: npt.NDArray[np.bool_] = ~missing.to_numpy()
        return found

    def place(self, row: int) -> tuple[Path, int]:
        """Returns the file of a row of the set, and its number in that file, from 0."""
        return self.files[row >> FILE_BITS], row & ((1 << FILE_BITS) - 1)

    def line(self, row: int) -> tuple[Path, int]:
        """Returns the file of a row of the set, and its line in that file, from 1."""
        file, number = self.place(row)
        known = self._lines_of_rows
        if file not in known:
            known[file] = LinesOfRows(file)
        return file, known[file].line(number)

    @cached_property
    def _lines_of_rows(self) -> dict[Path, LinesOfRows]:
        """The lines of the files that messages have named."""
        return {}

    def columns_of(self, batch: Batch) -> Columns:
        """Returns a batch as columns whose messages name the file and the line in it."""
        return TextSetColumns(self, batch)


class _Watch:
    """Collects facts from the rows of a file set when they are read for the first time."""

    def __init__(self, files: TextFileSet) -> None:
        self._files = files
        self._times, self._values = TimeProfile(files.day_first), NumberProfile()
        self._covariates = {name: CovariateProfile() for name in files.columns[3:]}

    def add(self, batch: Batch, may_be_comma: bool) -> None:
        """Adds the rows of a batch."""
        _, times, target = self._files.columns[:3]
        columns = TextSetColumns(self._files, batch)
        self._times.add(*columns.cells(times), partial(columns.cell_error, times))
        error = partial(columns.cell_error, target)
        self._values.add(batch.table[target], may_be_comma, error)
        for name, one in self._covariates.items():
            one.add(*columns.cells(name))

    def reading(self, comma: bool) -> Reading:
        """Returns how to read the columns, from the facts about all rows."""
        forms = {name: one.form(comma) for name, one in self._covariates.items()}
        forms[self._files.columns[2]] = self._values.form(comma)
        return Reading(comma, self._times, forms, self._covariates)


class TextSetColumns(ArrowColumns):
    """The columns of some rows of CSV files, read according to all rows of the files."""

    def __init__(self, files: TextFileSet, batch: Batch) -> None:
        super().__init__(batch.table, list(batch.table.column_names), files.source)
        self._files, self._row_numbers = files, batch.rows
        self._reading = files.reading
        self.comma = files.comma

    @property
    def header(self) -> Sequence[str]:
        """Empty, since the header of each file was checked already."""
        return ()

    def cells(self, name: str) -> tuple[Ticks, list[str]]:
        """Returns for each row the index of its cell, and the distinct cells of a column."""
        codes, cells = super().cells(name)
        there = np.bincount(codes, minlength=len(cells)) > 0  # a dictionary may have other cells
        if there.all():
            return codes, cells
        return (np.cumsum(there) - 1)[codes], [cells[k] for k in np.flatnonzero(there)]

    def times(self, name: str, day_first: bool | None = None) -> Times:
        """Returns the column as times."""
        known = None if self._reading is None else self._reading.times.known
        error = partial(self.cell_error, name)
        return parse_times(*self.cells(name), error, day_first=day_first, known=known)

    def number_kind(self, name: str, numbers: Ticks) -> str | None:
        """Returns the kind of dates that the whole numbers of all rows may be, or None."""
        if self._reading is None:
            return super().number_kind(name, numbers)
        return self._reading.times.whole.kind

    def number_form(self, name: str) -> str | None:
        """Returns how the numbers of a column are written."""
        return None if self._reading is None else self._reading.forms.get(name)

    def kind_of_text(self, name: str) -> str | None:
        """Returns the kind of all cells of a covariate."""
        known = None if self._reading is None else self._reading.covariates.get(name)
        return None if known is None else known.kind

    def is_numeric(self, name: str) -> bool:
        """Returns whether at least half of the non-missing cells are numbers."""
        known = None if self._reading is None else self._reading.covariates.get(name)
        return super().is_numeric(name) if known is None else known.is_numeric

    def error(self, kind: str, problem: str, row: int, column: str) -> DataError:
        """Returns the DataError for a cell, with file and line."""
        file, line = self._files.line(int(self._row_numbers[row]))
        return DataError(kind, problem, file=file, line=line, column=column)

    def place(self, row: int) -> str:
        """Returns the position of a row, such as "line 8 of a.csv"."""
        file, line = self._files.line(int(self._row_numbers[row]))
        return f"line {line:,} of {printable(file.name)}"


def read_csv_files(source: Path) -> Columns:
    """Reads all rows of a folder or a pattern of CSV files.

    Raises
    ------
    DataError
        If a file cannot be read, or has other columns than the first.
    """
    files = csv_files(source)
    names = CsvBlocks(files[0]).names
    given = FileSet(source, (files[0],), ()).of_folders(files[0])
    columns = tuple(dict.fromkeys([*names, *given]))
    found = TextFileSet(source, tuple(files), columns, is_long=False)
    batches = list(found.batches())
    if not batches:
        problem = "the table has no rows"
        raise DataError("no-rows", problem, file=source)
    return found.columns_of(joined(batches))


def _encoded(column: Any, is_id: bool) -> Any:
    """Returns a text column dictionary-encoded, with its cells stripped of spaces."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    before = column.dictionary.to_pylist()
    cells = [cell.strip() for cell in before]
    if cells != before or (is_id and "" in cells):
        merged, cells = distinct(cells)
        codes = merged[column.indices.to_numpy()].astype(np.int32)
        empty = codes == cells.index("") if is_id and "" in cells else None
        column = pa.DictionaryArray.from_arrays(pa.array(codes, mask=empty), pa.array(cells))
    return column
