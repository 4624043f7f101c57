"""Covariates as the engine takes them: a table of numbers of about the size of 1, and its blocks.

How a column is encoded is learned from the rows that training knows, and from nothing after them. A
number is counted from the median of its series, in units of its usual distance from there, and
brought closer by the inverse hyperbolic sine, a logarithm for large values and straight for small
ones. A category has a column of zeros and ones for each of its values: the weights that the
networks give it are an embedding that they learn. A missing value is the last one before it, and
where training has seen such, a column says so.
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

MOST_CATEGORIES = 32  # of a column that have one of their own, the most frequent ones
FLAG = 2  # different values up to which a number stays as it is
SEASONS_BACK = (1, 7)  # seasons before the forecast whose covariates are seen: a day, and a week
FEW_ROWS = 4  # seen of the past where there is no season
WIDEST = 1_000  # numbers of one covariate in a window; of a wider one only those of the horizon
DEVIATION = 0.6745  # the median distance from the median of a normal distribution


@dataclass(frozen=True)
class Encoded:
    """How one covariate is encoded.

    Attributes
    ----------
    role : str
        As in `Covariate`.
    kept : tuple of int, optional
        Of a category, the values that have a column, as places in its `categories`.
    flag : bool
        Whether it is a number of at most two values, such as 0 and 1.
    marked : bool
        Whether a column says where the value is missing.
    every : int
        How many rows it keeps a value, counted from an origin on: 1, a season, or 0 where it says
        nothing because it is the same at all origins.
    """

    role: str
    kept: tuple[int, ...] | None = None
    flag: bool = False
    marked: bool = False
    every: int = 1

    @property
    def width(self) -> int:
        """Columns of the table."""
        return (1 if self.kept is None else len(self.kept)) + self.marked


@dataclass(frozen=True, eq=False)
class Encoding:
    """How panels are encoded for a model that was trained on N series with K covariates.

    Attributes
    ----------
    columns : tuple of Encoded
        One for each covariate that is used, at the places `chosen` among those of the panel.
    chosen : tuple of int
    ids : dict
        The place of each series.
    center, scale : array (N + 1, K)
        Of numbers, of each series; the last row is for series that training has not seen.
    level, spread : array (N + 1,), optional
        The same of the values themselves, where they are brought closer as well.
    cycle : int
        Seasons after which they may repeat, 7 days: the last columns say which one a row is in, if
        the calendar does not. 0 for none.
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
        """Columns of the table."""
        return sum(one.width for one in self.columns) + self.cycle

    def span(self, k: int) -> slice:
        """The columns of the table that covariate `k` has."""
        first = sum(one.width for one in self.columns[:k])
        return slice(first, first + self.columns[k].width)

    def places(self, panel: Panel) -> Ticks:
        """For each series of a panel its row of `center` and `scale` (N,)."""
        unseen = len(self.ids)
        return np.array([self.ids.get(one, unseen) for one in panel.ids.tolist()], dtype=np.int64)

    def table(
        self, panel: Panel, owner: Ticks | None = None, lengths: Ticks | None = None
    ) -> Table:
        """The table of a panel, finite: a row for each value and `ahead` more of each series.

        With `owner` (m,) and `lengths` (m,) that of other series: the first so many values of those
        at these places, and as many rows more.
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
        """Write values (m,) of covariate `k` into its columns (m, width), but for the mark.

        Row i is of the series at ``place[i]``, as in `places`.
        """
        one = self.columns[k]
        if one.kept is not None:
            for j, category in enumerate(one.kept):
                table[:, j] = values == category
        else:
            scaled = (values - self.center[place, k]) / self.scale[place, k]
            table[:, 0] = np.nan_to_num(scaled if one.flag else np.arcsinh(scaled))

    def compress(self, values: Array, panel: Panel, owner: Ticks, lengths: Ticks) -> Array:
        """Values of series, the first `lengths` ones of each owner's, as the engine has them."""
        if self.level is None or self.spread is None:
            return values
        place = np.repeat(self.places(panel)[owner], lengths)
        return np.arcsinh((values - self.level[place]) / self.spread[place])

    def restore(self, forecasts: Array, panel: Panel, series: Ticks) -> Array:
        """Forecasts (W, ..., horizon) of these series, in the units of the panel's values."""
        if self.level is None or self.spread is None:
            return forecasts
        place = self.places(panel)[series].reshape(-1, *[1] * (forecasts.ndim - 1))
        return np.sinh(forecasts) * self.spread[place] + self.level[place]


def blocks_of(
    columns: Sequence[Encoded], horizon: int, season: int, aligned: bool, lookback: int, cycle: int
) -> list[Block]:
    """What the networks see of the table."""
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
    """First rows and rows, of forecasts that always begin at the same phase."""
    if one.every == 0:
        return
    if one.role == STAT or (one.role == CALENDAR and not one.flag):
        yield 0, 1  # of the calendar, the first step says the others
        return
    first = [-back * season for back in SEASONS_BACK]
    if one.role != HIST:
        first += range(0, horizon, season)
    for row in sorted(first):
        yield row, 1 if one.every > 1 else season


def _spans(
    one: Encoded, horizon: int, season: int, lookback: int, wide: bool
) -> Iterator[tuple[int, int]]:
    """First rows and rows, of forecasts that may begin at any time."""
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
    """The number of last rows that a forecast depends on most: a season, or a few."""
    return min(season if season > 1 else FEW_ROWS, lookback)


def covariates_of(panel: Panel) -> Covariates:
    """The covariates of a panel; none stand for those of a panel without any."""
    if panel.covariates is not None:
        return panel.covariates
    return Covariates((), np.zeros((len(panel.values), 0)), 0)


def learn(
    panel: Panel, season: int, *, aligned: bool, compressed: bool, without: tuple[str, ...] = ()
) -> Encoding:
    """The encoding for a training on all of a panel.

    Parameters
    ----------
    panel : Panel
        What training knows.
    season : int
        In rows.
    aligned : bool
        Whether all forecasts begin whole seasons before the end of their series.
    compressed : bool
        Whether the values are brought closer by the inverse hyperbolic sine, too.
    without : tuple of str
        Names of covariates that are left out.
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
    """With how many rows an aligned covariate keeps a value; not of one that has no pattern."""
    if one.role == STAT:
        return one
    ends = np.cumsum(lengths)
    behind = np.repeat(ends, lengths) - 1 - np.arange(len(values))  # rows that come after, in all
    known = np.where(np.isnan(values), np.inf, values)
    inside = (behind % season > 0) & (behind > 0)
    stays = np.array_equal(known[:-1][inside[:-1]], known[1:][inside[:-1]])
    late = np.flatnonzero(np.repeat(lengths, lengths) - 1 - behind >= season)
    repeats = np.array_equal(known[late], known[late - season])
    return Encoded(
        one.role, one.kept, one.flag, one.marked, 0 if repeats else season if stays else 1
    )


def _units(one: Encoded, values: Array, lengths: Ticks) -> tuple[Array, Array]:
    """Center and scale of a covariate (N + 1,)."""
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
    """Center and scale of each series, and of all of them (N + 1,); of all where one has none."""
    center, scale = np.empty((2, len(lengths) + 1))
    (center[-1],), (scale[-1],) = _robust(values[None])
    starts = offsets_of(lengths)
    for length in np.unique(lengths):  # each median at once for series of one length
        these = np.flatnonzero(lengths == length)
        center[these], scale[these] = _robust(values[starts[these][:, None] + np.arange(length)])
    scale[-1] = scale[-1] or 1.0
    center = np.where(np.isnan(center), center[-1], center)
    return center, np.where(scale > 0, scale, scale[-1])


def _robust(rows: Array) -> tuple[Array, Array]:
    """The median of each row, and the usual distance from it; NaN and 0 for rows of NaN."""
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
    """Values (R,) with the last one given in place of missing ones; NaN where none was before."""
    first = np.zeros(len(missing), np.int64)
    first[starts] = starts
    first = np.maximum.accumulate(first)
    last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(missing))))
    return np.where(last >= first, values[np.maximum(last, 0)], np.nan)
