"""Dates in all their forms, and an axis that must be even."""

from datetime import timedelta

import pytest

from memattn.csv_reader import Table
from memattn.errors import DataError
from memattn.forecast.time_axis import TimeAxis, Unit, find_time_column, read_axis, row_axis
from memattn.forecast.times import parse_moment


def axis_of(*cells: str) -> TimeAxis:
    return read_axis(table_of(*cells), 0)


def table_of(*cells: str) -> Table:
    return Table(["time"], [[cell] for cell in cells], list(range(2, len(cells) + 2)))


@pytest.mark.parametrize(
    ("cells", "unit", "spacing", "following"),
    [
        (("2024-01-01", "2024-01-02", "2024-01-03"), Unit.DAY, "1 day", "2024-01-04"),
        (("2024/02/28", "2024/02/29"), Unit.DAY, "1 day", "2024/03/01"),
        (("2024-01-01", "2024-01-08"), Unit.DAY, "1 week", "2024-01-15"),
        (("2024-01-01", "2024-02-01"), Unit.MONTH, "1 month", "2024-03-01"),
        (("2024-01-31", "2024-02-29"), Unit.MONTH, "1 month", "2024-03-31"),
        (("2023-11", "2023-12"), Unit.MONTH, "1 month", "2024-01"),
        (("2023Q3", "2023Q4"), Unit.MONTH, "3 months", "2024Q1"),
        (("2023-Q3", "2023-Q4"), Unit.MONTH, "3 months", "2024-Q1"),
        (("2020-01-01", "2021-01-01"), Unit.MONTH, "1 year", "2022-01-01"),
        (
            ("2024-01-01T22:00Z", "2024-01-01T23:00Z"),
            Unit.MICROSECOND,
            "1 hour",
            "2024-01-02T00:00Z",
        ),
        (
            ("2024-01-01 00:00:00", "2024-01-01 00:30:00"),
            Unit.MICROSECOND,
            "30 minutes",
            "2024-01-01 01:00:00",
        ),
        (
            ("2024-01-01 00:00:00.00", "2024-01-01 00:00:00.25"),
            Unit.MICROSECOND,
            "250 milliseconds",
            "2024-01-01 00:00:00.50",
        ),
        (("1990", "1991", "1992"), Unit.NUMBER, "1 step", "1993"),
    ],
)
def test_spacing_and_continuation(
    cells: tuple[str, ...], unit: Unit, spacing: str, following: str
) -> None:
    axis = axis_of(*cells)
    assert (axis.unit, axis.spacing, axis.continued(1)) == (unit, spacing, [following])


def test_rows() -> None:
    axis = row_axis(table_of("x", "y"))
    assert (axis.column, axis.continued(2)) == (None, ["3", "4"])


def test_an_hour_that_the_clock_shows_twice_is_two_hours() -> None:
    axis = axis_of(
        "2024-10-27T01:00:00+02:00",
        "2024-10-27T02:00:00+02:00",
        "2024-10-27T02:00:00+01:00",
        "2024-10-27T03:00:00+01:00",
    )
    assert axis.spacing == "1 hour"
    assert axis.continued(1) == ["2024-10-27T04:00:00+01:00"]


def test_a_day_of_23_hours_is_a_day() -> None:
    axis = axis_of(
        "2024-03-30T00:00:00+01:00", "2024-03-31T00:00:00+01:00", "2024-04-01T00:00:00+02:00"
    )
    assert axis.spacing == "1 day"


@pytest.mark.parametrize(
    ("cells", "kind", "line", "said"),
    [
        (("2024-01-01", "2024-01-02", "2024-01-02"), "duplicate-time", 4, "line 3 (2024-01-02)"),
        (("2024-01-03", "2024-01-02"), "time-backwards", 3, "before line 2 (2024-01-03)"),
        (
            ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-06", "2024-01-07"),
            "gap-in-time",
            5,
            "between line 4 (2024-01-03) and line 5 (2024-01-06): 2 rows are missing",
        ),
        (("2024-01", "2024-02", "2024-04", "2024-05"), "gap-in-time", 4, "1 row is missing"),
        (
            ("2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00", "2024-01-01 03:30"),
            "uneven-time",
            5,
            "found a step of 90 minutes",
        ),
        (("2024-01-01", "soon"), "not-a-date", 3, 'found "soon", expected a date such as'),
        (("2024-01-01", ""), "not-a-date", 3, "found an empty cell"),
        (("2024-01-01", "2024-02-30"), "not-a-date", 3, 'found "2024-02-30"'),
        (("2024-01-01T00:00Z", "2024-01-01T01:00"), "mixed-zones", 3, "found no zone offset"),
        (
            ("2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 02:00"),
            "duplicate-time",
            4,
            "give them with offsets or in UTC",
        ),
        (("1", "2", "2"), "duplicate-time", 4, "twice"),
    ],
)
def test_uneven_times(cells: tuple[str, ...], kind: str, line: int, said: str) -> None:
    with pytest.raises(DataError) as caught:
        axis_of(*cells)
    assert (caught.value.kind, caught.value.line, caught.value.column) == (kind, line, "time")
    assert said in str(caught.value)


def test_times_end_with_the_calendar() -> None:
    with pytest.raises(DataError, match="before year 9999"):
        axis_of("9999-12-30", "9999-12-31").continued(1)


@pytest.mark.parametrize(
    "text",
    ["", "01/02/2024", "20240101", "2024-13-01", "2024-01-01T25:00", "2024-01-01T00:00+99:00"],
)
def test_what_is_no_date(text: str) -> None:
    assert parse_moment(text) is None


def test_offsets() -> None:
    moment = parse_moment("2024-01-01T00:30:00-03:30")
    assert moment is not None
    assert moment.utc - moment.local == timedelta(hours=3, minutes=30)


def test_phases_begin_at_midnight_monday_and_january() -> None:
    assert axis_of("2024-01-01T05:00Z", "2024-01-01T06:00Z").phase(0, 24) == 5
    assert axis_of("2024-01-03", "2024-01-04").phase(0, 7) == 2  # a Wednesday
    assert axis_of("2024-03", "2024-04").phase(11, 12) == 1


def test_find_time_column() -> None:
    rows = [["7", "x", "2024-01-01"], ["8", "y", "oops"]]
    assert find_time_column(Table(["a", "b", "c"], rows, [2, 3])) == 2
    assert find_time_column(Table(["a", "b"], [row[:2] for row in rows], [2, 3])) is None
