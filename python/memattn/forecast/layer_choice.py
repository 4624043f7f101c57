"""Whether the memory layers are worth having: the panel itself is asked, by rolling validation.

Two models, with memory layers and without, are trained on all but the last rows of each series and
forecast windows that roll over these rows. The linear one is kept unless the other is clearly
better: what differs by less may as well be chance, and the smaller model is the quicker one. The
error is squared, as where forecasts over long horizons are compared, and counted in deviations of
each series.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from memattn._memattn import PanelForecaster
from memattn.forecast.data.columns import Array
from memattn.forecast.data.long_rows import plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.windows import Windows, rolling_windows
from memattn.forecast.forecaster_settings import MEMORY_LAYERS, Setting, Settings

# Name, panel and settings of a training: the engine, and whether it was trained to the end.
Train: TypeAlias = Callable[[str, Panel, Settings], tuple[PanelForecaster, bool]]

CANDIDATES = {"linear": 0, "memory": MEMORY_LAYERS}
HELD_OUT = 5  # one row in so many is validated on, and a horizon of windows at least
MOST_WINDOWS = 5_000
CLEARLY = 0.99  # of the linear model's error: models that differ in seed alone differ by 0.7 %


def held_out_rows(panel: Panel, horizon: int) -> int:
    """How many last rows of each series to validate on, when nobody says."""
    return max(int(np.median(panel.lengths)) // HELD_OUT, 2 * horizon)


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
        return _with_layers(settings, 0, "no window is left to validate memory layers on")
    errors = {}
    for name, layers in CANDIDATES.items():
        engine, done = train(name, known, _with_layers(settings, layers, "on trial"))
        if not done:
            return None
        errors[name] = _error(engine, panel, windows, unit)
    linear, memory = errors["linear"], errors["memory"]
    measured = (
        f"rolling validation, {plural(len(windows), 'window', 'windows')}: "
        f"MSE {memory:.4f} with the memory, {linear:.4f} without, of deviations"
    )
    if memory < CLEARLY * linear:
        return _with_layers(settings, MEMORY_LAYERS, measured)
    return _with_layers(settings, 0, f"{measured}; it has to be {1 - CLEARLY:.0%} better")


def undecided(settings: Settings) -> Settings:
    """Settings of a training that was stopped before `layers` was decided."""
    return _with_layers(settings, 0, "training was stopped before validation could say")


def _with_layers(settings: Settings, layers: int, reason: str) -> Settings:
    return MappingProxyType({**settings, "layers": Setting(layers, reason)})


def _rolling(panel: Panel, settings: Settings, rows: int) -> Windows:
    """Windows whose rows are all held out, and whose history is long enough."""
    horizon = settings["horizon"].value
    starts = max(rows - horizon + 1, 1)
    step = -(-starts * len(panel) // MOST_WINDOWS)
    windows = rolling_windows(panel, horizon, -(-starts // step), step).clear(panel, horizon)
    long = windows.ends >= settings["min_history"].value
    return Windows(windows.series[long], windows.ends[long])


def _error(engine: PanelForecaster, panel: Panel, windows: Windows, unit: Array) -> float:
    """The mean squared error, in units."""
    quantiles = engine.predict(panel.filled, panel.offsets, windows.series, windows.ends)
    forecasts = quantiles[:, quantiles.shape[1] // 2]
    truth = windows.truth(panel, forecasts.shape[1])
    errors = (forecasts - truth) / unit[:, None]
    return float(np.square(errors[~np.isnan(truth)]).mean())
