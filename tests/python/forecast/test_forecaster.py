"""The public calls of a Forecaster: fit, predict and cross_validation, and invalid arguments."""

import _thread
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn._memattn import PanelForecaster
from memattn.errors import DataError
from memattn.forecast import Forecaster, panel_from_frame

from .panels import LIBRARIES, as_library, flat_panel, note, write_csv


def monthly(count: int = 20, length: int = 60, seed: int = 0) -> pd.DataFrame:
    """Returns positive series with a season of 12, each of at least `length` months."""
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(count):
        rows = np.arange(length + k % 5)
        season = 0.3 * np.sin(2 * np.pi * rows / 12 + k)
        y = np.exp(3 + season + 0.03 * rng.normal(size=len(rows)).cumsum())
        ds = pd.date_range("2015-01-01", periods=len(rows), freq="MS")
        parts.append(pd.DataFrame({"unique_id": f"s{k:02d}", "ds": ds, "y": y}))
    return pd.concat(parts, ignore_index=True)


def ending_together(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the series with times shifted, so that all end in December 2019."""
    back = frame.groupby("unique_id").cumcount(ascending=False)
    ends = pd.period_range(end="2019-12", periods=int(back.max()) + 1, freq="M").to_timestamp()
    return frame.assign(ds=ends[::-1][back])


def small(horizon: int = 6, **options: Any) -> Forecaster:
    return Forecaster(horizon, steps=20, **options)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return monthly()


@pytest.fixture(scope="module")
def fitted(frame: pd.DataFrame) -> Forecaster:
    return small().fit(frame)


def numbers(table: Any) -> np.ndarray:
    """Returns the columns of forecasts and bounds of a frame."""
    if isinstance(table, pl.DataFrame):
        table = table.to_pandas()
    return table[[name for name in table.columns if name.startswith("memattn")]].to_numpy()


def without_last(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    return frame[frame.groupby("unique_id").cumcount(ascending=False) >= rows]


@pytest.mark.parametrize("library", LIBRARIES)
def test_predict_returns_a_frame_of_the_datas_library(
    library: str, frame: pd.DataFrame, fitted: Forecaster
) -> None:
    data = as_library(library, frame)
    found = small().fit(data).predict(level=[95, 80])
    assert type(found) is type(data)
    ends = ["memattn-lo-80", "memattn-hi-80", "memattn-lo-95", "memattn-hi-95"]
    assert list(found.columns) == ["unique_id", "ds", "memattn", *ends]
    np.testing.assert_array_equal(numbers(found), numbers(fitted.predict(level=[80, 95])))
    first = found.to_pandas() if library == "polars" else found
    assert first["ds"][:2].tolist() == [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-02-01")]


def test_files_and_panels_give_the_forecasts_of_a_frame(
    frame: pd.DataFrame, fitted: Forecaster, tmp_path: Path
) -> None:
    expected = fitted.predict()
    from_panel = small().fit(panel_from_frame(frame)).predict()
    pd.testing.assert_frame_equal(from_panel, expected)
    columns = {name: frame[name].astype(str).tolist() for name in frame.columns}
    of_file = small().fit(write_csv(tmp_path / "series.csv", columns)).predict()
    times = of_file["ds"].astype(
        expected["ds"].dtype
    )  # pandas 2.0 compares milliseconds as numbers
    pd.testing.assert_frame_equal(of_file.assign(ds=times), expected, check_dtype=False)


def test_forecasts_equal_those_of_the_engine(frame: pd.DataFrame) -> None:
    """Ten members have the five lookbacks twice, as in bench.forecasting."""
    found = small(members=10, seed=3, intervals=False).fit(frame)
    panel = panel_from_frame(frame)
    lookbacks = [18, 24, 36, 48, 60]
    engine = PanelForecaster(
        horizon=6, season=12, lookbacks=lookbacks, seeds=2, min_history=24, steps=20, seed=3
    )
    engine.fit(panel.values, panel.offsets)
    expected = engine.predict(panel.values, panel.offsets, np.arange(20), panel.lengths)
    np.testing.assert_array_equal(found.predict()["memattn"], expected.ravel())


def test_the_same_seed_gives_the_same_bits(frame: pd.DataFrame, fitted: Forecaster) -> None:
    again = small().fit(frame).predict(level=[80])
    pd.testing.assert_frame_equal(again, fitted.predict(level=[80]), check_exact=True)
    assert not np.array_equal(numbers(small(seed=1).fit(frame).predict()), numbers(again)[:, :1])


def test_intervals_nest(fitted: Forecaster) -> None:
    low95, low80, middle, high80, high95 = (
        fitted.predict(level=[80, 95])[name].to_numpy()
        for name in ("memattn-lo-95", "memattn-lo-80", "memattn", "memattn-hi-80", "memattn-hi-95")
    )
    assert (low95 <= low80).all()
    assert (low80 < middle).all()
    assert (middle < high80).all()
    assert (high80 <= high95).all()
    assert note(fitted, "calibration").startswith("intervals are calibrated on the errors of 300")


def test_calibration_errors_are_those_of_a_fit_with_val_size(
    frame: pd.DataFrame, fitted: Forecaster
) -> None:
    """Ten whole windows of each series hold out 15 rows, and a window begins at each of them."""
    held = small().fit(frame, val_size=15)._state("test").calibration
    found = fitted._state("test").calibration
    assert held is not None
    assert found is not None
    np.testing.assert_array_equal(found.errors, held.errors)


@pytest.mark.parametrize("val_size", [0, 6])
def test_coverage_of_future_values_is_the_level(val_size: int) -> None:
    """The walks have one distribution, so held-out and future windows are exchangeable."""
    rng = np.random.default_rng(4)
    walks = np.exp(0.1 * rng.normal(size=(800, 46)).cumsum(axis=1))
    panel = flat_panel(list(walks[:, :-6]))
    forecaster = Forecaster(6, steps=30).fit(panel, val_size=val_size)
    found = forecaster.predict(level=[80])
    truth = walks[:, -6:].ravel()
    covered = (found["memattn-lo-80"] <= truth) & (truth <= found["memattn-hi-80"])
    by_step = covered.to_numpy().reshape(800, 6).mean(axis=0)
    # Both the rank among 800 scores and the share of 800 actual values are binomial.
    assert (np.abs(by_step - 0.8) <= 4 * np.sqrt(0.8 * 0.2 * 2 / 800)).all(), by_step


def test_cross_validation_has_nixtlas_columns_and_windows(frame: pd.DataFrame) -> None:
    found = small().cross_validation(frame, 3, step_size=2, level=[80])
    names = ["unique_id", "ds", "cutoff", "y", "memattn", "memattn-lo-80", "memattn-hi-80"]
    assert list(found.columns) == names
    assert len(found) == 20 * 3 * 6
    one = found[found["unique_id"] == "s00"]
    cutoffs = [pd.Timestamp(day) for day in ("2019-02-01", "2019-04-01", "2019-06-01")]
    assert one["cutoff"].drop_duplicates().tolist() == cutoffs
    merged = found.merge(frame, on=["unique_id", "ds"])
    np.testing.assert_array_equal(merged["y_x"], merged["y_y"])
    assert (found["memattn-lo-80"] < found["memattn"]).all()


def test_cross_validation_equals_forecasts_at_the_cutoff(frame: pd.DataFrame) -> None:
    """The first windows equal forecasts of a forecaster fitted to the rows before them."""
    frame = ending_together(frame)
    found = small().cross_validation(frame, 2, step_size=3, level=[80])
    first = found.groupby("unique_id").head(6)
    known = without_last(frame, 9)
    then = small().fit(known).predict(level=[80])
    assert first["ds"].tolist() == then["ds"].tolist()
    np.testing.assert_array_equal(numbers(first), numbers(then))


@pytest.mark.parametrize("refit", [False, True])
def test_values_after_a_cutoff_do_not_change_its_forecasts(
    frame: pd.DataFrame, refit: bool
) -> None:
    """Values after a cutoff change neither the forecasts from it nor, without refit, the model."""
    frame = ending_together(frame)
    before = small().cross_validation(frame, 2, step_size=6, refit=refit, level=[80])
    changed = frame.copy()
    last = changed.groupby("unique_id").cumcount(ascending=False) < 12
    changed.loc[last, "y"] *= np.random.default_rng(0).gamma(5, 0.2, int(last.sum()))
    after = small().cross_validation(changed, 2, step_size=6, refit=refit, level=[80])
    first = (before.groupby("unique_id").cumcount() < 6).to_numpy()
    np.testing.assert_array_equal(numbers(before)[first], numbers(after)[first])
    assert not np.isclose(numbers(before)[~first], numbers(after)[~first]).all(axis=1).any()


def test_refit_trains_on_all_rows_before_each_window(frame: pd.DataFrame) -> None:
    frame = ending_together(frame)
    once = small().cross_validation(frame, 2, step_size=6)
    anew = small().cross_validation(frame, 2, step_size=6, refit=True)
    first = (once.groupby("unique_id").cumcount() < 6).to_numpy()
    np.testing.assert_array_equal(numbers(once)[first], numbers(anew)[first])
    assert not np.isclose(numbers(once)[~first], numbers(anew)[~first], rtol=1e-9).any()
    last = anew[~first]
    known = without_last(frame, 6)
    then = small(intervals=False).fit(known).predict()
    np.testing.assert_array_equal(last["memattn"], then["memattn"])


def test_cross_validation_does_not_change_the_forecaster(frame: pd.DataFrame) -> None:
    forecaster = small().fit(frame)
    before = forecaster.predict(level=[80])
    forecaster.cross_validation(monthly(3, 50, 9), 2)
    pd.testing.assert_frame_equal(forecaster.predict(level=[80]), before)


def test_cross_validation_leaves_out_windows_of_short_series() -> None:
    """Windows that a series is too short for are left out, and so are series without a window."""
    series = [np.arange(1.0, 7.0), np.arange(1.0, 9.0), np.arange(1.0, 50.0)]
    found = small().cross_validation(flat_panel(series), 3)
    assert found.groupby("unique_id").size().to_dict() == {"s00001": 12, "s00002": 18}
    with pytest.raises(
        ValueError, match="data: the longest series has 6 values, expected more than"
    ):
        small().cross_validation(flat_panel(series[:1]), 3)


def test_val_size_holds_rows_out_of_training(frame: pd.DataFrame) -> None:
    calls: list[tuple[int, int]] = []
    held = small().fit(frame, val_size=8, progress=lambda a, b, _: calls.append((a, b)))
    assert calls[-1] == (20, 20)
    assert "60 windows" in note(held, "calibration")
    known = without_last(frame, 8)
    shorter = small(intervals=False).fit(known)
    expected = shorter.predict(data=frame)
    np.testing.assert_array_equal(held.predict()["memattn"], expected["memattn"])


def test_settings_are_read_only_and_notes_name_the_frequency(fitted: Forecaster) -> None:
    assert fitted.settings["season"].value == 12
    assert str(fitted.settings["steps"]) == "20 (as given)"
    with pytest.raises(TypeError):
        fitted.settings["steps"] = 3  # type: ignore[index]
    assert "every month" in note(fitted, "frequency")


def test_one_short_series_without_a_prior_is_forecast_by_naive2() -> None:
    """One short series is forecast by the untrained engine, and a note says so."""
    values = np.exp(np.random.default_rng(1).normal(size=40).cumsum() / 10)
    forecaster = Forecaster(5, prior=None).fit(flat_panel([values]))
    assert forecaster.settings["steps"].value == 0
    assert "Naive2" in note(forecaster, "untrained")
    found = forecaster.predict(level=[80])
    np.testing.assert_allclose(found["memattn"], values[-1])
    assert (found["memattn-lo-80"] < found["memattn"]).all()


def test_short_and_constant_series_are_forecast_by_their_last_value() -> None:
    rng = np.random.default_rng(2)
    walks = [np.exp(rng.normal(size=40).cumsum() / 10) for _ in range(20)]
    series = [*walks, np.array([5.0, 6.0]), np.array([3.0]), np.full(40, 7.0), np.zeros(40)]
    forecaster = small().fit(flat_panel(series))
    found = forecaster.predict(level=[80])
    by_id = dict(list(found.groupby("unique_id")))
    for name, value in (("s00020", 6), ("s00021", 3), ("s00022", 7), ("s00023", 0)):
        assert (by_id[name]["memattn"] == value).all(), name
    assert np.isfinite(numbers(found)).all()
    for name, value in (("s00021", 3), ("s00022", 7), ("s00023", 0)):
        assert (by_id[name][["memattn-lo-80", "memattn-hi-80"]] == value).all(axis=None), name
    expected = (
        '2 series with fewer than 3 values: forecast by the last value; the first is "s00020"'
    )
    assert note(forecaster, "naive") == expected
    assert note(forecaster, "still").startswith("3 series whose recent values do not change")


@pytest.mark.parametrize("options", [{}, {"loss": "quantile", "level": [80]}])
def test_constant_series_alone_have_intervals_of_width_0(options: dict[str, Any]) -> None:
    forecaster = small(**options).fit(flat_panel([np.full(40, 7.0), np.zeros(30)]))
    found = forecaster.predict(level=[80])
    np.testing.assert_array_equal(numbers(found), np.repeat([7.0, 0.0], 6)[:, None] * np.ones(3))
    assert note(forecaster, "still") == (
        "2 series whose recent values do not change: intervals have width 0"
    )
    walk = np.random.default_rng(0).normal(size=40).cumsum()
    other = forecaster.predict(level=[80], data=flat_panel([walk]))
    assert other["memattn-lo-80"].isna().all()


def test_steps_beyond_the_calibration_windows_have_no_interval() -> None:
    rng = np.random.default_rng(2)
    series = [np.exp(rng.normal(size=9)) for _ in range(30)]
    forecaster = small(12).fit(flat_panel(series))
    found = forecaster.predict(level=[80])
    assert np.isfinite(found["memattn"]).all()
    known = found["memattn-lo-80"].notna().to_numpy().reshape(30, 12)
    np.testing.assert_array_equal(known, np.tile(np.arange(12) < 3, (30, 1)))
    assert "only 3 of 12 steps ahead have an interval" in note(forecaster, "calibration")


def test_a_single_value_is_forecast_without_an_interval() -> None:
    forecaster = Forecaster(3).fit(flat_panel([np.array([4.0])]))
    found = forecaster.predict(level=[80])
    assert found["memattn"].tolist() == [4, 4, 4]
    assert found["memattn-lo-80"].isna().all()


def test_fifty_thousand_short_series_are_forecast() -> None:
    rng = np.random.default_rng(0)
    values = rng.gamma(3, size=(50_000, 12))
    forecaster = Forecaster(3, steps=2).fit(flat_panel(list(values)))
    found = forecaster.predict(level=[80])
    assert len(found) == 150_000
    assert np.isfinite(numbers(found)).all()


def test_predict_forecasts_other_series(frame: pd.DataFrame, fitted: Forecaster) -> None:
    other = monthly(3, 40, 5)
    found = fitted.predict(level=[80], data=other)
    assert found["unique_id"].drop_duplicates().tolist() == ["s00", "s01", "s02"]
    pd.testing.assert_frame_equal(fitted.predict(data=frame), fitted.predict())
    renamed = fitted.predict(data=other.rename(columns={"ds": "month"}))
    assert renamed.rename(columns={"month": "ds"}).equals(fitted.predict(data=other))
    daily = other.copy()
    daily["ds"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(
        other.groupby("unique_id").cumcount(), unit="D"
    )
    with pytest.raises(DataError, match=r"row 1 \(2020-01-01\), expected one row every month as"):
        fitted.predict(data=daily)


def test_calls_before_fit_raise() -> None:
    forecaster = Forecaster(3)
    expected = r"Forecaster\.\w+: this Forecaster is not fitted; call fit\(\) first"
    for use in (forecaster.predict, lambda: forecaster.settings, lambda: forecaster.save("x")):
        with pytest.raises(RuntimeError, match=expected):
            use()
    assert repr(forecaster) == "Forecaster(horizon=3): not fitted"


def test_levels_are_checked_and_deduplicated(fitted: Forecaster) -> None:
    plain = fitted.predict()
    for none in (None, [], ()):
        pd.testing.assert_frame_equal(fitted.predict(level=none), plain)
    repeated = fitted.predict(level=[80, 80.0, np.float64(80), np.int64(80)])
    assert list(repeated.columns)[3:] == ["memattn-lo-80", "memattn-hi-80"]
    assert "memattn-lo-97.5" in fitted.predict(level=(97.5,)).columns
    pd.testing.assert_frame_equal(fitted.predict(level=80), fitted.predict(level=[80]))
    for level in ("80", b"80", object()):
        with pytest.raises(TypeError, match=r"level: found .*, expected a list of percentages"):
            fitted.predict(level=level)  # type: ignore[arg-type]
    for nonsense in (["80"], [True], [None], [[80]], [1j]):
        with pytest.raises(TypeError, match="expected numbers in percent"):
            fitted.predict(level=nonsense)  # type: ignore[arg-type]
    for outside in (0, 100, -5, 101, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected numbers between 0 and 100"):
            fitted.predict(level=[outside])
    with pytest.raises(ValueError, match=r"found 0\.8, expected a percentage; write 80 for 80 %"):
        fitted.predict(level=[0.8])
    with pytest.raises(ValueError, match="at most six digits"):
        fitted.predict(level=[80.000001])
    with pytest.raises(ValueError, match="level: this fit has no intervals: fit with"):
        small(intervals=False).fit(monthly(3)).predict(level=[80])


def test_invalid_arguments_are_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="val_size: found 3, expected 0 or at least horizon = 6"):
        small().fit(frame, val_size=3)
    with pytest.raises(ValueError, match=r"cross_validation: n_windows: found 0"):
        small().cross_validation(frame, 0)
    with pytest.raises(ValueError, match=r"cross_validation: step_size: found 0"):
        small().cross_validation(frame, 1, step_size=0)
    with pytest.raises(TypeError, match=r"found a value of type list, expected a data frame"):
        small().fit([1, 2])  # type: ignore[arg-type]


def test_progress_counts_the_steps_of_both_trainings(frame: pd.DataFrame) -> None:
    calls: list[tuple[int, int, float]] = []
    small().fit(frame, progress=lambda *now: calls.append(now))
    steps = [step for step, _, _ in calls]
    assert steps == sorted(steps)
    assert {20, 40} <= set(steps)
    assert {total for _, total, _ in calls} == {40}


def test_progress_counts_the_steps_of_all_windows(frame: pd.DataFrame) -> None:
    calls: list[tuple[int, int]] = []
    small().cross_validation(
        frame, 3, refit=True, level=[80], progress=lambda a, b, _: calls.append((a, b))
    )
    assert [step for step, _ in calls] == sorted(step for step, _ in calls)
    assert {total for _, total in calls} == {3 * 2 * 20}
    assert calls[-1] == (120, 120)


def test_false_from_progress_ends_the_training(frame: pd.DataFrame) -> None:
    endless = Forecaster(6, steps=10**6).fit(frame, progress=lambda *_: False)
    assert len(endless.predict()) == 120
    assert note(endless, "stopped") == "training was stopped early by the progress callback"
    with pytest.raises(ValueError, match="let the training end"):
        endless.predict(level=[80])
    later = small().fit(frame, progress=lambda step, *_: step < 40 and None)
    assert len(later.predict(level=[80])) == 120


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_first_fit_leaves_the_forecaster_unfitted(frame: pd.DataFrame) -> None:
    forecaster = Forecaster(6, steps=10**6)
    timer = threading.Timer(0.2, _thread.interrupt_main)
    latest = time.monotonic() + 30
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        forecaster.fit(frame, progress=lambda *_: time.monotonic() < latest)
    timer.join()
    with pytest.raises(RuntimeError, match="not fitted"):
        forecaster.predict()


def test_an_interrupted_fit_keeps_the_earlier_fit(frame: pd.DataFrame) -> None:
    forecaster = small().fit(frame)
    before = forecaster.predict(level=[80])

    def interrupt(step: int, *_: object) -> None:
        if step > 20:  # in the second training
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forecaster.fit(monthly(5, 40, 8), progress=interrupt)
    pd.testing.assert_frame_equal(forecaster.predict(level=[80]), before)


def test_backtest_measures_the_table_of_cross_validation(frame: pd.DataFrame) -> None:
    options = {"n_windows": 2, "step_size": 3, "level": [80]}
    result = small().backtest(frame, **options)
    table = small().cross_validation(frame, **options)
    np.testing.assert_array_equal(result.forecasts["memattn"].ravel(), table["memattn"])
    np.testing.assert_array_equal(result.truth.ravel(), table["y"])
    inside = table["y"].between(table["memattn-lo-80"], table["memattn-hi-80"])
    assert result.coverage(80.0) == pytest.approx(100 * inside.mean())
    error = (table["memattn"] - table["y"]).abs().mean()
    assert result.overall("memattn").mae == pytest.approx(error)


def test_held_out_measures_the_held_out_windows(fitted: Forecaster, tmp_path: Path) -> None:
    result = fitted.held_out([80])
    assert result is not None
    assert len(result) == 200
    assert 0 < result.overall("memattn").mase < result.overall("naive").mase
    assert 50 < result.coverage(80.0) <= 100
    fitted.save(tmp_path / "m")
    assert Forecaster.load(tmp_path / "m").held_out([80]) is None  # a file does not keep it


def test_forecasts_returns_the_table_of_predict_as_arrays(fitted: Forecaster) -> None:
    found, table = fitted.forecasts(level=80), fitted.predict(level=80)
    np.testing.assert_array_equal(found.values.ravel(), table["memattn"])
    np.testing.assert_array_equal(found.intervals[80.0][1].ravel(), table["memattn-hi-80"])
    assert fitted.is_calibrated


def test_panel_reads_data_as_predict_does(fitted: Forecaster, frame: pd.DataFrame) -> None:
    assert fitted.panel(frame).lengths.tolist() == panel_from_frame(frame).lengths.tolist()
    with pytest.raises(DataError, match="expected one row every month as in training"):
        fitted.panel(pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=9), "y": 1.0}))


@pytest.mark.parametrize(
    ("series", "length", "windows"), [(1, 3000, 298), (1, 500, 164), (40, 3000, 125), (40, 60, 5)]
)
def test_long_series_calibrate_on_a_tenth_of_their_rows(
    series: int, length: int, windows: int
) -> None:
    """At most 5,000 windows of all series calibrate; short series have 200 together."""
    rng = np.random.default_rng(0)
    panel = flat_panel([rng.normal(size=length) for _ in range(series)])
    result = Forecaster(3, steps=1).fit(panel).held_out()
    assert result is not None
    assert len(result) == series * windows
