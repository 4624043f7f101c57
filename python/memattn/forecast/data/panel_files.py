"""Files as columns: CSV by our own reader or PyArrow, Parquet by Polars or by pandas."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from memattn.csv_reader import read_csv
from memattn.errors import DataError, quoted
from memattn.forecast.data.columns import Columns, TableColumns

PARQUET = frozenset({".parquet", ".pq", ".parq"})
# 0.3 s for our own reader; about what importing PyArrow takes.
ARROW_BYTES = 2 << 20


def read_columns(path: Path) -> Columns:
    """The columns of a file; by its name it is Parquet or CSV.

    Raises
    ------
    DataError
        The file cannot be read.
    ModuleNotFoundError
        A Parquet file, and neither Polars nor PyArrow is installed.
    """
    if path.suffix.lower() not in PARQUET:
        return _by_arrow(path) or TableColumns(read_csv(path))
    if not path.is_file():
        raise DataError("not-found", "found no such file, expected a Parquet file", file=path)
    if importlib.util.find_spec("polars") is not None:
        return _by_polars(path)
    if importlib.util.find_spec("pandas") and importlib.util.find_spec("pyarrow"):
        return _by_pandas(path)
    msg = (
        f"{path}: found neither polars nor pyarrow, expected one to read Parquet: "
        "pip install 'memattn[polars]' or 'memattn[parquet]'"
    )
    raise ModuleNotFoundError(msg)


def _by_arrow(path: Path) -> Columns | None:
    """A large CSV file, if PyArrow is installed and reads it as we do."""
    if not path.is_file() or path.stat().st_size < ARROW_BYTES:
        return None
    if importlib.util.find_spec("pyarrow") is None:
        return None
    from memattn.forecast.data.arrow_columns import arrow_columns

    return arrow_columns(path)


def _by_polars(path: Path) -> Columns:
    import polars as pl

    from memattn.forecast.data.polars_columns import PolarsColumns

    try:
        frame = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from None
    return PolarsColumns(frame, path)


def _by_pandas(path: Path) -> Columns:
    import pandas as pd

    from memattn.forecast.data.pandas_columns import PandasColumns

    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except (ValueError, OSError) as error:  # ArrowInvalid is a ValueError
        raise _unreadable(path, error) from None
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    return PandasColumns(frame, (), path)


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = quoted(str(error).splitlines()[0] if str(error) else type(error).__name__, 200)
    problem = f"found a file that cannot be read ({reason}), expected a Parquet file"
    return DataError("unreadable", problem, file=path)
