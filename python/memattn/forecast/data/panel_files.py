"""Reads files as columns: CSV with our own reader or PyArrow, Parquet with PyArrow or Polars."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memattn.csv_reader import read_csv, read_text_file
from memattn.errors import DataError
from memattn.extras import need
from memattn.forecast.data.columns import Columns, TableColumns
from memattn.forecast.data.folders import (
    check_one_kind,
    csv_files,
    holds_parquet,
    is_parquet,
    is_several,
    parquet_files,
)
from memattn.forecast.data.parquet_reader import parquet_errors, read_parquet

# Our own reader takes 0.3 s for this, about as long as importing PyArrow.
ARROW_BYTES = 2 << 20


def _holds_parquet(path: Path) -> bool:
    """Returns whether to read a file or folder as Parquet, by its suffix, else by its content."""
    if is_several(path):
        return is_parquet(path) or bool(parquet_files(path))
    if path.suffix or not path.is_file():
        return is_parquet(path)
    return holds_parquet(path)


@contextmanager
def errors_of_file(path: Path) -> Iterator[None]:
    """Turns errors about a file, whose columns the block uses, into a DataError."""
    if _holds_parquet(path):
        with parquet_errors(path):
            yield
    else:  # only our own code reads those columns
        yield


def read_columns(path: Path) -> Columns:
    """Reads the columns of a file, Parquet or CSV by its name, or of all files of a folder.

    Raises
    ------
    DataError
        If the file cannot be read.
    ModuleNotFoundError
        If neither Polars nor PyArrow is installed for a Parquet file, or no PyArrow for a folder.
    """
    if is_several(path):
        check_one_kind(path)
        if csv_files(path):
            need("a folder of CSV files", "parquet", "narwhals", "pyarrow")
            from memattn.forecast.data.text_file_set import read_csv_files

            return read_csv_files(path)
        if path.is_dir() and not parquet_files(path):
            raise DataError("no-files", "the folder has no CSV or Parquet files", file=path)
    if _holds_parquet(path):
        return read_parquet(path)
    data = read_text_file(path)
    found = None
    if len(data) >= ARROW_BYTES and importlib.util.find_spec("pyarrow") is not None:
        from memattn.forecast.data.arrow_columns import arrow_columns

        found = arrow_columns(path, data)
    return found or TableColumns(read_csv(path, data))
