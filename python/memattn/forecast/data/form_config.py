"""How data came, and on whose clock, as text in a file; what comes from one is not trusted."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta, timezone, tzinfo
from functools import partial
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from memattn.convert.source import SourceFile
from memattn.errors import quoted
from memattn.forecast.data.column_types import id_type, time_type, type_text
from memattn.forecast.data.panel import Form
from memattn.forecast.data.times import Style, is_readable

ReadType: TypeAlias = Callable[[str, str], Any]  # library and text; None for no such type

_MINUTES = re.compile(r"[+-]\d{1,4} minutes", re.ASCII)
_MAX_ZONE = 100  # characters of a name


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


def form_config(form: Form, zone: tzinfo | None) -> dict[str, Any]:
    """A form as JSON can hold it; ValueError for a type that a file cannot keep."""
    style, library = form.style, form.library
    kept = _zone_named(zone_config(zone))
    id_text = type_text(library, form.id_dtype, kept)
    time_text = type_text(library, form.time_dtype, kept)
    if id_text is not None and id_type(library, id_text) is None:
        raise ValueError(f"Forecaster.save: ids of the type {id_text} cannot be kept in a file")
    if time_text is not None and time_type(library, time_text, kept) is None:
        raise ValueError(f"Forecaster.save: times of the type {time_text} cannot be kept in a file")
    return {
        "library": library,
        "columns": [form.id_col, form.time_col, form.target_col],
        "id_dtype": id_text,
        "time_dtype": time_text,
        "style": None if style is None else dict(vars(style)),
    }


def zone_of(source: SourceFile, found: object) -> tzinfo | None:
    """The zone that `zone_config` wrote; FormatError when it is none."""
    if found is not None and not isinstance(found, str):
        source.fail("config: zone", type(found).__name__, "text or null")
    try:
        return _zone_named(found)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        source.fail("config: zone", quoted(str(found)), "a time zone that this machine knows")


def _zone_named(text: str | None) -> tzinfo | None:
    if text is None:
        return None
    if _MINUTES.fullmatch(text):
        minutes = int(text.removesuffix(" minutes"))
        return timezone(timedelta(minutes=minutes)) if minutes else timezone.utc
    if len(text) > _MAX_ZONE:
        raise ValueError(text)
    return ZoneInfo(text)


def form_of(source: SourceFile, found: object, zone: tzinfo | None) -> Form:
    """The form that `form_config` wrote of data in a zone; FormatError when it is none."""
    keys = {"library", "columns", "id_dtype", "time_dtype", "style"}
    if not isinstance(found, dict) or set(found) != keys:
        source.fail("config: form", "other keys", f"the keys {', '.join(sorted(keys))}")
    library, columns = found["library"], found["columns"]
    if library not in ("pandas", "polars", "csv"):
        source.fail("config: form: library", quoted(str(library)), "pandas, polars or csv")
    if not (isinstance(columns, list) and [type(name) for name in columns] == [str] * 3):
        source.fail("config: form: columns", quoted(str(columns)), "three names")
    time_type_in_zone = partial(time_type, zone=zone)
    return Form(
        library=library,
        id_col=columns[0],
        time_col=columns[1],
        target_col=columns[2],
        id_dtype=_type(source, "id_dtype", library, found["id_dtype"], id_type),
        time_dtype=_type(source, "time_dtype", library, found["time_dtype"], time_type_in_zone),
        style=_style(source, found["style"]),
    )


def _style(source: SourceFile, found: object) -> Style | None:
    """How dates are written, which must be a way in which they are read."""
    if found is None:
        return None
    plain = vars(Style())
    if not isinstance(found, dict) or {k: type(v) for k, v in found.items()} != {
        name: type(value) for name, value in plain.items()
    }:
        source.fail("config: form: style", quoted(str(found)), "how dates are written")
    style = Style(**found)
    if not is_readable(style):
        source.fail("config: form: style", quoted(str(found)), "a style in which dates are read")
    return style


def _type(source: SourceFile, key: str, library: str, found: object, read: ReadType) -> Any:
    """The type of a column that a text names, in a library that is imported for it."""
    if found is None:
        return None
    dtype = read(library, found) if isinstance(found, str) else None
    if dtype is None:
        found = f"the type {quoted(str(found))}"
        source.fail(f"config: form: {key}", found, f"a type of such columns in {library}")
    return dtype
