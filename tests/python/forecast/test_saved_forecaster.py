"""The C++ `SavedForecaster` forecasts the same bits as Python from files of `Forecaster.save`."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from memattn import FormatError
from memattn._memattn import SavedForecaster
from memattn.forecast import Forecaster


def series(
    count: int, rows: int, seed: int, *, freq: str = "1mo", negative: bool = False
) -> pl.DataFrame:
    """Returns random walks with a season; one is constant, one has a hole, one has two rows."""
    rng, parts = np.random.default_rng(seed), []
    for k in range(count):
        size = rows + int(rng.integers(0, 20))
        start = dt.datetime(2000, 1, 1)
        times = pl.datetime_range(start, start + dt.timedelta(days=32 * size), freq, eager=True)
        steps = rng.normal(size=size).cumsum()
        season = np.sin(np.arange(size) * 2 * np.pi / 12)
        y = 10 * steps if negative and k % 2 else 100 * np.exp(0.1 * steps + 0.3 * season)
        if k == 2:
            y[:] = 5.0
        if k == 3 and rows >= 40:
            y[4:9] = np.nan
        if k == 4:
            y[2:] = np.nan
        table = pl.DataFrame({"unique_id": f"s{k}", "ds": times[:size], "y": y})
        parts.append(table[:2] if k == 4 else table)
    return pl.concat(parts)


def hours() -> pl.DataFrame:
    """Returns one hourly series of 500 days."""
    rng, start = np.random.default_rng(0), dt.datetime(2020, 1, 1)
    times = pl.datetime_range(start, start + dt.timedelta(hours=11_999), "1h", eager=True)
    y = 50 + 10 * np.sin(np.arange(12_000) * 2 * np.pi / 24) + rng.normal(size=12_000)
    return pl.DataFrame({"unique_id": "a", "ds": times, "y": y})


@dataclass
class Case:
    """The options of a forecaster, the series to fit it to, levels, and options of `save`."""

    options: dict[str, Any]
    data: Callable[[], pl.DataFrame]
    levels: list[float]
    saved: dict[str, Any] = field(default_factory=dict)


ANY, TRAINED = [33.0, 80.0, 95.0, 99.0], [50.0, 80.0, 95.0]
QUANTILES = {"loss": "quantile", "level": TRAINED, "horizon": 12, "steps": 10}
CASES = {
    "default": Case({"horizon": 12, "steps": 10}, lambda: series(40, 60, 0), ANY),
    "members": Case({"horizon": 12, "steps": 5, "members": 3}, lambda: series(20, 60, 1), ANY),
    "negative": Case({"horizon": 6, "steps": 5}, lambda: series(30, 60, 2, negative=True), ANY),
    "quantiles": Case(QUANTILES, lambda: series(30, 60, 3), TRAINED),
    "one trained level": Case(QUANTILES, lambda: series(30, 60, 3), [80.0]),
    "uncalibrated": Case(QUANTILES | {"intervals": False}, lambda: series(9, 60, 4), TRAINED),
    "mae": Case({"horizon": 3, "steps": 5, "loss": "mae"}, lambda: series(8, 14, 5), ANY),
    "prior": Case({"horizon": 12}, lambda: series(6, 40, 6), ANY),
    "calibrated prior": Case({"horizon": 12}, lambda: series(6, 80, 7), ANY),
    "untrained": Case({"horizon": 12, "prior": None}, lambda: series(6, 20, 8), []),
    "bfloat16": Case({"horizon": 6}, lambda: series(6, 80, 9), ANY, {"dtype": "bfloat16"}),
    "prior of hours": Case({"horizon": 48}, lambda: hours()[:900], ANY),
    "past seasons": Case({"horizon": 96, "steps": 2}, hours, [80.0, 95.0]),
}


@pytest.mark.parametrize("name", CASES)
def test_forecasts_equal_those_of_python(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / "forecaster.safetensors"
    Forecaster(**case.options).fit(case.data()).save(path, **case.saved)
    python, saved = Forecaster.load(path), SavedForecaster.load(path)
    assert (saved.horizon, saved.has_intervals) == (python.horizon, bool(python.available_levels))
    assert saved.levels == (TRAINED if case.options.get("loss") == "quantile" else [])
    found = python.forecasts(level=case.levels)
    panel = found.panel
    assert saved.ids == panel.ids.tolist()
    some_intervals = False
    for k, one in enumerate(panel.ids):
        assert saved.find(one) == k
        points, bounds = saved.forecast_series(k, python.horizon, case.levels)
        np.testing.assert_array_equal(points, found.values[k])
        for place, level in enumerate(case.levels):
            np.testing.assert_array_equal(bounds[place], [end[k] for end in found.intervals[level]])
            some_intervals |= bool((bounds[place, 0] < bounds[place, 1]).any())
        # Forecast the same values as a new series, with fewer steps and levels in another order.
        values = np.ascontiguousarray(panel.series(k))
        again, other = saved.forecast(values, 2, case.levels[::-1])
        np.testing.assert_array_equal(again, points[:2])
        np.testing.assert_array_equal(other, bounds[::-1, :, :2])
    assert some_intervals == bool(case.levels)


def test_forecasts_of_new_series_equal_those_of_python(tmp_path: Path) -> None:
    path = tmp_path / "forecaster.safetensors"
    fitted = Forecaster(12, steps=10).fit(series(20, 60, 0))
    fitted.save(path, series=False)
    saved, other = SavedForecaster.load(path), series(9, 50, 5)
    found = fitted.forecasts(other, level=[80])
    assert saved.ids == []
    for k in range(len(found.panel)):
        points, bounds = saved.forecast(np.ascontiguousarray(found.panel.series(k)), 12, [80.0])
        np.testing.assert_array_equal(points, found.values[k])
        np.testing.assert_array_equal(bounds[0], [end[k] for end in found.intervals[80.0]])


def test_a_forecaster_with_covariates_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "forecaster.safetensors"
    data = series(9, 60, 0).with_columns(price=pl.col("y").fill_null(1.0).fill_nan(1.0))
    Forecaster(3, steps=1, hist_exog_list=["price"]).fit(data).save(path)
    with pytest.raises(FormatError, match='forecaster with covariates: "price", expected one'):
        SavedForecaster.load(path)


def test_ids_that_are_whole_numbers_become_text(tmp_path: Path) -> None:
    path = tmp_path / "forecaster.safetensors"
    data = series(3, 60, 0).with_columns(pl.col("unique_id").str.slice(1).cast(pl.Int64))
    Forecaster(3, steps=1).fit(data).save(path)
    saved = SavedForecaster.from_bytes(path.read_bytes())
    assert saved.ids == ["0", "1", "2"]
    assert saved.find("2") == 2
    assert saved.find("3") is None
