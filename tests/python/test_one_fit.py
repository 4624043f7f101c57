"""One fit from beginning to end, with only NumPy, which every build of the package must pass."""

import math
from pathlib import Path

import numpy as np
import pytest

from memattn.forecast import Forecaster, quick

SEASON = [0, 4, 9, 13, 15, 16, 15, 13, 9, 4, 0, -2]


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    """Return a file with ten years of monthly values, with growth and a season."""
    months = [f"{2010 + k // 12}-{k % 12 + 1:02}-01" for k in range(120)]
    values = [100 + 0.5 * k + SEASON[k % 12] + math.sin(7.0 * k) for k in range(120)]
    rows = "".join(f"{month},{value:.3f}\n" for month, value in zip(months, values, strict=True))
    path = tmp_path / "sales.csv"
    path.write_text(f"ds,y\n{rows}")
    return path


def test_a_fitted_forecaster_forecasts_the_same_after_loading(sales: Path, tmp_path: Path) -> None:
    forecaster = Forecaster(6, steps=60, prior=None).fit(sales)
    found = forecaster.predict(level=[80])
    expected = np.array([100 + 0.5 * k + SEASON[k % 12] for k in range(120, 126)])
    forecasts = np.asarray(found["memattn"], float)
    assert np.abs(forecasts - expected).max() <= 6
    low, high = (np.asarray(found[f"memattn-{side}-80"], float) for side in ("lo", "hi"))
    assert (low <= forecasts).all()
    assert (forecasts <= high).all()
    forecaster.save(tmp_path / "sales.safetensors")
    again = Forecaster.load(tmp_path / "sales.safetensors").predict(level=[80])
    assert np.array_equal(np.asarray(again["memattn"], float), forecasts)


def test_quick_forecasts_need_no_training() -> None:
    history = [100 + 0.5 * k + SEASON[k % 12] for k in range(48)]
    expected = [100 + 0.5 * k + SEASON[k % 12] for k in range(48, 54)]
    assert np.abs(quick(history, 6, 12).mean - expected).max() <= 6
