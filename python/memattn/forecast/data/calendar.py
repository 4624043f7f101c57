"""Parts of the calendar as covariates: hour, weekday, month, position in the year, holidays."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted
from memattn.extras import need
from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariates import CALENDAR, Covariate, Covariates
from memattn.forecast.data.frequency import COUNTED, UNITS_A_DAY, Frequency, weekdays
from memattn.forecast.data.series import Panel
from memattn.forecast.data.time_zones import DAY, Ticks, clock_of

AUTO = "auto"
HOLIDAY = "holiday"
HOUR = DAY // 24
HOURS = tuple(f"{hour:02d}" for hour in range(24))
MONTHS = tuple(f"{month:02d}" for month in range(1, 13))
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAYS = tuple(sorted(DAYS))
_PLACES = np.array([WEEKDAYS.index(day) for day in DAYS])
SHOWN = 8  # parts of a country in a message
# A part of the calendar is used if rows are fewer days apart than this.
SHORTER_THAN_A_DAY, SHORTER_THAN_A_WEEK, SHORTER_THAN_A_MONTH, SHORTER_THAN_A_YEAR = 1, 2, 28, 360


def check_calendar(calendar: object, country: object) -> None:
    """Checks the options `calendar` and `country`.

    Parameters
    ----------
    calendar : bool or "auto"
        Whether parts of the calendar are covariates.
    country : str, optional
        As in `holidays_of`.

    Raises
    ------
    TypeError
        If the country is not text.
    DataError
        If `calendar` has another value, or a country is unknown or given without a calendar.
    ModuleNotFoundError
        If a country is given and the package `holidays` is not installed.
    """
    if not (isinstance(calendar, bool | np.bool_) or (calendar == AUTO and calendar is not None)):
        problem = f'found {calendar!r}, expected True, False or "{AUTO}"'
        raise DataError("option", problem, argument="calendar")
    if country is None:
        return
    if not isinstance(country, str):
        expected = 'the code of a country such as "NO"'
        raise TypeError(f"country: found {country!r}, expected {expected}")
    if not calendar:
        problem = f"{quoted(country)} needs a calendar; pass calendar=True"
        raise DataError("option", problem, argument="country")
    holidays_of(country, [])


def holidays_of(country: str, years: list[int]) -> npt.NDArray[np.datetime64]:
    """Returns the public holidays in some years (m,), according to the package `holidays`.

    Parameters
    ----------
    country : str
        The code of a country, such as ``"NO"``, or of a part of one, such as ``"DE-BY"``.
    years : list of int
        The years; those that the package does not know have no holidays.

    Raises
    ------
    DataError
        If the package does not know the country, or the part of it.
    ModuleNotFoundError
        If the package is not installed.
    """
    need(f"country={country!r}", "calendar", "holidays")
    package: Any = importlib.import_module("holidays")
    known: Mapping[str, list[str]] = package.list_supported_countries()
    code, _, part = country.partition("-")
    code = code.upper()
    if code not in known:
        near = difflib.get_close_matches(code, known, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(map(quoted, near))}?" if near else ""
        problem = f"found {quoted(country)}, expected the code of a country such as "
        problem += f'"DE", "GB", "NO" or "US", or of a part of a country such as "DE-BY"{hint}'
        raise DataError("option", problem, argument="country")
    try:
        days = package.country_holidays(code, subdiv=part or None, years=years)
    except NotImplementedError:
        parts = known[code]
        shown = ", ".join(quoted(f"{code}-{one}") for one in parts[:SHOWN]) or "none"
        more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
        problem = f"found {quoted(country)}, expected a part of {code} that has holidays of its own"
        problem += f" ({shown}{more}), or {quoted(code)}"
        raise DataError("option", problem, argument="country") from None
    return np.array(sorted(days), dtype="datetime64[D]")


def calendar_columns(
    panel: Panel, ahead: int, country: str | None
) -> tuple[tuple[Covariate, ...], Array]:
    """Returns the parts of the calendar that differ between rows of the panel's frequency.

    Parameters
    ----------
    panel : Panel
        N series and n values.
    ahead : int
        Rows after the last one of each series.
    country : str, optional
        As in `holidays_of`. None: no holidays.

    Returns
    -------
    columns : tuple of Covariate
        K covariates: hour (if rows are less than a day apart), weekday (a day or less), month (less
        than a year), sine and cosine of the position in the year (less than a month), holiday (a
        day or less; 0 or 1). Empty if rows are a year apart.
    values : array (n + N * ahead, K)
        Their values, on the local clock if there is a zone; rows as in `Covariates`.

    Raises
    ------
    DataError
        If rows are numbered, or times lie after the year 9999.
    """
    if panel.frequency.unit in COUNTED:
        problem = "numbered rows have no calendar; use a column of dates, or pass "
        raise DataError("option", problem + "{calendar}False", argument="calendar")
    clock = _clock(panel, ahead)
    days, place = _distinct(clock // DAY)
    dates = days.astype("datetime64[D]")
    apart = days_apart(panel.frequency)
    parts: list[tuple[str, tuple[str, ...], Callable[[], Any]]] = []
    if apart < SHORTER_THAN_A_DAY:
        parts.append(("hour", HOURS, lambda: clock % DAY // HOUR))
    if apart < SHORTER_THAN_A_WEEK:
        parts.append(("weekday", WEEKDAYS, lambda: _PLACES[weekdays(days * DAY)][place]))
    if apart < SHORTER_THAN_A_YEAR:
        months = dates.astype("datetime64[M]").astype(np.int64) % 12
        parts.append(("month", MONTHS, lambda: months[place]))
    if apart < SHORTER_THAN_A_MONTH:
        angle = _angle(clock, dates, place)
        parts.append(("year_sine", (), lambda: np.sin(angle)))
        parts.append(("year_cosine", (), lambda: np.cos(angle)))
    if apart < SHORTER_THAN_A_WEEK and country is not None:
        years = np.unique(dates.astype("datetime64[Y]")).astype(np.int64) + 1970
        free = np.isin(dates, holidays_of(country, years.tolist()))
        parts.append((HOLIDAY, (), lambda: free[place]))
    values = np.empty((len(clock), len(parts)))
    for k, (_, _, values_of) in enumerate(parts):
        values[:, k] = values_of()
    return tuple(Covariate(name, CALENDAR, categories) for name, categories, _ in parts), values


def _distinct(days: Ticks) -> tuple[Ticks, Ticks]:
    """Returns days that include all of `days` (m,), and the index of each of these (m,)."""
    first, last = int(days.min()), int(days.max())
    if last - first < len(days):  # much faster than finding the distinct days
        return np.arange(first, last + 1), days - first
    found, place = np.unique(days, return_inverse=True)
    return found, place.astype(np.int64)


def _angle(clock: Ticks, dates: npt.NDArray[np.datetime64], place: Ticks) -> Array:
    """Returns the position in the year as an angle (m,), for times whose day is `dates[place]`."""
    years = dates.astype("datetime64[Y]")
    first, following = (
        some.astype("datetime64[D]").astype(np.int64) for some in (years, years + 1)
    )
    turn = 2 * np.pi / ((following - first) * DAY)
    angle: Array = (clock - (first * DAY)[place]) * turn[place]
    return angle


def check_calendar_of_fit(found: Covariates, fitted: Covariates | None) -> None:
    """Raises DataError if the parts of the calendar differ from those in fit."""
    columns = found.columns, () if fitted is None else fitted.columns
    names = [[column.name for column in some if column.role == CALENDAR] for some in columns]
    if names[0] != names[1]:
        has, expected = (", ".join(map(quoted, some)) or "none" for some in names)
        problem = f"found the calendar columns {has}, expected {expected} as in training"
        raise DataError("option", problem, argument="calendar")


def days_apart(frequency: Frequency) -> float:
    """Returns about how many days lie between rows that have times."""
    return frequency.step / UNITS_A_DAY[frequency.unit]


def _clock(panel: Panel, ahead: int) -> Ticks:
    """Returns the local times of all rows of covariates (n + N * ahead,)."""
    counts = panel.lengths + ahead
    series = np.repeat(np.arange(len(panel)), counts)
    starts = np.cumsum(counts) - counts
    place = np.arange(len(series)) - starts[series]
    ticks = panel.times(series, place - (panel.lengths - 1)[series])
    return ticks if panel.zone is None else clock_of(panel.zone, ticks).to_local(ticks)
