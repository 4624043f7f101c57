"""Windows of a panel: the origins of forecasts and the rows known at each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from memattn.forecast.data.columns import Array
from memattn.forecast.data.flat_rows import rows_from
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import Ticks

if TYPE_CHECKING:
    from memattn.forecast.data.series import Panel


MOST_COPIED = 1 << 23


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
        """What came (W, horizon), NaN after the end of a series and where nobody gave a value."""
        row = self.ends[:, None] + np.arange(horizon)
        known = row < panel.lengths[self.series][:, None]
        place = np.where(known, panel.offsets[self.series][:, None] + row, 0)
        return np.where(known, panel.values[place], np.nan)

    def groups(self, horizon: int) -> Ticks:
        """For each window a number (W,) that those share which begin within one horizon."""
        blocks = np.stack([self.series, self.ends // horizon], axis=1)
        _, group = np.unique(blocks, axis=0, return_inverse=True)
        return np.asarray(group, dtype=np.int64).ravel()

    def clear(self, panel: Panel, horizon: int) -> Windows:
        """Those that begin right after a value, as forecasts do, and hold a truth; else all."""
        if panel.filled is panel.values:
            return self
        begins = ~np.isnan(panel.values[panel.offsets[self.series] + self.ends - 1])
        begins &= ~np.isnan(self.truth(panel, horizon)).all(axis=1)
        return Windows(self.series[begins], self.ends[begins]) if begins.any() else self

    def at_phase(self, panel: Panel, phase: int, every: int) -> Windows:
        """Each moved back to where forecasts begin: at a phase, `every` rows apart."""
        if every == 1:
            return self
        ends = self.ends - (panel.phases(self.series, self.ends) - phase) % every
        return Windows(self.series[ends > 0], ends[ends > 0])

    def parts(self, panel: Panel, chosen: Ticks) -> list[Ticks]:
        """Places of windows in parts for which `known_before` copies few values."""
        stop = panel.offsets[self.series[chosen]] + self.ends[chosen]
        copied = np.where(panel.latest[stop - 1] < stop - 1, self.ends[chosen], 0)
        part = np.cumsum(copied) // MOST_COPIED
        return np.split(chosen, np.flatnonzero(np.diff(part)) + 1)


def with_their_series(panel: Panel, windows: Windows) -> tuple[Panel, Windows]:
    """Return the panel with only the series of the windows, and the windows in it."""
    used, series = np.unique(windows.series, return_inverse=True)
    if len(used) == len(panel):
        return panel, windows
    lengths = np.zeros(len(panel), np.int64)
    lengths[used] = panel.lengths[used]
    return panel.until(lengths), Windows(series.astype(np.int64), windows.ends)


class Known(NamedTuple):
    """Values without holes, their offsets, and windows among them, each with its own past.

    The series after those of the panel are beginnings of them, of those at the places `copied`.
    """

    values: Array
    offsets: Ticks
    windows: Windows
    copied: Ticks


def known_before(panel: Panel, windows: Windows) -> Known:
    """What is known before windows.

    A hole is filled on the straight line between its neighbours; of one that reaches the end of
    what is known before a window, only the last value is known: it is carried forward. Such windows
    become windows of series of their own, after those of the panel.
    """
    values, offsets = panel.filled, panel.offsets
    if values is panel.values:
        return Known(values, offsets, windows, np.zeros(0, np.int64))
    stop = offsets[windows.series] + windows.ends
    last = panel.latest[stop - 1]
    cut = last < stop - 1
    # Windows that end in one hole share a series, as long as the longest of them.
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
    """The same, of windows that know no more than their last `most` rows.

    Those that knew more become windows of series of their own, after the others.
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
    """Return one window for each series, after its last value."""
    return Windows(np.arange(len(panel)), panel.lengths)


def rolling_windows(panel: Panel, horizon: int, n_windows: int, step_size: int = 1) -> Windows:
    """Return the last `n_windows` windows of each series with `horizon` known values, like nixtla.

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


class Least(NamedTuple):
    """The first of some times, as a panel's `last` counts them.

    Attributes
    ----------
    cutoff : int
        The last row known before any window.
    begin : int
        The first row of any series.
    """

    cutoff: int
    begin: int


def least_of(panel: Panel, windows: Windows) -> Least:
    """The first times of a panel with some windows, at least one."""
    cutoffs = panel.times(windows.series, windows.ends - panel.lengths[windows.series])
    return Least(int(cutoffs.min()), int(_begins(panel).min()))


def _begins(panel: Panel) -> Ticks:
    """The numbers of the first rows, where rows have numbers."""
    return np.asarray(panel.last - panel.frequency.step * (panel.lengths - 1))


def first_cutoffs(panel: Panel, windows: Windows, least: Least | None = None) -> Ticks:
    """Up to when each series is known before the first of the windows (N,).

    That is one time for all series. Numbers are one as well, but series that begin with the same
    number, the least, are taken to count their own rows: each is known up to its own first window.
    `least` is of a panel of which this one is a part.
    """
    least = least or least_of(panel, windows)
    first = np.full(len(panel), least.cutoff)
    if panel.frequency.unit is Unit.NUMBER:
        cutoffs = panel.times(windows.series, windows.ends - panel.lengths[windows.series])
        own = np.full(len(panel), least.begin - 1)  # without a window
        own[windows.series[::-1]] = cutoffs[::-1]  # of several the first
        first = np.where(_begins(panel) == least.begin, own, first)
    return first


def known_rows(panel: Panel, windows: Windows, least: Least | None = None) -> Ticks:
    """How many rows of each series are known before the first of the windows (N,)."""
    cutoffs = first_cutoffs(panel, windows, least)
    known = panel.past() <= np.repeat(cutoffs, panel.lengths)
    rows: Ticks = np.add.reduceat(known.astype(np.int64), panel.offsets[:-1])
    return rows
