"""How data came, and on whose clock, as text in a file; what comes from one is not trusted."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from memattn.convert.source import SourceFile
from memattn.errors import quoted
from memattn.forecast.data.panel import Form
from memattn.forecast.data.times import Style


def zone_config(zone: tzinfo | None) -> str | None:
    """A zone as text: its name, or its distance from UTC."""
    if zone is None:
        return None
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)  # zoneinfo, pytz
    if isinstance(name, str):
        return name
    offset = zone.utcoffset(None)
    if offset is None:
        problem = f"found a zone without a name, {zone!r}, expected one of zoneinfo"
        raise ValueError(f"Forecaster.save: {problem}")
    return f"{offset // timedelta(minutes=1):+d} minutes"


def form_config(form: Form) -> dict[str, Any]:
    """A form as JSON can hold it."""
    style = form.style
    return {
        "library": form.library,
        "columns": [form.id_col, form.time_col, form.target_col],
        "id_dtype": _dtype_text(form.library, form.id_dtype),
        "time_dtype": _dtype_text(form.library, form.time_dtype),
        "style": None if style is None else dict(vars(style)),
    }


def _dtype_text(library: str, dtype: Any) -> str | None:
    if dtype is None or library == "csv":
        return None
    if dtype is date:
        return "date"
    if isinstance(dtype, type) and issubclass(dtype, datetime):
        return "datetime"
    if library == "polars":
        import polars as pl

        if isinstance(dtype, pl.Datetime):
            return f"Datetime {dtype.time_unit} {dtype.time_zone or ''}".rstrip()
        if dtype in (pl.Categorical, pl.Enum):  # their categories are the ids
            return "String"
    return str(dtype)


def zone_of(source: SourceFile, found: object) -> tzinfo | None:
    """The zone that `zone_config` wrote; FormatError when it is none."""
    if found is None:
        return None
    text = str(found)
    try:
        if not text.endswith(" minutes"):
            return ZoneInfo(text)
        minutes = int(text.removesuffix(" minutes"))
        return timezone(timedelta(minutes=minutes)) if minutes else timezone.utc
    except (ValueError, OverflowError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return source.fail("config: zone", quoted(text), "a time zone that this machine knows")


def form_of(source: SourceFile, found: object) -> Form:
    """The form that `form_config` wrote; FormatError when it is none."""
    keys = {"library", "columns", "id_dtype", "time_dtype", "style"}
    if not isinstance(found, dict) or set(found) != keys:
        source.fail("config: form", "other keys", f"the keys {', '.join(sorted(keys))}")
    library, columns = found["library"], found["columns"]
    if library not in ("pandas", "polars", "csv"):
        source.fail("config: form: library", quoted(str(library)), "pandas, polars or csv")
    if not (isinstance(columns, list) and [type(name) for name in columns] == [str] * 3):
        source.fail("config: form: columns", quoted(str(columns)), "three names")
    return Form(
        library=library,
        id_col=columns[0],
        time_col=columns[1],
        target_col=columns[2],
        id_dtype=_dtype(source, library, found["id_dtype"]),
        time_dtype=_dtype(source, library, found["time_dtype"]),
        style=_style(source, found["style"]),
    )


def _style(source: SourceFile, found: object) -> Style | None:
    if found is None:
        return None
    plain = vars(Style())
    if not isinstance(found, dict) or {k: type(v) for k, v in found.items()} != {
        name: type(value) for name, value in plain.items()
    }:
        source.fail("config: form: style", quoted(str(found)), "how dates are written")
    if not 0 <= found["fraction_digits"] <= 6:
        source.fail("config: form: style", f"{found['fraction_digits']} digits", "0 to 6")
    return Style(**found)


def _dtype(source: SourceFile, library: str, found: object) -> Any:
    """The type of a column that a text names, in a library that is imported for it."""
    if found is None:
        return None
    if found in ("date", "datetime") and library == "pandas":
        return date if found == "date" else datetime
    if isinstance(found, str) and len(found) <= 100:
        dtype = _pandas_dtype(found) if library == "pandas" else _polars_dtype(found)
        if dtype is not None:
            return dtype
    return source.fail("config: form", f"the type {quoted(str(found))}", f"one of {library}")


def _pandas_dtype(text: str) -> Any:
    import pandas as pd

    try:
        return pd.api.types.pandas_dtype(text)
    except (TypeError, ValueError, ImportError, KeyError, NotImplementedError):
        return None


def _polars_dtype(text: str) -> Any:
    import polars as pl

    words = text.split(" ")
    if words[0] == "Datetime" and len(words) in (2, 3) and words[1] in ("ms", "us", "ns"):
        return pl.Datetime(words[1], words[2] if len(words) == 3 else None)  # type: ignore[arg-type]
    plain = (pl.String, pl.Date, pl.Int8, pl.Int16, pl.Int32, pl.Int64)
    plain += (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)  # type: ignore[assignment]
    return {str(dtype): dtype for dtype in plain}.get(text)
