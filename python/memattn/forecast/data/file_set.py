"""A folder or a pattern of Parquet files as one long table, read a few rows at a time.

text_file_set.py does the same for CSV files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError
from memattn.forecast.data.column_choice import check_name
from memattn.forecast.data.columns import Columns
from memattn.forecast.data.folders import folder_error, root_of
from memattn.forecast.data.parquet_reader import check_types, parquet_errors, size_of
from memattn.forecast.data.time_zones import Ticks

BATCH_ROWS = 1 << 18  # read at once


class Batch:
    """Some rows of a file set: a table of Arrow, and the number of each row in the whole set."""

    def __init__(self, table: Any, rows: Ticks) -> None:
        self.table, self.rows = table, rows

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, keep: Any) -> Batch:
        """Returns the rows for which the boolean array `keep` is True."""
        import pyarrow as pa

        if keep.all():
            return self
        return Batch(self.table.filter(pa.array(keep)), self.rows[keep])

    def plain(self) -> Batch:
        """Returns the batch with dictionary-encoded text as plain text."""
        import pyarrow as pa

        table = self.table
        for place, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):
                column = table.column(place).cast(field.type.value_type)
                table = table.set_column(place, field.name, column)
        return Batch(table, self.rows)


def joined(batches: Sequence[Batch]) -> Batch:
    """Returns the batches as one, in their order."""
    import pyarrow as pa

    if len(batches) == 1:
        return batches[0]
    plain = any(one.table.schema != batches[0].table.schema for one in batches)
    table = pa.concat_tables([one.plain().table if plain else one.table for one in batches])
    return Batch(table, np.concatenate([one.rows for one in batches]))


@dataclass(frozen=True)
class FileSet:
    """Parquet files that form one table.

    Attributes
    ----------
    source : Path
        The folder or the pattern that the caller named.
    files : tuple of Path
        The files, in the order of their rows.
    columns : tuple of str
        The columns that are read; the first has the ids.
    """

    source: Path
    files: tuple[Path, ...]
    columns: tuple[str, ...]
    is_text: ClassVar[bool] = False

    @cached_property
    def lengths(self) -> Ticks:
        """The number of rows of each file."""
        return np.array([one[1] for one in self._heads], dtype=np.int64)

    @cached_property
    def starts(self) -> Ticks:
        """The number of the first row of each file, and the number of all rows."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])

    @property
    def rows(self) -> int:
        """The number of all rows."""
        return int(self.starts[-1])

    @cached_property
    def _heads(self) -> list[tuple[Any, int]]:
        """The schema and the number of rows of each file."""
        import pyarrow.parquet as pq

        heads = []
        for file in self.files:
            with self.unchanged(file), parquet_errors(file):
                size_of(file)
                with pq.ParquetFile(file) as opened:
                    heads.append((opened.schema_arrow, opened.metadata.num_rows))
        return heads

    @cached_property
    def schema(self) -> Any:
        """The columns that are read, each of the type that suits all files.

        Raises
        ------
        DataError
            If a file lacks a column, or the types of a column have no common type.
        """
        import pyarrow as pa

        schemas = []
        for (schema, _), file in zip(self._heads, self.files, strict=True):
            given = self.of_folders(file)
            self._refuse_twice(file, schema.names, given)
            names = [*schema.names, *given]
            for name in self.columns:
                if name not in names:
                    self._refuse_missing(file, names, name)
            kinds = [self._kind(schema, name) for name in self.columns]
            schemas.append(pa.schema(list(zip(self.columns, kinds, strict=True))))
        with parquet_errors(self.source):
            check_types(schemas, list(self.files))
            found = pa.unify_schemas(schemas, promote_options="permissive")
        kind = found.field(0).type
        if not (_is_text(kind) or pa.types.is_integer(kind)):
            problem = f"found ids of the type {kind}, expected text or whole numbers"
            raise DataError("mixed-ids", problem, file=self.source, column=self.columns[0])
        return found

    def _kind(self, schema: Any, name: str) -> Any:
        import pyarrow as pa

        if name not in schema.names:
            return pa.string()
        kind = schema.field(name).type
        if pa.types.is_nested(kind):
            problem = "found lists or records as cells, expected single values"
            raise DataError("not-a-value", problem, file=self.source, column=name)
        return kind.value_type if pa.types.is_dictionary(kind) else kind

    def _refuse_missing(self, file: Path, names: Sequence[str], name: str) -> None:
        columns = Columns()
        columns.names = list(names)
        try:
            check_name(columns, "column", name)
        except DataError as error:
            problem = error.problem.partition("; pass")[0]
            raise DataError("missing-column", problem, file=file, column=name) from None

    def _refuse_twice(self, file: Path, names: Sequence[str], given: Iterable[str]) -> None:
        for name in given:
            if name in names:
                raise folder_error(file, name)

    def of_folders(self, file: Path) -> dict[str, str]:
        """Returns the columns given by the names of folders above a file, such as shop=1."""
        found = {}
        for part in file.relative_to(root_of(self.source)).parent.parts:
            name, mark, value = part.partition("=")
            if mark and name in found:
                raise folder_error(file, name)
            if mark:
                found[name] = unquote(value)
        return found

    @contextmanager
    def unchanged(self, file: Path) -> Iterator[None]:
        """Refuses a file that a program has changed since the first pass, also in the block.

        All passes must find the same rows: the first one counts what the next one forecasts.
        """
        self._check_unchanged(file)
        try:
            yield
        except DataError:
            self._check_unchanged(file)  # says more than what is wrong with half a file
            raise
        self._check_unchanged(file)

    def _check_unchanged(self, file: Path) -> None:
        with suppress(OSError):  # whoever opens the file says what is wrong
            stat = file.stat()
            stamp = stat.st_ino, stat.st_size, stat.st_mtime_ns
            if self._stamps.setdefault(file, stamp) != stamp:
                problem = "the file changed while it was read; read files that no program writes to"
                raise DataError("changed-file", problem, file=file)

    @cached_property
    def _stamps(self) -> dict[Path, tuple[int, int, int]]:
        """What was known of each file when it was first read."""
        return {}

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yields all rows in order, in batches; the next batch is read meanwhile.

        Raises
        ------
        DataError
            If a file cannot be read, or has changed since the first pass.
        """
        parts = self._read(list(self.columns if columns is None else columns))
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(next, parts, None)
            while (batch := coming.result()) is not None:
                coming = reader.submit(next, parts, None)
                yield batch

    def _read(self, columns: list[str]) -> Iterator[Batch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = pa.schema([self.schema.field(name) for name in columns])
        for k, file in enumerate(self.files):
            given = self.of_folders(file)
            own = [name for name in columns if name not in given]
            texts = [name for name in own if name in self.encoded]
            start = int(self.starts[k])
            with (
                self.unchanged(file),
                parquet_errors(file),
                pq.ParquetFile(file, read_dictionary=texts) as opened,
            ):
                for some in opened.iter_batches(BATCH_ROWS, columns=own):
                    if not some.num_rows:
                        continue
                    some.validate(full=True)
                    arrays = []
                    for name in columns:
                        if name in given:
                            codes = pa.array(np.zeros(some.num_rows, np.int32))
                            array = pa.DictionaryArray.from_arrays(codes, pa.array([given[name]]))
                        else:
                            array = some.column(name)
                            kind = kinds.field(name).type
                            if not pa.types.is_dictionary(array.type):
                                array = array.cast(kind)
                            elif array.type.value_type != kind:
                                array = array.cast(pa.dictionary(pa.int32(), kind))
                        arrays.append(array)
                    table = pa.Table.from_arrays(arrays, names=columns)
                    yield Batch(table, start + np.arange(some.num_rows))
                    start += some.num_rows

    @property
    def encoded(self) -> Sequence[str]:
        """The columns that are dictionary-encoded, so that equal cells are in memory once."""
        return [field.name for field in self.schema if _is_text(field.type)]

    def given(self, batch: Batch, target: str) -> npt.NDArray[np.bool_]:
        """Returns which rows of a batch have a value."""
        column = batch.table[target]
        given: npt.NDArray[np.bool_] = column.is_valid().to_numpy().copy()
        if str(column.type) in ("double", "float", "halffloat"):
            given &= ~np.isnan(column.to_numpy())
        return given

    def plain_batches(self, row: str) -> Any:
        """Returns a reader of all rows for another library, their numbers in a column `row`."""
        import pyarrow as pa

        schema = self.schema.append(pa.field(row, pa.int64()))

        def rows() -> Iterator[Any]:
            for batch in self.batches():
                table = batch.plain().table.append_column(row, pa.array(batch.rows))
                yield from table.cast(schema).combine_chunks().to_batches()

        return pa.RecordBatchReader.from_batches(schema, rows())

    def place(self, row: int) -> tuple[Path, int]:
        """Returns the file of a row of the set, and its number in that file, from 0."""
        k = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.files[k], row - int(self.starts[k])

    def columns_of(self, batch: Batch) -> Columns:
        """Returns a batch as columns whose messages name the file and the row in it."""
        from memattn.forecast.data.file_set_columns import FileSetColumns

        return FileSetColumns(batch.table, self.source, batch.rows, self.place)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
