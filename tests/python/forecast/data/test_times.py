"""Dates in all formats are read and written again."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from memattn.forecast.data.times import (
    EPOCH,
    NUMBERS,
    Style,
    format_moment,
    is_readable,
    misfits,
    number_kind,
    orders_of,
    parse_moment,
    ticks_of,
)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01",
        "2024/02/29",
        "2023-11",
        "2023Q3",
        "2023-Q4",
        "2024-W05",
        "2020W53",
        "2024-w01",
        "2024-W05-7",
        "2024W051",
        "2024-01-01T22:00Z",
        "2024-01-01 00:30:00",
        "2024-01-01 00:00:00.25",
        "2024-10-27T02:00:00+01:00",
    ],
)
def test_dates_are_written_as_they_were_read(text: str) -> None:
    moment = parse_moment(text)
    assert moment is not None
    assert format_moment(moment.local, moment.style) == text
    assert is_readable(moment.style)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-W05", "2024-01-29"),
        ("2024-W05-3", "2024-01-31"),
        ("2020-W53-5", "2021-01-01"),
        ("2025-W01", "2024-12-30"),
    ],
)
def test_weeks_of_iso_8601_are_read(text: str, date: str) -> None:
    moment = parse_moment(text)
    assert moment is not None
    assert moment.local == datetime.fromisoformat(date)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "01/02/2024", "20240101", "2024-13-01", "2024-02-30", "2024-01/02"),
        *("2024-01-01T25:00", "2024-01-01T00:00+99:00", "2024-Q5"),
        *("2023-W53", "2024-W00", "2024-W5", "2024-W05-8", "2024W05-1", "2024-W051", "0000-W01"),
    ],
)
def test_other_text_is_no_date(text: str) -> None:
    assert parse_moment(text) is None


def test_offsets_are_read() -> None:
    moment = parse_moment("2024-01-01T00:30:00-03:30")
    assert moment is not None
    assert moment.offset == -timedelta(hours=3, minutes=30)


@pytest.mark.parametrize(
    ("text", "day_first"),
    [
        ("31.12.2013", True),
        ("31/12/2013 23:00", True),
        ("12-31-2013", False),
        ("12/31/2013 23:00:30", False),
        ("31-Dec-2013", None),
        ("31 Dec 2013", None),
        ("Dec 2013", None),
        ("2013-Dec", None),
    ],
)
def test_dates_of_a_stated_order_or_with_a_named_month_are_read(
    text: str, day_first: bool | None
) -> None:
    moment = parse_moment(text, day_first)
    assert moment is not None
    assert (moment.local.year, moment.local.month) == (2013, 12)
    assert format_moment(moment.local, moment.style) == text
    assert is_readable(moment.style)
    if day_first is not None:
        assert parse_moment(text) is None
        assert parse_moment(text, not day_first) is None


@pytest.mark.parametrize("text", ["31-Foo-2013", "31-Feb-2013", "00.01.2013", "1.2-2013", "1.2.13"])
def test_other_text_is_no_date_in_any_order(text: str) -> None:
    assert parse_moment(text) is None
    assert orders_of(text) == ()


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_each_kind_are_dates(kind: str) -> None:
    style = Style(kind)
    assert is_readable(style)
    assert not is_readable(Style(kind, seconds=True))
    when = datetime(2004, 1, 1)
    number = np.array([int(format_moment(when, style))])
    assert ticks_of(number, kind)[0] == (when - EPOCH) // timedelta(microseconds=1)


def test_other_numbers_are_not_dates() -> None:
    assert misfits(np.array([20230229, 20230230, 20231301, 20230100]), "YYYYMMDD").all()
    assert misfits(np.array([202300, 202313]), "YYYYMM").all()
    for numbers in ([1, 2], [1799, 1800], [1_500_000_000, 1_500_000_001], [202313], [20230229]):
        assert number_kind(np.array(numbers)) is None
