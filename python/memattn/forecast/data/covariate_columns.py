"""Reads the columns of a table that hold covariates, as numbers and codes of categories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from memattn.errors import DataError, quoted
from memattn.forecast.data.columns import (
    BOOLEAN,
    CATEGORY,
    NUMBER,
    TEXT,
    Array,
    Columns,
    mostly_dates,
    mostly_numbers,
)
from memattn.forecast.data.covariates import (
    CALENDAR,
    FUTR,
    HIST,
    STAT,
    UNKNOWN,
    Covariate,
    Covariates,
)
from memattn.forecast.data.time_zones import Ticks

NO_CATEGORY = frozenset({"", "nan", "<na>", "nat", "null"})  # "none" and "na" may be categories
BOOLEANS = {"false": 0.0, "true": 1.0}


@dataclass(frozen=True)
class CovariateLists:
    """The names of the columns that hold covariates, as the caller lists them."""

    futr: tuple[str, ...] = ()
    hist: tuple[str, ...] = ()
    stat: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        """Yields the argument, the role and the name of each column."""
        for role, names in ((FUTR, self.futr), (HIST, self.hist), (STAT, self.stat)):
            for name in names:
                yield f"{role}_exog_list", role, name

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return self.futr + self.hist + self.stat


NO_COVARIATES = CovariateLists()


def covariate_lists(
    futr: str | Sequence[str] | None = (),
    hist: str | Sequence[str] | None = (),
    stat: str | Sequence[str] | None = (),
) -> CovariateLists:
    """Checks the lists of a caller; a single name needs no list.

    Raises
    ------
    TypeError
        If an argument is not a list of names.
    DataError
        If a name is listed twice.
    """
    lists = CovariateLists(
        _names(f"{FUTR}_exog_list", futr),
        _names(f"{HIST}_exog_list", hist),
        _names(f"{STAT}_exog_list", stat),
    )
    seen: dict[str, str] = {}
    for argument, _, name in lists:
        if name in seen:
            problem = f"{quoted(name)} is also in {seen[name]}; list it once"
            if seen[name] == argument:
                problem = f"{quoted(name)} is listed twice; list it once"
            raise DataError("option", problem, column=name, argument=argument)
        seen[name] = argument
    return lists


def covariates_of_fit(lists: CovariateLists, fitted: Covariates | None) -> dict[str, Covariate]:
    """Returns the covariates of fit by name, which the caller's lists have to repeat.

    Raises
    ------
    DataError
        If the lists name other columns than in fit.
    """
    columns = () if fitted is None else fitted.columns
    known = {column.name: column for column in columns if column.role != CALENDAR}
    found = {name: (role, argument) for argument, role, name in lists}
    for name, (role, argument) in found.items():
        if name not in known or known[name].role != role:
            problem = f"{quoted(name)} is not one of these covariates in fit()"
            problem += f"; expected {_listed(known.values(), role)}"
            raise DataError("option", problem, column=name, argument=argument)
    for name, column in known.items():
        if name not in found:
            problem = f"lacks {quoted(name)}; expected the covariates of fit(), "
            problem += _listed(known.values(), column.role)
            raise DataError("option", problem, argument=f"{column.role}_exog_list")
    return known


def _listed(columns: Iterable[Covariate], role: str) -> str:
    return ", ".join(quoted(one.name) for one in columns if one.role == role) or "none"


def _names(argument: str, names: Any) -> tuple[str, ...]:
    if names is None:
        return ()
    if isinstance(names, str):
        return (names,)
    found = tuple(names) if hasattr(names, "__iter__") and not isinstance(names, Mapping) else None
    if found is None or not all(isinstance(name, str) and name for name in found):
        raise TypeError(f"{argument}: found {names!r}, expected a list of column names")
    return found


@dataclass(frozen=True, eq=False)
class TableCovariates:
    """The columns of a table that hold covariates.

    Attributes
    ----------
    columns : tuple of Covariate
        K columns, as in `Covariates`.
    values : tuple of arrays (rows,)
        The values of each column in all rows of the table; NaN: not given.
    ahead : int
        Number of rows after the last value of a series that have covariates of role futr.
    """

    columns: tuple[Covariate, ...] = ()
    values: tuple[Array, ...] = ()
    ahead: int = 0

    def of_role(self, role: str) -> Iterator[tuple[Covariate, Array]]:
        """Yields the columns of one role with their values."""
        pairs = zip(self.columns, self.values, strict=True)
        return ((column, values) for column, values in pairs if column.role == role)


def read_covariates(
    columns: Columns, lists: CovariateLists, ahead: int, like: Mapping[str, Covariate]
) -> TableCovariates:
    """Reads the columns that a caller lists.

    Parameters
    ----------
    columns : Columns
        The table.
    lists : CovariateLists
        Names of its columns.
    ahead : int
        As in `TableCovariates`.
    like : mapping
        The covariates of fit by name, whose categories are used; empty in fit.

    Raises
    ------
    DataError
        If a cell cannot be used.
    """
    read = [(role, *read_covariate(columns, name, like.get(name))) for _, role, name in lists]
    made = tuple(replace(column, role=role) for role, column, _ in read)
    return TableCovariates(made, tuple(values for *_, values in read), ahead)


def read_covariate(
    columns: Columns, name: str, like: Covariate | None = None
) -> tuple[Covariate, Array]:
    """Returns a column as a covariate, whose role is empty, and its values (rows,).

    Numbers stay as they are, booleans become 0 and 1. Text becomes categories, unless at least half
    of the non-missing cells are numbers; then all have to be.

    Raises
    ------
    DataError
        If the column has another type, holds dates, or has text among numbers.
    """
    known = () if like is None else like.categories
    kind = columns.kind(name)
    if kind == TEXT and not known and columns.is_numeric(name):  # faster than by its cells
        kind = NUMBER
    if kind in (TEXT, CATEGORY):
        codes, cells = columns.cells(name)
        if kind == TEXT and not known:
            kind = columns.kind_of_text(name) or _kind_of_text(columns, name, codes, cells)
        if kind == BOOLEAN:
            said = (BOOLEANS.get(str(cell).strip().lower(), np.nan) for cell in cells)
            return Covariate(name, ""), np.fromiter(said, np.float64, len(cells))[codes]
        if like is not None and not known:  # text, although fit had numbers
            kind = NUMBER
        if kind != NUMBER:
            return _categories(columns, name, codes, cells, known)
    values = columns.numbers(name, booleans=True)
    if known and not np.isnan(values).all():
        problem = f"found {kind}s, expected text as in training, such as {quoted(known[0])}"
        raise columns.error("other-type", problem, int(np.argmax(~np.isnan(values))), name)
    return Covariate(name, ""), values


def _kind_of_text(columns: Columns, name: str, codes: Ticks, cells: Sequence[Any]) -> str:
    """Returns the kind of cells: text, numbers or booleans. Raises DataError for dates."""
    said = [cell for cell in cells if category_of(cell) is not None]
    if not said or mostly_numbers(codes, cells):
        return NUMBER
    if all(str(cell).strip().lower() in BOOLEANS for cell in said):
        return BOOLEAN
    if mostly_dates(codes, cells):
        row = int(np.argmax([category_of(cells[code]) is not None for code in codes]))
        problem = f"found the date {quoted(str(cells[codes[row]]))}, expected numbers, booleans or "
        problem += "categories; pass {calendar}True to use parts of the date as covariates"
        failure = columns.error("not-a-covariate", problem, row, name)
        failure.argument = "calendar"
        raise failure
    return TEXT


def category_of(cell: Any) -> str | None:
    """Returns the category that a cell names; None for a missing cell."""
    if cell is None or cell != cell:
        return None
    text = str(cell).strip()
    return None if text.lower() in NO_CATEGORY else text


def _categories(
    columns: Columns, name: str, codes: Ticks, cells: Sequence[Any], known: tuple[str, ...]
) -> tuple[Covariate, Array]:
    """Returns a column of categories, those of fit if there are any."""
    said = [category_of(cell) for cell in cells]
    categories = known or tuple(sorted({text for text in said if text is not None}))
    try:
        "".join(categories).encode()
    except UnicodeEncodeError:
        problem = "a category has an unpaired surrogate, which is not valid Unicode"
        raise DataError("not-a-covariate", problem, column=name) from None
    place = {text: float(k) for k, text in enumerate(categories)}
    values = np.array(
        [np.nan if text is None else place.get(text, UNKNOWN) for text in said], dtype=np.float64
    )
    return Covariate(name, "", categories), values[codes]
