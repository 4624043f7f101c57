"""The covariates of a panel, one number per row and column."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted
from memattn.forecast.data.flat_rows import offsets_of
from memattn.forecast.data.time_zones import Ticks

MAX_MAGNITUDE = 1e100  # so that squares and their sums do not overflow
ROLES = FUTR, HIST, STAT, CALENDAR = "futr", "hist", "stat", "calendar"
UNKNOWN = -1.0  # the code of a category that fit has not seen


@dataclass(frozen=True)
class Covariate:
    """One covariate of a panel.

    Attributes
    ----------
    name : str
        The name of its column, or of a part of the calendar.
    role : str
        ``"futr"``: known over the horizon. ``"hist"``: known in the past only. ``"stat"``: one
        value per series. ``"calendar"``: made from the times.
    categories : tuple of str
        The categories in ascending order; empty for numbers, including booleans as 0 and 1.
    """

    name: str
    role: str
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Covariates:
    """The K covariates of a panel of N series and n values.

    Attributes
    ----------
    columns : tuple of Covariate
        The covariates of role futr, hist and stat in the order of the caller's lists, then those of
        the calendar.
    values : array (n + N * ahead, K)
        Series after series: a row for each value of the panel, then `ahead` rows after the last
        value. NaN: not given. A category is its index in `Covariate.categories`, -1 if it is not
        among them.
    ahead : int
        Number of rows after the last value of each series: the horizon.
    """

    columns: tuple[Covariate, ...]
    values: npt.NDArray[np.float64]
    ahead: int

    def places(self, *roles: str) -> list[int]:
        """Returns the indices in `columns` of the covariates that have one of the roles."""
        return [k for k, column in enumerate(self.columns) if column.role in roles]

    def starts(self, offsets: Ticks) -> Ticks:
        """Returns `row_starts` for these covariates."""
        return row_starts(offsets, self.ahead)

    def ahead_rows(self, offsets: Ticks) -> Ticks:
        """Returns the rows after each series (N, ahead); `offsets` as in `starts`."""
        ends: Ticks = self.starts(offsets)[1:, None]
        return ends - self.ahead + np.arange(self.ahead)

    def beside(self, columns: tuple[Covariate, ...], values: npt.NDArray[np.float64]) -> Covariates:
        """Returns these covariates followed by others of the same rows.

        Raises
        ------
        DataError
            If two have the same name.
        """
        names = {column.name: column for column in self.columns}
        for column in columns:
            if column.name in names:
                problem = f"the column {quoted(column.name)} has the name of a calendar column; "
                problem += "rename it"
                argument = f"{names[column.name].role}_exog_list"
                raise DataError("option", problem, column=column.name, argument=argument)
        both = np.hstack([self.values, values]) if self.columns else values
        return replace(self, columns=self.columns + columns, values=both)

    def known_ahead(self, offsets: Ticks) -> bool:
        """Returns whether covariates of role futr are given in all rows after each series."""
        rows = self.values[self.ahead_rows(offsets)]
        return not bool(np.isnan(rows[:, :, self.places(FUTR)]).any())

    def until(self, offsets: Ticks, kept: Ticks, lengths: Ticks) -> Covariates:
        """Returns the covariates of some series as if only their first values were known.

        Parameters
        ----------
        offsets : array (N + 1,)
            The offsets of the panel.
        kept : array (M,)
            Indices of series, ascending.
        lengths : array (M,)
            Number of known values of each series.

        Returns
        -------
        Covariates
            The rows of the known values and the `ahead` rows after them, in which covariates of
            role hist are NaN.
        """
        bounds = offsets_of(lengths)
        starts = self.starts(bounds)
        moved = self.starts(offsets)[kept] - starts[:-1]
        place = np.arange(starts[-1]) + np.repeat(moved, np.diff(starts))
        found = replace(self, values=self.values[place])
        if past := self.places(HIST):
            found.values[found.ahead_rows(bounds).reshape(-1, 1), past] = np.nan
        return found


def row_starts(offsets: Ticks, ahead: int) -> Ticks:
    """Returns where the covariate rows of each series begin, and their number (N + 1,).

    Parameters
    ----------
    offsets : array (N + 1,)
        Where the values of each series begin, and their number.
    ahead : int
        Rows after the last value of each series.
    """
    starts: Ticks = offsets + ahead * np.arange(len(offsets))
    return starts
