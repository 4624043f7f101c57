"""The package's prior for hourly series: days that repeat closely, weeks, and shifting patterns."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from memattn.forecast import Forecaster, quick

Array = npt.NDArray[np.float64]
HORIZON = 48
TIME = np.arange(1100)


def day(time: Array) -> Array:
    """Returns a daily pattern between -1 and 1.5."""
    return np.asarray(np.sin(2 * np.pi * time / 24) + 0.5 * np.sin(4 * np.pi * time / 24 + 1))


def errors(values: Array, end: int) -> tuple[float, float]:
    """Returns the mean |error| of `quick`, and of repeating the last day."""
    truth = values[end : end + HORIZON]
    found = quick(values[:end], HORIZON, 24).mean
    return float(np.abs(found - truth).mean()), float(
        np.abs(np.tile(values[end - 24 : end], 2) - truth).mean()
    )


def test_an_exact_pattern_is_continued() -> None:
    values = np.tile(np.arange(24.0) % 7 + 3, 40)
    np.testing.assert_allclose(quick(values, HORIZON, 24).mean, values[:HORIZON], rtol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_forecasts_know_the_weekly_pattern(noise: float) -> None:
    """Weekends are flat, and forecasts from the end of a Sunday or a Friday know it."""
    working = np.where(TIME // 24 % 7 < 5, day(TIME.astype(float)), -1.0)
    values = 20 + 5 * (working + noise * np.random.default_rng(0).normal(size=len(TIME)))
    for end in (24 * 42, 24 * 40):
        own, naive = errors(values, end)
        assert own < 0.5 * naive


def test_days_that_hardly_change_are_forecast_closely() -> None:
    """The level rises slowly; changes within a day are a hundred times those from day to day."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(20):
        level, size = np.cumsum(rng.normal(0, 0.004, len(TIME))), 1 + TIME / rng.uniform(4e3, 2e4)
        values = 20 + TIME / 500 + level + 8 * size * day(TIME + rng.uniform(0, 24))
        found.append(errors(values, 1000))
    own, naive = np.mean(found, axis=0)
    assert own < 0.75 * naive


def test_a_shifting_pattern_is_that_of_the_last_days() -> None:
    """The pattern shifts by an hour in four days; forecasts use that of the last days."""
    values = 20 + 5 * day(TIME * 97 / 96)
    own, naive = errors(values, 1000)
    assert own < 0.9 * naive


def test_settings_have_the_long_season_of_the_prior() -> None:
    values = 20 + 5 * day(TIME[:60].astype(float))
    times = pd.date_range("2024-01-01", periods=60, freq="h")
    frame = pd.DataFrame({"unique_id": "a", "ds": times, "y": values})
    forecaster = Forecaster(24, season=24).fit(frame)
    assert forecaster.settings["prior"].value == "alone"
    assert forecaster.settings["long_season"].value == 168
