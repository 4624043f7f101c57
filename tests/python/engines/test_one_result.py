"""A fit and its forecasts on an engine equal those without one, to the bit."""

from pathlib import Path
from typing import Any

import pytest

from memattn.forecast import Forecaster
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget

from .series import assert_same_model, assert_same_rows, months, plain


def test_a_fit_and_its_forecasts_equal_those_on_one_machine(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_sample, "BUDGET", Budget(600, 3))
    table = months()
    expected = Forecaster(3, season=12, steps=5).fit(table)
    assert expected.settings["sample"].value < 20
    given = engine.send(table.sample(frac=1, random_state=0), 3)
    found = Forecaster(3, season=12, steps=5).fit(given)
    assert_same_model(found, expected)
    forecasts = found.predict(given, level=[80])
    assert isinstance(forecasts, engine.kind)
    local = plain(expected, tmp_path / "model").predict(table, level=[80])
    assert_same_rows(engine.back(forecasts), local)
