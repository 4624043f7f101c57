"""The season of numbered rows, found in the values or not."""

import numpy as np
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.data.season_search import CANDIDATES, autocorrelation, season_of_values

from ..panels import note, one_series, panel_of


def season_of(*series: np.ndarray) -> int:
    offsets = np.cumsum([0, *map(len, series)])
    return season_of_values(np.concatenate(series), offsets)


def waves(season: int, rows: int, seed: int, noise: float = 0.3) -> np.ndarray:
    """Returns a season that is mostly one wave, on a random walk, with noise."""
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * (np.arange(rows) / season + rng.random())
    shape = np.sin(phase) + 0.4 * np.sin(2 * phase + rng.random())
    return 50 + shape + 0.1 * rng.normal(size=rows).cumsum() + noise * rng.normal(size=rows)


@pytest.mark.parametrize("season", CANDIDATES)
def test_a_season_is_found(season: int) -> None:
    for seed in range(20):
        assert season_of(waves(season, 12 * season + 30, seed)) == season, seed
    assert season_of(*(waves(season, 5 * season + seed, seed, 0.8) for seed in range(30))) == season


def test_no_season_is_found_in_noise_walks_and_lines() -> None:
    rng = np.random.default_rng(0)
    for rows in (10, 30, 100, 1000):
        noise = rng.normal(size=(40, rows))
        for some in (noise, noise.cumsum(axis=1), noise.cumsum(axis=1).cumsum(axis=1)):
            assert season_of(*some) == 1
            assert sum(season_of(one) > 1 for one in some) <= 4
    assert season_of(np.full(100, 3.7)) == 1
    assert season_of(np.arange(100.0), 1e300 * np.arange(100.0)) == 1


def test_a_season_needs_half_of_the_series_to_be_long_enough() -> None:
    rng = np.random.default_rng(1)
    seasonal = [waves(12, 100, seed) for seed in range(5)]
    assert season_of(*seasonal, *rng.normal(size=(5, 20))) == 12
    assert season_of(*seasonal, *rng.normal(size=(6, 20))) == 1


def test_the_last_third_is_not_used() -> None:
    rng = np.random.default_rng(2)
    late = np.concatenate([rng.normal(size=200), waves(12, 100, 0, 0)])
    assert season_of(late) == 1
    assert season_of(np.concatenate([waves(12, 200, 0), rng.normal(size=100)])) == 12


def test_autocorrelation_equals_its_definition() -> None:
    values = waves(7, 60, 3)
    rows = np.arange(60)
    rest = values - np.polyval(np.polyfit(rows, values, 1), rows)
    expected = (rest[7:] * rest[:-7]).sum() / (rest**2).sum()
    assert autocorrelation(values, 7) == pytest.approx(expected, rel=1e-9)
    assert autocorrelation(1e200 * values, 7) == pytest.approx(expected, rel=1e-9)
    assert autocorrelation(np.diff(0.1 * rows), 7) == 0  # they differ by rounding
    assert autocorrelation(values, 0) == autocorrelation(values, 59) == 0


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_numbered_rows_have_the_found_season_and_dates_the_usual_one(library: str) -> None:
    values = waves(12, 120, 5).tolist()
    found = panel_of(library, one_series(range(120), values))
    assert found.season == 12
    assert note(found, "season") == "season: 12 (found in the values)"
    plain = panel_of(library, one_series(range(120), np.random.default_rng(0).normal(size=120)))
    assert note(plain, "season") == "season: 1 (the values show none)"
    assert panel_of(library, one_series(range(120), values), season=4).season == 4
    dates = [f"2024-01-01T{k // 60:02d}:{k % 60:02d}" for k in range(120)]
    assert panel_of(library, one_series(dates, values)).season == 1440


def test_other_series_are_forecast_with_the_season_of_fit() -> None:
    table = panel_of("pandas", one_series(range(120), waves(12, 120, 5).tolist()))
    flat = panel_of("pandas", one_series(range(120), np.random.default_rng(0).normal(size=120)))
    forecaster = Forecaster(3, steps=2).fit(table)
    assert flat.season == 1
    assert forecaster.panel(flat).season == 12
