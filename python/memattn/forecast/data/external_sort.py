"""Sorts the rows of a file set by id if they do not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from memattn.errors import DataError, quoted
from memattn.extras import need
from memattn.files import temporary_folder
from memattn.forecast.data.columns import Columns
from memattn.forecast.data.file_set import Batch, FileSet
from memattn.forecast.data.parquet_reader import parquet_errors
from memattn.forecast.data.time_zones import Ticks

ROW = "memattn row"  # the column with the number of the row in the file set
SHARE = 0.6  # share of the memory that is DuckDB's limit; it needs some more
GROUP_ROWS = 122_880  # rows that DuckDB writes at once


@contextmanager
def in_order_of_ids(files: FileSet, memory: int, threads: int) -> Iterator[FileSet]:
    """Yields the rows sorted by id, in a temporary file that is removed after the block.

    Parameters
    ----------
    files : FileSet
        Files whose rows do not all fit in memory.
    memory : int
        Bytes that sorting may take.
    threads : int
        Number of threads that sort.

    Raises
    ------
    DataError
        If there is no space for the temporary file.
    ModuleNotFoundError
        If DuckDB is not installed.
    """
    need("sorting rows that lie apart", "sort", "duckdb")
    with temporary_folder() as folder:
        path = folder / "sorted.parquet"
        _sort(files, path, int(SHARE * memory), threads)
        yield _SortedFiles(files, path)


def _sort(files: FileSet, path: Path, memory: int, threads: int) -> None:
    import duckdb

    options: dict[str, Any] = {
        "memory_limit": f"{memory >> 20}MiB",
        "threads": str(threads),
        "temp_directory": str(path.parent / "spill"),
        "preserve_insertion_order": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    connection: Any = duckdb.connect(config=options)
    order = f"ORDER BY {_name(files.columns[0])}, {_name(ROW)}"
    how = f"FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE {GROUP_ROWS}"
    try:
        query = _rows_of(files, connection)
        connection.execute(f"COPY ({query} {order}) TO {_text(str(path))} ({how})")
    except duckdb.Error as error:
        reason = quoted(str(error).splitlines()[0], 200)
        problem = f"cannot sort the rows by id in {path.parent}: {reason}; set TMPDIR to a folder "
        problem += "with space for them, or write the files in the order of their ids"
        raise DataError("write-failed", problem, file=files.source) from None
    finally:
        connection.close()


def _rows_of(files: FileSet, connection: Any) -> str:
    """Returns a query for all rows with their numbers."""
    names = ", ".join(_name(one) for one in files.columns)
    if files.is_text:
        connection.register("rows_of_text", files.plain_batches(ROW))
        return f"SELECT {names}, {_name(ROW)} FROM rows_of_text"
    starts = ", ".join(map(str, files.starts[:-1].tolist()))
    first = f"list_extract([{starts}]::BIGINT[], (file_index + 1)::BIGINT)"
    row = f"{first} + file_row_number AS {_name(ROW)}"
    paths = ", ".join(_text(str(file)) for file in files.files)
    folders = "true" if any(map(files.of_folders, files.files)) else "false"
    how = f"union_by_name=true, hive_partitioning={folders}, hive_types_autocast=false"
    return f"SELECT {names}, {row} FROM read_parquet([{paths}], {how})"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class _SortedFiles(FileSet):
    """The sorted rows; messages name the files that they came from."""

    _path: Path
    _unsorted: FileSet

    def __init__(self, files: FileSet, path: Path) -> None:
        super().__init__(files.source, files.files, files.columns)
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_unsorted", files)

    def columns_of(self, batch: Batch) -> Columns:
        """Returns a batch as columns whose messages name the original files."""
        return self._unsorted.columns_of(batch)

    def _read(self, columns: list[str]) -> Iterator[Batch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path, types = self._path, self._unsorted.schema
        texts = [one for one in columns if one in self._unsorted.encoded]
        with parquet_errors(path), pq.ParquetFile(path, read_dictionary=texts) as opened:
            for some in opened.iter_batches(GROUP_ROWS, columns=[*columns, ROW]):
                arrays = []
                for name in columns:
                    array, kind = some.column(name), types.field(name).type
                    plain = pa.types.is_dictionary(array.type)
                    arrays.append(array if plain else array.cast(kind))
                rows: Ticks = some.column(ROW).to_numpy().astype(np.int64)
                yield Batch(pa.Table.from_arrays(arrays, names=columns), rows)
