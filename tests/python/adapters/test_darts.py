"""The Darts model gives the forecasts of a Forecaster, and works with Darts' functions."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from darts import TimeSeries

from memattn.forecast import Forecaster
from memattn.forecast.adapters.darts import MemattnModel

OPTIONS = {"steps": 5, "prior": None}
MONTHS = pd.date_range("2015-01-01", periods=60, freq="MS")
VALUES = np.random.default_rng(0).gamma(9, 10, (4, 60))


def series(*values: np.ndarray) -> TimeSeries:
    return TimeSeries.from_times_and_values(MONTHS, np.stack(values, axis=1))


def expected(**options: float) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"unique_id": np.repeat(range(4), 60), "ds": np.tile(MONTHS, 4), "y": VALUES.ravel()}
    )
    return Forecaster(6, **OPTIONS).fit(frame).predict(**options)


def test_a_list_of_series_trains_one_model() -> None:
    given = [series(one) for one in VALUES]
    model = MemattnModel(6, **OPTIONS).fit(given)
    found = model.predict(4, given)
    wanted = expected(h=4)
    np.testing.assert_array_equal(
        np.concatenate([one.values()[:, 0] for one in found]), wanted.memattn
    )
    assert list(found[0].time_index) == list(wanted.ds[:4])
    (one,) = model.predict(4, given[:1])
    np.testing.assert_array_equal(one.values(), found[0].values())


def test_components_are_separate_series() -> None:
    given = [series(*VALUES[:3]), series(VALUES[3])]
    found = MemattnModel(6, **OPTIONS).fit(given).predict(6, given)
    columns = np.concatenate([one.values().T for one in found])
    np.testing.assert_array_equal(columns.ravel(), expected().memattn)


def test_quantiles_are_the_bounds_of_intervals() -> None:
    given = [series(one) for one in VALUES]
    model = MemattnModel(6, quantiles=[0.1, 0.5, 0.9], **OPTIONS).fit(given)
    found = model.predict(6, given, predict_likelihood_parameters=True)
    assert [name[-6:] for name in found[0].components] == ["q0.100", "q0.500", "q0.900"]
    values = np.concatenate([one.values() for one in found])
    wanted = expected(level=80)[["memattn-lo-80", "memattn", "memattn-hi-80"]]
    np.testing.assert_array_equal(values, wanted)


def test_past_and_future_covariates_are_used() -> None:
    rng = np.random.default_rng(1)
    ahead = TimeSeries.from_times_and_values(
        pd.date_range(MONTHS[0], periods=72, freq="MS"), rng.normal(size=72)
    )
    y = series(VALUES[0] - 30 * ahead.values()[:60, 0])
    model = MemattnModel(6, steps=200, prior=None).fit(
        y, future_covariates=ahead, past_covariates=series(VALUES[1])
    )
    found = model.predict(6).values()
    assert not (found == model.predict(6, y, series(VALUES[1]), ahead + 1).values()).any()
    with pytest.raises(ValueError, match="future_covariates"):
        model.predict(6, y, past_covariates=series(VALUES[1]))


@pytest.mark.parametrize("known", [False, True])
def test_forecasts_begin_after_the_last_row_even_without_values(known: bool) -> None:
    """If the last rows have no values, a `Forecaster` forecasts these rows as well."""
    late, given, x = [0, 2, 5, 0], VALUES.copy(), np.sin(np.arange(64))
    for k, count in enumerate(late):
        given[k, 60 - count :] = np.nan
    months = pd.date_range(MONTHS[0], periods=64, freq="MS")
    ahead = 3 * [TimeSeries.from_times_and_values(months, x)] if known else None
    whole = [series(*given[:2]), series(given[2]), series(given[3])]
    model = MemattnModel(6, **OPTIONS).fit(whole, future_covariates=ahead)
    options = {"future_covariates": ahead, "predict_likelihood_parameters": True}
    found = model.predict(4, whole, **options)
    columns = np.concatenate([one.values().T for one in found]).reshape(4, 3, 4)
    names = {"futr_exog_list": ["x"]} if known else {}
    frame = pd.DataFrame(
        {"unique_id": np.repeat(range(4), 60), "ds": np.tile(MONTHS, 4), "y": given.ravel()}
    ).assign(**({"x": np.tile(x[:60], 4)} if known else {}))
    expected = Forecaster(11, **names, **OPTIONS).fit(frame)
    future = {"X_df": pd.DataFrame({"ds": months, "x": x})} if known else {}
    for k, count in enumerate(late):
        rows = frame[(frame.unique_id == k) & frame.y.notna()]
        wanted = expected.forecasts(rows, level=80, h=count + 4, **future)
        low, high = wanted.intervals[80]
        for column, other in zip(columns[k], (low, wanted.values, high), strict=True):
            np.testing.assert_array_equal(column, other[0, count:])
    assert [str(one.time_index[0])[:7] for one in found] == 3 * ["2020-01"]


def test_a_series_without_values_for_too_long_is_refused() -> None:
    given = VALUES[0].copy()
    model = MemattnModel(6, **OPTIONS).fit([series(one) for one in VALUES])
    given[-3:] = np.nan
    assert len(model.predict(3, series(given))) == 3
    with pytest.raises(ValueError, match=r"0 has no value in its last 3 rows; .* horizon of 7"):
        model.predict(4, series(given))


def test_repeated_quantiles_are_refused() -> None:
    with pytest.raises(ValueError, match="expected each quantile once"):
        MemattnModel(6, quantiles=[0.1, 0.5, 0.1])


def test_historical_forecasts_and_backtests_work() -> None:
    y = series(VALUES[0])
    model = MemattnModel(6, **OPTIONS).fit(y)
    found = model.historical_forecasts(y, forecast_horizon=3, start=50, retrain=False)
    assert len(found) == 8
    np.testing.assert_array_equal(found.values()[0], model.predict(3, y[:50]).values()[-1])
    assert MemattnModel(6, **OPTIONS).backtest(y, forecast_horizon=3, start=56, retrain=True) > 0


def test_numbered_rows_are_forecast_up_to_the_horizon() -> None:
    numbered = TimeSeries.from_times_and_values(pd.RangeIndex(0, 100, 2), VALUES[0, :50])
    model = MemattnModel(6, **OPTIONS).fit(numbered)
    assert list(model.predict(2).time_index) == [100, 102]
    with pytest.raises(ValueError, match="expected at most output_chunk_length=6"):
        model.predict(7)


def test_pytorch_is_not_imported() -> None:
    code = "import sys, memattn.forecast.adapters.darts; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
