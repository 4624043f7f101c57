"""Parts of the calendar as covariates: which ones, on which clock, and public holidays."""

import datetime as dt
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast.data.calendar import calendar_columns, check_calendar, holidays_of
from memattn.forecast.data.covariates import Covariates
from memattn.forecast.data.panel import Panel, panel_from_frame

HOUR, WEEKDAY, MONTH = "hour", "weekday", "month"
POSITION = ["year_sine", "year_cosine"]
FINER = [WEEKDAY, MONTH, *POSITION]


def panel_of(
    freq: str, start: str = "2024-03-01", zone: str | None = None, **options: Any
) -> Panel:
    ds = pd.date_range(start, periods=30, freq=freq, tz=zone)
    table = pd.DataFrame({"ds": ds, "y": np.arange(1.0, 31)})
    return panel_from_frame(table, freq=freq, **{"calendar": True, "ahead": 4, **options})


def covariates_of(panel: Panel) -> Covariates:
    assert panel.covariates is not None
    return panel.covariates


def part(panel: Panel, name: str) -> list[Any]:
    """Returns one part of the calendar in all rows, categories by name."""
    found = covariates_of(panel)
    place = [column.name for column in found.columns].index(name)
    values, categories = found.values[:, place], found.columns[place].categories
    return [categories[int(value)] for value in values] if categories else values.tolist()


@pytest.mark.parametrize(
    ("freq", "names"),
    [
        ("15min", [HOUR, *FINER]),
        ("h", [HOUR, *FINER]),
        ("12h", [HOUR, *FINER]),
        ("24h", FINER),
        ("D", FINER),
        ("B", FINER),
        ("2D", [MONTH, *POSITION]),
        ("W", [MONTH, *POSITION]),
        ("MS", [MONTH]),
        ("ME", [MONTH]),
        ("QS", [MONTH]),
        ("YS", []),
    ],
)
def test_a_frequency_has_the_parts_that_are_coarser_than_it(freq: str, names: list[str]) -> None:
    found = covariates_of(panel_of(freq, country="NO"))
    with_holidays = [*names, "holiday"] if WEEKDAY in names else names
    assert [column.name for column in found.columns] == with_holidays
    assert {column.role for column in found.columns} <= {"calendar"}
    assert found.values.shape == (34, len(with_holidays))
    assert [column.name for column in covariates_of(panel_of(freq)).columns] == names
    assert all(list(one.categories) == sorted(one.categories) for one in found.columns)


@pytest.mark.parametrize("zone", [None, "Europe/Oslo", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("freq", ["h", "D", "3h"])
def test_parts_are_those_of_the_local_clock(freq: str, zone: str | None) -> None:
    panel = panel_of(freq, "2024-03-30", zone)
    local = pd.date_range("2024-03-30", periods=34, freq=freq, tz=zone)
    if freq == "h":
        assert part(panel, HOUR) == [f"{hour:02d}" for hour in local.hour]
    assert part(panel, WEEKDAY) == local.day_name().tolist()
    assert part(panel, MONTH) == [f"{month:02d}" for month in local.month]
    start = local.day_of_year - 1 + local.hour / 24
    angle = 2 * np.pi * start / np.where(local.is_leap_year, 366, 365)
    np.testing.assert_allclose(part(panel, "year_sine"), np.sin(angle), atol=1e-12)
    np.testing.assert_allclose(part(panel, "year_cosine"), np.cos(angle), atol=1e-12)


def test_each_series_has_the_parts_of_its_own_rows() -> None:
    parts = []
    for name, start, count in (("a", "2024-01-01", 5), ("b", "2023-12-20", 9)):
        ds = pd.date_range(start, periods=count)
        parts.append(pd.DataFrame({"unique_id": name, "ds": ds, "y": 1.0}))
    panel = panel_from_frame(pd.concat(parts), calendar="auto", ahead=3)
    days = [*pd.date_range("2024-01-01", periods=8), *pd.date_range("2023-12-20", periods=12)]
    assert part(panel, WEEKDAY) == [day.day_name() for day in days]
    cut = panel.until(np.array([0, 4]))
    assert part(cut, WEEKDAY) == [day.day_name() for day in days[8:15]]


def test_public_holidays_are_marked_in_days_and_hours() -> None:
    panel = panel_of("D", "2024-05-01", country="NO")
    days = [dt.date(2024, 5, 1) + dt.timedelta(days=k) for k in range(34)]
    free = {dt.date(2024, 5, day) for day in (1, 9, 17, 19, 20)}
    assert part(panel, "holiday") == [float(day in free) for day in days]
    hours = part(panel_of("h", "2024-05-16", country="NO"), "holiday")
    assert hours == [0.0] * 24 + [1.0] * 10


def test_holidays_follow_the_local_clock() -> None:
    panel = panel_of("h", "2024-07-03 12:00", "America/New_York", country="US")
    assert part(panel, "holiday") == [0.0] * 12 + [1.0] * 22


def test_parts_of_a_country_have_holidays_of_their_own() -> None:
    day = np.datetime64("2024-01-06")  # Epiphany
    assert day in holidays_of("DE-BY", [2024])
    assert day not in holidays_of("DE", [2024])
    assert day not in holidays_of("de-BE", [2024])


@pytest.mark.parametrize("start", ["1700-01-01", "2400-01-01"])
def test_years_without_known_holidays_have_none(start: str) -> None:
    assert part(panel_of("D", start, country="NO"), "holiday") == [0.0] * 34


def test_calendar_columns_follow_those_of_the_table() -> None:
    ds = pd.date_range("2024-01-01", periods=5)
    table = pd.DataFrame({"ds": ds, "y": 1.0, "price": np.arange(5.0), "region": "n"})
    panel = panel_from_frame(table, futr_exog_list="price", stat_exog_list="region", calendar=True)
    found = covariates_of(panel)
    assert [one.name for one in found.columns] == ["price", "region", WEEKDAY, MONTH, *POSITION]
    assert found.values[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert part(panel, WEEKDAY)[0] == "Monday"


def test_a_covariate_with_the_name_of_a_calendar_column_is_refused() -> None:
    ds = pd.date_range("2024-01-01", periods=5)
    table = pd.DataFrame({"ds": ds, "y": 1.0, "weekday": 1.0, "hour": 2.0})
    with pytest.raises(DataError, match=r"futr_exog_list: the column .weekday. has the name of a"):
        panel_from_frame(table, futr_exog_list=["weekday"], calendar=True)
    found = covariates_of(panel_from_frame(table, futr_exog_list=["hour"], calendar=True))
    assert found.columns[0].name == "hour"  # the calendar of daily rows has no hour


def test_a_calendar_of_numbered_rows_is_refused() -> None:
    table = pd.DataFrame({"ds": range(9), "y": 1.0})
    with pytest.raises(DataError, match="calendar=False") as caught:
        panel_from_frame(table, calendar=True)
    assert caught.value.kind == "option"


def test_calendar_columns_must_be_those_of_fit() -> None:
    fit = panel_of("D", country="NO")
    assert (
        covariates_of(panel_of("D", country="DE", like=fit)).columns == covariates_of(fit).columns
    )
    with pytest.raises(DataError, match=r'expected "weekday", "month", .* as in training'):
        panel_of("D", like=fit)
    with pytest.raises(DataError, match="expected none as in training"):
        panel_of("D", like=panel_of("D", calendar=False))


REFUSED: list[tuple[Any, Any, str]] = [
    ("yes", None, r"calendar: found 'yes', expected True, False or .auto."),
    (1, None, "calendar: found 1,"),
    (None, None, "calendar: found None,"),
    (False, "NO", "country: .NO. needs a calendar; pass calendar=True"),
    (True, "NOR-WAY", "expected a part of NOR that has holidays of its own"),
    (True, "XX", "country: found .XX., expected the code of a country such as"),
    (True, "", "country: found .., expected the code"),
    (True, "Norway", "expected the code of a country"),
    ("auto", "DE-XX", r"expected a part of DE .*.DE-BB., .*and \d+ more., or .DE."),
]


@pytest.mark.parametrize(("calendar", "country", "words"), REFUSED)
def test_invalid_options_are_refused(calendar: Any, country: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_calendar(calendar, country)
    with pytest.raises(ValueError, match=words):
        panel_of("D", calendar=calendar, country=country)


def test_a_country_that_is_not_text_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"country: found 47, expected the code"):
        check_calendar(True, 47)


def test_a_country_needs_the_package_holidays(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = "memattn.extras.importlib.util.find_spec"
    monkeypatch.setattr(find_spec, lambda name: None if name == "holidays" else sys)
    with pytest.raises(ModuleNotFoundError, match=r"country='NO' needs: pip install .memattn\[cal"):
        panel_of("D", country="NO")
    assert part(panel_of("D"), WEEKDAY)


def test_times_beyond_the_year_9999_are_refused() -> None:
    panel = panel_of("D", "9999-11-20", calendar=False)
    with pytest.raises(DataError, match="beyond the year 9999"):
        calendar_columns(panel, 30, None)
