"""Backtests on engines: forecasts and measures equal those on one machine, to the bit."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget
from memattn.forecast.measured import METHODS

from .series import LISTS, months, shops, short


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_sample, "BUDGET", Budget(400, 3))


def table() -> pd.DataFrame:
    """Returns monthly series, two of which end before the others."""
    found = months(30)
    late = found["unique_id"].isin(["series 3", "series 4"])
    found.loc[late, "ds"] -= pd.Timedelta(days=31 * 7)
    return found.assign(ds=found["ds"].dt.to_period("M").dt.start_time.dt.as_unit("us"))


@pytest.mark.parametrize(
    "options",
    [
        {"n_windows": 1, "level": [80]},
        {"n_windows": 4, "step_size": 2, "level": [80]},
        {"n_windows": 3, "refit": 2, "level": [80, 95]},
    ],
)
def test_cross_validation_equals_that_on_one_machine(engine: Any, options: dict[str, Any]) -> None:
    expected = short().cross_validation(table(), **options)
    found = short()
    rows = found.cross_validation(engine.send(table(), 3), **options)
    assert isinstance(rows, engine.kind)
    keys = ["unique_id", "cutoff", "ds"]
    expected = expected.sort_values(keys).reset_index(drop=True)
    rows = engine.back(rows).sort_values(keys).reset_index(drop=True)
    rows = rows.astype(dict(expected.dtypes))
    pd.testing.assert_frame_equal(rows, expected, check_exact=True)
    with pytest.raises(RuntimeError, match="not fitted"):
        found.settings  # noqa: B018


def test_measures_equal_those_on_one_machine(engine: Any) -> None:
    options = {"n_windows": 3, "level": [80]}
    expected = short().backtest(table(), **options)
    for parts in (1, 4):
        found = short().backtest(engine.send(table(), parts), **options)
        assert repr(found) == repr(expected)
        for method in METHODS:
            assert found.overall(method) == expected.overall(method)
            np.testing.assert_equal(vars(found.by_step(method)), vars(expected.by_step(method)))
        assert found.coverage_by_step(80) == expected.coverage_by_step(80)
        rows = found.to_frame()
        assert isinstance(rows, engine.kind)
        keys = ["unique_id", "metric"]
        errors = expected.to_frame().sort_values(keys).reset_index(drop=True)
        rows = engine.back(rows).sort_values(keys).reset_index(drop=True)
        rows = rows.astype(dict(errors.dtypes))
        pd.testing.assert_frame_equal(rows, errors, check_exact=True)


def test_cross_validation_with_covariates_equals_that_on_one_machine(engine: Any) -> None:
    series, _, static = shops()
    options = {"horizon": 4, "season": 7, **LISTS}
    asked: dict[str, Any] = {"n_windows": 2, "static_df": static, "level": [80]}
    expected = short(**options).cross_validation(series, **asked)
    rows = short(**options).cross_validation(engine.send(series, 2), **asked)
    keys = ["unique_id", "cutoff", "ds"]
    expected = expected.sort_values(keys).reset_index(drop=True)
    rows = engine.back(rows).sort_values(keys).reset_index(drop=True)
    rows = rows.astype(dict(expected.dtypes))
    pd.testing.assert_frame_equal(rows, expected, check_exact=True)


def test_invalid_windows_are_refused(engine: Any) -> None:
    given = engine.send(months(5))
    with pytest.raises(ValueError, match="refit: found 0, expected"):
        short().cross_validation(given, 2, refit=0)
    with pytest.raises(DataError, match="the longest series has 44 values, expected more"):
        short(horizon=50).backtest(given)


def test_an_error_of_a_gap_names_series_and_row(engine: Any) -> None:
    series = table()
    sample = series_sample.sample_of(short().panel(series), 0)
    assert sample is not None
    name = next(one for one in series["unique_id"].unique() if one not in sample.panel.ids)
    places = np.flatnonzero(series["unique_id"] == name)[4:20]
    given = engine.send(series.drop(index=series.index[places]), 3)
    with pytest.raises(DataError, match=f'row 1, .* series "{name}": found 16 of .* rows missing'):
        short().cross_validation(given, 2)
