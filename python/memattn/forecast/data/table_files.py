"""Tables of forecasts as files: CSV, or by their name Parquet, whatever the series came as."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

from memattn.errors import DataError
from memattn.forecast.data.panel_files import is_parquet


def kind_of_file(path: Path) -> str:
    """The kind of table, as `to_table` knows it, of which `table_bytes` makes this file.

    Raises
    ------
    DataError
        Nothing is installed that writes a file of this name.
    """
    if not is_parquet(path):
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
        return str(table.to_csv()).encode()
    content = io.BytesIO()
    if kind == "polars":
        table.write_parquet(content)
    else:
        import pyarrow.parquet as pq

        pq.write_table(table, content)
    return content.getvalue()
