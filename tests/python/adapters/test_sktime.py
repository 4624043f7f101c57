"""The sktime forecaster passes sktime's tests and gives the forecasts of a Forecaster."""

import numpy as np
import pandas as pd
import pytest
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.model_evaluation import evaluate
from sktime.split import ExpandingWindowSplitter
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


@pytest.mark.parametrize("x", [False, True])
def test_forecasts_begin_after_the_last_row_even_without_values(x: bool) -> None:
    frame = monthly(3)
    late = {"s0": 0, "s1": 2, "s2": 1}
    rows = frame[::-1].groupby("unique_id").cumcount()[::-1]
    gone = rows < frame.unique_id.map(late)
    frame["y"] += 50 * np.sin(np.arange(144)) * x
    given = frame.assign(y=frame.y.mask(gone)).set_index(["unique_id", "ds"])
    months = pd.date_range("2015-01-01", periods=50, freq="MS")
    index = pd.MultiIndex.from_product([list(late), months], names=["unique_id", "ds"])
    price = pd.DataFrame({"price": np.sin(np.arange(150))}, index=index)
    names = {"futr_exog_list": ["price"]} if x else {}
    table = frame.assign(y=frame.y.mask(gone))
    table = table.join(price, on=["unique_id", "ds"]) if x else table
    expected = Forecaster(4, **names, **OPTIONS).fit(table)
    known = price.loc[given.index] if x else None
    coming = price.drop(given.index) if x else None
    found = MemattnForecaster(**OPTIONS).fit(given, X=known, fh=[1, 2]).predict(X=coming).y
    for name, count in late.items():
        own = {"X_df": price.reset_index()} if x else {}
        panel = expected.panel(table[table.unique_id == name])
        wanted = expected.forecasts(panel, h=count + 2, **own).values[0, count:]
        np.testing.assert_array_equal(found[name], wanted)
    times = found.index.get_level_values(1)
    assert [str(one)[:7] for one in times] == 3 * ["2019-01", "2019-02"]


def test_a_series_may_end_without_values() -> None:
    y = monthly(1).set_index("ds").y.asfreq("MS")
    full = MemattnForecaster(**OPTIONS).fit(y[:-2], fh=[3, 4]).predict()
    found = MemattnForecaster(**OPTIONS).fit(y.where(y.index < y.index[-2]), fh=[1, 2]).predict()
    pd.testing.assert_series_equal(found, full, check_exact=True, check_freq=False)


@pytest.mark.parametrize("remembers", [False, True])
def test_update_moves_the_forecasts(remembers: bool) -> None:
    frame = monthly(3)
    y = frame.set_index(["unique_id", "ds"])
    early = frame[frame.ds < "2018-10-01"]
    first = Forecaster(2, **OPTIONS).fit(early)

    def fitted() -> MemattnForecaster:
        found = MemattnForecaster(**OPTIONS).set_config(remember_data=remembers)
        return found.fit(early.set_index(["unique_id", "ds"]), fh=[1, 2])

    some = frame[frame.ds >= "2018-06-01"]
    some = some.assign(y=some.y + (some.ds < "2018-10-01"))  # known rows keep their first values
    found = fitted().update(some.set_index(["unique_id", "ds"]), update_params=False)
    wanted = first.predict(frame).set_index(["unique_id", "ds"]).memattn
    options = {"check_names": False, "check_exact": True, "check_freq": False}
    pd.testing.assert_series_equal(found.predict().y, wanted, **options)
    again = fitted().update(y, update_params=True)
    wanted = Forecaster(2, **OPTIONS).fit(frame).predict().set_index(["unique_id", "ds"]).memattn
    pd.testing.assert_series_equal(again.predict().y, wanted, **options)


def test_update_accepts_covariates() -> None:
    rng = np.random.default_rng(0)
    months = pd.date_range("2015-01-01", periods=60, freq="MS")
    x = pd.DataFrame({"b": rng.normal(size=60), "a": rng.normal(size=60)}, index=months)
    y = (20 - 5 * x.a + rng.normal(size=60)).rename("y")
    late = y.mask(np.arange(60) > 54)
    found = MemattnForecaster(**OPTIONS).fit(y[:50], X=x[:50], fh=[1, 2, 3, 4])
    frame = pd.DataFrame({"unique_id": "", "ds": months, "y": y, "b": x.b, "a": x.a})
    expected = Forecaster(4, futr_exog_list=["b", "a"], **OPTIONS).fit(frame[:50])
    wanted = expected.predict(frame[:55], X_df=frame[55:59]).memattn
    found.update(late[48:57], X=x[48:57][["a", "b"]], update_params=False)
    with pytest.raises(ValueError, match="horizon of 6"):
        found.predict(X=x[57:])
    found.update(late[48:55], X=x[48:55], update_params=False)
    np.testing.assert_array_equal(found.predict(X=x[55:59]), wanted)
    found = MemattnForecaster(**OPTIONS).fit(late[:57], X=x[:57], fh=[1, 2])
    wanted = found.predict(X=x[57:59])
    np.testing.assert_array_equal(found.predict(X=x), wanted)
    again = found.update(y[55:57], X=x[55:57], update_params=False).predict(X=x[57:59])
    assert not (again == wanted).any()


def test_times_up_to_the_cutoff_are_not_forecast() -> None:
    y = monthly(1).set_index("ds").y.asfreq("MS")
    ahead = ForecastingHorizon(y.index[41:43], is_relative=False)
    found = MemattnForecaster(**OPTIONS).fit(y[:40], fh=ahead)
    wanted = Forecaster(3, **OPTIONS).fit(monthly(1)[:40])
    np.testing.assert_array_equal(found.predict(), wanted.predict().memattn[1:])
    found.update(y[40:41], update_params=False)
    np.testing.assert_array_equal(found.predict(), wanted.predict(monthly(1)[:41]).memattn[:2])
    found.update(y[41:42], update_params=False)
    with pytest.raises(NotImplementedError, match="in-sample"):
        found.predict()
    # After an update with known rows only, the cutoff lies before the last value.
    found = MemattnForecaster(**OPTIONS).fit(y[:40], fh=[1])
    found.update(y[30:38], update_params=False)
    with pytest.raises(ValueError, match="fit again to forecast from an earlier cutoff"):
        found.predict()


def test_update_adds_rows_without_values_and_new_series() -> None:
    frame = monthly(3)
    some = frame[(frame.unique_id != "s1") & (frame.ds < "2018-10-01")]
    found = MemattnForecaster(**OPTIONS).fit(some.set_index(["unique_id", "ds"]), fh=[1])
    gone = (frame.unique_id == "s0") & (frame.ds >= "2018-12-01")
    later = frame.assign(y=frame.y.mask(gone))
    with pytest.raises(ValueError, match="'s0' has no value in its last 1 row;"):
        found.update(later.set_index(["unique_id", "ds"]), update_params=False).predict()
    found = MemattnForecaster(**OPTIONS).fit(some.set_index(["unique_id", "ds"]), fh=[1, 2])
    found.update(later.set_index(["unique_id", "ds"]), update_params=False)
    with pytest.raises(ValueError, match="cut these rows off, or fit again"):
        found.predict()
    found.update(frame[gone].set_index(["unique_id", "ds"]), update_params=False)
    wanted = Forecaster(2, **OPTIONS).fit(some).predict(frame).memattn
    np.testing.assert_array_equal(found.predict().y, wanted)


def test_evaluate_forecasts_each_window_from_its_end() -> None:
    y = monthly(1).set_index("ds").y.asfreq("MS")
    cv = ExpandingWindowSplitter(fh=[1, 2], initial_window=40, step_length=3)
    found = evaluate(
        MemattnForecaster(**OPTIONS), cv, y, strategy="no-update_params", return_data=True
    )
    expected = Forecaster(2, **OPTIONS).fit(monthly(1)[:40])
    for k, values in enumerate(found.y_pred):
        rows = monthly(1)[: 40 + 3 * k]
        np.testing.assert_array_equal(values, expected.predict(rows).memattn)
        assert list(values.index) == list(y.index[40 + 3 * k : 42 + 3 * k])
    assert len(found) == 3


def test_forecasts_work_without_remembered_data() -> None:
    y = monthly(2).set_index(["unique_id", "ds"])
    wanted = MemattnForecaster(**OPTIONS).fit(y, fh=[1, 2])
    found = MemattnForecaster(**OPTIONS).set_config(remember_data=False).fit(y, fh=[1, 2])
    pd.testing.assert_frame_equal(found.predict(), wanted.predict())
    bounds = found.predict_interval(coverage=0.8)
    pd.testing.assert_frame_equal(bounds, wanted.predict_interval(coverage=0.8))


def test_columns_of_x_are_matched_by_name() -> None:
    rng = np.random.default_rng(0)
    months = pd.period_range("2015-01", periods=60, freq="M")
    x = pd.DataFrame(rng.normal(size=(60, 2)), index=months, columns=["a", "b"])
    y = pd.Series(20 - 5 * x.a + rng.normal(size=60))
    found = MemattnForecaster(steps=50, prior=None).fit(y[:57], X=x[:57], fh=[1, 2, 3])
    wanted = found.predict(X=x[57:])
    pd.testing.assert_series_equal(found.predict(X=x[57:][["b", "a"]]), wanted)
    with pytest.raises(ValueError, match="found no column 'a'"):
        found.predict(X=x[57:][["b"]])


def test_columns_of_x_are_covariates_known_ahead() -> None:
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
