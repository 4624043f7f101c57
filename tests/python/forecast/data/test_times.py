"""Dates in all their forms, read and written again."""

from datetime import timedelta

import pytest

from memattn.forecast.data.times import format_moment, parse_moment


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01",
        "2024/02/29",
        "2023-11",
        "2023Q3",
        "2023-Q4",
        "2024-01-01T22:00Z",
        "2024-01-01 00:30:00",
        "2024-01-01 00:00:00.25",
        "2024-10-27T02:00:00+01:00",
    ],
)
def test_what_is_read_is_written_alike(text: str) -> None:
    moment = parse_moment(text)
    assert moment is not None
    assert format_moment(moment.local, moment.style) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "01/02/2024", "20240101", "2024-13-01", "2024-02-30", "2024-01/02"),
        *("2024-01-01T25:00", "2024-01-01T00:00+99:00", "2024-Q5"),
    ],
)
def test_what_is_no_date(text: str) -> None:
    assert parse_moment(text) is None


def test_offsets() -> None:
    moment = parse_moment("2024-01-01T00:30:00-03:30")
    assert moment is not None
    assert moment.offset == -timedelta(hours=3, minutes=30)
