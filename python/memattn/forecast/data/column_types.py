"""Converts the types of id and time columns, and time zones, to and from text in a file.

Only the types in the lists below are written and read. pandas and Polars parse far more texts than
these: some can take any amount of memory, and some are evaluated as Python.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import cache
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

_WHOLE = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_PANDAS_WHOLE = frozenset((*_WHOLE, *(text.replace("i", "I").replace("u", "U") for text in _WHOLE)))
_PANDAS_TEXT = re.compile(r"(string|str) (python|pyarrow)")
_PANDAS_MOMENT = re.compile(r"datetime64\[(s|ms|us|ns)(?:, (.{1,100}))?\]")
_ARROW_TEXT = ("string", "large_string", "string_view")
_ARROW_MOMENT = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.{1,100}?))?\](?:\[pyarrow\])?")
_POLARS_WHOLE = tuple(f"{sign}{bits}" for sign in ("Int", "UInt") for bits in (8, 16, 32, 64, 128))
_POLARS_MOMENT = re.compile(r"Datetime (ms|us|ns)(?: (.{1,100}))?")
_SPAN = re.compile(r"([+-]\d{1,5}) (minutes|seconds)", re.ASCII)  # seconds from version 0.2 on
_OFFSET = re.compile(r"(?:UTC)?([+-])(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)
_ARROW_DATES = ("date32[day]", "date64[ms]")
_MAX_ZONE = 100  # characters of a name


def zone_text(zone: tzinfo) -> str:
    """Returns a zone as text: its name or its offset from UTC. Raises ValueError for neither."""
    months = [datetime(2024, month, 1) for month in range(1, 13)]
    offsets = [zone.utcoffset(month) for month in months]
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)  # of zoneinfo, pytz
    parts = PurePath(getattr(zone, "_filename", None) or "").parts  # of dateutil
    for text in (name, *("/".join(parts[-count:]) for count in (3, 2, 1) if parts)):
        if not isinstance(text, str) or text == "localtime":  # differs from machine to machine
            continue
        try:
            named = zone_named(text)
        except ValueError:
            continue
        if [named.utcoffset(month) for month in months] == offsets:
            return text
    offset = offsets[0]
    if offset is None or len(set(offsets)) > 1 or offset % timedelta(seconds=1):
        raise ValueError(zone)
    return f"{offset // timedelta(seconds=1):+d} seconds" if offset else "UTC"


def zone_named(text: str) -> tzinfo:
    """Returns the zone that a text names. Raises ValueError if it names none."""
    if match := _SPAN.fullmatch(text):
        return timezone(timedelta(**{match[2]: int(match[1])}))
    if match := _OFFSET.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
        offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return timezone(-offset if match[1] == "-" else offset)
    if len(text) > _MAX_ZONE:
        raise ValueError(text)
    try:
        return timezone.utc if text == "UTC" else ZoneInfo(text)
    except (OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(text) from None


def kept_zone(zone: tzinfo | str | None) -> tzinfo | None:
    """Returns a zone of any library as the one that its text names. Raises ValueError for none."""
    if zone is None:
        return None
    return zone_named(zone if isinstance(zone, str) else zone_text(zone))


def kept_dtype(dtype: Any, values: Sequence[Any] = (), zone: tzinfo | None = None) -> Any:
    """Returns the type for a column of ids or times in forecasts; None for the library's default.

    Parameters
    ----------
    dtype : object
        The type of the caller's column in pandas, Polars or PyArrow.
    values : sequence of str or int
        The ids.
    zone : tzinfo, optional
        The zone of the times, as `kept_zone` returns it.
    """
    kind = type(dtype).__name__
    if kind == "DatetimeTZDtype":
        return type(dtype)(dtype.unit, zone)
    if kind == "CategoricalDtype":
        kinds = {*map(type, dtype.categories.tolist()), *map(type, values)}
        return dtype if kinds in ({str}, {int}) else None
    if kind == "SparseDtype":
        return dtype.subtype
    if kind == "Categorical":
        return type(dtype)()  # without the name of its categories, which no file keeps
    return None if kind == "Object" else dtype


def type_text(library: str, dtype: Any) -> str | None:
    """Returns the type of a column as text; None for the default."""
    if dtype is None or library == "csv":
        return None
    if dtype is date or dtype is datetime:
        return "date" if dtype is date else "datetime"
    kind = type(dtype).__name__
    if kind == "StringDtype":
        return f"{'str' if isinstance(dtype.na_value, float) else 'string'} {dtype.storage}"
    if kind == "CategoricalDtype":
        order = "ordered" if dtype.ordered else "unordered"
        return f"category {order} {type_text(library, dtype.categories.dtype)}"
    if kind == "Datetime":
        return f"Datetime {dtype.time_unit} {dtype.time_zone or ''}".rstrip()
    return "Enum" if kind == "Enum" else str(dtype)


def categories_of(dtype: Any) -> list[Any] | None:
    """Returns the categories of a type that has a fixed list of them, else None."""
    if type(dtype).__name__ not in ("CategoricalDtype", "Enum"):
        return None
    found = dtype.categories
    return list(found.tolist() if hasattr(found, "tolist") else found.to_list())


def id_type(library: str, text: str, categories: Sequence[Any] | None) -> Any:
    """Returns the type of id columns that a text names, or None."""
    if library == "pandas" and text.startswith("category ") and categories is not None:
        import pandas as pd

        _, order, kind = (*text.split(" ", 2), "", "")[:3]
        plain = _pandas_type(kind)
        if order not in ("ordered", "unordered") or plain is None:
            return None
        index = pd.Index(list(categories), dtype=plain)
        return pd.CategoricalDtype(index, ordered=order == "ordered")
    if library == "polars" and text == "Enum" and categories is not None:
        import polars as pl

        return pl.Enum(list(categories))
    if categories is not None or text.removesuffix("[pyarrow]") in _ARROW_DATES or text == "Date":
        return None
    return _plain_type(library, text)


def time_type(library: str, text: str, zone: tzinfo | None) -> Any:
    """Returns the type of time columns in `zone` that a text names, or None."""
    for moment in (_PANDAS_MOMENT, _ARROW_MOMENT, _POLARS_MOMENT):
        if (match := moment.fullmatch(text)) and not _is_zone(match[2], zone):
            return None
    if library == "pandas" and text in ("date", "datetime"):
        return date if text == "date" else datetime
    if library == "pandas" and (match := _PANDAS_MOMENT.fullmatch(text)):
        import pandas as pd

        return pd.DatetimeTZDtype(match[1], zone) if zone else pd.api.types.pandas_dtype(text)
    if library == "polars" and (match := _POLARS_MOMENT.fullmatch(text)):
        import polars as pl

        return pl.Datetime(match[1], match[2])  # type: ignore[arg-type]  # one of its units
    if library in ("pandas", "pyarrow") and (match := _ARROW_MOMENT.fullmatch(text)):
        import pyarrow as pa

        return _arrow_type(library, pa.timestamp(match[1], match[2]))
    return None if text.startswith("dictionary") else _plain_type(library, text)


def _plain_type(library: str, text: str) -> Any:
    """Returns the type that a text names if it contains no other type, or None."""
    if library == "polars":
        import polars as pl

        known = (*_POLARS_WHOLE, "String", "Categorical", "Date")
        return getattr(pl, text)() if text in known else None
    if library == "pandas" and not text.endswith("[pyarrow]"):
        return _pandas_type(text)
    return _arrow_type(library, _arrow_types().get(text.removesuffix("[pyarrow]")))


def _arrow_type(library: str, kind: Any) -> Any:
    """Returns a PyArrow type as the type of a column in `library`."""
    if kind is None or library == "pyarrow":
        return kind
    import pandas as pd

    return pd.ArrowDtype(kind)


def _is_zone(text: str | None, zone: tzinfo | None) -> bool:
    """Returns whether `text` is how pandas, PyArrow or Polars write `zone`."""
    try:
        return kept_zone(text) == zone
    except ValueError:
        return False


def _pandas_type(text: str) -> Any:
    """Returns a pandas type for text or whole numbers that is not PyArrow's, or None."""
    import pandas as pd

    if match := _PANDAS_TEXT.fullmatch(text):
        try:
            if match[1] == "string":
                return pd.StringDtype(match[2])
            return pd.StringDtype(match[2], na_value=float("nan"))
        except (TypeError, ImportError):  # an older pandas, or no PyArrow
            return pd.StringDtype() if match[1] == "string" else pd.api.types.pandas_dtype(object)
    if text in _PANDAS_WHOLE or text in ("object", "str", "string"):
        return pd.api.types.pandas_dtype(text)
    return None


@cache
def _arrow_types() -> dict[str, Any]:
    """Returns PyArrow's types of ids and of times without a zone, by their texts."""
    import pyarrow as pa

    whole = [getattr(pa, name)() for name in _WHOLE]
    text = [getattr(pa, name)() for name in _ARROW_TEXT if hasattr(pa, name)]
    cells = [*whole, *text]
    found = [*cells, pa.date32(), pa.date64()]
    found += [
        pa.dictionary(index, cell, ordered)
        for index in whole
        for cell in cells
        for ordered in (False, True)
    ]
    return {str(kind): kind for kind in found}
