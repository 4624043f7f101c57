"""What the memory of a fitted forecaster remembers: which windows read which slots, and why.

One member of the ensemble is asked. What it reads is shown on windows of the training data; what a
slot is worth is measured on windows that the member has not seen, by taking the slot out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from memattn._memattn import PanelForecaster
from memattn.forecast.conformal import Flags, domain_of
from memattn.forecast.data.columns import Array
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Windows, last_windows, with_their_series
from memattn.forecast.evaluation import Evaluation
from memattn.forecast.fitting import FEWEST_VALUES, Fitted
from memattn.forecast.metrics import series_scales
from memattn.forecast.report.season_phases import Phases, season_phases

MAX_WINDOWS = 4000  # whose scores are looked at; enough for stable means
MAX_EFFECT_WINDOWS = 1000  # each forecast once a slot
MAX_EFFECT_VALUES = 100_000  # and all of their forecast values
READERS = 6  # windows shown a slot
KINDS = (
    ("falling", "level", "rising"),
    ("calm", "mid", "rough"),
    ("short", "mid", "long"),
)
KIND_NOUNS = ("course", "steps", "history")

Shares: TypeAlias = Array  # (layers, slots, groups)


@dataclass(frozen=True, eq=False)
class Reader:
    """A window that reads a slot more than others do.

    Attributes
    ----------
    series : int
        The place of its series in the panel.
    end : int
        How many values of the series are known at its end.
    share : float
        Of its attention in that layer that goes to the slot, 0 to 1.
    shape : array (n,)
        Its values, at most lookback of them, in logs where they are all positive, less the last
        one, in units of the mean change from row to row.
    """

    series: int
    end: int
    share: float
    shape: Array


@dataclass(frozen=True, eq=False)
class SlotEffects:
    """What happens to forecasts when a slot is taken out and the others are read instead.

    Attributes
    ----------
    windows : int
        Over how many windows the means are.
    movement : array (layers, slots)
        By how much forecasts move, in percent of the forecast; without logs in percent of the usual
        change over a season.
    relative : bool
        Which of the two.
    error : array (layers, slots), optional
        By how much the mean scaled error grows, in percent of it; negative: it gets smaller. None
        without held-out windows.
    margin : array (layers, slots), optional
        Two standard errors of `error`, over groups of windows that begin within one horizon.
    separate : int
        How many such groups there are.
    """

    windows: int
    movement: Array
    relative: bool
    error: Array | None = None
    margin: Array | None = None
    separate: int = 0


@dataclass(frozen=True, eq=False)
class MemoryReading:
    """What one member's memory does.

    Attributes
    ----------
    member : int
        Which one, from 0.
    lookback : int
        Rows that it sees.
    windows : int
        How many windows the shares are means over.
    usage : array (layers, slots)
        The share of attention that each slot gets, 0 to 1.
    by_phase : array (layers, slots, season), optional
        The same, by the phase of the season at which the forecast begins; NaN for a phase without
        windows. None without a season.
    phases : Phases, optional
        Of these windows.
    by_kind : array (layers, slots, 9)
        The same, by kinds of window: three times three thirds, as in KINDS.
    readers : list of list of list of Reader
        For each layer and slot the windows that read it most, which do not overlap.
    effects : SlotEffects, optional
        What taking slots out does; None without a window whose series moves.
    """

    member: int
    lookback: int
    windows: int
    usage: Array
    by_phase: Shares | None
    phases: Phases | None
    by_kind: Shares
    readers: list[list[list[Reader]]]
    effects: SlotEffects | None


def read_memory(fitted: Fitted, held_out: Evaluation | None) -> MemoryReading | None:
    """Ask the memory; None when there is none, or nothing has been learned.

    Parameters
    ----------
    fitted : Fitted
        The model and its panel. With held-out windows, the model that forecast those is asked.
    held_out : Evaluation, optional
        Of these windows.
    """
    other = None if fitted.held_out is None else fitted.held_out.engine
    engine = other or fitted.engine
    nothing = np.zeros(0, np.int64)
    layers = engine.attention_scores(np.zeros(1), np.array([0, 1]), nothing, nothing, 0).shape[1]
    if layers == 0 or fitted.settings["steps"].value == 0:
        return None
    lookbacks = fitted.settings["lookbacks"].value
    member = len(lookbacks) // 2
    panel = fitted.panel
    windows = _training_windows(fitted)
    some, renamed = with_their_series(panel, windows)
    scores = engine.attention_scores(
        some.filled, some.offsets, renamed.series, renamed.ends, member
    ).astype(np.float64)
    lookback = int(lookbacks[member])
    in_logs = domain_of(panel, windows, fitted.settings["logs"].value).logs
    shapes, changes = _shapes(panel, windows, lookback, in_logs)
    phases = season_phases(panel, windows) if panel.season > 1 else None
    return MemoryReading(
        member=member,
        lookback=lookback,
        windows=len(windows),
        usage=scores.mean(axis=0),
        by_phase=None if phases is None else _means(scores, phases.phase, panel.season),
        phases=phases,
        by_kind=_by_kind(windows, shapes, changes, scores),
        readers=[
            [_readers(windows, shapes, scores[:, layer, slot], lookback) for slot in range(slots)]
            for layer, slots in enumerate([scores.shape[2]] * layers)
        ],
        effects=_effects(engine, fitted, member, layers, held_out),
    )


def _training_windows(fitted: Fitted) -> Windows:
    """Windows that training could draw, as it draws them: over series, then over their origins.

    What was held out lies behind them; a file does not tell, and then all origins are taken.
    """
    panel, history = fitted.panel, fitted.settings["min_history"].value
    stop = panel.lengths.copy()
    if fitted.held_out is not None:
        np.minimum.at(stop, fitted.held_out.windows.series, fitted.held_out.windows.ends)
    first = np.full(len(panel), max(history, FEWEST_VALUES))
    count = np.maximum(stop - first, 0)
    if not count.any():
        first, count = np.ones_like(first), np.maximum(stop - 1, 1)
    if count.sum() <= MAX_WINDOWS:
        series = np.repeat(np.arange(len(panel)), count)
        before = np.repeat(np.cumsum(count) - count, count)
        return Windows(series, first[series] + np.arange(count.sum()) - before)
    rng = np.random.default_rng(0)
    drawn = rng.choice(np.flatnonzero(count), MAX_WINDOWS)
    ends = first[drawn] + np.floor(rng.random(MAX_WINDOWS) * count[drawn]).astype(np.int64)
    chosen = np.unique(np.stack([drawn, ends], axis=1), axis=0)
    return Windows(chosen[:, 0].copy(), chosen[:, 1].copy())


def _shapes(
    panel: Panel, windows: Windows, lookback: int, in_logs: Flags
) -> tuple[list[Array], Array]:
    """The normalised values of each window, as in `Reader`, and the change that is their unit."""
    shapes, changes = [], []
    for series, end, log in zip(windows.series, windows.ends, in_logs, strict=True):
        start = panel.offsets[series]
        values = panel.filled[start + max(end - lookback, 0) : start + end]
        values = np.log(values) if log else values
        change = np.abs(np.diff(values)).mean() if len(values) > 1 else 0.0
        shape = (values - values[-1]) / change if change > 0 else np.zeros_like(values)
        shapes.append(shape)
        changes.append(float(change))
    return shapes, np.array(changes)


def _means(scores: Array, group: Ticks, groups: int) -> Shares:
    """Means of scores (W, layers, slots) by group; NaN for one without a window."""
    total = np.zeros((groups, *scores.shape[1:]))
    np.add.at(total, group, scores)
    count = np.bincount(group, minlength=groups)[:, None, None]
    means = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    by_group: Array = means.transpose(1, 2, 0)
    return by_group


def _by_kind(windows: Windows, shapes: list[Array], changes: Array, scores: Array) -> Shares:
    half = [len(shape) // 2 for shape in shapes]
    course = [
        shape[middle:].mean() - (shape[:middle].mean() if middle else 0.0)
        for shape, middle in zip(shapes, half, strict=True)
    ]
    features = (np.array(course), changes, windows.ends.astype(np.float64))
    kinds = [_means(scores, _thirds(feature), 3) for feature in features]
    return np.concatenate(kinds, axis=2)


def _thirds(values: Array) -> Ticks:
    """0, 1 or 2 for the lower, the middle and the upper third; equal values are together."""
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    thirds: Ticks = np.searchsorted([low, high], values)
    return thirds


def _readers(windows: Windows, shapes: list[Array], scores: Array, lookback: int) -> list[Reader]:
    found: list[Reader] = []
    for place in np.argsort(-scores, kind="stable"):
        series, end = int(windows.series[place]), int(windows.ends[place])
        if any(one.series == series and abs(one.end - end) < lookback for one in found):
            continue
        found.append(Reader(series, end, float(scores[place]), shapes[place]))
        if len(found) == READERS:
            break
    return found


def _effects(
    engine: PanelForecaster,
    fitted: Fitted,
    member: int,
    layers: int,
    held_out: Evaluation | None,
) -> SlotEffects | None:
    panel, horizon = fitted.panel, fitted.settings["horizon"].value
    windows = last_windows(panel) if held_out is None else held_out.windows
    domain = domain_of(panel, windows, fitted.settings["logs"].value)
    if held_out is None:
        scale = series_scales(panel.values, panel.offsets, panel.season, panel.lengths).absolute
    else:
        scale = held_out.scales.absolute
    usable = (windows.ends >= FEWEST_VALUES) & (domain.roughness > 0) & (scale > 0)
    chosen = np.flatnonzero(usable)
    if not len(chosen):
        return None
    most = max(min(MAX_EFFECT_WINDOWS, MAX_EFFECT_VALUES // horizon), 1)
    places = np.linspace(0, len(chosen) - 1, min(len(chosen), most))
    chosen = chosen[places.round().astype(np.int64)]
    windows, scale = Windows(windows.series[chosen], windows.ends[chosen]), scale[chosen, None]
    relative = bool(domain.logs[chosen].all())
    whole, without = _forecasts(engine, panel, windows, member, layers)
    moved = np.abs(without - whole)
    movement = 100 * (moved / (np.abs(whole) if relative else scale)).mean(axis=(2, 3))
    if held_out is None:
        return SlotEffects(len(chosen), movement, relative)
    truth = held_out.truth[chosen]

    def error(forecasts: Array) -> Array:
        of_windows: Array = np.nanmean(np.abs(forecasts - truth) / scale, axis=-1)
        return of_windows

    usual = error(whole)
    growth = 100 * (error(without) - usual) / max(float(usual.mean()), np.finfo(float).tiny)
    blocks = np.stack([windows.series, windows.ends // horizon], axis=1)
    _, group = np.unique(blocks, axis=0, return_inverse=True)
    mean = growth.mean(axis=2)
    separate = int(group.max()) + 1
    # Windows that overlap err alike: the error of a mean is that of sums over groups of them.
    member = group[:, None] == np.arange(separate)
    sums = (growth - mean[..., None]) @ member
    margin = 2 * np.sqrt(np.square(sums).sum(axis=2)) / len(chosen)
    return SlotEffects(len(chosen), movement, relative, mean, margin, separate)


def _forecasts(
    engine: PanelForecaster, panel: Panel, windows: Windows, member: int, layers: int
) -> tuple[Array, Array]:
    """A member's forecasts (W, horizon), and without each slot (layers, slots, W, horizon)."""
    some, renamed = with_their_series(panel, windows)
    series, ends = renamed.series, renamed.ends
    whole = engine.predict(some.filled, some.offsets, series, ends, member)
    middle = whole.shape[1] // 2  # of quantiles, the median
    parts = []
    for layer in range(layers):
        without = engine.predict_without_slots(
            some.filled, some.offsets, series, ends, member, layer
        )
        parts.append(without[:, :, middle])
    return whole[:, middle], np.array(parts)
