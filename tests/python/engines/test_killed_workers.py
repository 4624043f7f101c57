"""Results do not change if a worker is killed."""

from pathlib import Path
from typing import Any

import pytest

from memattn.forecast import Forecaster
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget
from memattn.forecast.measured import METHODS

from .series import assert_same_model, assert_same_rows, months, plain


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch, mark: Path) -> Forecaster:
    monkeypatch.setattr(series_sample, "BUDGET", Budget(600, 3))
    mark.unlink(missing_ok=True)
    return Forecaster(3, season=12, steps=5).fit(months())


def test_a_source_that_fails_once_does_not_change_the_model(
    engine: Any, mark: Path, expected: Forecaster
) -> None:
    from dying import rows_from_the_dead

    given = engine.through(engine.send(months(), 4), rows_from_the_dead)
    found = Forecaster(3, season=12, steps=5).fit(given)
    assert mark.exists()
    assert_same_model(found, expected)


def test_a_worker_killed_in_predict_does_not_change_the_forecasts(
    engine: Any, mark: Path, expected: Forecaster, tmp_path: Path
) -> None:
    from dying import Dying

    given = engine.send(months(), 4)
    found = Dying(3, season=12, steps=5).fit(given)
    assert not mark.exists()
    forecasts = engine.back(found.predict(given, level=[80]))
    assert mark.exists()
    local = plain(expected, tmp_path / "model").predict(months(), level=[80])
    assert_same_rows(forecasts, local)


def test_a_worker_killed_in_backtest_does_not_change_the_measures(
    engine: Any, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dying import DyingInBacktests

    monkeypatch.setattr(series_sample, "BUDGET", Budget(600, 3))
    mark.unlink(missing_ok=True)
    expected = Forecaster(3, season=12, steps=5).backtest(months(), 2, level=[80])
    given = engine.send(months(), 4)
    found = DyingInBacktests(3, season=12, steps=5).backtest(given, 2, level=[80])
    assert mark.exists()
    assert len(found) == len(expected)
    for method in METHODS:
        assert found.overall(method) == expected.overall(method)
    assert found.coverage_by_step(80) == expected.coverage_by_step(80)
    assert len(engine.back(found.to_frame())) == len(expected.to_frame())
