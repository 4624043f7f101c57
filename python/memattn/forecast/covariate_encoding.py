"""The encoding of covariates for the engine: a table of numbers of magnitude 1, and its blocks.

The encoding of a column is learned from the rows that training knows, and from no later rows. A
number is scaled robustly: the median of its series is subtracted, and the difference is divided by
its usual size. The inverse hyperbolic sine then compresses it: linear for small values, a logarithm
for large ones. A category has a column of zeros and ones for each of its values; the weights of
these columns are a learned embedding. A missing value is replaced by the last one before it, and a
column marks missing values if training has seen any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariates import CALENDAR, FUTR, HIST, STAT, Covariate, Covariates
from memattn.forecast.data.flat_rows import offsets_of, rows_from
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks

Table: TypeAlias = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Block: TypeAlias = tuple[int, int, int, int]  # first column, columns, first row, rows

MOST_CATEGORIES = 32  # the most frequent categories of a covariate, which have a column each
FLAG = 2  # a number with at most this many different values is not compressed
SEASONS_BACK = (1, 7)  # past seasons whose covariates a forecast sees: one day and one week ago
FEW_ROWS = 4  # past rows that a forecast sees without a season
WIDEST = 1_000  # numbers of one covariate in a window; of a wider one it has only the horizon
DEVIATION = 0.6745  # the median distance from the median of a normal distribution


@dataclass(frozen=True)
class Encoded:
    """How one covariate is encoded.

    Attributes
    ----------
    role : str
        As in `Covariate`.
    kept : tuple of int, optional
        For a category, the indices in its `categories` that have a column; None for a number.
    flag : bool
        Whether it is a number with at most two values, such as 0 and 1.
    marked : bool
        Whether a column marks missing values.
    every : int
        The number of rows, counted from an origin, for which the covariate keeps its value: 1, a
        season, or 0 if it carries no information because it is the same at all origins.
    """

    role: str
    kept: tuple[int, ...] | None = None
    flag: bool = False
    marked: bool = False
    every: int = 1

    @property
    def width(self) -> int:
        """The number of columns of the table."""
        return (1 if self.kept is None else len(self.kept)) + self.marked


@dataclass(frozen=True, eq=False)
class Encoding:
    """How panels are encoded for a model that was trained on N series with K covariates.

    Attributes
    ----------
    columns : tuple of Encoded
        The encoding of each covariate in use.
    chosen : tuple of int
        The indices of these covariates among those of the panel.
    ids : dict
        The row of each series in `center` and `scale`.
    center, scale : array (N + 1, K)
        For numbers, by series; the last row is for series that training has not seen.
    level, spread : array (N + 1,), optional
        Center and scale of the series' own values, if these are compressed as well.
    cycle : int
        Seasons in a longer cycle, 7 for the days of a week; 0 for none. The last `cycle` columns of
        the table say in which of these seasons a row lies. Not used with a calendar.
    """

    columns: tuple[Encoded, ...]
    chosen: tuple[int, ...]
    ids: dict[object, int]
    center: Array
    scale: Array
    level: Array | None = None
    spread: Array | None = None
    cycle: int = 0

    @property
    def width(self) -> int:
        """The number of columns of the table."""
        return sum(one.width for one in self.columns) + self.cycle

    def span(self, k: int) -> slice:
        """Returns the columns of covariate `k` in the table."""
        first = sum(one.width for one in self.columns[:k])
        return slice(first, first + self.columns[k].width)

    def places(self, panel: Panel) -> Ticks:
        """Returns the row of `center` and `scale` for each series of a panel (N,)."""
        unseen = len(self.ids)
        return np.array([self.ids.get(one, unseen) for one in panel.ids.tolist()], dtype=np.int64)

    def table(
        self, panel: Panel, owner: Ticks | None = None, lengths: Ticks | None = None
    ) -> Table:
        """Returns the table of a panel, all finite: the rows of each series and `ahead` more.

        With `owner` (m,) and `lengths` (m,), returns the table of m other series: series i has the
        first ``lengths[i]`` rows of series ``owner[i]``, and `ahead` more.
        """
        found = covariates_of(panel)
        rows_of = panel.lengths + found.ahead
        starts = found.starts(panel.offsets)[:-1]
        place = np.repeat(self.places(panel), rows_of)
        table = np.zeros((len(found.values), self.width), dtype=np.float32)
        for k, (one, column) in enumerate(zip(self.columns, self.chosen, strict=True)):
            values = found.values[:, column]
            missing = np.isnan(values)
            if missing.any():
                values = carried(values, missing, starts)
            own = table[:, self.span(k)]
            self.encode(k, values, place, own)
            if one.marked:
                own[:, -1] = missing
        if self.cycle:
            week = table[:, -self.cycle :]
            ahead = np.arange(len(place)) - np.repeat(starts + panel.lengths, rows_of)
            first = np.repeat(panel.rows_after() // panel.season, rows_of)
            week[np.arange(len(place)), (first + ahead // panel.season) % self.cycle] = 1
        if owner is None or lengths is None:
            return table
        return table[rows_from(starts[owner], lengths + found.ahead)]

    def encode(self, k: int, values: Array, place: Ticks, table: Table) -> None:
        """Writes values (m,) of covariate `k` into its columns (m, width), except the mark.

        Value i belongs to the series whose `center` and `scale` are in row ``place[i]``.
        """
        one = self.columns[k]
        if one.kept is not None:
            for j, category in enumerate(one.kept):
                table[:, j] = values == category
        else:
            scaled = (values - self.center[place, k]) / self.scale[place, k]
            table[:, 0] = np.nan_to_num(scaled if one.flag else np.arcsinh(scaled))

    def compress(self, values: Array, panel: Panel, owner: Ticks, lengths: Ticks) -> Array:
        """Returns `values`, the first `lengths` values of each owner, compressed for the engine."""
        if self.level is None or self.spread is None:
            return values
        place = np.repeat(self.places(panel)[owner], lengths)
        return np.arcsinh((values - self.level[place]) / self.spread[place])

    def restore(self, forecasts: Array, panel: Panel, series: Ticks) -> Array:
        """Returns forecasts (W, ..., horizon) of these series in the units of the panel."""
        if self.level is None or self.spread is None:
            return forecasts
        place = self.places(panel)[series].reshape(-1, *[1] * (forecasts.ndim - 1))
        return np.sinh(forecasts) * self.spread[place] + self.level[place]


def blocks_of(
    columns: Sequence[Encoded], horizon: int, season: int, aligned: bool, lookback: int, cycle: int
) -> list[Block]:
    """Returns the blocks of the table that the networks see."""
    found, at = [], 0
    for one in columns:
        wide = one.width * (horizon + lookback) > WIDEST
        if aligned:
            spans = _aligned_spans(one, horizon, season)
        else:
            spans = _spans(one, horizon, season, lookback, wide)
        found += [(at, one.width, first, rows) for first, rows in spans]
        at += one.width
    return [*found, (at, cycle, 0, 1)] if cycle else found


def _aligned_spans(one: Encoded, horizon: int, season: int) -> Iterator[tuple[int, int]]:
    """Yields (first row, rows) of each block, for forecasts that begin at one phase."""
    if one.every == 0:
        return
    if one.role == STAT or (one.role == CALENDAR and not one.flag):
        yield 0, 1  # the calendar of the first step determines that of the others
        return
    first = [-back * season for back in SEASONS_BACK]
    if one.role != HIST:
        first += range(0, horizon, season)
    for row in sorted(first):
        yield row, 1 if one.every > 1 else season


def _spans(
    one: Encoded, horizon: int, season: int, lookback: int, wide: bool
) -> Iterator[tuple[int, int]]:
    """Yields (first row, rows) of each block, for forecasts that may begin at any row."""
    past = rows_before(season, lookback)
    if one.role == STAT or (one.role == CALENDAR and not one.flag):
        yield 0, 1
    elif one.role == HIST:
        yield -past, past
    elif wide:
        yield 0, horizon
    else:
        yield -past, past + horizon


def rows_before(season: int, lookback: int) -> int:
    """Returns the number of last rows that a forecast depends on most: a season, or a few."""
    return min(season if season > 1 else FEW_ROWS, lookback)


def covariates_of(panel: Panel) -> Covariates:
    """Returns the covariates of a panel, with no columns if it has none."""
    if panel.covariates is not None:
        return panel.covariates
    return Covariates((), np.zeros((len(panel.values), 0)), 0)


def learn(
    panel: Panel, season: int, *, aligned: bool, compressed: bool, without: tuple[str, ...] = ()
) -> Encoding:
    """Learns the encoding from all rows of a panel.

    Parameters
    ----------
    panel : Panel
        The rows that training knows.
    season : int
        Rows in a season.
    aligned : bool
        Whether all forecasts begin whole seasons before the end of their series.
    compressed : bool
        Whether the series' values are also compressed by the inverse hyperbolic sine.
    without : tuple of str
        Names of the covariates to leave out.
    """
    found = covariates_of(panel)
    used = [k for k, column in enumerate(found.columns) if column.name not in without]
    place = rows_from(found.starts(panel.offsets)[:-1], panel.lengths)
    center, scale = np.zeros((2, len(panel) + 1, len(used)))
    columns = []
    for k, column in enumerate(used):
        values = found.values[place, column]
        one = _encoded(found.columns[column], values)
        if aligned:
            one = _kept_for(one, values, panel.lengths, season)
        center[:, k], scale[:, k] = _units(one, values, panel.lengths)
        columns.append(one)
    level = spread = None
    if compressed:
        level, spread = _of_series(panel.values, panel.lengths)
    ids = {one: k for k, one in enumerate(panel.ids.tolist())}
    cycle = SEASONS_BACK[-1] if aligned and not any(one.role == CALENDAR for one in columns) else 0
    return Encoding(tuple(columns), tuple(used), ids, center, scale, level, spread, cycle)


def _encoded(column: Covariate, values: Array) -> Encoded:
    missing = np.isnan(values)
    marked = bool(missing.any() and not missing.all())
    if not column.categories:
        few = len(np.unique(values[~missing])) <= FLAG
        return Encoded(column.role, flag=few, marked=marked)
    there, count = np.unique(values[~missing & (values >= 0)].astype(np.int64), return_counts=True)
    order = np.argsort(-count, kind="stable")[:MOST_CATEGORIES]
    return Encoded(column.role, tuple(sorted(there[order].tolist())), marked=marked)


def _kept_for(one: Encoded, values: Array, lengths: Ticks, season: int) -> Encoded:
    """Returns `one` with `every` set by the pattern of the values, for aligned forecasts."""
    if one.role == STAT:
        return one
    ends = np.cumsum(lengths)
    behind = np.repeat(ends, lengths) - 1 - np.arange(len(values))  # later rows of the series
    known = np.where(np.isnan(values), np.inf, values)
    inside = (behind % season > 0) & (behind > 0)
    stays = np.array_equal(known[:-1][inside[:-1]], known[1:][inside[:-1]])
    late = np.flatnonzero(np.repeat(lengths, lengths) - 1 - behind >= season)
    repeats = np.array_equal(known[late], known[late - season])
    return Encoded(
        one.role, one.kept, one.flag, one.marked, 0 if repeats else season if stays else 1
    )


def _units(one: Encoded, values: Array, lengths: Ticks) -> tuple[Array, Array]:
    """Returns center and scale of a covariate (N + 1,)."""
    count = len(lengths) + 1
    given = values[~np.isnan(values)]
    if one.kept is not None or not len(given):
        return np.zeros(count), np.ones(count)
    if one.flag:
        low, high = float(given.min()), float(given.max())
        return np.full(count, low), np.full(count, high - low if high > low else 1.0)
    if one.role in (FUTR, HIST):
        return _of_series(values, lengths)
    center, scale = _robust(given[None])
    return np.full(count, center[0]), np.full(count, scale[0] or 1.0)


def _of_series(values: Array, lengths: Ticks) -> tuple[Array, Array]:
    """Returns center and scale of each series, and last those of all series (N + 1,).

    A series without known or without different values has those of all series.
    """
    center, scale = np.empty((2, len(lengths) + 1))
    (center[-1],), (scale[-1],) = _robust(values[None])
    starts = offsets_of(lengths)
    for length in np.unique(lengths):  # one median call for all series of one length
        these = np.flatnonzero(lengths == length)
        center[these], scale[these] = _robust(values[starts[these][:, None] + np.arange(length)])
    scale[-1] = scale[-1] or 1.0
    center = np.where(np.isnan(center), center[-1], center)
    return center, np.where(scale > 0, scale, scale[-1])


def _robust(rows: Array) -> tuple[Array, Array]:
    """Returns the median and the typical deviation of each row; NaN and 0 for all-NaN rows."""
    center, scale = np.full(len(rows), np.nan), np.zeros(len(rows))
    holes = np.isnan(rows).any(axis=1)
    for k in np.flatnonzero(holes):
        given = rows[k][~np.isnan(rows[k])]
        if len(given):
            (center[k],), (scale[k],) = _robust(given[None])
    whole = rows[~holes]
    if len(whole):
        middle = np.median(whole, axis=1)
        away = np.abs(whole - middle[:, None])
        typical = np.median(away, axis=1) / DEVIATION
        center[~holes], scale[~holes] = middle, np.where(typical > 0, typical, away.mean(axis=1))
    return center, scale


def carried(values: Array, missing: Flags, starts: Ticks) -> Array:
    """Returns values (R,) with missing ones replaced by the last known one; NaN without one."""
    first = np.zeros(len(missing), np.int64)
    first[starts] = starts
    first = np.maximum.accumulate(first)
    last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(missing))))
    return np.where(last >= first, values[np.maximum(last, 0)], np.nan)
