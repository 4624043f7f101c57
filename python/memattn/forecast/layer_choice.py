"""Chooses by rolling validation on the panel whether to use memory layers, and which covariates.

Models with and without memory layers are trained on all but the last rows of each series. They
forecast windows that roll over these rows, and their errors are measured in standard deviations of
each series. Without covariates, the error is the squared one, as is usual for long horizons. The
linear model is used unless the model with memory is clearly better: smaller differences may be
chance, and the linear model is faster.

With covariates, the error is the absolute one. The mean of linear and memory networks is used
unless one kind is far better, since they err at different times. Covariates may be noise: those
without which the error of a trained network hardly grows are left out if a network trained without
them is better. A model without any covariates is a candidate too, and so is Naive2, which needs no
training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from memattn.forecast.conformal import points_of
from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariates import CALENDAR
from memattn.forecast.data.long_rows import plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.windows import Windows, rolling_windows
from memattn.forecast.forecaster_settings import (
    MEMORY_LAYERS,
    Setting,
    Settings,
    begin,
    stride,
)
from memattn.forecast.model import Inputs, Model, model_of

# Takes name, panel and settings of a training; returns the model, and whether it was completed.
Train: TypeAlias = Callable[[str, Panel, Settings], tuple[Model, bool]]

CANDIDATES = {"linear": 0, "memory": MEMORY_LAYERS}
HELD_OUT = 5  # the last fifth of the rows is validated on, or two horizons if these are longer
MOST_SEASONS = 91  # validated on at most, if forecasts begin a season apart
MOST_WINDOWS = 5_000
HELPS = 1.002  # a covariate helps if the error without it is at least this many times as large
# One kind of network is used alone if its error is below this share of that of the mean of both:
# the best kind in one quarter is not the best in the next.
FAR = 0.95
# The memory is used if its error is below this share of the linear model's: models that differ only
# in the seed differ by 0.7 %.
CLEARLY = 0.99


def held_out_rows(panel: Panel, settings: Settings) -> int:
    """Returns the default number of last rows of each series for validation."""
    rows, every = int(np.median(panel.lengths)) // HELD_OUT, stride(settings)
    # Limited, since the effects of covariates such as prices and loads drift over time.
    most = rows if every == 1 else MOST_SEASONS * every
    return max(min(rows, most), 2 * int(settings["horizon"].value))


def trials(settings: Settings) -> list[str]:
    """Returns the names of the trainings that `choose_layers` needs, in order."""
    if settings["layers"].value is not None:
        return []
    if "left_out" not in settings:
        return [*CANDIDATES]
    return ["memory", "selected", "linear", "no covariates"]


@dataclass(frozen=True, eq=False)
class _Validation:
    """The windows that candidate models forecast; `unit` (W,) is the unit of their errors."""

    panel: Panel
    known: Panel
    windows: Windows
    unit: Array
    settings: Settings
    train: Train

    @property
    def words(self) -> str:
        """The description of the validation, as text."""
        return f"rolling validation, {plural(len(self.windows), 'window', 'windows')}"

    @cached_property
    def truth(self) -> Array:
        """The actual values (W, horizon)."""
        return self.windows.truth(self.panel, self.settings["horizon"].value)

    def trial(self, name: str, layers: int, **changed: Any) -> Model | None:
        """Trains a model on the known rows; None if its training was stopped."""
        settings = _with(self.settings, "on trial", layers=layers, **changed)
        model, done = self.train(name, self.known, settings)
        return model if done else None

    def forecasts(self, model: Model, inputs: Inputs | None = None) -> Array:
        """Returns the forecasts of the windows (W, horizon)."""
        return points_of(model.predict(self.panel, self.windows, inputs=inputs))

    def errors(self, forecasts: Array) -> Array:
        """Returns the errors in units, of all steps whose actual value is known."""
        return np.asarray(((forecasts - self.truth) / self.unit[:, None])[~np.isnan(self.truth)])

    def mae(self, forecasts: Array) -> float:
        """Returns the mean absolute error in units."""
        return float(np.abs(self.errors(forecasts)).mean())


def choose_layers(panel: Panel, settings: Settings, rows: int, train: Train) -> Settings | None:
    """Returns settings with `layers` chosen, and by what margin; None if `train` was stopped.

    The last `rows` values of each series, at least a horizon, are held out of training.
    """
    if settings["steps"].value == 0:
        return undecided(settings, "too few windows to train on")
    known = panel.until(np.maximum(panel.lengths - rows, 1))
    windows = _rolling(panel, settings, rows)
    parts = np.split(known.values, known.offsets[1:-1])
    unit = np.array([part[~np.isnan(part)].std() for part in parts])[windows.series]
    counts = unit > 0
    windows, unit = Windows(windows.series[counts], windows.ends[counts]), unit[counts]
    if not len(windows):
        return undecided(settings, "there is no window to validate memory layers on")
    validation = _Validation(panel, known, windows, unit, settings, train)
    choose = _choose_covariates if "left_out" in settings else _choose_layers
    return choose(validation)


def _choose_layers(validation: _Validation) -> Settings | None:
    """Implements `choose_layers` without covariates."""
    found = {}
    for name, layers in CANDIDATES.items():
        model = validation.trial(name, layers)
        if model is None:
            return None
        found[name] = float(np.square(validation.errors(validation.forecasts(model))).mean())
    linear, memory = found["linear"], found["memory"]
    measured = (
        f"{validation.words}: MSE {memory:.4f} with the memory, {linear:.4f} without, in units of "
        "each series' variance"
    )
    if memory < CLEARLY * linear:
        return _with(validation.settings, measured, layers=MEMORY_LAYERS)
    why = f"{measured}; the memory must be {1 - CLEARLY:.0%} better"
    return _with(validation.settings, why, layers=0)


def _choose_covariates(validation: _Validation) -> Settings | None:
    """Implements `choose_layers` with covariates; trains one member of each candidate."""
    settings, trial, forecasts = validation.settings, validation.trial, validation.forecasts
    one = settings["lookbacks"].value[:1]
    model = trial("memory", MEMORY_LAYERS, lookbacks=one, left_out=())
    if model is None:
        return None
    memory = forecasts(model)
    every, left_out = model.covariates, tuple[str, ...]()
    idle = _idle(validation, model)
    if 0 < len(idle) < len(every):
        model = trial("selected", MEMORY_LAYERS, lookbacks=one, left_out=idle)
        if model is None:
            return None
        selected = forecasts(model)
        if validation.mae(selected) < validation.mae(memory):
            left_out, memory = idle, selected
    found = {}
    for name, layers, without in (
        ("linear", 0, left_out),
        ("no covariates", MEMORY_LAYERS, every),
    ):
        model = trial(name, layers, lookbacks=one, left_out=without)
        if model is None:
            return None
        found[name] = forecasts(model)
    deep, linear, none = map(validation.mae, (memory, found["linear"], found["no covariates"]))
    both = validation.mae((found["linear"] + memory) / 2)
    chosen: int | tuple[int, ...] = (0, MEMORY_LAYERS)
    if min(linear, deep) < FAR * both:
        chosen = 0 if linear < deep else MEMORY_LAYERS
    measured = (
        f"{validation.words}: MAE {deep:.4f} with the memory, {linear:.4f} linear, {both:.4f} for "
        f"their mean, {none:.4f} without covariates, in standard deviations of each series"
    )
    naive = np.inf
    if settings["windows"].value == "last_values":
        untrained = _with(settings, "on trial", layers=0, left_out=every)
        naive = validation.mae(forecasts(model_of(untrained, validation.known)))
    if naive <= min(linear, deep, both, none):
        why = f"{measured}, {naive:.4f} for Naive2: the forecast is Naive2, untrained"
        return _with(settings, why, layers=MEMORY_LAYERS, left_out=every, steps=0)
    # If each covariate alone was idle, a model without covariates only needs to be no worse.
    if none < (1 if len(idle) == len(every) else FAR) * min(linear, deep, both):
        why = f"{measured}: covariates do not help"
        return _with(settings, why, layers=MEMORY_LAYERS, left_out=every)
    why = f"{validation.words}: the error is lower without them" if left_out else "all are used"
    decided = _with(settings, why, left_out=left_out)
    return _with(decided, measured, layers=chosen)


def _idle(validation: _Validation, model: Model) -> tuple[str, ...]:
    """Returns the covariates without which the error hardly grows.

    Each is hidden from the model in turn. The whole calendar counts as one, if it may be left out.
    """
    inputs = model.inputs_of(validation.panel, validation.windows)
    if inputs.table is None or model.encoding is None:
        return ()
    with_calendar = validation.settings["left_out"].value is None
    usual = validation.mae(validation.forecasts(model, inputs))
    groups: dict[str, list[int]] = {}
    for place, column in enumerate(model.encoding.columns):
        dated = column.role == CALENDAR
        if not dated or with_calendar:
            groups.setdefault("" if dated else model.covariates[place], []).append(place)
    idle: list[str] = []
    for places in groups.values():
        columns = np.r_[tuple(model.encoding.span(place) for place in places)]
        kept = inputs.table[:, columns]
        inputs.table[:, columns] = 0  # the usual value of a number, and no category
        if validation.mae(validation.forecasts(model, inputs)) < HELPS * usual:
            idle += [model.covariates[place] for place in places]
        inputs.table[:, columns] = kept
    return tuple(idle)


def undecided(settings: Settings, why: str) -> Settings:
    """Returns the default choices, for a training without validation; `why` is the reason."""
    if "left_out" not in settings:
        return _with(settings, why, layers=0)
    left_out = settings["left_out"].value or ()
    return _with(settings, why, layers=MEMORY_LAYERS, left_out=left_out)


def _with(settings: Settings, reason: str, **values: Any) -> Settings:
    changed = {name: Setting(value, reason) for name, value in values.items()}
    return MappingProxyType({**settings, **changed})


def _rolling(panel: Panel, settings: Settings, rows: int) -> Windows:
    """Returns the windows whose rows are all held out and whose history is long enough."""
    horizon, (phase, every) = settings["horizon"].value, begin(settings)
    starts = max((rows - horizon) // every + 1, 1)
    step = -(-starts * len(panel) // MOST_WINDOWS)
    windows = rolling_windows(panel, horizon, -(-starts // step), step * every)
    windows = windows.at_phase(panel, phase, every).clear(panel, horizon)
    long = windows.ends >= settings["min_history"].value
    return Windows(windows.series[long], windows.ends[long])
