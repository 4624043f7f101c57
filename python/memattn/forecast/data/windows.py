"""Windows of a panel: the origins of forecasts and the rows known at each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from memattn.forecast.data.columns import Array
from memattn.forecast.data.flat_rows import rows_from
from memattn.forecast.data.frequency import COUNTED
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import Ticks

if TYPE_CHECKING:
    from memattn.forecast.data.series import Panel


MOST_COPIED = 1 << 23  # values that `known_before` copies for one part


class Rolling(NamedTuple):
    """The windows of a backtest, the arguments of `rolling_windows`."""

    horizon: int
    n_windows: int
    step_size: int


@dataclass(frozen=True)
class Windows:
    """W windows of a panel, ordered by series and time.

    Attributes
    ----------
    series : array (W,)
        Index of each window's series in the panel.
    ends : array (W,)
        Number of known values of the series; the forecast begins with the next row.
    """

    series: Ticks
    ends: Ticks

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[Ticks]:
        return iter((self.series, self.ends))

    def truth(self, panel: Panel, horizon: int) -> Array:
        """Returns the actual values (W, horizon), NaN if missing or after the end of a series."""
        row = self.ends[:, None] + np.arange(horizon)
        known = row < panel.lengths[self.series][:, None]
        place = np.where(known, panel.offsets[self.series][:, None] + row, 0)
        return np.where(known, panel.values[place], np.nan)

    def groups(self, horizon: int) -> Ticks:
        """Returns a number for each window (W,), equal if windows begin within one horizon."""
        blocks = np.stack([self.series, self.ends // horizon], axis=1)
        _, group = np.unique(blocks, axis=0, return_inverse=True)
        return np.asarray(group, dtype=np.int64).ravel()

    def clear(self, panel: Panel, horizon: int) -> Windows:
        """Returns the windows that begin right after a value and have a true value, or else all."""
        if panel.filled is panel.values:
            return self
        begins = ~np.isnan(panel.values[panel.offsets[self.series] + self.ends - 1])
        begins &= ~np.isnan(self.truth(panel, horizon)).all(axis=1)
        return Windows(self.series[begins], self.ends[begins]) if begins.any() else self

    def at_phase(self, panel: Panel, phase: int, every: int) -> Windows:
        """Returns the windows moved back to the phase where forecasts begin, `every` rows apart."""
        if every == 1:
            return self
        ends = self.ends - (panel.phases(self.series, self.ends) - phase) % every
        return Windows(self.series[ends > 0], ends[ends > 0])

    def parts(self, panel: Panel, chosen: Ticks) -> list[Ticks]:
        """Splits indices of windows into parts for which `known_before` copies few values."""
        stop = panel.offsets[self.series[chosen]] + self.ends[chosen]
        copied = np.where(panel.latest[stop - 1] < stop - 1, self.ends[chosen], 0)
        part = np.cumsum(copied) // MOST_COPIED
        return np.split(chosen, np.flatnonzero(np.diff(part)) + 1)


def with_their_series(panel: Panel, windows: Windows) -> tuple[Panel, Windows]:
    """Returns the panel with only the series of the windows, and the windows in it."""
    used, series = np.unique(windows.series, return_inverse=True)
    if len(used) == len(panel):
        return panel, windows
    lengths = np.zeros(len(panel), np.int64)
    lengths[used] = panel.lengths[used]
    return panel.until(lengths), Windows(series.astype(np.int64), windows.ends)


class Known(NamedTuple):
    """Values without holes, their offsets, and windows among them, each with its own past.

    The series after those of the panel are beginnings of the series at the indices `copied`.
    """

    values: Array
    offsets: Ticks
    windows: Windows
    copied: Ticks


def known_before(panel: Panel, windows: Windows) -> Known:
    """Returns the values that are known before windows.

    A hole is interpolated linearly between its neighbours. If a hole reaches the end of the rows
    that are known before a window, the last value before it is carried forward. Such windows become
    windows of copied series, after those of the panel.
    """
    values, offsets = panel.filled, panel.offsets
    if values is panel.values:
        return Known(values, offsets, windows, np.zeros(0, np.int64))
    stop = offsets[windows.series] + windows.ends
    last = panel.latest[stop - 1]
    cut = last < stop - 1
    # Windows that end in one hole share a copy, as long as the longest of them.
    holes, place, copy = np.unique(last[cut], return_index=True, return_inverse=True)
    copied = windows.series[cut][place]
    starts = offsets[copied]
    stops = np.zeros_like(starts)
    np.maximum.at(stops, copy, stop[cut])
    lengths = stops - starts
    carried = values[np.minimum(rows_from(starts, lengths), np.repeat(holes, lengths))]
    series = windows.series.copy()
    series[cut] = len(panel) + copy
    offsets = np.concatenate([offsets, offsets[-1] + np.cumsum(lengths)])
    return Known(np.concatenate([values, carried]), offsets, Windows(series, windows.ends), copied)


def with_recent_rows(known: Known, most: int) -> Known:
    """Returns the values known before windows that know at most their last `most` rows.

    Windows that knew more become windows of copied series, after the others.
    """
    values, offsets, windows, copied = known
    long = windows.ends > most
    if not long.any():
        return known
    starts = offsets[windows.series[long]] + windows.ends[long] - most
    count = len(starts)
    recent = values[rows_from(starts, np.full(count, most))]
    series, ends = windows.series.copy(), np.minimum(windows.ends, most)
    series[long] = len(offsets) - 1 + np.arange(count)
    offsets = np.concatenate([offsets, offsets[-1] + most * np.arange(1, count + 1)])
    return Known(np.concatenate([values, recent]), offsets, Windows(series, ends), copied)


def last_windows(panel: Panel) -> Windows:
    """Returns one window for each series, after its last value."""
    return Windows(np.arange(len(panel)), panel.lengths)


def rolling_windows(panel: Panel, horizon: int, n_windows: int, step_size: int = 1) -> Windows:
    """Returns the last `n_windows` windows of each series with `horizon` known values, like nixtla.

    The last one ends with the series, the others `step_size` rows apart. Windows without a value
    before them are left out, so that a series of up to `horizon` values has none.

    Raises
    ------
    ValueError
        If a number is below 1.
    """
    for name, value in (("horizon", horizon), ("n_windows", n_windows), ("step_size", step_size)):
        if value < 1:
            raise ValueError(f"rolling_windows: {name}: found {value}, expected at least 1")
    back = horizon + step_size * np.arange(n_windows - 1, -1, -1)
    ends = (panel.lengths[:, None] - back).ravel()
    series = np.repeat(np.arange(len(panel)), n_windows)
    return Windows(series[ends > 0], ends[ends > 0])


def windows_from(series: Ticks, first: Ticks, count: Ticks, every: int = 1) -> Windows:
    """Returns `count` windows of each series after `first` values, `every` rows apart."""
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return Windows(np.repeat(series, count), np.repeat(first, count) + every * place)


class Least(NamedTuple):
    """The earliest times in several windows and series.

    Attributes
    ----------
    cutoff : int
        The last row known before any window, as a panel's `last` counts them.
    begin : int
        The first row of any series, in units of the frequency.
    """

    cutoff: int
    begin: int


class Span(NamedTuple):
    """When series begin and end, in units of their frequency.

    Attributes
    ----------
    begin, latest : int
        The first rows of the series that begin first and last.
    end : int
        The last row of any series.
    longest : int
        The most rows that a series has.
    """

    begin: int
    latest: int
    end: int
    longest: int


def span_of(panel: Panel) -> Span:
    """Returns when the series of a panel begin and end."""
    begins, last = _begins(panel), panel.positions()
    ends = int(begins.min()), int(begins.max()), int(last.max())
    return Span(*ends, int(panel.lengths.max()))


def ages(panel: Panel, windows: Windows, span: Span | None = None) -> Ticks:
    """Returns how many rows the panel has from the beginning of each window on (W,).

    These rows reach to the end of the series that ends last, even if the window's ends
    earlier. If numbered
    rows begin alike in all series, each series counts its own rows. `span` is the span of a panel
    of which this one is a part.
    """
    span = span or span_of(panel)
    rows = panel.lengths[windows.series] - windows.ends
    if _count_own_rows(panel, span):
        return np.asarray(rows)
    return np.asarray((span.end - panel.positions()) // panel.frequency.step)[windows.series] + rows


def _count_own_rows(panel: Panel, span: Span) -> bool:
    return panel.frequency.unit in COUNTED and span.begin == span.latest


def _begins(panel: Panel) -> Ticks:
    """Returns the first row of each series (N,), in units of the frequency."""
    return np.asarray(panel.positions() - panel.frequency.step * (panel.lengths - 1))


class Outline(NamedTuple):
    """The facts about windows of a part of a panel that `Extent` needs; arrays are (m,).

    Attributes
    ----------
    place : array
        Windows of one place share a model.
    cutoff : array
        The earliest time of the last known row before such a window.
    rows : array
        Rows of a series from the beginning of such a window on.
    early : array
        Units of the frequency from the last row known before the window to position 0.
    span : Span
        The span of the part's series.
    """

    place: Ticks
    cutoff: Ticks
    rows: Ticks
    early: Ticks
    span: Span


def outline_of(panel: Panel, windows: Windows, places: Ticks) -> Outline:
    """Returns the outline of windows of a panel at some `places` (W,)."""
    after = panel.lengths[windows.series] - windows.ends
    cutoffs = panel.times(windows.series, -after)
    early = panel.frequency.step * after - panel.positions()[windows.series]
    kinds = np.stack([places, after, early], axis=1).reshape(-1, 3)
    kinds, of = np.unique(kinds, axis=0, return_inverse=True)
    first = np.full(len(kinds), np.iinfo(np.int64).max)
    np.minimum.at(first, of.ravel(), cutoffs)
    return Outline(kinds[:, 0], first, kinds[:, 1], kinds[:, 2], span_of(panel))


@dataclass(frozen=True, eq=False)
class Extent:
    """Where the windows of all series lie relative to each other.

    Attributes
    ----------
    span : Span
        The span of all series.
    cutoffs : dict
        For each place the first cutoff of its windows.
    ages : dict
        For each place the distinct ages of its windows, ascending.
    """

    span: Span
    cutoffs: dict[int, int]
    ages: dict[int, Ticks]

    @staticmethod
    def of(panel: Panel, outlines: Sequence[Outline]) -> Extent:
        """Returns the extent of all parts of a panel; `panel` is any panel of its frequency."""
        spans = [one.span for one in outlines]
        ends = (max(one[k] for one in spans) for k in (1, 2, 3))
        span = Span(min(one.begin for one in spans), *ends)
        place, cutoff, rows, early = (
            np.concatenate([one[k] for one in outlines]).astype(np.int64) for k in range(4)
        )
        age = rows
        if not _count_own_rows(panel, span):
            age = (span.end + early) // panel.frequency.step
        each = np.unique(place).tolist()
        cutoffs = {k: int(cutoff[place == k].min()) for k in each}
        return Extent(span, cutoffs, {k: np.unique(age[place == k]) for k in each})

    @property
    def places(self) -> list[int]:
        """The places that have windows, ascending."""
        return sorted(self.cutoffs)

    @property
    def first(self) -> Least:
        """The first times of all windows."""
        return Least(min(self.cutoffs.values()), self.span.begin)

    def least(self, place: int) -> Least:
        """Returns the first times of the windows of one place."""
        return Least(self.cutoffs[place], self.span.begin)


def least_of(panel: Panel, windows: Windows) -> Least:
    """Returns the earliest times of a panel and its windows, of which there are one or more."""
    cutoffs = panel.times(windows.series, windows.ends - panel.lengths[windows.series])
    return Least(int(cutoffs.min()), int(_begins(panel).min()))


def first_cutoffs(panel: Panel, windows: Windows, least: Least | None = None) -> Ticks:
    """Returns the time up to which each series is known before the first window (N,).

    This is one time for all series. If rows are numbered, series that begin with the smallest
    number count their own rows instead: each is known up to its own first window. `least` may be
    that of a panel of which this one is a part.
    """
    least = least or least_of(panel, windows)
    first = np.full(len(panel), least.cutoff)
    if panel.frequency.unit is Unit.NUMBER:
        cutoffs = panel.times(windows.series, windows.ends - panel.lengths[windows.series])
        own = np.full(len(panel), least.begin - 1)  # without a window
        own[windows.series[::-1]] = cutoffs[::-1]  # the first window of each series
        first = np.where(_begins(panel) == least.begin, own, first)
    return first


def known_rows(panel: Panel, windows: Windows, least: Least | None = None) -> Ticks:
    """Returns how many rows of each series are known before the first window (N,)."""
    cutoffs = first_cutoffs(panel, windows, least)
    known = panel.past() <= np.repeat(cutoffs, panel.lengths)
    rows: Ticks = np.add.reduceat(known.astype(np.int64), panel.offsets[:-1])
    return rows
