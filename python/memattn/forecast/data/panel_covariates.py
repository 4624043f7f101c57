"""Selects the covariates that a caller asks for in a panel that was read before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from memattn.errors import DataError, quoted, refused
from memattn.forecast.data.calendar import calendar_columns, check_calendar_of_fit
from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariate_columns import CovariateLists, covariates_of_fit
from memattn.forecast.data.covariates import UNKNOWN, Covariate, Covariates
from memattn.forecast.data.series import Panel
from memattn.forecast.data.time_zones import Ticks


def with_asked_covariates(
    where: str,
    panel: Panel,
    lists: CovariateLists,
    *,
    ahead: int = 0,
    calendar: bool | str = False,
    country: str | None = None,
    like: Panel | None = None,
) -> Panel:
    """Returns a panel with the covariates that are asked for, and no others.

    Parameters
    ----------
    where : str
        The function whose argument `data` the panel is, for messages.
    panel : Panel
        A panel from `panel_from_frame`.
    lists : CovariateLists
        The names of covariates.
    ahead, calendar, country, like
        As in `panel_from_frame`.

    Returns
    -------
    Panel
        The panel, with the categories of `like` and new columns of the calendar.

    Raises
    ------
    DataError
        If the panel lacks a covariate, has fewer rows ahead, or other covariates than `like`.
    """
    own, fitted = panel.covariates, None if like is None else like.covariates
    as_in_fit = own is not None and fitted is not None and own.columns == fitted.columns
    if as_in_fit and own is not None and own.ahead == ahead:
        return panel
    known = {} if like is None else covariates_of_fit(lists, fitted)
    if not lists.names and not calendar:
        return panel if own is None else replace(panel, covariates=None)
    own = (
        Covariates((), np.empty((len(panel.values) + ahead * len(panel), 0)), ahead)
        if own is None
        else own
    )
    places = _places(where, own, lists)
    if own.ahead < ahead and places:
        problem = f"the panel has covariates for {own.ahead} steps ahead, expected {ahead}; "
        raise refused(where, "data", problem + f"read it with ahead={ahead}")
    rows = _rows(own, panel.offsets, ahead)
    columns = [own.columns[place] for place in places]
    values = own.values[rows[:, None], places] if places else np.empty((len(rows), 0))
    for k, column in enumerate(columns):
        if column.name in known and column.categories != known[column.name].categories:
            values[:, k] = _recoded(values[:, k], column, known[column.name])
            columns[k] = known[column.name]
    found = Covariates(tuple(columns), values, ahead)
    if calendar:
        found = found.beside(*calendar_columns(panel, ahead, country))
    if like is not None:
        check_calendar_of_fit(found, fitted)
    return replace(panel, covariates=found)


def _places(where: str, own: Covariates, lists: CovariateLists) -> list[int]:
    """Returns the indices of the listed covariates."""
    places = {(column.role, column.name): k for k, column in enumerate(own.columns)}
    for argument, role, name in lists:
        if (role, name) not in places:
            problem = f"the panel lacks the covariate {quoted(name)}; "
            raise refused(where, "data", problem + f"read it with {argument}=[{name!r}]")
    return [places[role, name] for _, role, name in lists]


def _rows(own: Covariates, offsets: Ticks, ahead: int) -> Ticks:
    """Returns the rows of the values and up to `ahead` rows after each series."""
    starts = own.starts(offsets)
    keep = np.ones(starts[-1], dtype=bool)
    keep[own.ahead_rows(offsets)[:, ahead:].ravel()] = False
    return np.flatnonzero(keep)


def _recoded(values: Array, column: Covariate, known: Covariate) -> Array:
    """Converts indices of categories of a column to indices of the categories of fit."""
    if not (column.categories and known.categories):
        if np.isnan(values).all():
            return values
        kinds = ["categories" if one.categories else "numbers" for one in (column, known)]
        problem = f"found {kinds[0]}, expected {kinds[1]} as in training"
        raise DataError("other-type", problem, column=column.name)
    place = {text: float(k) for k, text in enumerate(known.categories)}
    codes = np.array([place.get(text, UNKNOWN) for text in column.categories])
    given = ~np.isnan(values) & (values != UNKNOWN)
    found: Array = values.copy()
    found[given] = codes[values[given].astype(np.int64)]
    return found
