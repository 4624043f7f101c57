"""Tables of forecasts as files: CSV, or by their name Parquet, whatever the series came as."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from memattn.errors import DataError
from memattn.forecast.data.frequency import COUNTED
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.panel_files import is_parquet


def check_table_file(path: Path) -> None:
    """Raises DataError when nothing is installed that writes a file of this name."""
    if is_parquet(path) and _library() is None:
        found = "found neither polars nor pyarrow, expected one to write Parquet"
        problem = f"{found}: pip install 'memattn[polars]' or 'memattn[parquet]'"
        raise DataError("missing-extra", problem, file=path)


def for_file(panel: Panel, path: Path) -> Panel:
    """The panel, with tables of it in the form that `table_bytes` takes for this file."""
    library = _library() if is_parquet(path) else None
    if library is None:
        return replace(panel, form=replace(panel.form, library="csv"))
    dtypes = _polars_types(panel) if library == "polars" else _pandas_types(panel)
    form = replace(panel.form, library=library, id_dtype=dtypes[0], time_dtype=dtypes[1])
    return replace(panel, form=form)


def table_bytes(table: Any) -> bytes:
    """A table as the content of a file: text as it is, a frame as Parquet."""
    if isinstance(table, str):
        return table.encode()
    content = io.BytesIO()
    if hasattr(table, "write_parquet"):
        table.write_parquet(content)
    else:
        table.to_parquet(content, engine="pyarrow", index=False)
    return content.getvalue()


def _library() -> str | None:
    """What reads Parquet here also writes it."""
    if importlib.util.find_spec("polars") is not None:
        return "polars"
    found = importlib.util.find_spec("pandas") and importlib.util.find_spec("pyarrow")
    return "pandas" if found else None


def _polars_types(panel: Panel) -> tuple[Any, Any]:
    import polars as pl

    ids = pl.String if isinstance(panel.ids[0], str) else pl.Int64
    if panel.frequency.unit in COUNTED:
        return ids, pl.Int64
    zone = getattr(panel.zone, "key", None) or ("UTC" if panel.zone is not None else None)
    return ids, pl.Datetime("us", zone)


def _pandas_types(panel: Panel) -> tuple[Any, Any]:
    ids = object if isinstance(panel.ids[0], str) else np.int64
    if panel.frequency.unit in COUNTED:
        return ids, np.int64
    if panel.zone is None:
        return ids, "datetime64[us]"
    return ids, f"datetime64[us, {getattr(panel.zone, 'key', 'UTC')}]"
