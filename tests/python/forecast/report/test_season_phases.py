"""Phases of the season follow the calendar in the panel's time zone."""

import numpy as np
import pandas as pd
import pytest

from memattn.forecast.data.panel import panel_from_frame
from memattn.forecast.data.windows import Windows
from memattn.forecast.report.season_phases import season_phases

from ..panels import flat_panel


@pytest.mark.parametrize(
    ("freq", "count", "start", "expected", "noun"),
    [
        ("MS", 30, "2020-01-01", ["Feb", "Mar", "Feb"], "month"),
        ("ME", 30, "2020-01-31", ["Feb", "Mar", "Feb"], "month"),
        ("QS", 30, "2020-01-01", ["Q2", "Q3", "Q2"], "quarter"),
        ("D", 30, "2024-01-01", ["Tue", "Wed", "Sun"], "weekday"),
        ("B", 30, "2024-01-01", ["Tue", "Wed", "Thu"], "weekday"),
        ("h", 60, "2024-01-01 05:00", ["6", "7", "18"], "hour of the day"),
        ("30min", 99, "2024-01-01", ["0:30", "1:00", "6:30"], "hour of the day"),
    ],
)
def test_phases_have_the_names_of_the_calendar(
    freq: str, count: int, start: str, expected: list[str], noun: str
) -> None:
    ds = pd.date_range(start, periods=count, freq=freq)
    panel = panel_from_frame(pd.DataFrame({"ds": ds, "y": np.arange(count) + 1.0}))
    windows = Windows(np.zeros(3, np.int64), np.array([1, 2, 13]))
    phases = season_phases(panel, windows)
    assert [phases.labels[k] for k in phases.phase] == expected
    assert len(phases.labels) == panel.season
    assert phases.noun == noun


def test_hours_are_local() -> None:
    ds = pd.date_range("2024-03-30", periods=72, freq="h", tz="Europe/Berlin")
    panel = panel_from_frame(pd.DataFrame({"ds": ds, "y": np.arange(72) + 1.0}))
    ends = np.arange(1, 71)
    phases = season_phases(panel, Windows(np.zeros(70, np.int64), ends))
    assert phases.phase.tolist() == [ds[end].hour for end in ends]


def test_phases_of_numbered_rows_are_numbered() -> None:
    panel = flat_panel([np.arange(1.0, 21.0)], season=6)  # ends with row 1,000
    phases = season_phases(panel, Windows(np.array([0, 0]), np.array([19, 20])))
    assert phases.phase.tolist() == [1000 % 6, 1001 % 6]
    assert phases.labels == ("1", "2", "3", "4", "5", "6")
    assert phases.noun == "place in the season"
