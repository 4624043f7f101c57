"""Writes tables of forecasts as files: CSV, gzip or Parquet, by the name of the file."""

from __future__ import annotations

import gzip
import importlib.util
import io
from pathlib import Path
from typing import Any

from memattn.errors import DataError, quoted
from memattn.forecast.data.folders import is_parquet


def kind_of_file(path: Path) -> str:
    """Returns the kind of table, as in `to_table`, that `table_bytes` writes to this file.

    Raises
    ------
    DataError
        If the suffix names no such table, or no package that writes it is installed.
    """
    if not is_parquet(path):
        name = path.name.lower()
        if path.suffix and not name.endswith((".csv", ".csv.gz")):
            problem = f"found {quoted(path.name)}, expected a name in .csv, .csv.gz or .parquet"
            raise DataError("option", problem, argument="output")
        return "small"
    for library in ("polars", "pyarrow"):
        if importlib.util.find_spec(library) is not None:
            return library
    problem = (
        "writing Parquet needs Polars or PyArrow: "
        "pip install 'memattn[polars]' or 'memattn[parquet]'"
    )
    raise DataError("missing-extra", problem, file=path)


def table_bytes(table: Any, path: Path) -> bytes:
    """Returns the content of a file for a table of its kind."""
    kind = kind_of_file(path)
    if kind == "small":
        text = str(table.to_csv()).encode()
        return gzip.compress(text, mtime=0) if path.suffix.lower() == ".gz" else text
    content = io.BytesIO()
    if kind == "polars":
        table.write_parquet(content)
    else:
        import pyarrow.parquet as pq

        pq.write_table(table, content)
    return content.getvalue()
