"""Which windows read which memory slots of a fitted forecaster, and how much each slot matters.

One member of the ensemble is examined. Its attention is computed on windows of the training data.
The effect of a slot is measured by removing it, on windows that the member was not trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from memattn.forecast.conformal import Flags, domain_of, points_of
from memattn.forecast.data.columns import Array
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import (
    Windows,
    last_windows,
    windows_from,
    with_their_series,
)
from memattn.forecast.evaluation import Evaluation
from memattn.forecast.fitting import FEWEST_VALUES, Fitted
from memattn.forecast.forecaster_settings import begin, has_learned
from memattn.forecast.metrics import mean_error, series_scales
from memattn.forecast.model import Model
from memattn.forecast.report.season_phases import Phases, season_phases

MAX_WINDOWS = 4000  # windows whose scores are computed; enough for stable means
MAX_EFFECT_WINDOWS = 1000  # windows forecast once without each slot
MAX_EFFECT_VALUES = 100_000  # forecast values of these windows
READERS = 6  # windows shown for each slot
KINDS = (("falling", "level", "rising"), ("calm", "mid", "rough"), ("short", "mid", "long"))
KIND_NOUNS = ("course", "steps", "history")

Shares: TypeAlias = Array  # (layers, slots, groups); NaN for a group without windows


@dataclass(frozen=True, eq=False)
class Reader:
    """One of the windows that read a slot most."""

    series: int  # index in the panel
    end: int  # number of values of the series up to the end of the window
    share: float  # share of the window's attention in that layer that goes to the slot, 0 to 1
    # (n,), n <= lookback: the last values, as logs if all are positive, minus the last value, in
    # units of the mean change from row to row.
    shape: Array


@dataclass(frozen=True, eq=False)
class SlotEffects:
    """The effect of removing a slot, whose attention then goes to the other slots.

    Arrays are (layers, slots). `error` and `margin` need held-out windows.
    """

    windows: int  # number of windows that the means are over
    movement: Array  # mean change of forecasts, % of the forecast or of the change over a season
    relative: bool  # True if `movement` is in % of the forecast (series in logs)
    error: Array | None = None  # increase of the mean scaled error, %
    margin: Array | None = None  # two standard errors of `error`, over groups within one horizon
    separate: int = 0  # number of these groups


@dataclass(frozen=True, eq=False)
class MemoryReading:
    """The attention of one member over its memory. Shares of attention are from 0 to 1."""

    member: int  # index of the member
    lookback: int  # rows in its input window
    windows: int  # number of windows that the shares are means over
    usage: Array  # (layers, slots), the mean share of each slot
    by_phase: Shares | None  # mean shares by phase of the forecast's first row; None without season
    phases: Phases | None  # the phases of these windows
    by_kind: Shares  # mean shares by kind of window: three times three thirds, as in KINDS
    readers: list[list[list[Reader]]]  # for each layer and slot, windows that do not overlap
    effects: SlotEffects | None  # None if all series are constant


def read_memory(fitted: Fitted, held_out: Evaluation | None) -> MemoryReading | None:
    """Computes the attention over the memory; None without memory layers or training.

    With `held_out`, examines the model that was trained without the held-out windows.
    """
    other = None if fitted.held_out is None else fitted.held_out.model
    model = other or fitted.model
    layers = model.memory_layers
    if layers == 0 or not has_learned(fitted.settings):
        return None
    lookbacks = fitted.settings["lookbacks"].value
    member = (
        len(lookbacks) // 2 + model.engine.members - len(lookbacks)
    )  # linear members come first
    panel = fitted.panel
    windows = _training_windows(fitted)
    scores = model.scores(*with_their_series(panel, windows), member).astype(np.float64)
    lookback = int(lookbacks[len(lookbacks) // 2])
    in_logs = domain_of(panel, windows, fitted.settings["logs"].value).logs
    shapes, changes = _shapes(panel, windows, lookback, in_logs)
    phases = season_phases(panel, windows) if panel.season > 1 else None
    slots = range(scores.shape[2])
    return MemoryReading(
        member=member,
        lookback=lookback,
        windows=len(windows),
        usage=scores.mean(axis=0),
        by_phase=None if phases is None else _means(scores, phases.phase, panel.season),
        phases=phases,
        by_kind=_by_kind(windows, shapes, changes, scores),
        readers=[
            [_readers(windows, shapes, scores[:, layer, slot], lookback) for slot in slots]
            for layer in range(layers)
        ],
        effects=_effects(model, fitted, member, layers, held_out),
    )


def _training_windows(fitted: Fitted) -> Windows:
    """Draws windows as training does: a series first, then one of its origins.

    Held-out windows are excluded. A loaded forecaster does not know them and uses all origins.
    """
    panel, history = fitted.panel, fitted.settings["min_history"].value
    stop = panel.lengths.copy()
    if fitted.held_out is not None:
        np.minimum.at(stop, fitted.held_out.windows.series, fitted.held_out.windows.ends)
    first = np.full(len(panel), max(history, FEWEST_VALUES))
    count = np.maximum(stop - first, 0)
    if not count.any():
        first, count = np.ones_like(first), np.maximum(stop - 1, 1)
    begins = begin(fitted.settings)
    if count.sum() <= MAX_WINDOWS:
        return _apart(windows_from(np.arange(len(panel)), first, count).at_phase(panel, *begins))
    rng = np.random.default_rng(0)
    drawn = rng.choice(np.flatnonzero(count), MAX_WINDOWS)
    ends = first[drawn] + np.floor(rng.random(MAX_WINDOWS) * count[drawn]).astype(np.int64)
    return _apart(Windows(drawn, ends).at_phase(panel, *begins))


def _apart(windows: Windows) -> Windows:
    """Returns the windows sorted by series and end, without duplicates."""
    chosen = np.unique(np.stack([*windows], axis=1), axis=0)
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
        shapes.append((values - values[-1]) / change if change > 0 else np.zeros_like(values))
        changes.append(float(change))
    return shapes, np.array(changes)


def _means(scores: Array, group: Ticks, groups: int) -> Shares:
    """Means of scores (W, layers, slots) by group."""
    total = np.zeros((groups, *scores.shape[1:]))
    np.add.at(total, group, scores)
    count = np.bincount(group, minlength=groups)[:, None, None]
    means = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    by_group: Array = means.transpose(1, 2, 0)
    return by_group


def _by_kind(windows: Windows, shapes: list[Array], changes: Array, scores: Array) -> Shares:
    halves = (np.split(shape, [len(shape) // 2]) for shape in shapes)
    course = [late.mean() - (early.mean() if len(early) else 0.0) for early, late in halves]
    kinds = []
    for feature in (np.array(course), changes, windows.ends.astype(np.float64)):
        # Equal values are in the same third.
        third = np.searchsorted(np.quantile(feature, [1 / 3, 2 / 3]), feature)
        kinds.append(_means(scores, third, 3))
    return np.concatenate(kinds, axis=2)


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
    model: Model,
    fitted: Fitted,
    member: int,
    layers: int,
    held_out: Evaluation | None,
) -> SlotEffects | None:
    panel, horizon = fitted.panel, fitted.settings["horizon"].value
    if held_out is None:
        windows = last_windows(panel)
        scale = series_scales(panel.values, panel.offsets, panel.season, panel.lengths).absolute
    else:
        windows, scale = held_out.windows, held_out.scales.absolute
    domain = domain_of(panel, windows, fitted.settings["logs"].value)
    moving = (domain.roughness > 0) & (scale > 0)
    chosen = np.flatnonzero((windows.ends >= FEWEST_VALUES) & moving)
    if not len(chosen):
        return None
    most = max(min(MAX_EFFECT_WINDOWS, MAX_EFFECT_VALUES // horizon), 1)
    places = np.linspace(0, len(chosen) - 1, min(len(chosen), most))
    chosen = chosen[places.round().astype(np.int64)]
    windows, scale = Windows(windows.series[chosen], windows.ends[chosen]), scale[chosen, None]
    relative = bool(domain.logs[chosen].all())
    # Forecasts (W, horizon), and without each slot (layers, slots, W, horizon).
    seen = with_their_series(panel, windows)
    whole = points_of(model.predict(*seen, member))
    parts = [model.predict_without_slots(*seen, member, layer) for layer in range(layers)]
    without = np.array([part[:, :, part.shape[2] // 2] for part in parts])
    moved = np.abs(without - whole)
    movement = 100 * (moved / (np.abs(whole) if relative else scale)).mean(axis=(2, 3))
    if held_out is None:
        return SlotEffects(len(chosen), movement, relative)
    truth = held_out.truth[chosen]

    usual, grown = (np.nanmean(np.abs(one - truth) / scale, axis=-1) for one in (whole, without))
    growth = 100 * (grown - usual) / max(float(usual.mean()), np.finfo(float).tiny)
    error, separate = mean_error(growth, windows.groups(horizon))
    return SlotEffects(len(chosen), movement, relative, growth.mean(axis=2), 2 * error, separate)
