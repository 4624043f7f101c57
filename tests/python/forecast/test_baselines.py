"""Naive and seasonal-naive forecasts of all windows at once, compared with one window at a time."""

from typing import Any

import numpy as np
import pytest

from memattn.forecast.baselines import naive, seasonal_naive
from memattn.forecast.data.panel import Panel, panel_from_frame
from memattn.forecast.data.windows import last_windows, rolling_windows

from .panels import random_table


@pytest.fixture(scope="module")
def panel() -> Panel:
    return panel_from_frame(random_table(8))


@pytest.mark.parametrize("season", [1, 2, 7, 12, 100])
@pytest.mark.parametrize("horizon", [1, 5, 30])
@pytest.mark.parametrize("step_size", [1, 4])
def test_baselines_equal_those_of_single_windows(
    panel: Panel, season: int, horizon: int, step_size: int
) -> None:
    windows = rolling_windows(panel, 3, n_windows=5, step_size=step_size)
    flat = naive(panel, windows, horizon)
    seasonal = seasonal_naive(panel, windows, horizon, season)
    truth = windows.truth(panel, horizon)
    assert flat.shape == seasonal.shape == truth.shape == (len(windows), horizon)
    for k in range(len(windows)):
        series, end = panel.series(windows.series[k]), windows.ends[k]
        past = series[:end]
        assert set(flat[k]) == {past[-1]}
        cycle = past[-season:] if end >= season else past[-1:]
        np.testing.assert_array_equal(seasonal[k], np.resize(cycle, horizon))
        known = series[end : end + horizon]
        np.testing.assert_array_equal(truth[k, : len(known)], known)
        assert np.isnan(truth[k, len(known) :]).all()


def test_rolling_windows_end_with_the_series(panel: Panel) -> None:
    windows = rolling_windows(panel, horizon=4, n_windows=3, step_size=2)
    for k, length in enumerate(panel.lengths):
        ends = windows.ends[windows.series == k].tolist()
        assert ends == [end for end in (length - 8, length - 6, length - 4) if end > 0]
    assert np.all(np.diff(windows.series) >= 0)


def test_last_windows_begin_after_the_last_row(panel: Panel) -> None:
    windows = last_windows(panel)
    assert np.isnan(windows.truth(panel, 2)).all()
    last = panel.values[panel.offsets[1:] - 1]
    np.testing.assert_array_equal(naive(panel, windows, 1)[:, 0], last)


@pytest.mark.parametrize("options", [{"horizon": 0}, {"n_windows": 0}, {"step_size": 0}])
def test_numbers_below_one_are_refused(panel: Panel, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"rolling_windows: {name}: found 0, expected at least 1"):
        rolling_windows(panel, **{"horizon": 1, "n_windows": 1, **options})
    with pytest.raises(ValueError, match="seasonal_naive: season: found 0"):
        seasonal_naive(panel, last_windows(panel), 1, 0)
