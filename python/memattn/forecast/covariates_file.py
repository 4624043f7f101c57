"""Covariates and their encoding in a saved forecaster; everything in a file is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn.convert.source import SourceFile
from memattn.forecast.covariate_encoding import MOST_CATEGORIES, SEASONS_BACK, Encoded, Encoding
from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariates import MAX_MAGNITUDE, ROLES, Covariate, Covariates
from memattn.forecast.data.panel import Panel
from memattn.forecast.state_file import Arrays

MOST = 1_000_000  # covariates, or categories of one covariate
VALUES, CENTER, SCALE = "covariates", "encoding.center", "encoding.scale"
LEVEL, SPREAD = "encoding.level", "encoding.spread"
# Names of tensors with their types and dimensions. A forecaster with covariates has all of KINDS;
# if values are compressed, also those of COMPRESSED.
KINDS = dict.fromkeys((VALUES, CENTER, SCALE), ("float64", 2))
COMPRESSED = dict.fromkeys((LEVEL, SPREAD), ("float64", 1))


def covariate_arrays(panel: Panel, encoding: Encoding) -> dict[str, Array]:
    """Returns the tensors of the covariates and their encoding, by name."""
    assert panel.covariates is not None
    arrays = {VALUES: panel.covariates.values, CENTER: encoding.center, SCALE: encoding.scale}
    if encoding.level is not None and encoding.spread is not None:
        arrays |= {LEVEL: encoding.level, SPREAD: encoding.spread}
    return arrays


def covariate_config(panel: Panel, encoding: Encoding) -> dict[str, Any]:
    """Returns the part of the file's config about covariates."""
    assert panel.covariates is not None
    return {
        "ahead": panel.covariates.ahead,
        "columns": [[one.name, one.role, list(one.categories)] for one in panel.covariates.columns],
        "chosen": list(encoding.chosen),
        "cycle": encoding.cycle,
        "encoded": [
            [None if one.kept is None else list(one.kept), one.flag, one.marked, one.every]
            for one in encoding.columns
        ],
    }


def kinds_of(names: set[str]) -> dict[str, tuple[str, int]]:
    """Returns the covariate tensors that a file with these tensor `names` must have."""
    if names.isdisjoint(KINDS):
        return {}
    return KINDS if names.isdisjoint(COMPRESSED) else KINDS | COMPRESSED


def read_columns(
    source: SourceFile, found: object, horizon: int, season: int
) -> tuple[tuple[Covariate, ...], tuple[Encoded, ...], tuple[int, ...], int]:
    """Reads the covariates of a file, the encodings and indices of those in use, and the cycle."""
    keys = {"ahead", "columns", "chosen", "cycle", "encoded"}
    if not isinstance(found, dict) or set(found) != keys:
        source.fail("config: covariates", "other keys", f"the keys {', '.join(sorted(keys))}")
    if found["ahead"] != horizon or type(found["ahead"]) is not int:
        source.fail(
            "config: covariates: ahead", str(found["ahead"])[:40], f"the horizon, {horizon}"
        )
    columns = [_column(source, one) for one in _list(source, "columns", found["columns"])]
    if len({one.name for one in columns}) != len(columns):
        source.fail("config: covariates: columns", "a name twice", "different names")
    chosen = _list(source, "chosen", found["chosen"])
    if not all(_whole(one, len(columns)) for one in chosen) or chosen != sorted(set(chosen)):
        source.fail("config: covariates: chosen", "another list", "ascending indices of columns")
    encoded = _list(source, "encoded", found["encoded"])
    if len(encoded) != len(chosen):
        source.fail("config: covariates: encoded", f"{len(encoded)} entries", f"{len(chosen)}")
    pairs = zip(encoded, chosen, strict=True)
    used = tuple(_encoded(source, one, columns[place], season) for one, place in pairs)
    cycle = found["cycle"]
    if type(cycle) is not int or cycle not in (0, SEASONS_BACK[-1]):
        source.fail("config: covariates: cycle", "another number", f"0 or {SEASONS_BACK[-1]}")
    return tuple(columns), used, tuple(chosen), cycle


def read_covariates(
    source: SourceFile, arrays: Arrays, columns: tuple[Covariate, ...], horizon: int, panel: Panel
) -> Covariates:
    """Reads the values of the covariates of a panel."""
    arrays.check(VALUES, (len(panel.values) + horizon * len(panel), len(columns)))
    values = arrays.read(VALUES)
    if (np.abs(values) > MAX_MAGNITUDE).any():  # NaN, a missing value, is valid
        source.fail(VALUES, "a value that is too large", f"up to {MAX_MAGNITUDE:g}")
    for place, column in enumerate(columns):
        if column.categories:
            codes = values[:, place]
            codes = codes[~np.isnan(codes)]
            last = len(column.categories) - 1
            if not ((codes == np.rint(codes)) & (codes >= -1) & (codes <= last)).all():
                source.fail(VALUES, "no index of a category", f"whole numbers from -1 to {last}")
    return Covariates(columns, values, horizon)


def read_encoding(
    source: SourceFile,
    arrays: Arrays,
    encoded: tuple[Encoded, ...],
    chosen: tuple[int, ...],
    ids: npt.NDArray[Any],
    cycle: int,
) -> Encoding:
    """Reads the encoding of the covariates."""
    shapes: Mapping[str, tuple[int, ...]] = {
        **dict.fromkeys((CENTER, SCALE), (len(ids) + 1, len(encoded))),
        **dict.fromkeys((LEVEL, SPREAD), (len(ids) + 1,)),
    }
    found: dict[str, Array | None] = dict.fromkeys(shapes)
    for name, shape in shapes.items():
        if name not in arrays.tensors:
            continue
        arrays.check(name, shape)
        values = arrays.read(name)
        if not np.isfinite(values).all() or (np.abs(values) > MAX_MAGNITUDE).any():
            source.fail(name, "a value out of bounds", f"finite numbers up to {MAX_MAGNITUDE:g}")
        if name in (SCALE, SPREAD) and not (values > 0).all():
            source.fail(name, "a scale that is not above 0", "positive numbers")
        found[name] = values
    center, scale, level, spread = (found[name] for name in shapes)
    assert center is not None
    assert scale is not None
    places = {one: k for k, one in enumerate(ids.tolist())}
    return Encoding(encoded, chosen, places, center, scale, level, spread, cycle)


def _list(source: SourceFile, name: str, found: object) -> list[Any]:
    if not isinstance(found, list) or len(found) > MOST:
        source.fail(f"config: covariates: {name}", "another form", "a list")
    return list(found)


def _whole(found: object, most: int) -> bool:
    return type(found) is int and 0 <= found < most


def _column(source: SourceFile, found: object) -> Covariate:
    match found:
        case [str(name), str(role), list(categories)] if name and role in ROLES:
            texts = all(isinstance(one, str) for one in categories)
            if texts and len(categories) <= MOST and categories == sorted(set(categories)):
                return Covariate(name, role, tuple(categories))
    return source.fail("config: covariates: columns", "another form", "name, role and categories")


def _encoded(source: SourceFile, found: object, column: Covariate, season: int) -> Encoded:
    match found:
        case [kept, bool(flag), bool(marked), int(every)] if every in (0, 1, season):
            if kept is None and not column.categories:
                return Encoded(column.role, None, flag, marked, every)
            most = len(column.categories)
            if isinstance(kept, list) and most > 0 and len(kept) <= MOST_CATEGORIES:
                whole = all(_whole(one, most) for one in kept)
                if whole and kept == sorted(set(kept)):
                    return Encoded(column.role, tuple(kept), flag, marked, every)
    return source.fail("config: covariates: encoded", "another form", "one that fits the columns")
