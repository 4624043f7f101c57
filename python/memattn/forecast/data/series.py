"""A panel: many series as flat, equally spaced numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memattn._memattn import fill_holes
from memattn.errors import DataError
from memattn.forecast.data.column_choice import ID_COL, TARGET_COL, TIME_COL
from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariates import Covariates
from memattn.forecast.data.flat_rows import offsets_of, rows_from
from memattn.forecast.data.frequency import (
    CALENDAR,
    COUNTED,
    Frequency,
    clock_at,
    positions_of,
)
from memattn.forecast.data.long_rows import Note, plural
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import DAY, FIRST, LAST, Ticks, clock_of
from memattn.forecast.data.times import Style

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Form:
    """The format of the data, so that forecasts are returned in the same format.

    Attributes
    ----------
    library : str
        ``"pandas"``, ``"polars"``, ``"pyarrow"``, or ``"csv"`` for a file.
    id_col, time_col, target_col : str
        Names of the output columns.
    id_dtype, time_dtype : object
        Types of the library; None for its defaults.
    style : Style, optional
        Format of times in text; None if times were not text.
    number_type : str, optional
        NumPy type of the values; None for text.
    """

    library: str
    id_col: str = ID_COL
    time_col: str = TIME_COL
    target_col: str = TARGET_COL
    id_dtype: object = None
    time_dtype: object = None
    style: Style | None = None
    number_type: str | None = None


class Given(NamedTuple):
    """All series of a table, including those left out as bad, and their numbers of values."""

    ids: npt.NDArray[np.object_]
    values: Ticks


def without_holes(values: Array) -> Array:
    """Returns values (n,) with NaN interpolated linearly; the first and the last are not NaN."""
    if not np.isnan(values).any():
        return values
    return fill_holes(np.ascontiguousarray(values, np.float64))


@dataclass(frozen=True, eq=False, repr=False)
class Panel:
    """N equally spaced series of one frequency, concatenated.

    Attributes
    ----------
    ids : array (N,)
        Unique ids; of a long table in ascending order.
    values : array (n,)
        All values; NaN if missing. Series k is ``values[offsets[k]:offsets[k + 1]]``. Each series
        begins and ends with a value.
    offsets : array (N + 1,)
        Index of the first value of each series, and n; every series has at least one value.
    frequency : Frequency
        Time between rows.
    season : int
        Rows in a season, 1 for none.
    last : array (N,)
        The time of the last row: microseconds since 1970, in UTC if there is a `zone`; or its
        number, for numbered rows.
    day : array (N,)
        For frequencies of months, the day of the month of a series' rows, 31 for the last day; else
        0.
    zone : tzinfo, optional
        The time zone in which days and months are counted.
    notes : tuple of Note
        What was found and done.
    form : Form
        The format of the data.
    time : array (N,), optional
        For units of a local clock that skipped some times of rows: the usual time of rows, in
        microseconds since midnight, or since a step of hours.
    season_found : bool
        Whether the season was found in the values; a backtest then finds it again.
    covariates : Covariates, optional
        The covariates, including rows after the values.
    given : Given, optional
        The series of the table that was read.
    """

    ids: npt.NDArray[np.object_]
    values: Array
    offsets: Ticks
    frequency: Frequency
    season: int
    last: Ticks
    day: Ticks
    zone: tzinfo | None
    notes: tuple[Note, ...]
    form: Form
    time: Ticks | None = None
    season_found: bool = False
    covariates: Covariates | None = None
    given: Given | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return (
            f"Panel({plural(len(self), 'series', 'series')}, {len(self.values):,} values, one "
            f"every {self.frequency.every}, season {self.season})"
        )

    @property
    def lengths(self) -> Ticks:
        """The number of values of each series (N,)."""
        return np.diff(self.offsets)

    @property
    def positive(self) -> Flags:
        """Which series have only values above 0, and so logarithms (N,)."""
        positive: Flags = np.fmin.reduceat(self.values, self.offsets[:-1]) > 0
        return positive

    @property
    def constant(self) -> Flags:
        """Which series are constant (N,)."""
        low = np.fmin.reduceat(self.values, self.offsets[:-1])
        constant: Flags = low == np.fmax.reduceat(self.values, self.offsets[:-1])
        return constant

    @cached_property
    def latest(self) -> Ticks:
        """For each row the index in `values` of the last known value up to it (n,)."""
        places = np.arange(len(self.values))
        return np.maximum.accumulate(np.where(np.isnan(self.values), 0, places))

    @cached_property
    def filled(self) -> Array:
        """`values` with holes interpolated linearly between their neighbours (n,)."""
        # Each series begins and ends with a value, so no line leads into another series.
        return without_holes(self.values)

    def shorter_than(self, rows: int) -> Flags:
        """Returns which series have fewer than `rows` values (N,), too few for some model."""
        return self.lengths < rows

    def series(self, k: int) -> Array:
        """Returns the values of series k."""
        return self.values[self.offsets[k] : self.offsets[k + 1]]

    def times(self, series: Ticks, ahead: Ticks) -> Ticks:
        """Returns times on the grids of series, in the unit of `last`.

        Parameters
        ----------
        series : array (m,)
            Indices of series.
        ahead : array (m,)
            Rows after the last one of the series: 1 is the first one to be forecast, 0 the last
            known one, -1 the one before.

        Raises
        ------
        DataError
            If a time is after the year 9999 or before the year 1.
        """
        unit, zone = self.frequency.unit, self.zone
        last = self._clock(series)
        reach = self.frequency.step * int(np.max(np.abs(ahead), initial=0))
        limit = _LONGEST.get(unit, 2**62)
        if reach > limit:
            raise self._overflow()
        position = positions_of(unit, last) + self.frequency.step * ahead
        if unit is Unit.MONTH and np.any((position < _FIRST_MONTH) | (position > _LAST_MONTH)):
            raise self._overflow()
        ticks = clock_at(unit, position, self.day[series], last % DAY)
        is_number = unit in COUNTED
        if not is_number and np.any((ticks < FIRST) | (ticks > LAST)):
            raise self._overflow()
        if zone is not None and unit in CALENDAR and len(ticks):
            ticks = clock_of(zone, ticks).to_utc(ticks)
        return ticks

    def _clock(self, series: Ticks) -> Ticks:
        """Returns the time of the last row of series, on the clock that counts rows."""
        unit, last = self.frequency.unit, self.last[series]
        if self.zone is not None and unit in CALENDAR and len(last):
            last = clock_of(self.zone, last).to_local(last)
        if self.time is not None:  # the last row may be a moved one
            period = self.frequency.step if unit is Unit.CLOCK else DAY
            last = last - (last - self.time[series]) % period
        return last

    def positions(self) -> Ticks:
        """Returns the positions of the last row of each series (N,), in units of the frequency."""
        return positions_of(self.frequency.unit, self._clock(np.arange(len(self))))

    def phases(self, series: Ticks, ends: Ticks) -> Ticks:
        """Returns the phase of the row after the first `ends` values of each series (m,)."""
        return np.asarray((self.rows_after()[series] + ends - self.lengths[series]) % self.season)

    def rows_after(self) -> Ticks:
        """Returns the number of the row after each series (N,), counted alike in all panels."""
        return np.asarray(self.positions() // self.frequency.step + 1)

    def future(self, horizon: int) -> Ticks:
        """Returns the times of the `horizon` rows after each series (N, horizon)."""
        series = np.repeat(np.arange(len(self)), horizon)
        ahead = np.tile(np.arange(1, horizon + 1), len(self))
        return self.times(series, ahead).reshape(len(self), horizon)

    def past(self) -> Ticks:
        """Returns the times of all values (n,)."""
        series = np.repeat(np.arange(len(self)), self.lengths)
        ahead = np.arange(len(self.values)) - (self.offsets[1:] - 1)[series]
        return self.times(series, ahead)

    def until(self, ends: Ticks) -> Panel:
        """Returns the panel as if only the first ``ends[k]`` rows of series k were known (N,).

        Each series ends with its last value among them; one without any is left out. Covariates
        are those of its rows and, where they are known ahead, of the rows after them.
        """
        kept = np.flatnonzero(ends > 0)
        starts = self.offsets[kept]
        lengths = self.latest[starts + ends[kept] - 1] - starts + 1
        place = rows_from(starts, lengths)
        return replace(
            self,
            ids=self.ids[kept],
            values=self.values[place],
            offsets=offsets_of(lengths),
            last=self.times(kept, lengths - self.lengths[kept]),
            day=self.day[kept],
            time=None if self.time is None else self.time[kept],
            covariates=self.covariates and self.covariates.until(self.offsets, kept, lengths),
        )

    def of_series(self, places: Ticks) -> Panel:
        """Returns the panel of only the series `places` (M,), which ascend."""
        lengths, found = self.lengths[places], self.covariates
        if found is not None:
            rows = rows_from(found.starts(self.offsets)[places], lengths + found.ahead)
            found = replace(found, values=found.values[rows])
        return replace(
            self,
            ids=self.ids[places],
            values=self.values[rows_from(self.offsets[places], lengths)],
            offsets=offsets_of(lengths),
            last=self.last[places],
            day=self.day[places],
            time=None if self.time is None else self.time[places],
            covariates=found,
            given=None,
        )

    def _overflow(self) -> DataError:
        problem = "the horizon reaches beyond the year 9999; choose a shorter one"
        return DataError("time-overflow", problem, column=self.form.time_col)


_FIRST_MONTH, _LAST_MONTH = -12 * 1969, 12 * (9999 - 1970) + 11
# In units: ten thousand years each, so that no product or sum overflows.
_LONGEST = {
    Unit.MONTH: 120_000,
    Unit.DAY: 3_660_000,
    Unit.BUSINESS_DAY: 2_620_000,
    Unit.MICROSECOND: LAST - FIRST,
    Unit.CLOCK: LAST - FIRST,
}
