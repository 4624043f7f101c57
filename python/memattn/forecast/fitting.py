"""One model of a panel: its training, the calibration of its errors, and forecasts of windows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from memattn.errors import DataError, quoted
from memattn.forecast.baselines import naive
from memattn.forecast.checkpoint import Trainer, train_model
from memattn.forecast.conformal import (
    Calibration,
    Domain,
    calibrate,
    domain_of,
    points_of,
)
from memattn.forecast.data.columns import Array
from memattn.forecast.data.long_rows import Note, plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.windows import (
    Windows,
    last_windows,
    rolling_windows,
    windows_from,
    with_their_series,
)
from memattn.forecast.forecaster_settings import (
    ALONE,
    Settings,
    begin,
    stride,
    trained_levels,
    uses_prior,
    without_prior,
)
from memattn.forecast.layer_choice import (
    Train,
    choose_layers,
    held_out_rows,
    trials,
    undecided,
)
from memattn.forecast.model import Model, model_of
from memattn.forecast.prior import VALIDATED, Prior, is_undecided, validated
from memattn.forecast.progress import Progress, share_of
from memattn.forecast.starting import Start
from memattn.layer_options import Precision

# Shorter series are forecast by their last value. Two values show a single change; with three or
# more, the model was better on M3's validation set, with series cut to so few values.
FEWEST_VALUES = 3
CALIBRATION_WINDOWS = 200  # the wanted number, of all series together
# Long series offer more windows at no cost, and the errors of a few days are not those of a year:
# on the temperatures in data/, 80 and 95 % intervals contained 31 and 44 % of 30 windows from three
# months when calibrated on 67 windows of each series, 45 and 63 % on the last tenth of the rows.
LONG_SHARE, MOST_LONG_WINDOWS = 0.1, 5000
BATCH_VALUES = 1 << 22  # values forecast at once, 32 MiB: the engine forecasts whole horizons
# Windows of the series' own past that calibrate the intervals of a prior: at most, and at least.
MOST_OF_PRIOR, FEWEST_OF_PRIOR = 5_000, 60
FAR = 10.0  # a prior's forecasts leave the range of a series by at most this many times the range
MOST_WINDOWS = 50_000  # calibration windows; with more, no rank changes noticeably


@dataclass(frozen=True, eq=False)
class WindowForecasts:
    """The forecasts of W windows, and the domains of these windows."""

    # (W, 2 K + 1, horizon) for K trained levels, ascending, with the forecast in the middle.
    quantiles: Array
    domain: Domain

    @property
    def points(self) -> Array:
        """The forecasts (W, horizon)."""
        return points_of(self.quantiles)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out windows, and their forecasts by a model with the same settings."""

    windows: Windows  # those with all of the steps ahead that were held out
    forecasts: Array  # points or quantiles, as `conformal.calibrate` takes them
    model: Model | None = None  # the model of the forecasts; None for that of `Fitted`
    levels: tuple[float, ...] = ()  # its trained levels
    panel: Panel | None = None  # the panel of the windows; None for that of `Fitted`


@dataclass(frozen=True, eq=False)
class Fitted:
    """The result of `fit`, which `predict` needs; only replaced as a whole."""

    model: Model  # trained, or with its initial weights if `steps` is 0
    panel: Panel
    calibration: Calibration | None
    notes: tuple[Note, ...]  # including those of the panel
    held_out: HeldOut | None = None  # the windows calibrated on; a file does not keep them

    @property
    def settings(self) -> Settings:
        """The settings of the model."""
        return self.model.settings

    @property
    def measured(self) -> Fitted:
        """The same result with the panel that has the held-out windows."""
        held = self.held_out
        return self if held is None or held.panel is None else replace(self, panel=held.panel)


def train(
    panel: Panel,
    settings: Settings,
    val_size: int,
    progress: Progress | None,
    intervals: bool,
    trainer: Trainer = train_model,
    prefix: str = "",
    prior: Prior | None = None,
    start: Start | None = None,
) -> Fitted:
    """Trains a model of the panel and calibrates its intervals.

    The last `val_size` values of each series are held out to calibrate `intervals`. With 0, a
    second model is trained without the last values, and its errors calibrate them. The names of the
    trainings begin with `prefix`. The settings say how a `prior` is used, or else validation
    decides. With a `start`, training continues from its weights.
    """
    notes = list(panel.notes)
    known = panel if val_size == 0 else held_back(panel, val_size)
    undecided_prior = start is None and is_undecided(settings, prior)
    names = trials(settings) + (list(VALIDATED) if undecided_prior else [])
    names += ["model", "calibration"] if intervals and val_size == 0 else ["model"]

    def train_one(name: str, panel: Panel, settings: Settings) -> tuple[Model, bool]:
        share = share_of(progress, names.index(name), len(names))
        return _trained(f"{prefix}{name}", panel, settings, share, trainer, prior, start)

    if settings["layers"].value is None:
        rows = val_size or held_out_rows(panel, settings)
        settings = choose_layers(panel, settings, rows, train_one) or settings
    stopped = "training was stopped before validation could choose"
    chosen = validated(known, settings, prior, train_one) if undecided_prior else settings
    if settings["layers"].value is None:
        settings = undecided(settings, stopped)
        model, done = model_of(settings, known), False
    elif chosen is None:
        settings = without_prior(settings, stopped)
        model, done = model_of(settings, known), False
    else:
        settings = chosen
        model, done = train_one("model", known, settings)
    if not done:
        notes.append(Note("stopped", "training was stopped early by the progress callback", 1))
    notes += notes_on_short(panel)
    if uses_prior(settings):
        how = "forecast by" if settings["prior"].value == ALONE else "training started from"
        text = f"{how} pretrained networks: {settings['prior'].reason}"
        notes.append(Note("prior", text, len(panel)))
    elif settings["steps"].value == 0:
        notes.append(Note("untrained", settings["steps"].reason, len(panel)))
    fitted = Fitted(model, panel, None, tuple(notes))
    if not intervals or not done:
        return fitted
    if val_size == 0 and uses_prior(settings) and settings["prior"].value == ALONE:
        past = _own_past(panel, settings)
        if past is None:
            text = "intervals are those of the prior: the series are too short to calibrate on"
            return replace(fitted, notes=(*notes, Note("calibration", text, len(panel))))
        found: tuple[Calibration, HeldOut] | None = _errors_of(fitted, None, past, 0)
    elif start is not None and (few := _too_few_unseen(fitted, val_size, start)):
        then = "intervals stay as before" if start.calibration else "there are no intervals"
        notes.append(Note("calibration", f"{few}: {then}", len(panel)))
        return replace(fitted, calibration=start.calibration, notes=tuple(notes))
    else:
        found = _calibrated(fitted, val_size, train_one, start)
    if found is None:
        then = "intervals are as trained" if trained_levels(settings) else "there are no intervals"
        text = f"calibration was stopped early by the progress callback: {then}"
        notes.append(Note("stopped", text, 1))
        return replace(fitted, notes=tuple(notes))
    calibration, held_out = found
    notes += _calibration_notes(calibration, panel, settings["logs"].value)
    return replace(fitted, calibration=calibration, notes=tuple(notes), held_out=held_out)


def _held_out(fitted: Fitted, val_size: int, start: Start | None) -> tuple[Windows, int, int]:
    """Returns the windows to calibrate on, their steps ahead, and the number of held-out rows."""
    panel, settings = fitted.panel, fitted.settings
    horizon, rows = settings["horizon"].value, val_size
    reach = horizon
    if val_size == 0:
        reach, windows = _calibration_size(panel, horizon, settings["min_history"].value)
        rows = reach + windows - 1
    # A window begins at every held-out row, even if the series ends before its horizon does: in a
    # short series, a window `horizon` rows before the end knows much less than a future window.
    phase, every = begin(settings)
    rolling = rolling_windows(panel, every, rows // every, every).at_phase(panel, phase, every)
    if start is not None:
        rolling = start.unseen(panel, rolling)
    return (some_windows(rolling.clear(panel, horizon)) if len(rolling) else rolling), reach, rows


def _too_few_unseen(fitted: Fitted, val_size: int, start: Start) -> str:
    """Returns why the rows since the earlier fit are too few to calibrate on; "" if enough."""
    windows, reach, _ = _held_out(fitted, val_size, start)
    whole = int((windows.ends <= fitted.panel.lengths[windows.series] - reach).sum())
    if whole >= FEWEST_OF_PRIOR:
        return ""
    found = f"{whole:,} windows of {reach:,} rows" if len(start.panel) else "no rows"
    return f"the data has {found} that are new since the earlier fit, too few to calibrate on"


def _calibrated(
    fitted: Fitted, val_size: int, train_one: Train, start: Start | None
) -> tuple[Calibration, HeldOut] | None:
    """Calibrates on the held-out rows; with `val_size` 0, trains a second model without them.

    Returns None if that training was stopped.
    """
    panel, settings, other = fitted.panel, fitted.settings, None
    windows, reach, rows = _held_out(fitted, val_size, start)
    if val_size == 0:
        other, done = train_one("calibration", held_back(panel, rows), settings)
        if not done:
            return None
    return _errors_of(fitted, other, windows, reach)


def _errors_of(
    fitted: Fitted, other: Model | None, origins: Windows, reach: int
) -> tuple[Calibration, HeldOut]:
    """Computes the errors on windows that the model, or the `other` model, was not trained on.

    The held-out windows are those with `reach` known rows after them; 0 means a whole horizon.
    """
    panel, settings = fitted.panel, fitted.settings
    found = forecast(other or fitted.model, panel, origins).quantiles
    levels, every = trained_levels(settings), stride(settings)
    calibration = calibrate(panel, origins, found, settings["logs"].value, levels, every)
    reach = reach or settings["horizon"].value
    whole = origins.ends <= panel.lengths[origins.series] - reach
    held = Windows(origins.series[whole], origins.ends[whole])
    return calibration, HeldOut(held, found[whole], other, levels)


def _own_past(panel: Panel, settings: Settings) -> Windows | None:
    """Returns windows of the series' own past to calibrate a prior on.

    The prior was not trained on these series. Returns None if fewer than `FEWEST_OF_PRIOR` windows
    have a whole horizon.
    """
    horizon, season = settings["horizon"].value, settings["season"].value
    least = max(FEWEST_VALUES, 2 * season)
    rows = int(panel.lengths.max()) - least
    if rows < 1:
        return None
    rolling = rolling_windows(panel, 1, rows, 1).clear(panel, horizon)
    long = rolling.ends >= least
    windows = Windows(rolling.series[long], rolling.ends[long])
    whole = windows.ends <= panel.lengths[windows.series] - horizon
    if int(whole.sum()) < FEWEST_OF_PRIOR:
        return None
    some = np.arange(0, len(windows), max(1, len(windows) // MOST_OF_PRIOR))
    return some_windows(Windows(windows.series[some], windows.ends[some]))


def some_windows(windows: Windows) -> Windows:
    """Returns the windows that are long enough to forecast, if any, at most MOST_WINDOWS."""
    usable = np.flatnonzero(windows.ends >= FEWEST_VALUES)
    if not len(usable):
        usable = np.arange(len(windows))
    if len(usable) > MOST_WINDOWS:
        drawn = np.random.default_rng(0).choice(len(usable), MOST_WINDOWS, replace=False)
        usable = usable[np.sort(drawn)]
    return Windows(windows.series[usable], windows.ends[usable])


def _calibration_size(panel: Panel, horizon: int, min_history: int) -> tuple[int, int]:
    """Returns the steps ahead, and the windows per series, that intervals are calibrated on."""
    lengths = panel.lengths
    long = lengths[lengths >= horizon + min_history]
    if not len(long):
        return min(max(int(lengths.max()) // 3, 1), horizon), 1
    median = int(np.median(long))
    wanted = min(-(-CALIBRATION_WINDOWS // len(long)), median // 3 - horizon + 1)
    more = min(MOST_LONG_WINDOWS // len(long), int(LONG_SHARE * median) - horizon + 1)
    return horizon, max(wanted, more, 1)


def _calibration_notes(calibration: Calibration, panel: Panel, logs: bool) -> list[Note]:
    horizon = calibration.errors.shape[2]
    reached = int((~np.isnan(calibration.errors[:, 0])).any(axis=0).sum())
    count = plural(len(calibration), "window", "windows")
    text = f"intervals are calibrated on the errors of {count} held out of training"
    if reached < horizon:
        text += f"; only {reached} of {horizon} steps ahead have an interval"
    return [Note("calibration", text, len(calibration)), *notes_on_still(panel, logs)]


def notes_on_short(panel: Panel) -> list[Note]:
    """Returns a note on series that are too short for a model to forecast, if any."""
    short = panel.shorter_than(FEWEST_VALUES)
    if not short.any():
        return []
    what = f"{plural(int(short.sum()), 'series', 'series')} with fewer than {FEWEST_VALUES} values"
    first = quoted(str(panel.ids[int(np.argmax(short))]))
    text = f"{what}: forecast by the last value; the first is {first}"
    return [Note("naive", text, int(short.sum()))]


def notes_on_still(panel: Panel, logs: bool) -> list[Note]:
    """Returns a note on series whose recent values do not change, if any."""
    domain = domain_of(panel, last_windows(panel), logs)
    still = int((domain.roughness == 0).sum())
    if not still:
        return []
    what = f"{plural(still, 'series', 'series')} whose recent values do not change"
    return [Note("still", f"{what}: intervals have width 0", still)]


def held_back(panel: Panel, rows: int) -> Panel:
    """Returns the panel without the last rows of each series, which keep at least one value."""
    return panel.until(np.maximum(panel.lengths - rows, 1))


def _trained(
    name: str,
    panel: Panel,
    settings: Settings,
    progress: Progress | None,
    trainer: Trainer,
    prior: Prior | None,
    start: Start | None,
) -> tuple[Model, bool]:
    """Returns a model, trained if a series is long enough, and whether training was completed."""
    if start is None:
        model = model_of(settings, panel, prior.weights if prior else ())
    else:
        model = start.model_for(settings, panel)
    learnable = bool((panel.lengths > settings["min_history"].value).any())
    if settings["steps"].value == 0 or not learnable:
        return model, True
    try:
        return model, trainer(name, model, panel, progress)
    except RuntimeError as error:
        if ": the training diverged: " not in str(error):
            raise
        problem = "the training diverged: some series change too much from row to row; rescale them"
        raise DataError("diverged", f"{problem}, or choose another loss") from None


def forecast(
    model: Model, panel: Panel, windows: Windows, precision: Precision = "float32"
) -> WindowForecasts:
    """Forecasts windows with the model; by the last value after too few or only equal values."""
    settings = model.settings
    domain = domain_of(panel, windows, settings["logs"].value)
    last = naive(panel, windows, settings["horizon"].value)
    quantiles = np.repeat(last[:, None], 2 * len(trained_levels(settings)) + 1, axis=1)
    long = (windows.ends >= FEWEST_VALUES) & (domain.roughness > 0)
    if uses_prior(settings):  # its bounds are trained; windows with too few values have none
        middle = quantiles.shape[1] // 2
        quantiles[np.ix_(windows.ends < FEWEST_VALUES, np.arange(quantiles.shape[1]) != middle)] = (
            np.nan
        )
    if long.any():
        for some in windows.parts(panel, np.flatnonzero(long)):
            chosen = Windows(windows.series[some], windows.ends[some])
            quantiles[some] = model.predict(panel, chosen, precision=precision)
            if uses_prior(settings):
                quantiles[some] = _within_reach(panel, chosen, quantiles[some])
    return WindowForecasts(quantiles, domain)


def _within_reach(panel: Panel, windows: Windows, quantiles: Array) -> Array:
    """Limits forecasts to the range of a series, extended by `FAR` times its size on each side.

    A prior may forecast series unlike any that it was trained on. In logs, a bound that is a little
    too large may be many times the largest value.
    """
    starts = panel.offsets[windows.series]
    values = np.append(panel.filled, 0.0)  # so that the index of the last series' end is valid
    pairs = np.stack([starts, starts + windows.ends], axis=1).ravel()
    low, high = (one.reduceat(values, pairs)[::2] for one in (np.minimum, np.maximum))
    reach = FAR * (high - low)
    return np.clip(quantiles, (low - reach)[:, None, None], (high + reach)[:, None, None])


def forecast_in_sample(fitted: Fitted) -> tuple[Windows, Array]:
    """Forecasts the known rows of each series after its first few; returns windows and forecasts.

    The forecasts are (W, 1), with a window for each row. If forecasts begin at one phase of the
    season, they are (W, season).
    """
    panel, settings = fitted.panel, fitted.settings
    phase, every = begin(settings)
    count = np.maximum(panel.lengths - FEWEST_VALUES, 0) // every
    windows = windows_from(np.arange(len(panel)), panel.lengths - every * count, count, every)
    windows = windows.at_phase(panel, phase, every)
    found = np.empty((len(windows), every))
    quantiles = 2 * len(trained_levels(settings)) + 1
    batch = max(1, BATCH_VALUES // (settings["horizon"].value * quantiles))
    for start in range(0, len(windows), batch):
        rows = slice(start, start + batch)
        part = Windows(windows.series[rows], windows.ends[rows])
        points = forecast(fitted.model, *with_their_series(panel, part)).points
        found[rows] = points[:, :every]
    return windows, found
