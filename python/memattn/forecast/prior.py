"""Priors: networks that were trained on other series, and whether a panel uses them.

Networks see windows scaled and without their season, so networks trained on some series can
forecast others. If a panel has too few windows to train on, the prior forecasts it without
training. If it has more, rolling validation compares the prior, a training that starts from the
prior, and a training from scratch. If it has many windows, its networks are trained from scratch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.conformal import points_of
from memattn.forecast.data.columns import Array
from memattn.forecast.data.long_rows import plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.windows import Windows, rolling_windows
from memattn.forecast.forecaster_settings import (
    ALONE,
    FEWEST_WINDOWS,
    STARTED,
    Settings,
    training_origins,
    with_prior,
    without_prior,
)
from memattn.forecast.layer_choice import Train
from memattn.forecast.model import Model, Weights, model_of

# With this many non-overlapping windows a panel uses no prior: M3's 645 yearly series, with 1,800
# windows of six years, are forecast as well by networks of their own.
MANY_WINDOWS = 2_000
BETTER = 0.99  # a prior is used if its error is at most this share of that of own networks
FEWEST_HISTORY = 3  # rows that a prior needs to forecast


@dataclass(frozen=True, eq=False)
class Prior:
    """Networks that were trained on other series of one season.

    Attributes
    ----------
    settings : Settings
        The settings of their training, with trained levels for the intervals.
    weights : tuple of array
        The weights of each member.
    """

    settings: Settings
    weights: tuple[Weights, ...]

    @property
    def horizon(self) -> int:
        """The maximum number of steps ahead."""
        return int(self.settings["horizon"].value)


def decided(
    settings: Settings, prior: Prior | None, why_not: str, asked: ForecasterOptions
) -> Settings:
    """Returns settings that say whether the prior is used, and why, unless validation decides.

    If `prior` is None, `why_not` is the reason. If validation is to decide, `is_undecided` returns
    True for the settings.
    """
    if asked.has_covariates:
        return without_prior(settings, "priors are trained without covariates")
    for name in ("lookback", "loss", "steps"):
        if getattr(asked, name) is not None:
            return without_prior(settings, f"{name} is given, and a prior has its own")
    if prior is None:
        return without_prior(settings, why_not)
    if settings["horizon"].value > prior.horizon:
        most = f"for this season it forecasts at most {prior.horizon} steps ahead"
        return without_prior(settings, f"the horizon is longer than the prior's: {most}")
    if settings["windows"].value != "last_values":
        return without_prior(settings, "the series have enough long seasons to train on")
    if settings["steps"].value == 0:
        found = settings["steps"].reason.partition(": the forecast is")[0]
        return with_prior(settings, prior.settings, ALONE, found)
    return settings


def validated(
    panel: Panel, settings: Settings, prior: Prior | None, train: Train
) -> Settings | None:
    """Returns settings that use the prior if it was better on held-out rows of the panel.

    Returns None if `train` was stopped. Without a prior, or with many windows, the prior is not
    used.
    """
    if prior is None or "prior" in settings:
        return settings
    horizon, history = int(settings["horizon"].value), int(settings["min_history"].value)
    windows = training_origins(panel.lengths, history) // horizon
    if windows >= MANY_WINDOWS:
        found = f"{windows:,} non-overlapping windows are enough to train on"
        return without_prior(settings, found)
    known = panel.until(np.maximum(panel.lengths - horizon, 1))
    held = _rolling(panel, horizon, history)
    if not len(held) or windows - len(panel) < FEWEST_WINDOWS:
        found = "too few windows to hold some out of training"
        return with_prior(settings, prior.settings, ALONE, found)
    errors = {}
    alone = with_prior(settings, prior.settings, ALONE, "on trial")
    started = with_prior(settings, prior.settings, STARTED, "on trial")
    errors[ALONE] = _error(model_of(alone, panel, prior.weights), panel, held)
    for name, trial in ((STARTED, started), ("own", without_prior(settings, "on trial"))):
        model, done = train(name, known, trial)
        if not done:
            return None
        errors[name] = _error(model, panel, held)
    measured = (
        f"on {plural(len(held), 'held-out window', 'held-out windows')} the error was "
        f"{errors[ALONE]:.3f} times that of seasonal naive forecasts with the prior, "
        f"{errors[STARTED]:.3f} after training from the prior, "
        f"{errors['own']:.3f} after training from scratch"
    )
    best = min((ALONE, STARTED), key=errors.__getitem__)
    if errors[best] > BETTER * errors["own"]:
        return without_prior(settings, measured)
    return with_prior(settings, prior.settings, best, measured)


VALIDATED = (STARTED, "own")  # the trainings that `validated` needs, in order


def is_undecided(settings: Settings, prior: Prior | None) -> bool:
    """Returns whether `validated` may have to train."""
    return prior is not None and "prior" not in settings


def _rolling(panel: Panel, horizon: int, history: int) -> Windows:
    """Returns the last window of each series whose history is long enough."""
    windows = rolling_windows(panel, horizon, 1, 1).clear(panel, horizon)
    long = windows.ends >= max(history, FEWEST_HISTORY)
    return Windows(windows.series[long], windows.ends[long])


def _error(model: Model, panel: Panel, windows: Windows) -> float:
    """Returns the mean absolute error, in units of each series' mean seasonal change."""
    found = points_of(model.predict(panel, windows))
    truth = windows.truth(panel, found.shape[1])
    return float(np.nanmean(np.abs(found - truth) / _unit(panel, windows)[:, None]))


def _unit(panel: Panel, windows: Windows) -> Array:
    """Returns the mean |change| over a season before each window, or from row to row (W,)."""
    unit = np.ones(len(windows))
    starts = panel.offsets[windows.series]
    for k, (start, end) in enumerate(zip(starts, windows.ends, strict=True)):
        known = panel.filled[start : start + end]
        lag = panel.season if len(known) > panel.season else 1
        change = np.abs(known[lag:] - known[:-lag]) if len(known) > 1 else np.ones(1)
        unit[k] = change.mean() or 1.0
    return unit
