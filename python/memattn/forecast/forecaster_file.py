"""Reads and writes a fitted forecaster as one safetensors file; everything in a file is checked.

Every size is compared with the size of the file before memory is allocated for it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn._memattn import PanelForecaster, half_life_of
from memattn.convert.source import SourceFile, open_source
from memattn.errors import DataError, quoted
from memattn.files import write_atomically
from memattn.forecast.arguments import LOSSES, ForecasterOptions, checked_levels
from memattn.forecast.conformal import Calibration, Domain
from memattn.forecast.covariates_file import (
    CENTER,
    covariate_arrays,
    covariate_config,
    kinds_of,
    read_columns,
    read_covariates,
    read_encoding,
)
from memattn.forecast.data.column_types import categories_of, zone_text
from memattn.forecast.data.covariates import MAX_MAGNITUDE
from memattn.forecast.data.form_config import form_config, form_of, zone_of
from memattn.forecast.data.frames import forecast_frame
from memattn.forecast.data.frequency import COUNTED, MONTH_END, Frequency
from memattn.forecast.data.long_rows import Note
from memattn.forecast.data.panel import Form, Panel
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import DAY, FIRST, LAST
from memattn.forecast.data.times import MAX_NUMBER
from memattn.forecast.fitting import Fitted
from memattn.forecast.forecaster_settings import (
    ALONE,
    AVERAGE_DECAY,
    MEMORY_LAYERS,
    NO_PRIOR,
    START,
    STARTED,
    Setting,
    Settings,
    engine_options,
    stride,
    trained_levels,
    uses_prior,
)
from memattn.forecast.model import Model, covariate_options
from memattn.forecast.state_file import (
    VERSION,
    WITHOUT_SERIES,
    Arrays,
    bfloat16_bits,
    check_unicode,
    read_state,
    state_bytes,
)

FORMAT = "memattn.Forecaster"
# Names of tensors with their types and dimensions.
INTEGERS, BYTES = ("int64", 1), ("uint8", 1)
TENSORS = {"weights": ("float32", 1), "values": ("float64", 1), "offsets": INTEGERS}
TENSORS |= {"last": INTEGERS, "day": INTEGERS, "ids": BYTES}
CATEGORIES = "categories"  # of ids with a categorical type
OPTIONAL = {CATEGORIES: BYTES, "time": INTEGERS}
CALIBRATION = {"calibration.errors": ("float64", 3), "calibration.roughness": ("float64", 1)}
CALIBRATION |= {"calibration.logs": BYTES}
# Files of older versions lack these.
LATER = {"calibration.age": INTEGERS, "calibration.change": ("float64", 1)}
MOST = 2**31 - 1
# The smallest and largest values of settings that are whole numbers; others have their own rules.
BOUNDS = {
    **dict.fromkeys(("horizon", "season", "members"), (1, MOST)),
    "seed": (0, 2**64 - 1),
    "min_history": (1, MOST),
    "steps": (0, MOST),
}
LAYERS = (*range(MEMORY_LAYERS + 1), (0, MEMORY_LAYERS))
COVARIATES = {"origin_stride": (1, MOST), "origin_phase": (0, MOST), "batch_size": (1, MOST)}
CHOICES = {"loss": LOSSES, "windows": tuple(AVERAGE_DECAY), "logs": (True, False), "layers": LAYERS}
CHOICES["compressed"] = (True, False)
SETTINGS = (*BOUNDS, "loss", "windows", "logs", "layers", "lookbacks")
OF_COVARIATES = (*COVARIATES, "compressed", "left_out")
# Settings of a prior, and of a forecaster that uses one. All forecasters that could have used a
# prior have the setting "prior".
OF_PRIORS = {
    "num_heads": (1, 64),
    "prior_horizon": (1, MOST),
    "rows_seen": (3, MOST),
    "long_season": (2, MOST),
}
# Settings of a fit that used a sample of the series, and of one that continued another fit.
OF_SAMPLE = {"sample": (1, MOST), START: (1, MOST)}
CHOICES["prior"] = (ALONE, STARTED, NO_PRIOR)
DTYPES = ("float32", "bfloat16")  # of weights


def write_forecaster(
    path: Path,
    fitted: Fitted,
    options: ForecasterOptions,
    *,
    series: bool = True,
    dtype: str = "float32",
) -> None:
    """Writes `forecaster_bytes` to a file, atomically."""
    write_atomically(path, forecaster_bytes(fitted, options, series=series, dtype=dtype))


def forecaster_bytes(
    fitted: Fitted, options: ForecasterOptions, *, series: bool = True, dtype: str = "float32"
) -> bytes:
    """Returns the content of the file, with or without series, and with weights of type `dtype`.

    `dtype` is one of `DTYPES`.
    """
    if not series:
        fitted = without_series(fitted)
    panel, calibration = fitted.panel, fitted.calibration
    engine = fitted.model.engine
    weights = np.concatenate([engine.parameters(k) for k in range(engine.members)])
    arrays: dict[str, npt.NDArray[Any]] = {
        "weights": weights if dtype == "float32" else bfloat16_bits(weights),
        "values": panel.values,
        "offsets": panel.offsets,
        "last": panel.last,
        "day": panel.day,
        "ids": _json_bytes(panel.ids.tolist()),
    }
    if panel.time is not None:
        arrays["time"] = panel.time
    categories = categories_of(panel.form.id_dtype)
    if categories is not None:
        arrays[CATEGORIES] = _json_bytes(categories)
    if calibration is not None:
        arrays |= {
            "calibration.errors": calibration.errors,
            "calibration.roughness": calibration.domain.roughness,
            "calibration.logs": calibration.domain.logs.astype(np.uint8),
            "calibration.age": calibration.age,
            "calibration.change": calibration.domain.change,
        }
    encoding = fitted.model.encoding
    if encoding is not None:
        arrays |= covariate_arrays(panel, encoding)
    config = {
        "arguments": options.get_params(),
        "settings": {name: [one.value, one.reason] for name, one in fitted.settings.items()},
        "notes": [[note.kind, note.text, note.count] for note in fitted.notes],
        "frequency": [panel.frequency.unit.value, panel.frequency.step],
        "season": panel.season,
        "zone": None if panel.zone is None else zone_text(panel.zone),
        "form": form_config(panel.form),
    }
    if encoding is not None:
        config["covariates"] = covariate_config(panel, encoding)
    version = VERSION if len(panel) and dtype == "float32" else WITHOUT_SERIES
    content = state_bytes(FORMAT, arrays, config, version)
    forecaster_from(content)  # raises if the content could not be read again
    return content


def without_series(fitted: Fitted) -> Fitted:
    """Returns the fitted state without its series; it can forecast other series."""
    panel, model = fitted.panel, fitted.model
    none = {name: getattr(panel, name)[:0] for name in ("ids", "values", "last", "day")}
    time = None if panel.time is None else panel.time[:0]
    covariates, encoding = panel.covariates, model.encoding
    if covariates is not None:
        covariates = replace(covariates, values=covariates.values[:0])
    if encoding is not None:
        # The last row is for series that training has not seen.
        last = {name: getattr(encoding, name)[-1:] for name in ("center", "scale")}
        level = None if encoding.level is None else encoding.level[-1:]
        spread = None if encoding.spread is None else encoding.spread[-1:]
        encoding = replace(encoding, ids={}, **last, level=level, spread=spread)
    # The types of the data frame's library are dropped too: the file may be read without it.
    form = Form("csv", panel.form.id_col, panel.form.time_col, panel.form.target_col)
    one: dict[str, Any] = {"offsets": panel.offsets[:1], "time": time, "covariates": covariates}
    held_out = fitted.held_out and replace(fitted.held_out, panel=fitted.measured.panel)
    panel = replace(panel, **none, **one, form=form, notes=(), given=None)
    model = replace(model, encoding=encoding)
    return replace(fitted, model=model, panel=panel, held_out=held_out)


def _json_bytes(values: Sequence[str | int]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(list(values)).encode(), np.uint8)


def read_forecaster(path: Path) -> tuple[ForecasterOptions, Fitted]:
    """Reads the options and the fitted state of the Forecaster in a file."""
    with open_source(path) as source:
        return _read(source)


def forecaster_from(content: bytes) -> tuple[ForecasterOptions, Fitted]:
    """As `read_forecaster`, but from the content of a file."""
    return _read(SourceFile(Path("Forecaster"), io.BytesIO(content), len(content)))


def _read(source: SourceFile) -> tuple[ForecasterOptions, Fitted]:
    versions = VERSION, WITHOUT_SERIES
    tensors, config, version = read_state(source, FORMAT, "a saved Forecaster", versions)
    options = _options(source, config.get("arguments"))
    settings = _settings(source, config.get("settings"))
    there = {tensor.name for tensor in tensors}
    calibrated = not there.isdisjoint(CALIBRATION)
    kinds = TENSORS | {name: kind for name, kind in OPTIONAL.items() if name in there}
    half = any(one.name == "weights" and one.dtype == "bfloat16" for one in tensors)
    if half and version == WITHOUT_SERIES:
        kinds["weights"] = ("bfloat16", 1)
    if calibrated:
        kinds |= CALIBRATION if there.isdisjoint(LATER) else CALIBRATION | LATER
    found = Arrays(source, tensors, kinds | kinds_of(there))
    engine_is = engine_options(settings)
    horizon, season = settings["horizon"].value, settings["season"].value
    extra = config.get("covariates")
    if ("left_out" in settings) != (CENTER in there):
        source.fail("config: settings", "other keys", "those that its covariates need")
    if "left_out" in settings:
        columns, encoded, chosen, cycle = read_columns(source, extra, horizon, season)
        engine_is |= covariate_options(encoded, cycle, settings)
    try:
        counts = PanelForecaster.count_weights(**engine_is)  # allocates no weights
    except ValueError as error:
        source.fail("config: settings", f"invalid settings ({error})", "those of a model")
    found.check("weights", (sum(counts),))
    panel, encoding = _panel(source, config, found, least=version == VERSION), None
    names: tuple[str, ...] = ()
    if "left_out" in settings:
        covariates = read_covariates(source, found, columns, horizon, panel)
        panel = replace(panel, covariates=covariates)
        names = tuple(columns[place].name for place in chosen)
        encoding = read_encoding(source, found, encoded, chosen, panel.ids, cycle)
        if (encoding.level is not None) != settings["compressed"].value:
            source.fail("encoding", "other tensors", "those that its settings need")
    calibration = _calibration(source, found, settings, panel.season) if calibrated else None
    weights = found.read("weights")
    if not np.isfinite(weights).all():
        source.fail("weights", "a value that is not finite", "finite numbers")
    notes = _notes(source, config.get("notes"))
    if len(panel):
        _check_table(source, panel)
        if version == WITHOUT_SERIES and not half:
            usual = f"{quoted(VERSION)}, the version of a file with series"
            source.fail("__metadata__: format_version", quoted(version), usual)
    engine = PanelForecaster(**engine_is)
    for member, part in enumerate(np.split(weights, np.cumsum(counts)[:-1])):
        engine.set_parameters(member, np.ascontiguousarray(part))
    return options, Fitted(Model(engine, settings, encoding, names), panel, calibration, notes)


def _options(source: SourceFile, found: object) -> ForecasterOptions:
    """Reads the options; options that a file of an earlier version lacks have their default."""
    names = [field.name for field in fields(ForecasterOptions)]
    if not isinstance(found, dict) or not {"horizon"} <= set(found) <= set(names):
        source.fail("config: arguments", "other keys", f"the keys {', '.join(names)}")
    try:
        return ForecasterOptions(**found)
    except (TypeError, ValueError) as error:
        found = f"invalid arguments ({error})"
        return source.fail("config: arguments", found, "those of a Forecaster")


def _settings(source: SourceFile, found: object) -> Settings:
    loss = found.get("loss") if isinstance(found, dict) else None
    quantiles = isinstance(loss, list) and loss[:1] == ["quantile"]
    names = (*SETTINGS, "levels") if quantiles else SETTINGS
    if isinstance(found, dict) and "left_out" in found:
        names = (*names, *OF_COVARIATES)
    if isinstance(found, dict):
        names = (*names, *(name for name in (*OF_PRIORS, *OF_SAMPLE, "prior") if name in found))
    if not isinstance(found, dict) or set(found) != set(names):
        source.fail("config: settings", "other keys", f"the keys {', '.join(names)}")
    settings = {}
    for name, one in found.items():
        if not (isinstance(one, list) and len(one) == 2 and isinstance(one[1], str)):
            source.fail(f"config: settings: {name}", "another form", "a value and a reason")
        value, reason = one
        value = tuple(value) if isinstance(value, list) else value
        if name in CHOICES:
            good = any(type(value) is type(one) and value == one for one in CHOICES[name])
        elif name == "left_out":
            good = isinstance(value, tuple) and all(isinstance(one, str) for one in value)
        elif name == "lookbacks":
            good = isinstance(value, tuple) and 0 < len(value) <= 10_000
            good = good and all(_is_whole(each, 1, MOST) for each in value)
        elif name == "levels":
            good = _are_levels(value)
        else:
            good = _is_whole(value, *(BOUNDS | COVARIATES | OF_PRIORS | OF_SAMPLE)[name])
        if not good:
            source.fail(f"config: settings: {name}", quoted(str(value)), "a valid value")
        settings[name] = Setting(value, reason)
    if len(settings["lookbacks"].value) != settings["members"].value:
        source.fail("config: settings: lookbacks", "another number", "one for each member")
    if uses_prior(settings) != ("prior_horizon" in settings):
        source.fail(
            "config: settings: prior_horizon",
            "a prior or its horizon alone",
            "both or neither",
        )
    if uses_prior(settings) and settings["prior_horizon"].value < settings["horizon"].value:
        expected = "at least the horizon"
        source.fail("config: settings: prior_horizon", "less than the horizon", expected)
    season = settings["season"].value
    whole = season > 1 and all(one % season == 0 for one in settings["lookbacks"].value)
    if settings["windows"].value == "past_seasons" and not whole:
        source.fail("config: settings: lookbacks", "parts of seasons", "whole seasons")
    return MappingProxyType(settings)


def _is_whole(value: object, smallest: int, largest: int) -> bool:
    return type(value) is int and smallest <= value <= largest


def _are_levels(value: object) -> bool:
    try:
        return isinstance(value, tuple) and checked_levels("", value) == [*value] != []
    except (TypeError, ValueError):
        return False


def _notes(source: SourceFile, found: object) -> tuple[Note, ...]:
    for one in found if isinstance(found, list) else [None]:
        if not isinstance(one, list) or [type(part) for part in one] != [str, str, int]:
            source.fail("config: notes", "another form", "kind, text and count")
    return tuple(Note(*one) for one in found)  # type: ignore[attr-defined]


def _panel(source: SourceFile, config: Mapping[str, Any], found: Arrays, least: bool) -> Panel:
    (count,) = found.shape("last")
    if count < least:
        source.fail("last", "no series", "at least one")
    found.check("offsets", (count + 1,))
    values, offsets = found.read("values"), found.read("offsets")
    if (np.abs(values) > MAX_MAGNITUDE).any():  # NaN, a missing value, is valid
        source.fail("values", "a value that is too large", f"up to {MAX_MAGNITUDE:g}")
    # Compared, not subtracted: a difference may overflow.
    ascending = (offsets[1:] > offsets[:-1]).all()
    if not (ascending and offsets[0] == 0 and offsets[-1] == len(values)):
        source.fail("offsets", "numbers out of order", f"ascending from 0 to {len(values)}")
    if np.isnan(values[np.concatenate([offsets[:-1], offsets[1:] - 1])]).any():
        source.fail("values", "a series without its first or last value", "both values")
    frequency = _frequency(source, config.get("frequency"))
    spans = {"last": ("time", FIRST, LAST), "day": ("day", 0, MONTH_END)}
    if frequency.unit in COUNTED:
        spans["last"] = ("time", -MAX_NUMBER, MAX_NUMBER)
    if "time" in found.tensors:
        spans["time"] = ("time of day", 0, DAY - 1)
    ends: dict[str, Any] = {"time": None}
    for name, (what, low, high) in spans.items():
        found.check(name, (count,))
        ends[name] = found.read(name)
        if not ((low <= ends[name]) & (ends[name] <= high)).all():
            source.fail(name, f"a {what} out of bounds", f"{low} to {high}")
    season = config.get("season")
    if not _is_whole(season, 1, MOST):
        source.fail("config: season", quoted(str(season)), "a whole number of at least 1")
    zone = zone_of(source, config.get("zone"))
    ids = _texts(source, found, "ids")
    if len(ids) != count:
        source.fail("ids", f"{len(ids)} ids", f"{count}, one for each series")
    categories = _texts(source, found, CATEGORIES) if CATEGORIES in found.tensors else None
    if categories is not None and not set(ids) <= set(categories):
        source.fail("ids", "an id that is not a category", "only categories")
    named = np.empty(count, dtype=object)
    named[:] = ids
    return Panel(
        ids=named,
        values=values,
        offsets=offsets,
        frequency=frequency,
        season=season,  # type: ignore[arg-type]
        **ends,
        zone=zone,
        notes=(),
        form=form_of(source, config.get("form"), zone, categories),
    )


def _check_table(source: SourceFile, panel: Panel) -> None:
    """Checks that a table of forecasts can have the types that the file names."""
    kind = "small" if panel.form.library == "csv" else None  # without an import of pandas
    try:
        forecast_frame(panel, np.zeros((len(panel), 1)), kind=kind)
    except (DataError, ModuleNotFoundError):  # beyond the year 9999: predict raises the same error
        raise
    except Exception as error:
        reason = quoted(str(error), 200)
        found = f"types that ids or times cannot have ({reason})"
        source.fail("config: form", found, "types of the ids and times")


def _texts(source: SourceFile, found: Arrays, name: str) -> list[Any]:
    """Reads a tensor that `_json_bytes` made: texts or whole numbers, all different."""
    try:
        values = json.loads(found.read(name).tobytes())
    except (ValueError, RecursionError):
        source.fail(name, "no JSON", "a list of names")
    # Compare types, not values: True == 1 and 1.0 == 1, but neither is a valid name.
    good = isinstance(values, list) and {type(one) for one in values} in ({str}, {int}, set())
    if not good or len(set(values)) != len(values):
        source.fail(name, "another list", "different texts or whole numbers")
    check_unicode(source, name, values)
    return list(values)


def _frequency(source: SourceFile, found: object) -> Frequency:
    units = {one.value: one for one in Unit}
    match found:
        case [str(unit), int(step)] if unit in units and _is_whole(step, 1, int(MAX_NUMBER)):
            return Frequency(units[unit], step)
    return source.fail("config: frequency", quoted(str(found)), "a unit and a step")


def _calibration(source: SourceFile, found: Arrays, settings: Settings, season: int) -> Calibration:
    horizon, levels = settings["horizon"].value, trained_levels(settings)
    (count,) = found.shape("calibration.roughness")
    found.check("calibration.errors", (count, max(len(levels), 1), horizon))
    found.check("calibration.logs", (count,))
    errors, roughness = found.read("calibration.errors"), found.read("calibration.roughness")
    logs = found.read("calibration.logs")
    # With trained levels, errors are below 0 for true values inside the trained bounds.
    if (not levels and (errors < 0).any()) or not (np.isfinite(roughness) & (roughness >= 0)).all():
        source.fail("calibration", "an error below 0", "errors and units of at least 0")
    if (logs > 1).any():
        source.fail("calibration.logs", "another number", "0 or 1")
    age, change = np.ones(count, np.int64), np.ones(count)
    if "calibration.age" in found.tensors:
        for name in LATER:
            found.check(name, (count,))
        age, change = found.read("calibration.age"), found.read("calibration.change")
        if (age < 1).any():
            source.fail("calibration.age", "a number below 1", "rows after a window began")
        if not (np.isfinite(change) & (change > 0)).all():
            source.fail("calibration.change", "a number not above 0", "factors")
    domain = Domain(logs.astype(bool), roughness, change, np.full(count, -np.inf))
    apart = stride(settings)
    half_life = half_life_of(season, horizon, apart)
    return Calibration(errors, domain, age, half_life, levels, apart)
