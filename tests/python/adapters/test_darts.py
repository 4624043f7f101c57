"""The Darts model gives the forecasts of a Forecaster, and works with Darts' functions."""

import subprocess
import sys
from pathlib import Path

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
    # As in other models of Darts, the covariates of a single series are remembered.
    np.testing.assert_array_equal(found, model.predict(6, y, series(VALUES[1])).values())
    model = MemattnModel(6, **OPTIONS).fit([y, y], future_covariates=[ahead, ahead])
    with pytest.raises(ValueError, match="future_covariates"):
        model.predict(6, [y])
    with pytest.raises(ValueError, match="found 1 series, expected one for each of 2"):
        model.predict(6, [y, y], future_covariates=[ahead])
    with pytest.raises(
        ValueError, match=r"found \['future 0', 'future 1'\] with series 0, expected"
    ):
        model.predict(6, [y], future_covariates=[ahead.stack(ahead)])


@pytest.mark.parametrize("known", [False, True])
def test_forecasts_begin_after_the_last_row_even_without_values(known: bool) -> None:
    """If the last rows have no values, a `Forecaster` forecasts these rows as well."""
    late, given, x = [0, 2, 5, 0], VALUES.copy(), np.sin(np.arange(64))
    for k, count in enumerate(late):
        given[k, 60 - count :] = np.nan
    months = pd.date_range(MONTHS[0], periods=64, freq="MS")
    ahead = 3 * [TimeSeries.from_times_and_values(months, x)] if known else None
    whole = [series(*given[:2]), series(given[2]), series(given[3])]
    model = MemattnModel(6, quantiles=[0.1, 0.5, 0.9], **OPTIONS)
    model.fit(whole, future_covariates=ahead)
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
    with pytest.raises(ValueError, match=r"7 rows after the last value .* horizon of 6"):
        model.predict(4, series(given))


@pytest.mark.parametrize("quantiles", [[0.1, 0.5, 0.1], [0, 0.5]])
def test_quantiles_are_numbers_between_0_and_1(quantiles: list[float]) -> None:
    with pytest.raises(ValueError, match="expected numbers between 0 and 1, each once"):
        MemattnModel(6, quantiles=quantiles)


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
    with pytest.raises(ValueError, match="expected those to forecast"):
        MemattnModel(6, **OPTIONS).fit([numbered]).predict(2)
    with pytest.raises(ValueError, match="samples reach output_chunk_length=6 steps"):
        model.predict(7, num_samples=2)
    with pytest.raises(ValueError, match="n: found 0, expected a whole number from 1"):
        model.predict(0)
    with pytest.raises(TypeError, match="unknown option 'colour'"):
        MemattnModel(6, colour="red")


def shops() -> tuple[list[TimeSeries], list[TimeSeries], pd.DataFrame, pd.DataFrame]:
    """Three series with static and future covariates of other sizes, and the same as tables."""
    months = pd.date_range(MONTHS[0], periods=72, freq="MS")
    price = np.random.default_rng(1).normal(size=(3, 72)) * [[1], [10], [100]]
    y = VALUES[:3] - 50 * price[:, :60] / [[1], [10], [100]]
    given, ahead, tables, plans = [], [], [], []
    for k, region in enumerate(("north", "south", "north")):
        static = pd.Series({"region": region, "size": float(k)})
        one = TimeSeries.from_times_and_values(MONTHS, y[k], static_covariates=static)
        given.append(one)
        ahead.append(TimeSeries.from_times_and_values(months, price[k]))
        plans.append(pd.DataFrame({"unique_id": k, "ds": months, "price": price[k]}))
        tables.append(plans[-1][:60].assign(y=y[k], region=region, size=float(k)))
    return given, ahead, pd.concat(tables), pd.concat(plans)


def test_covariates_are_those_of_a_forecaster() -> None:
    given, ahead, table, plan = shops()
    names = {"futr_exog_list": ["price"], "stat_exog_list": ["region", "size"]}
    options = {"steps": 200, "prior": None}
    fitted = Forecaster(6, **names, **options).fit(table)
    assert "price" not in str(fitted.settings["left_out"].value)
    expected = fitted.predict(X_df=plan).memattn
    model = MemattnModel(6, **options).fit(given, future_covariates=ahead)
    found = model.predict(6, given, future_covariates=ahead)
    np.testing.assert_array_equal(np.concatenate([one.values()[:, 0] for one in found]), expected)
    assert found[0].static_covariates.equals(given[0].static_covariates)
    # A series is known again, wherever it stands and however it ends.
    (last,) = model.predict(6, given[2:], future_covariates=ahead[2:])
    np.testing.assert_array_equal(last.values(), found[2].values())
    early = table[table.groupby("unique_id").cumcount() < 50]
    wanted = fitted.predict(early, X_df=plan, h=3).memattn
    window = [one[:50] for one in given[::-1]]
    found = model.predict(3, window, future_covariates=ahead[::-1])[::-1]
    np.testing.assert_array_equal(np.concatenate([one.values()[:, 0] for one in found]), wanted)
    without = given[1].with_static_covariates(None)
    with pytest.raises(ValueError, match=r"with series 1, expected .*'static region'"):
        model.predict(6, [given[0], without], future_covariates=ahead[:2])
    plain = MemattnModel(6, use_static_covariates=False, **OPTIONS).fit(given)
    assert not plain.uses_static_covariates


def test_static_covariates_of_components() -> None:
    static = pd.DataFrame({"kind": ["a", "b"]})
    both = series(*VALUES[:2]).with_static_covariates(static)
    found = MemattnModel(6, **OPTIONS).fit(both).predict(6)
    table = pd.DataFrame({"unique_id": [0] * 60 + [1] * 60, "ds": [*MONTHS] * 2})
    table = table.assign(y=VALUES[:2].ravel(), kind=["a"] * 60 + ["b"] * 60)
    expected = Forecaster(6, stat_exog_list=["kind"], **OPTIONS).fit(table).predict().memattn
    np.testing.assert_array_equal(found.values().T.ravel(), expected)


def test_samples_lie_as_the_quantiles_say() -> None:
    model = MemattnModel(6, **OPTIONS).fit([series(one) for one in VALUES])
    (found,) = model.predict(3, [series(VALUES[0])], num_samples=20_000, random_state=1)
    (again,) = model.predict(3, [series(VALUES[0])], num_samples=20_000, random_state=1)
    np.testing.assert_array_equal(found.all_values(), again.all_values())
    (wanted,) = model.predict(3, [series(VALUES[0])], predict_likelihood_parameters=True)
    for name in ("q0.100", "q0.500", "q0.750"):
        quantile = np.quantile(found.all_values()[:, 0], float(name[1:]), axis=1)
        np.testing.assert_allclose(quantile, wanted[f"0_{name}"].values()[:, 0], rtol=0.03)
    trained = MemattnModel(6, loss="quantile", quantiles=[0.25, 0.5, 0.9], **OPTIONS)
    found = trained.fit(series(VALUES[0])).predict(3, num_samples=5)
    assert found.n_samples == 5


def test_beyond_the_horizon_forecasts_follow_forecasts() -> None:
    y = series(*VALUES[:2])
    model = MemattnModel(6, **OPTIONS).fit(y)
    found, near = model.predict(8), model.predict(6)
    np.testing.assert_array_equal(found[:6].values(), near.values())
    np.testing.assert_array_equal(found[6:].values(), model.predict(2, y.append(near)).values())
    assert list(found.time_index) == list(pd.date_range("2020-01-01", periods=8, freq="MS"))


def test_encoders_are_covariates() -> None:
    encoders = {"datetime_attribute": {"future": ["month"]}}
    months = pd.date_range(MONTHS[0], periods=66, freq="MS")
    plan = pd.DataFrame({"ds": months, "month": months.month})
    y = VALUES + 90 * (plan.month[:60].to_numpy() > 6)
    given = [series(one) for one in y]
    options = {"steps": 200, "prior": None, "season": 1}
    model = MemattnModel(6, input_chunk_length=2, add_encoders=encoders, **options).fit(given)
    found = model.predict(6, given)
    table = pd.concat([plan[:60].assign(unique_id=k, y=y[k]) for k in range(4)])
    fitted = Forecaster(6, futr_exog_list=["month"], **options).fit(table)
    assert "month" not in str(fitted.settings["left_out"].value)
    column = np.concatenate([one.values()[:, 0] for one in found])
    np.testing.assert_array_equal(column, fitted.predict(X_df=plan).memattn)


@pytest.mark.parametrize("clean", [False, True])
def test_saved_and_loaded(clean: bool, tmp_path: Path) -> None:
    y = series(VALUES[0])
    model = MemattnModel(6, **OPTIONS).fit(y)
    model.save(tmp_path / "model.pkl", clean=clean)
    found = MemattnModel.load(tmp_path / "model.pkl")
    np.testing.assert_array_equal(found.predict(6, y).values(), model.predict(6).values())
    assert (str(VALUES[0, 0]) in (tmp_path / "model.pkl").read_text("latin-1")) != clean
    if clean:
        with pytest.raises(RuntimeError, match="saved without its series"):
            found._forecaster.predict()


def test_forecasts_of_the_past_take_covariates_and_samples() -> None:
    given, ahead, _, _ = shops()
    model = MemattnModel(6, **OPTIONS).fit(given, future_covariates=ahead)
    options = {"future_covariates": ahead, "forecast_horizon": 3, "start": 54}
    found = model.historical_forecasts(given, retrain=False, num_samples=4, **options)
    assert [(len(one), one.n_samples) for one in found] == 3 * [(4, 4)]
    errors = model.backtest(given, retrain=True, **options)
    assert len(errors) == 3
    assert np.isfinite(errors).all()


def test_pytorch_is_not_imported() -> None:
    code = "import sys, memattn.forecast.adapters.darts; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
