"""Days, weeks, months and hours in zones whose clocks skip midnight, or an hour of the data."""

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import Forecaster, panel_from_frame
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import DAY, EPOCH_UTC, clock_of

HOUR = DAY // 24


def skipped_midnights() -> Iterator[tuple[str, pd.Timestamp]]:
    """Yields each distinct zone and its last day from 1990 to 2025 that had no midnight."""
    seen = set()
    span = [datetime(year, 1, 1, tzinfo=timezone.utc) - EPOCH_UTC for year in (1990, 2026)]
    times = np.array([one.days * DAY for one in span])
    for name in sorted(available_timezones()):
        clock = clock_of(ZoneInfo(name), times)
        key = (clock.changes.tobytes(), clock.offsets.tobytes())
        before = clock.changes + clock.offsets[:-1]
        grown = np.diff(clock.offsets)
        skipped = (before % DAY == 0) & (grown > 0) & (grown < DAY)
        if skipped.any() and key not in seen:
            seen.add(key)
            yield name, pd.Timestamp(int(before[skipped][-1]), unit="us")


def at_midnight(first: pd.Timestamp, count: int, zone: str, freq: str = "D") -> pd.Series:
    """Returns times on the local clock as Python finds them: after a gap, or the first of two."""
    shown = pd.date_range(first, periods=count, freq=freq)
    moments = [moment.replace(tzinfo=ZoneInfo(zone)) for moment in shown.to_pydatetime()]
    utc = [moment.astimezone(timezone.utc) for moment in moments]
    return pd.Series(pd.DatetimeIndex(utc)).dt.tz_convert(zone).dt.as_unit("us")


def test_days_are_found_where_a_clock_skips_midnight() -> None:
    zones = list(skipped_midnights())
    assert len(zones) > 40
    for zone, day in zones:
        every = at_midnight(day - pd.Timedelta(days=30), 54, zone)
        utc = every.dt.tz_convert(None).to_numpy()
        for last in (51, 31, 30):  # the series ends after, on or before that day
            panel = panel_from_frame(pd.DataFrame({"ds": every[:last], "y": 1.0}))
            assert (panel.frequency.words, panel.season) == ("1 day", 7), zone
            assert (panel.past().astype("datetime64[us]") == utc[:last]).all(), (zone, day, last)
            found = panel.future(3)[0].astype("datetime64[us]")
            assert (found == utc[last : last + 3]).all(), (zone, day, last)


@pytest.mark.parametrize(
    ("zone", "first", "count", "freq", "words", "season"),
    [
        ("America/Sao_Paulo", "2016-01-03", 120, "W-SUN", "1 week", 52),
        ("America/Asuncion", "2015-01-01", 60, "MS", "1 month", 12),
        ("America/Asuncion", "2015-01-01", 20, "QS", "3 months", 4),
        ("America/Havana", "2019-01-01", 700, "D", "1 day", 7),
        ("Asia/Amman", "2020-12-28", 300, "B", "1 business day", 5),
        ("America/Sao_Paulo", "2017-09-01", 200, "3h", "3 hours", 8),
        ("Europe/Berlin", "2024-02-01", 400, "6h", "6 hours", 4),
        ("Australia/Lord_Howe", "2024-02-01", 400, "12h", "12 hours", 2),
    ],
)  # fmt: skip
def test_other_frequencies_follow_the_local_clock(
    tmp_path: Path, zone: str, first: str, count: int, freq: str, words: str, season: int
) -> None:
    """A saved model keeps the frequency, and forecasts over such a day may be input again."""
    every = at_midnight(pd.Timestamp(first), count + 8, zone, freq)
    frame = pd.DataFrame({"ds": every[:count], "y": 50 + np.arange(count) % 7})
    forecaster = Forecaster(8, steps=1).fit(frame)
    panel = forecaster.panel(frame)
    assert (panel.frequency.words, panel.season) == (words, season)
    assert not np.isnan(panel.values).any()
    table = forecaster.predict()
    assert table["ds"].tolist() == every[count:].tolist()
    forecaster.save(tmp_path / "model")
    assert Forecaster.load(tmp_path / "model").predict()["ds"].tolist() == table["ds"].tolist()
    more = pd.concat([frame, table.rename(columns={"memattn": "y"})[["ds", "y"]]])
    assert not np.isnan(forecaster.panel(more).values).any()


def test_forecasts_after_a_skipped_midnight_are_at_midnight(tmp_path: Path) -> None:
    ds = at_midnight(pd.Timestamp("2017-06-01"), 137, "America/Sao_Paulo")
    forecaster = Forecaster(3, steps=1).fit(pd.DataFrame({"ds": ds, "y": np.arange(137.0)}))
    forecaster.save(tmp_path / "model")
    loaded = Forecaster.load(tmp_path / "model")
    for one in (forecaster, loaded):
        assert [moment.hour for moment in one.predict()["ds"]] == [0, 0, 0]


def test_steps_of_24_hours_and_of_an_hour_are_not_days() -> None:
    """Rows 24 hours apart in UTC, on a clock with daylight saving time; and hourly rows."""
    zone = "Europe/Berlin"
    utc = pd.Series(pd.date_range("2024-01-01", periods=200, tz="UTC"))
    panel = panel_from_frame(pd.DataFrame({"ds": utc.dt.tz_convert(zone), "y": 1.0}))
    assert (panel.frequency.unit, panel.frequency.step) == (Unit.MICROSECOND, DAY)
    hours = pd.Series(pd.date_range("2024-03-25", periods=300, freq="h", tz=zone))
    panel = panel_from_frame(pd.DataFrame({"ds": hours, "y": 1.0}))
    assert (panel.frequency.unit, panel.frequency.step) == (Unit.MICROSECOND, HOUR)
    assert len(panel.values) == 300
