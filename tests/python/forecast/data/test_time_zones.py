"""The clock of a zone equals Python's, to the second around its changes."""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from memattn.forecast.data.time_zones import EPOCH_UTC, FIRST, LAST, SECOND, clock_of

NAMES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]


@pytest.mark.parametrize("name", NAMES)
def test_the_clock_equals_that_of_python(name: str) -> None:
    zone = ZoneInfo(name)
    rng = np.random.default_rng(5)
    some = rng.integers(-2 * 10**9, 3 * 10**9, 500) * SECOND
    clock = clock_of(zone, some)
    near = [change + step for change in clock.changes for step in (-SECOND, -1, 0, 1, SECOND)]
    utc = np.concatenate([some, np.array(near, dtype=np.int64)])
    local = clock.to_local(utc)
    for moment, shown in zip(utc.tolist(), local.tolist(), strict=True):
        expected = (EPOCH_UTC + timedelta(microseconds=moment)).astimezone(zone)
        assert datetime(1970, 1, 1) + timedelta(microseconds=shown) == expected.replace(tzinfo=None)
    back = clock.to_utc(local)
    for shown, moment in zip(local.tolist(), back.tolist(), strict=True):
        first = (datetime(1970, 1, 1) + timedelta(microseconds=shown)).replace(tzinfo=zone, fold=0)
        assert EPOCH_UTC + timedelta(microseconds=moment) == first.astimezone(timezone.utc)


def test_a_skipped_hour_is_moved_to_the_next_one() -> None:
    zone = ZoneInfo("Europe/Berlin")
    local = np.array(
        [(datetime(2024, 3, 31, 2, 30) - datetime(1970, 1, 1)) // timedelta(microseconds=1)]
    )
    utc = clock_of(zone, local).to_utc(local)
    assert EPOCH_UTC + timedelta(microseconds=int(utc[0])) == datetime(
        2024, 3, 31, 1, 30, tzinfo=timezone.utc
    )


def test_offsets_are_right_at_the_end_of_the_calendar() -> None:
    ends = np.array([FIRST, LAST])
    shown = clock_of(ZoneInfo("Pacific/Kiritimati"), ends).to_local(ends) - ends
    assert shown[1] == 14 * 3600 * SECOND
