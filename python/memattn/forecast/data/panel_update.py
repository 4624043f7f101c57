"""Adds rows to a panel: of its own series, mostly after their last rows, and of new series.

The result is the panel of all rows together. Most rows continue their series, one step of the
frequency after the other; these are appended as they are. A series with any other row is rebuilt
from its rows in the panel and the new ones, by the code that reads tables.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted
from memattn.forecast.data.columns import Array, Columns
from memattn.forecast.data.covariates import MAX_MAGNITUDE, STAT, UNKNOWN
from memattn.forecast.data.filling import MAX_MISSING_SHARE, MOST_MISSING
from memattn.forecast.data.flat_rows import offsets_of, rows_from
from memattn.forecast.data.frequency import CALENDAR, positions_of
from memattn.forecast.data.long_rows import LongRows, Note, put_in_order
from memattn.forecast.data.series import Flags, Panel
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import DAY, Ticks, clock_of

MOST_GAPS = 1_000_000  # missing rows in all series that are appended to
OF_FIT = "a row that this forecaster already has"


@dataclass(frozen=True, eq=False)
class Update:
    """A panel with more rows.

    Attributes
    ----------
    panel : Panel
        All rows.
    place : array (N,)
        New index of each series of the old panel; -1 if it was left out as bad.
    before : array (N,)
        Number of new rows of each series before its first row in the old panel.
    series, added, rows : int
        Number of series with new rows, of new series, and of new rows.
    notes : tuple of Note
        What was found in the new rows, and what was done.
    """

    panel: Panel
    place: Ticks
    before: Ticks
    series: int
    added: int
    rows: int
    notes: tuple[Note, ...]


def updated(known: Panel, read: Callable[..., Panel], drop: bool) -> Update:
    """Returns the panel of the known rows and the rows that `read` reads.

    Parameters
    ----------
    known : Panel
        A panel with at least one series.
    read : callable
        Reads a table as a panel like `known`, with the option `join` of `panel_from_frame`.
    drop : bool
        Whether `read` leaves out bad series, as long as there are others.

    Raises
    ------
    DataError
        If the rows cannot be used, alone or together with the known ones.
    """
    join = _Join(known, spare=drop)
    try:
        part = read(join=join)
    except DataError as error:
        if error.kind == "off-grid" and join.off_grid is not None and error.line is None:
            raise join.off_grid from None
        raise
    panel, place = known, np.arange(len(known))
    if len(join.series):
        panel = _appended(known, join)
    before = np.zeros(len(known), np.int64)
    notes = tuple(join.notes)
    if not join.is_done:
        again = join.again
        old = part.ids[np.isin(part.ids, known.ids[again])] if len(again) else part.ids[:0]
        kept = np.array([join.place[one] for one in old.tolist()], dtype=np.int64)
        before[kept] = _before(known, part, kept, np.flatnonzero(np.isin(part.ids, old)))
        panel, place = _merged(panel, part, again, join.is_sorted)
        notes += tuple(note for note in part.notes if note.kind not in ("frequency", "season"))
    panel = replace(panel, form=known.form, season=known.season, notes=known.notes, given=None)
    if len(panel.values) - len(known.values) > join.rows:
        _check_missing(panel)
    new = len(panel) - int((place >= 0).sum())
    return Update(panel, place, before, join.count, new, join.rows, notes)


@dataclass
class _Join:
    """Divides the rows of a table into rows to append and series to rebuild."""

    known: Panel
    spare: bool  # whether to rebuild one more series, since all others may be bad
    notes: list[Note] = field(default_factory=list)
    rows: int = 0
    count: int = 0
    is_done: bool = False  # whether all rows are appended
    # The rows to append, in order: index of the series, steps after its last row, time and value.
    series: Ticks = field(default_factory=lambda: np.zeros(0, np.int64))
    ahead: Ticks = field(default_factory=lambda: np.zeros(0, np.int64))
    ticks: Ticks = field(default_factory=lambda: np.zeros(0, np.int64))
    values: Array = field(default_factory=lambda: np.zeros(0))
    again: Ticks = field(default_factory=lambda: np.zeros(0, np.int64))  # series to rebuild
    off_grid: DataError | None = None  # for the first row that is not on the grid of its series

    @property
    def is_sorted(self) -> bool:
        """Whether the known ids ascend."""
        ids = self.known.ids.tolist()
        return all(one < other for one, other in itertools.pairwise(ids))

    @cached_property
    def place(self) -> dict[Any, int]:
        """The index of each known series by its id."""
        return {one: k for k, one in enumerate(self.known.ids.tolist())}

    def __call__(self, rows: LongRows) -> LongRows | Panel:
        """Returns the rows of the series to rebuild, or the known panel if there are none."""
        self.rows, self.count = len(rows.codes), len(rows.ids)
        _check_alike(rows, self.known)
        rows = put_in_order(rows)
        places = self._places(rows)
        good = self._append(rows, places)
        if good.all():
            self.notes, self.is_done = rows.notes, True
            return self.known
        if self.spare:
            rows, places, good = self._with_spare(rows, places, good)
        found = places[~good]
        self.again = np.sort(found[found >= 0])
        if self.known.covariates is not None:
            _check_begins(rows, self.known, places)
        return _with_history(_of_series(rows, np.flatnonzero(~good)), self.known, places[~good])

    def _places(self, rows: LongRows) -> Ticks:
        """Returns the panel's index of each series of the rows (m,), -1 for a new one."""
        ids = rows.ids
        if len(ids) == len(self.known) and bool((ids == self.known.ids).all()):
            return np.arange(len(ids))
        found = (self.place.get(one, -1) for one in ids.tolist())
        return np.fromiter(found, np.int64, len(ids))

    def _with_spare(
        self, rows: LongRows, places: Ticks, good: Flags
    ) -> tuple[LongRows, Ticks, Flags]:
        """Returns the arguments with one more series to rebuild, if there is any."""
        if good.any():
            good = good.copy()
            code = int(np.argmax(good))
            good[code] = False
            kept = self.series != places[code]
            self.series, self.ahead = self.series[kept], self.ahead[kept]
            self.ticks, self.values = self.ticks[kept], self.values[kept]
            return rows, places, good
        others = np.setdiff1d(np.arange(len(self.known)), places)[:1]
        if not len(others):
            return rows, places, good
        names, ids = rows.names, np.concatenate([rows.ids, self.known.ids[others]])
        if len(names.values) > 1:
            names = replace(names, values=(*names.values, str(ids[-1])))
        rows = replace(rows, ids=ids, names=names)
        return rows, np.concatenate([places, others]), np.append(good, False)

    def _append(self, rows: LongRows, places: Ticks) -> Flags:
        """Keeps the rows to append, and returns which series (m,) have only such rows."""
        known = self.known
        good: Flags = places >= 0
        series = places[rows.codes]
        unit, step = known.frequency.unit, known.frequency.step
        last = known.last[series]
        local, before = rows.ticks, last
        if known.zone is not None and unit in CALENDAR:
            local, before = (clock_of(known.zone, one).to_local(one) for one in (local, last))
        distance = positions_of(unit, local) - positions_of(unit, before)
        ahead = distance // step
        fits = (distance % step == 0) & (ahead > 0)
        fits[1:] &= ~rows.inner | (np.diff(ahead) > 0)
        fits &= np.abs(rows.values) <= MAX_MAGNITUDE  # False for NaN
        if unit in CALENDAR:
            period = step if unit is Unit.CLOCK else DAY
            fits &= local % period == before % period
        bad = np.bincount(rows.codes[~fits], minlength=len(places)) > 0
        good = good & ~bad
        if known.covariates is not None or known.time is not None:
            good[:] = False
        mine = np.flatnonzero(series >= 0)
        if len(mine) and unit in CALENDAR:
            off = mine[known.times(series[mine], ahead[mine]) != rows.ticks[mine]]
            good[rows.codes[off]] = False
            if len(off):
                problem = f"found {rows.row(int(off[0]))}, expected one row every "
                problem += f"{known.frequency.every} as in training"
                self.off_grid = rows.error("off-grid", problem, int(off[0]), of_time=True)
        keep = good[rows.codes]
        ends = np.flatnonzero(keep & np.append(~rows.inner, True))
        if int(ahead[ends].sum()) > int(keep.sum()) + MOST_GAPS:
            return np.zeros(len(places), dtype=bool)
        order: slice | Ticks = slice(None)
        if np.any(np.diff(series[keep]) < 0):
            order = np.argsort(series[keep], kind="stable")
        self.series, self.ahead = series[keep][order], ahead[keep][order]
        self.ticks, self.values = rows.ticks[keep][order], rows.values[keep][order]
        return good


def _of_series(rows: LongRows, codes: Ticks) -> LongRows:
    """Returns the rows of some series, of which some may have no row."""
    place = np.full(len(rows.ids), -1)
    place[codes] = np.arange(len(codes))
    found = rows.select(place[rows.codes] >= 0)
    columns = rows.names.values
    if len(columns) > 1:
        columns = tuple(columns[code] for code in codes)
    names = replace(rows.names, values=columns)
    return replace(found, names=names, ids=rows.ids[codes], codes=place[found.codes])


def _check_alike(rows: LongRows, known: Panel) -> None:
    """Raises DataError for ids of another type, or times on another clock."""
    kinds = [isinstance(ids[0], str) for ids in (rows.ids, known.ids)]
    if kinds[0] != kinds[1]:
        found, expected = ("text" if kind else "whole numbers" for kind in kinds)
        problem = f"found ids that are {found}, expected {expected} as in training"
        raise DataError("mixed-ids", problem, column=rows.names.ids)
    zone, own = rows.times.zone, known.zone
    if rows.times.is_number:
        return
    if (zone is None) != (own is None):
        said = "times without a zone, expected them with one", "times with a zone, expected none"
        raise DataError("mixed-zones", f"found {said[zone is not None]} as in training",
                        column=rows.names.times)  # fmt: skip
    if rows.times.style is not None and zone != own:
        problem = f"found times in the zone {zone}, expected {own} as in training"
        raise DataError("mixed-zones", problem, column=rows.names.times)


def _check_begins(rows: LongRows, known: Panel, places: Ticks) -> None:
    """Raises DataError for a row before the first one of its series, which lacks covariates."""
    old = np.flatnonzero(places >= 0)
    first = np.full(len(places), np.iinfo(np.int64).min)
    first[old] = known.times(places[old], 1 - known.lengths[places[old]])
    early = rows.ticks < first[rows.codes]
    if early.any():
        row = int(np.argmax(early))
        problem = f"{rows.row(row)} is before the first row of its series, whose covariates are "
        problem += "not kept; fit again"
        raise rows.error("too-early", problem, row, of_time=True)


class _WithHistory(Columns):
    """The columns of a table, followed by rows of a panel."""

    def __init__(self, table: Columns, history: int) -> None:
        super().__init__()
        self.library, self.names, self.comma = table.library, table.names, table.comma
        self.rounded, self.rows = table.rounded, table.rows + history
        self._table = table

    def error(self, kind: str, problem: str, row: int, column: str) -> DataError:
        """Returns the DataError of the table; for a row of the panel it names no position."""
        if row < self._table.rows:
            return self._table.error(kind, problem, row, column)
        return DataError(kind, problem, column=column)

    def place(self, row: int) -> str:
        """Returns the position of a row in the table, or says that the panel has it."""
        return self._table.place(row) if row < self._table.rows else OF_FIT

    def number_type(self, name: str) -> str | None:
        """Returns the type of a column of the table."""
        return self._table.number_type(name)


def _with_history(rows: LongRows, known: Panel, places: Ticks) -> LongRows:
    """Returns the rows, preceded by the panel's rows of the same series."""
    old = np.flatnonzero(places >= 0)
    series, extra = places[old], known.covariates
    reach = known.lengths[series] + (0 if extra is None else extra.ahead)
    owner = np.repeat(np.arange(len(old)), reach)
    row = rows_from(np.zeros(len(old), np.int64), reach)
    is_past = row < known.lengths[series][owner]
    values = np.full(len(row), np.nan)
    values[is_past] = known.values[(known.offsets[series][owner] + row)[is_past]]
    used, table = ~np.isnan(values), rows.covariates
    cells = []
    if extra is not None:
        at = extra.starts(known.offsets)[series][owner] + row
        place = {column.name: k for k, column in enumerate(extra.columns)}
        for column in table.columns:
            found = extra.values[at, place[column.name]]
            if column.role == STAT:
                if column.categories:  # UNKNOWN may stand for a missing cell
                    found = np.where(found == UNKNOWN, np.nan, found)
            else:
                used |= ~np.isnan(found)
            cells.append(found)
    owner, row = owner[used], row[used]
    base, lengths = rows.columns.rows, known.lengths[series]
    ticks = known.times(series[owner], row + 1 - lengths[owner])
    given = _given_again(rows, old[owner], ticks, row >= lengths[owner])
    owner, row, ticks, used = (
        owner[~given],
        row[~given],
        ticks[~given],
        np.flatnonzero(used)[~given],
    )
    joined = tuple(
        np.concatenate([own, more[used]])
        for own, more in zip(table.values, cells or [np.zeros(0)] * len(table.values), strict=True)
    )
    return replace(
        rows,
        columns=_WithHistory(rows.columns, len(row)),
        codes=np.concatenate([old[owner], rows.codes]),
        ticks=np.concatenate([ticks, rows.ticks]),
        values=np.concatenate([values[used], rows.values]),
        source=np.concatenate([base + np.arange(len(row)), rows.source]),
        covariates=replace(table, values=joined),
    )


def _given_again(rows: LongRows, codes: Ticks, ticks: Ticks, is_ahead: Flags) -> Flags:
    """Returns which known rows ahead, with covariates but no value, the table has too."""
    moments, rank = np.unique(np.concatenate([ticks, rows.ticks]), return_inverse=True)
    keys = np.concatenate([codes, rows.codes]) * len(moments) + rank
    found: Flags = is_ahead & np.isin(keys[: len(ticks)], keys[len(ticks) :])
    return found


def _appended(known: Panel, join: _Join) -> Panel:
    """Returns the panel with rows appended to its series."""
    series, ahead = join.series, join.ahead
    ends = np.flatnonzero(np.append(series[1:] != series[:-1], True))
    extra, last = np.zeros(len(known), np.int64), known.last.copy()
    extra[series[ends]] = ahead[ends]
    last[series[ends]] = join.ticks[ends]
    lengths = known.lengths
    offsets = offsets_of(lengths + extra)
    tail = rows_from(offsets[:-1] + lengths, extra)
    values, old = np.empty(offsets[-1]), np.ones(offsets[-1], dtype=bool)
    old[tail] = False
    values[old] = known.values
    values[tail] = np.nan
    values[offsets[series] + lengths[series] + ahead - 1] = join.values
    return replace(known, values=values, offsets=offsets, last=last)


def _before(known: Panel, part: Panel, places: Ticks, own: Ticks) -> Ticks:
    """Returns how many rows of series, `own` in the part, precede their first row in the panel."""
    after = (part.positions()[own] - known.positions()[places]) // known.frequency.step
    return np.asarray(part.lengths[own] - known.lengths[places] - after)


def _merged(panel: Panel, part: Panel, again: Ticks, is_sorted: bool) -> tuple[Panel, Ticks]:
    """Returns the panel with the rebuilt series `again` and new ones from the part.

    Also returns the new index of each series of the panel, -1 for one that the part lacks.
    """
    kept = np.setdiff1d(np.arange(len(panel)), again)
    rank = {one: k for k, one in enumerate(panel.ids.tolist())}
    ids: npt.NDArray[np.object_] = np.concatenate([panel.ids[kept], part.ids])
    key = [rank.get(one, len(rank)) for one in ids.tolist()]  # new ones stay at the end
    if is_sorted:
        order = np.array(sorted(range(len(ids)), key=ids.tolist().__getitem__), dtype=np.int64)
    else:
        order = np.argsort(np.array(key), kind="stable")

    def joined(own: Any, more: Any) -> Any:
        return np.concatenate([own[kept], more])[order]

    def rows_of(own: Ticks, more: Ticks) -> Ticks:
        starts = np.concatenate([own[kept], own[-1] + more[:-1]])[order]
        lengths = np.concatenate([np.diff(own)[kept], np.diff(more)])[order]
        return rows_from(starts, lengths)

    lengths = joined(panel.lengths, part.lengths)
    both, covariates = np.concatenate([panel.values, part.values]), panel.covariates
    if covariates is not None and part.covariates is not None:
        starts = (one.starts(two.offsets) for one, two in ((covariates, panel),
                                                           (part.covariates, part)))  # fmt: skip
        cells = np.concatenate([covariates.values, part.covariates.values])
        covariates = replace(covariates, values=cells[rows_of(*starts)])
    time, other = panel.time, part.time
    if time is not None or other is not None:
        time = joined(_times_of_day(panel), _times_of_day(part))
    place = np.full(len(panel), -1)
    now = {one: k for k, one in enumerate(ids[order].tolist())}
    place[:] = [now.get(one, -1) for one in panel.ids.tolist()]
    found = replace(
        panel,
        ids=ids[order],
        values=both[rows_of(panel.offsets, part.offsets)],
        offsets=offsets_of(lengths),
        last=joined(panel.last, part.last),
        day=joined(panel.day, part.day),
        time=time,
        covariates=covariates,
    )
    return found, place


def _times_of_day(panel: Panel) -> Ticks:
    """Returns `Panel.time`, from the last rows if no row was moved."""
    if panel.time is not None:
        return panel.time
    unit, last = panel.frequency.unit, panel.last
    if panel.zone is not None:
        last = clock_of(panel.zone, last).to_local(last)
    return np.asarray(last % (panel.frequency.step if unit is Unit.CLOCK else DAY))


def _check_missing(panel: Panel) -> None:
    """Raises DataError as the reader does, for series with gaps that make the panel too large."""
    holes = np.add.reduceat(np.isnan(panel.values).astype(np.int64), panel.offsets[:-1])
    if holes.sum() <= MOST_MISSING:
        return
    too_many = np.flatnonzero(holes > MAX_MISSING_SHARE * panel.lengths)
    if len(too_many):
        k = int(too_many[0])
        problem = (
            f"series {quoted(str(panel.ids[k]))}: found {holes[k]:,} of {panel.lengths[k]:,} rows "
            f"missing between its first and its last value, expected at most {MOST_MISSING:,} in "
            "all series"
        )
        raise DataError("too-many-missing", problem, column=panel.form.time_col)
