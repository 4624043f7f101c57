"""Converts the format and the time zone of data to and from JSON, which is not trusted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from memattn.convert.source import SourceFile
from memattn.errors import quoted
from memattn.forecast.data.column_types import id_type, kept_zone, time_type, type_text
from memattn.forecast.data.panel import Form
from memattn.forecast.data.times import Style, is_readable

LIBRARIES = ("pandas", "polars", "pyarrow", "csv")
NUMBER_TYPES = [np.dtype(code).name for code in np.typecodes["AllInteger"] + "efd"]
ReadType: TypeAlias = Callable[[str, str], Any]  # library and text; None for no such type


def form_config(form: Form) -> dict[str, Any]:
    """Returns a form as JSON, without the categories of ids."""
    return {
        "library": form.library,
        "columns": [form.id_col, form.time_col, form.target_col],
        "id_dtype": type_text(form.library, form.id_dtype),
        "time_dtype": type_text(form.library, form.time_dtype),
        "style": None if form.style is None else dict(vars(form.style)),
        "number_type": form.number_type,
    }


def zone_of(source: SourceFile, found: object) -> tzinfo | None:
    """Returns the zone that `zone_text` wrote. Raises FormatError if it is none."""
    if found is not None and not isinstance(found, str):
        source.fail("config: zone", type(found).__name__, "text or null")
    try:
        return kept_zone(found)
    except ValueError:
        source.fail("config: zone", quoted(str(found)), "a time zone that this machine knows")


def form_of(
    source: SourceFile, found: object, zone: tzinfo | None, categories: list[Any] | None
) -> Form:
    """Returns the form that `form_config` wrote. Raises FormatError if it is none."""
    keys = {"library", "columns", "id_dtype", "time_dtype", "style"}
    if not isinstance(found, dict) or set(found) - {"number_type"} != keys:
        source.fail("config: form", "other keys", f"the keys {', '.join(sorted(keys))}")
    library, columns = found["library"], found["columns"]
    if library not in LIBRARIES:
        source.fail("config: form: library", quoted(str(library)), "one of " + ", ".join(LIBRARIES))
    if not (isinstance(columns, list) and [type(name) for name in columns] == [str] * 3):
        source.fail("config: form: columns", quoted(str(columns)), "three names")
    number_type = found.get("number_type")  # the files of older versions have none
    if number_type is not None and number_type not in NUMBER_TYPES:
        source.fail("config: form: number_type", quoted(str(number_type)), "a type of numbers")
    time_type_in_zone = partial(time_type, zone=zone)
    id_type_of = partial(id_type, categories=categories)
    return Form(
        library=library,
        id_col=columns[0],
        time_col=columns[1],
        target_col=columns[2],
        id_dtype=_type(source, "id_dtype", library, found["id_dtype"], id_type_of),
        time_dtype=_type(source, "time_dtype", library, found["time_dtype"], time_type_in_zone),
        style=_style(source, found["style"]),
        number_type=number_type,
    )


def _style(source: SourceFile, found: object) -> Style | None:
    """Returns the style of dates. Raises FormatError if dates in that style cannot be read."""
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
    """Returns the type of a column that a text names. Imports the library."""
    if found is None:
        return None
    dtype = read(library, found) if isinstance(found, str) else None
    if dtype is None:
        found = f"the type {quoted(str(found))}"
        source.fail(f"config: form: {key}", found, f"a type of such columns in {library}")
    return dtype
