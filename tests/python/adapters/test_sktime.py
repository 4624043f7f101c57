"""The forecaster of sktime: sktime's own tests, and that its forecasts are ours."""

import numpy as np
import pandas as pd
import pytest
from sktime.forecasting.base import ForecastingHorizon
from sktime.utils.estimator_checks import check_estimator

import memattn
from memattn.forecast import Forecaster
from memattn.forecast.adapters.sktime import MemattnForecaster

OPTIONS = {"steps": 5, "prior": None}


def monthly(count: int, rows: int = 48) -> pd.DataFrame:
    months = pd.date_range("2015-01-01", periods=rows, freq="MS")
    y = np.random.default_rng(0).gamma(9, 10, count * rows)
    ids = np.repeat([f"s{k}" for k in range(count)], rows)
    return pd.DataFrame({"unique_id": ids, "ds": np.tile(months, count), "y": y})


def test_check_estimator_passes() -> None:
    threads = memattn.num_threads()
    memattn.set_num_threads(1)
    try:
        found = check_estimator(MemattnForecaster, raise_exceptions=True, verbose=False)
    finally:
        memattn.set_num_threads(threads)
    assert len(found) > 100
    assert set(found.values()) == {"PASSED"}


@pytest.mark.parametrize("periods", [False, True])
def test_a_panel_trains_one_model(periods: bool) -> None:
    frame = monthly(5)
    expected = Forecaster(3, **OPTIONS).fit(frame)
    y = frame.set_index(["unique_id", "ds"])
    if periods:
        months = y.index.levels[1].to_period("M")
        y.index = y.index.set_levels(months, level=1)
    found = MemattnForecaster(**OPTIONS).fit(y, fh=[1, 3])
    table = expected.predict(level=[80])
    wanted = table[table.groupby("unique_id").cumcount().isin([0, 2])]
    np.testing.assert_array_equal(found.predict().y, wanted.memattn)
    bounds = found.predict_interval(coverage=0.8)
    np.testing.assert_array_equal(bounds["y", 0.8, "lower"], wanted["memattn-lo-80"])
    np.testing.assert_array_equal(bounds["y", 0.8, "upper"], wanted["memattn-hi-80"])
    times = found.predict().index.get_level_values(-1)
    assert [str(one)[:7] for one in times[:2]] == ["2019-01", "2019-03"]
    absolute = ForecastingHorizon(times[:2], is_relative=False, freq="M" if periods else "MS")
    again = MemattnForecaster(**OPTIONS).fit(y, fh=absolute)
    np.testing.assert_array_equal(again.predict().y, found.predict().y)


def test_a_series_that_ends_early_is_forecast_for_the_same_times() -> None:
    frame = monthly(3)
    frame = frame[(frame.unique_id != "s1") | (frame.ds < "2018-11-01")]
    found = MemattnForecaster(**OPTIONS).fit(frame.set_index(["unique_id", "ds"]), fh=[1, 2])
    expected = Forecaster(4, **OPTIONS).fit(frame).predict().set_index(["unique_id", "ds"])
    pd.testing.assert_series_equal(
        found.predict().y,
        expected.loc[found.predict().index].memattn,
        check_names=False,
        check_exact=True,
        check_freq=False,
    )


def test_columns_of_x_are_known_ahead() -> None:
    rng = np.random.default_rng(0)
    months = pd.period_range("2015-01", periods=60, freq="M")
    x = pd.DataFrame({"price": rng.normal(size=60), "kind": list("ab") * 30}, index=months)
    y = pd.Series(20 - 5 * x.price + rng.normal(size=60), name="sales")
    found = MemattnForecaster(steps=200, prior=None).fit(y[:57], X=x[:57], fh=[1, 2, 3])
    low = found.predict(X=x[57:].assign(price=0.0))
    high = found.predict(X=x[57:].assign(price=2.0))
    assert low.name == "sales"
    assert not (low == high).any()
    with pytest.raises(ValueError, match="X_df"):
        MemattnForecaster(**OPTIONS).fit(y[:57], X=x[:57], fh=[1]).predict()
