"""Whether the memory layers are worth having: the panel itself is asked, by rolling validation.

Models, with memory layers and without, are trained on all but the last rows of each series and
forecast windows that roll over these rows; errors count in deviations of each series. The linear
one is kept unless the other is clearly better: what differs by less may as well be chance, and the
smaller model is the quicker one. There the error is squared, as where forecasts over long horizons
are compared.

With covariates it is absolute, and the mean of linear and memory networks is taken unless one kind
is far better: they are wrong at other times. Covariates may be noise. Those without which the
error of a trained network hardly grows are left out if a network that is trained without them is
better, and a model without any covariates is a candidate, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

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
from memattn.forecast.model import Inputs, Model

# Name, panel and settings of a training: the model, and whether it was trained to the end.
Train: TypeAlias = Callable[[str, Panel, Settings], tuple[Model, bool]]

CANDIDATES = {"linear": 0, "memory": MEMORY_LAYERS}
HELD_OUT = 5  # one row in so many is validated on, and a horizon of windows at least
MOST_SEASONS = 91  # where forecasts begin a season apart
MOST_WINDOWS = 5_000
HELPS = 1.002  # times as large is the error at least without a covariate that helps
FAR = 0.95  # of the error of both kinds of networks: what is best in one quarter is not in the next
CLEARLY = 0.99  # of the linear model's error: models that differ in seed alone differ by 0.7 %


def held_out_rows(panel: Panel, settings: Settings) -> int:
    """How many last rows of each series to validate on, when nobody says."""
    rows, every = int(np.median(panel.lengths)) // HELD_OUT, stride(settings)
    # What was learned of covariates long ago is not what will be used: prices and loads drift.
    most = rows if every == 1 else MOST_SEASONS * every
    return max(min(rows, most), 2 * int(settings["horizon"].value))


def trials(settings: Settings) -> list[str]:
    """The names of the trainings that `choose_layers` needs, in order."""
    if settings["layers"].value is not None:
        return []
    if "left_out" not in settings:
        return [*CANDIDATES]
    return ["memory", "selected", "linear", "no covariates"]


def choose_layers(panel: Panel, settings: Settings, rows: int, train: Train) -> Settings | None:
    """Settings in which `layers` is decided, and says by how much; None when `train` was stopped.

    The last `rows` values of each series, at least a horizon, are held out of training.
    """
    known = panel.until(np.maximum(panel.lengths - rows, 1))
    windows = _rolling(panel, settings, rows)
    parts = np.split(known.values, known.offsets[1:-1])
    unit = np.array([part[~np.isnan(part)].std() for part in parts])[windows.series]
    counts = unit > 0
    windows, unit = Windows(windows.series[counts], windows.ends[counts]), unit[counts]
    if not len(windows):
        return undecided(settings, "no window is left to validate memory layers on")
    truth = windows.truth(panel, settings["horizon"].value)

    def errors(forecasts: Array) -> Array:
        return np.asarray(((forecasts - truth) / unit[:, None])[~np.isnan(truth)])

    def trial(name: str, layers: int, **changed: Any) -> Model | None:
        model, done = train(name, known, _with(settings, "on trial", layers=layers, **changed))
        return model if done else None

    def forecasts(model: Model, inputs: Inputs | None = None) -> Array:
        """Of the windows (W, horizon)."""
        quantiles = model.predict(panel, windows, inputs=inputs)
        return quantiles[:, quantiles.shape[1] // 2]

    count = f"rolling validation, {plural(len(windows), 'window', 'windows')}"
    if "left_out" in settings:
        seen = partial(Model.inputs_of, panel=panel, windows=windows)
        return _choose_covariates(settings, count, trial, seen, forecasts, errors)
    found = {}
    for name, layers in CANDIDATES.items():
        model = trial(name, layers)
        if model is None:
            return None
        found[name] = float(np.square(errors(forecasts(model))).mean())
    linear, memory = found["linear"], found["memory"]
    measured = f"{count}: MSE {memory:.4f} with the memory, {linear:.4f} without, of deviations"
    if memory < CLEARLY * linear:
        return _with(settings, measured, layers=MEMORY_LAYERS)
    return _with(settings, f"{measured}; it has to be {1 - CLEARLY:.0%} better", layers=0)


def _choose_covariates(
    settings: Settings,
    count: str,
    trial: Callable[..., Model | None],
    seen: Callable[[Model], Inputs],
    forecasts: Callable[..., Array],
    errors: Callable[[Array], Array],
) -> Settings | None:
    """As `choose_layers`, with covariates; one member is trained of each candidate."""
    one = settings["lookbacks"].value[:1]
    model = trial("memory", MEMORY_LAYERS, lookbacks=one, left_out=())
    if model is None:
        return None
    memory = forecasts(model)
    every, left_out = model.covariates, tuple[str, ...]()
    idle = _idle(model, seen(model), settings["left_out"].value is None, forecasts, errors)
    if 0 < len(idle) < len(every):
        model = trial("selected", MEMORY_LAYERS, lookbacks=one, left_out=idle)
        if model is None:
            return None
        selected = forecasts(model)
        if _size(errors(selected)) < _size(errors(memory)):
            left_out, memory = idle, selected
    rest = {"linear": (0, left_out), "no covariates": (MEMORY_LAYERS, every)}
    found = {}
    for name, (layers, without) in rest.items():
        model = trial(name, layers, lookbacks=one, left_out=without)
        if model is None:
            return None
        found[name] = forecasts(model)
    none, linear, deep = (_size(errors(one)) for one in (*reversed(found.values()), memory))
    both = _size(errors((found["linear"] + memory) / 2))
    chosen: int | tuple[int, ...] = (0, MEMORY_LAYERS)
    if min(linear, deep) < FAR * both:
        chosen = 0 if linear < deep else MEMORY_LAYERS
    measured = (
        f"{count}: MAE {deep:.4f} with the memory, {linear:.4f} linear, {both:.4f} their mean, "
        f"{none:.4f} without covariates, of deviations"
    )
    # Where each covariate by itself was idle, being no worse is enough.
    if none < (1 if len(idle) == len(every) else FAR) * min(linear, deep, both):
        why = f"{measured}: covariates do not help"
        return _with(settings, why, layers=MEMORY_LAYERS, left_out=every)
    why = f"{count}: the error is less without" if left_out else "none is"
    decided = _with(settings, why, left_out=left_out)
    return _with(decided, measured, layers=chosen)


def _idle(
    model: Model,
    inputs: Inputs,
    with_calendar: bool,
    forecasts: Callable[..., Array],
    errors: Callable[[Array], Array],
) -> tuple[str, ...]:
    """The covariates without which the error hardly grows: each is hidden from the model in turn.

    The calendar is one of them, all of it, if it may be left out.
    """
    if inputs.table is None or model.encoding is None:
        return ()
    usual = _size(errors(forecasts(model, inputs)))
    groups: dict[str, list[int]] = {}
    for place, column in enumerate(model.encoding.columns):
        dated = column.role == CALENDAR
        if not dated or with_calendar:
            groups.setdefault("" if dated else model.covariates[place], []).append(place)
    idle: list[str] = []
    for places in groups.values():
        columns = np.r_[tuple(model.encoding.span(place) for place in places)]
        kept = inputs.table[:, columns]
        inputs.table[:, columns] = 0  # what is usual of numbers, and no category
        if _size(errors(forecasts(model, inputs))) < HELPS * usual:
            idle += [model.covariates[place] for place in places]
        inputs.table[:, columns] = kept
    return tuple(idle)


def undecided(settings: Settings, why: str) -> Settings:
    """Settings of a training before which nothing could be validated."""
    if "left_out" not in settings:
        return _with(settings, why, layers=0)
    left_out = settings["left_out"].value or ()
    return _with(settings, why, layers=MEMORY_LAYERS, left_out=left_out)


def _size(errors: Array) -> float:
    return float(np.abs(errors).mean())


def _with(settings: Settings, reason: str, **values: Any) -> Settings:
    changed = {name: Setting(value, reason) for name, value in values.items()}
    return MappingProxyType({**settings, **changed})


def _rolling(panel: Panel, settings: Settings, rows: int) -> Windows:
    """Windows whose rows are all held out, and whose history is long enough."""
    horizon, (phase, every) = settings["horizon"].value, begin(settings)
    starts = max((rows - horizon) // every + 1, 1)
    step = -(-starts * len(panel) // MOST_WINDOWS)
    windows = rolling_windows(panel, horizon, -(-starts // step), step * every)
    windows = windows.at_phase(panel, phase, every).clear(panel, horizon)
    long = windows.ends >= settings["min_history"].value
    return Windows(windows.series[long], windows.ends[long])
