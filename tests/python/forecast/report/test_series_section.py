"""The series that a report shows, and the values and times drawn of each."""

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.data.windows import Windows, with_their_series
from memattn.forecast.evaluation import MODEL, evaluate_held_out
from memattn.forecast.report.series_section import (
    MAX_ROWS,
    error_ratios,
    largest_series,
    series_forecasts,
    times_of,
    worst_series,
)

from ..panels import flat_panel


def test_the_largest_series_are_chosen_by_their_last_rows() -> None:
    panel = flat_panel(
        [
            np.array([100.0, 1, 1]),
            np.array([-5.0]),
            np.array([2.0, 2, 9, -9]),
            np.array([3.0, 3]),
            np.array([0.0, 0, 0]),
        ]
    )
    assert largest_series(panel, 2).tolist() == [2, 1, 3, 0]
    assert largest_series(panel, 3).tolist() == [0, 2, 1, 3]


def test_the_worst_series_have_the_largest_ratios() -> None:
    ratios = np.array([0.5, np.nan, 3.0, 0.7, np.nan, 1.0])
    assert worst_series(ratios).tolist() == [2, 5, 3, 0]
    assert worst_series(ratios, 6).tolist() == [2, 5, 3, 0]
    assert worst_series(np.full(3, np.nan)).tolist() == []


def test_a_constant_series_has_no_ratio() -> None:
    rng = np.random.default_rng(0)
    moving = np.exp(0.1 * rng.normal(size=40).cumsum())
    forecaster = Forecaster(4, steps=5).fit(flat_panel([np.ones(40), moving, moving + 1]))
    evaluation = evaluate_held_out(forecaster._state("test"), [])
    assert evaluation is not None
    ratios = error_ratios(evaluation)
    assert np.isnan(ratios).tolist() == [True, False, False]
    errors = [evaluation.by_series(name).mae[1] for name in (MODEL, "naive")]
    assert ratios[1] == pytest.approx(errors[0] / errors[1])


def test_with_their_series_returns_only_the_series_of_windows() -> None:
    panel = flat_panel([np.arange(k + 1.0) + 10 * k for k in range(5)])
    some, renamed = with_their_series(panel, Windows(np.array([3, 1, 3]), np.array([4, 1, 2])))
    assert some.ids.tolist() == ["s00001", "s00003"]
    assert some.values.tolist() == [10, 11, 30, 31, 32, 33]
    assert renamed.series.tolist() == [1, 0, 1]
    assert renamed.ends.tolist() == [4, 1, 2]


def test_drawn_values_equal_those_of_predict() -> None:
    months = pd.date_range("2015-01-01", periods=60, freq="MS")
    rng = np.random.default_rng(2)
    y = np.exp(3 + 0.3 * np.sin(np.arange(60) * np.pi / 6) + 0.05 * rng.normal(size=(30, 60)))
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat([f"s{k:02d}" for k in range(30)], 60),
            "ds": np.tile(months, 30),
            "y": y.ravel(),
        }
    )
    forecaster = Forecaster(6, steps=20).fit(frame)
    fitted = forecaster._state("test")
    evaluation = evaluate_held_out(fitted, [])
    assert evaluation is not None
    first, second = series_forecasts(fitted, [7, 3], [80.0], evaluation)
    table = forecaster.predict(level=[80]).set_index("unique_id")
    for one, name in ((first, "s07"), (second, "s03")):
        rows = table.loc[name]
        np.testing.assert_array_equal(one.forecast, rows["memattn"])
        np.testing.assert_array_equal(one.ends[80.0][1], rows["memattn-hi-80"])
        assert one.ahead.tolist() == [time.to_pydatetime() for time in rows["ds"]]
        assert one.times.tolist() == months[-48:].to_pydatetime().tolist()
    np.testing.assert_array_equal(first.values, y[7, -48:])
    np.testing.assert_array_equal(first.before, y[7, 48:54])
    assert first.held_out is not None
    assert first.held_out.baseline_name == "seasonal-naive"
    assert first.held_out.times.tolist() == months[-6:].to_pydatetime().tolist()
    np.testing.assert_array_equal(first.held_out.baseline, y[7, 42:48])
    window = np.flatnonzero(evaluation.windows.series == 7)[-1]
    np.testing.assert_array_equal(first.held_out.forecast, evaluation.forecasts[MODEL][window])


def test_a_long_held_out_forecast_is_cut_to_the_figure() -> None:
    walk = np.random.default_rng(5).normal(size=3000).cumsum()
    fitted = Forecaster(700, steps=2).fit(flat_panel([walk]))._state("test")
    evaluation = evaluate_held_out(fitted, [])
    one = series_forecasts(fitted, [0], [], evaluation)[0]
    assert len(one.times) == MAX_ROWS
    assert one.held_out is not None
    assert one.held_out.times.tolist() == one.times.tolist()
    assert evaluation is not None
    np.testing.assert_array_equal(one.held_out.forecast, evaluation.forecasts[MODEL][-1, -600:])


def test_times_are_local() -> None:
    ds = pd.date_range("2024-03-30 22:00", periods=6, freq="h", tz="Europe/Berlin")
    panel = Forecaster(2).fit(pd.DataFrame({"ds": ds, "y": np.arange(6) + 1.0}))._state("t").panel
    found = times_of(panel, 0, np.arange(-5, 1))
    assert found.tolist() == [time.replace(tzinfo=None).to_pydatetime() for time in ds]
    assert times_of(flat_panel([np.ones(3)]), 0, np.array([0, 1])).tolist() == [1000, 1001]
