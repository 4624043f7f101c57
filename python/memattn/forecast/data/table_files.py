"""Tables of forecasts as files: by their name CSV, gzip or Parquet, whatever the series came as."""

from __future__ import annotations

import gzip
import importlib.util
import io
from pathlib import Path
from typing import Any

from memattn.errors import DataError, quoted
from memattn.forecast.data.folders import is_parquet


def kind_of_file(path: Path) -> str:
    """The kind of table, as `to_table` knows it, of which `table_bytes` makes this file.

    Raises
    ------
    DataError
        The name's ending is that of no such table, or nothing is installed that writes it.
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
    """A table of the kind of a file as the content of that file."""
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
