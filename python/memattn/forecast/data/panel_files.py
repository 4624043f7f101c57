"""Files as columns: CSV by our own reader or PyArrow, Parquet by Polars or by pandas."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memattn.csv_reader import read_csv, read_text_file
from memattn.forecast.data.columns import Columns, TableColumns
from memattn.forecast.data.parquet_reader import (
    is_pattern,
    parquet_errors,
    parquet_files,
    read_parquet,
)

PARQUET = frozenset({".parquet", ".pq", ".parq"})
# 0.3 s for our own reader; about what importing PyArrow takes.
ARROW_BYTES = 2 << 20


def is_parquet(path: Path) -> bool:
    """Whether a file of this name is Parquet."""
    return path.suffix.lower() in PARQUET


def _holds_parquet(path: Path) -> bool:
    """Whether to read a file or a folder as Parquet: by its name, without one by its content."""
    if path.is_dir() or is_pattern(path):
        return is_parquet(path) or bool(parquet_files(path))
    if path.suffix or not path.is_file():
        return is_parquet(path)
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:  # the reader says it
        return False


@contextmanager
def errors_of_file(path: Path) -> Iterator[None]:
    """In the block, where the columns of a file are used, what is wrong with it is a DataError."""
    if _holds_parquet(path):
        with parquet_errors(path):
            yield
    else:  # only our own code reads those columns
        yield


def read_columns(path: Path) -> Columns:
    """The columns of a file; by its name it is Parquet or CSV.

    Raises
    ------
    DataError
        The file cannot be read.
    ModuleNotFoundError
        A Parquet file, and neither Polars nor PyArrow is installed.
    """
    if _holds_parquet(path):
        return read_parquet(path)
    data = read_text_file(path)
    found = None
    if len(data) >= ARROW_BYTES and importlib.util.find_spec("pyarrow") is not None:
        from memattn.forecast.data.arrow_columns import arrow_columns

        found = arrow_columns(path, data)
    return found or TableColumns(read_csv(path, data))
