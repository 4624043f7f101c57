"""Types of id and time columns as text in a file, and the types that such a text may name.

Only the types in the lists below are written and read. pandas and Polars parse far more texts than
these: some of them take any amount of memory for a value, and some are evaluated as Python.
"""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo
from typing import Any

_BITS = (8, 16, 32, 64)
_PANDAS_WHOLE = frozenset(
    {
        *(f"{name}{bits}" for name in ("int", "uint", "Int", "UInt") for bits in _BITS),
        *(f"{name}{bits}[pyarrow]" for name in ("int", "uint") for bits in _BITS),
    }
)
# Ids are text or whole numbers, which a column of another type may hold as well.
_PANDAS_IDS = _PANDAS_WHOLE | {
    *("object", "category", "str", "string", "bool", "boolean", "bool[pyarrow]"),
    *("string[pyarrow]", "large_string[pyarrow]", "string_view[pyarrow]"),
    *("float32", "float64", "Float32", "Float64", "float[pyarrow]", "double[pyarrow]"),
}
_PANDAS_MOMENT = re.compile(r"datetime64\[(s|ms|us|ns)(?:, (.{1,100}))?\]")
_ARROW_MOMENT = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.{1,100}))?\]\[pyarrow\]")
_ARROW_DATE = "date32[day][pyarrow]"
_POLARS_WHOLE = tuple(f"{name}{bits}" for name in ("Int", "UInt") for bits in _BITS)
_POLARS_IDS = frozenset({"String", *_POLARS_WHOLE})
_POLARS_TIMES = frozenset({"Date", *_POLARS_WHOLE})
_POLARS_MOMENT = re.compile(r"Datetime (ms|us|ns)(?: (.{1,100}))?")


def type_text(library: str, dtype: Any, zone: tzinfo | None) -> str | None:
    """The type of a column as text; None for text of no type, which is what a CSV file has.

    Parameters
    ----------
    library : str
        ``"pandas"``, ``"polars"`` or ``"csv"``.
    dtype : object
        A type of the library, or a class of Python's dates.
    zone : tzinfo, optional
        The zone of the times, as a file gives it back.
    """
    if dtype is None or library == "csv":
        return None
    if dtype is date:
        return "date"
    if isinstance(dtype, type) and issubclass(dtype, date):
        return "datetime"
    if library == "polars":
        import polars as pl

        if isinstance(dtype, pl.Datetime):
            return f"Datetime {dtype.time_unit} {dtype.time_zone or ''}".rstrip()
        if dtype in (pl.Categorical, pl.Enum):  # their categories are the ids
            return "String"
        return str(dtype)
    import pandas as pd

    if isinstance(dtype, pd.DatetimeTZDtype):
        return str(pd.DatetimeTZDtype(dtype.unit, zone))
    return str(dtype)


def id_type(library: str, text: str) -> Any:
    """The type of id columns that a text names; None when it names none."""
    if library == "pandas" and text in _PANDAS_IDS:
        return _pandas_type(text)
    if library == "polars" and text in _POLARS_IDS:
        return _polars_type(text)
    return None


def time_type(library: str, text: str, zone: tzinfo | None) -> Any:
    """The type of time columns in a zone that a text names; None when it names none."""
    if library == "pandas":
        return _pandas_time_type(text, zone)
    if library != "polars":
        return None
    if text in _POLARS_TIMES:
        return _polars_type(text)
    import polars as pl

    match = _POLARS_MOMENT.fullmatch(text)
    if match is None or not _is_zone(match[2], zone):
        return None
    return pl.Datetime(match[1], match[2])  # type: ignore[arg-type]  # one of its units


def _pandas_time_type(text: str, zone: tzinfo | None) -> Any:
    if text in ("date", "datetime"):
        return date if text == "date" else datetime
    if text in _PANDAS_WHOLE or text == _ARROW_DATE:
        return _pandas_type(text)
    import pandas as pd

    if (match := _PANDAS_MOMENT.fullmatch(text)) and _is_zone(match[2], zone):
        return pd.DatetimeTZDtype(match[1], zone) if zone else _pandas_type(text)
    if (match := _ARROW_MOMENT.fullmatch(text)) and _is_zone(match[2], zone):
        try:
            import pyarrow as pa
        except ImportError:
            return None
        return pd.ArrowDtype(pa.timestamp(match[1], match[2]))
    return None


def _is_zone(text: str | None, zone: tzinfo | None) -> bool:
    """Whether `text` is how pandas, PyArrow or Polars write `zone`."""
    if text is None or zone is None:
        return text is None and zone is None
    return str(zone) in (text, f"UTC{text}")  # PyArrow writes +02:00


def _pandas_type(text: str) -> Any:
    import pandas as pd

    try:
        return pd.api.types.pandas_dtype(text)
    except (TypeError, ImportError):  # an older pandas, or no PyArrow
        return None


def _polars_type(text: str) -> Any:
    import polars as pl

    return getattr(pl, text)
