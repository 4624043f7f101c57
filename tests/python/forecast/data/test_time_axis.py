"""Spans of time as text."""

import pytest

from memattn.forecast.data.time_axis import Unit, describe_span


@pytest.mark.parametrize(
    ("unit", "count", "words"),
    [
        (Unit.ROW, 1, "1 row"),
        (Unit.NUMBER, 2, "2 steps"),
        (Unit.MONTH, 1, "1 month"),
        (Unit.MONTH, 3, "3 months"),
        (Unit.MONTH, 24, "2 years"),
        (Unit.DAY, 1, "1 day"),
        (Unit.DAY, 14, "2 weeks"),
        (Unit.DAY, 1_000, "1,000 days"),
        (Unit.BUSINESS_DAY, 1, "1 business day"),
        (Unit.MICROSECOND, 3_600_000_000, "1 hour"),
        (Unit.MICROSECOND, 1_800_000_000, "30 minutes"),
        (Unit.MICROSECOND, 90_000_000, "90 seconds"),
        (Unit.MICROSECOND, 250_000, "250 milliseconds"),
        (Unit.MICROSECOND, 1, "0:00:00.000001"),
    ],
)
def test_spans_are_described_in_the_largest_unit(unit: Unit, count: int, words: str) -> None:
    assert describe_span(unit, count) == words
