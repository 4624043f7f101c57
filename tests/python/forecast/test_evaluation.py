"""The accuracy of windows, by hand, by step and by series, and coverage on held-out windows."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.windows import Windows, rolling_windows
from memattn.forecast.evaluation import (
    MODEL,
    Evaluation,
    evaluate,
    evaluate_held_out,
    separate_windows,
    warnings_of,
)
from memattn.forecast.fitting import HeldOut
from memattn.forecast.forecaster_settings import Setting
from memattn.forecast.measured import METHODS

from .panels import flat_panel


def two_series() -> Panel:
    return flat_panel([np.array([1.0, 3, 2, 4, 6, 5]), np.array([10.0, 20, 10, 20])], season=2)


def two_windows() -> Windows:
    return Windows(np.array([0, 1]), np.array([4, 3]))  # the second has one actual value of two


def evaluated(**ends: Any) -> Any:
    forecasts = np.array([[5.0, 5.0], [30.0, 99.0]])
    intervals = {80.0: (forecasts - 1, forecasts + ends.get("up", 1))}
    return evaluate(two_series(), two_windows(), forecasts, intervals)


def test_errors_equal_results_by_hand() -> None:
    model, seasonal, naive = (evaluated().overall(name) for name in METHODS)
    # Series 0 has the seasonal differences 1 and 1 before the window. Series 1 has only one of 0,
    # so that its differences by row count, 10 and 10.
    assert model.mae == pytest.approx((0.5 + 10) / 2)
    assert model.mase == pytest.approx((0.5 / 1 + 10 / 10) / 2)
    assert model.rmsse == pytest.approx((np.sqrt(0.5) + 1) / 2)
    assert model.smape == pytest.approx((200 * 1 / 11 / 2 + 200 * 10 / 50) / 2)
    assert seasonal.mae == pytest.approx(((4 + 1) / 2 + 0) / 2)
    assert naive.mae == pytest.approx(((2 + 1) / 2 + 10) / 2)
    assert model.unscaled == 0


def test_errors_by_step_and_by_series_equal_results_by_hand() -> None:
    result = evaluated()
    steps = result.by_step(MODEL)
    np.testing.assert_allclose(steps.mae, [(1 + 10) / 2, 0])
    np.testing.assert_allclose(steps.rmsse, [1, 0])
    series = result.by_series(MODEL)
    np.testing.assert_allclose(series.mase, [0.5, 1])
    once = evaluate(two_series(), Windows(np.array([1]), np.array([3])), np.ones((1, 2)))
    np.testing.assert_array_equal(np.isnan(once.by_series(MODEL).mae), [True, False])


def test_means_by_step_and_by_series_average_to_the_overall_error() -> None:
    rng = np.random.default_rng(0)
    panel = flat_panel([rng.normal(size=30) for _ in range(5)], season=4)
    windows = rolling_windows(panel, 6, 4)
    result = evaluate(panel, windows, rng.normal(size=(len(windows), 6)))
    for name in METHODS:
        for measure in ("mae", "smape", "mase"):
            overall = getattr(result.overall(name), measure)
            assert np.mean(getattr(result.by_step(name), measure)) == pytest.approx(overall)
            assert np.mean(getattr(result.by_series(name), measure)) == pytest.approx(overall)


def test_measures_of_zeros_and_constants_are_defined() -> None:
    panel = flat_panel([np.zeros(6), np.full(6, 4.0)])
    windows = Windows(np.array([0, 1]), np.array([4, 4]))
    result = evaluate(panel, windows, np.array([[0.0, 0.0], [4.0, 5.0]]))
    found = result.overall(MODEL)
    assert (found.mase, found.rmsse, found.unscaled) == (0, 0, 1)
    assert found.smape == pytest.approx(200 / 9 / 4)
    assert result.overall("naive").mase == 0
    only = evaluate(panel, Windows(np.array([1]), np.array([4])), np.array([[4.0, 5.0]]))
    assert only.overall(MODEL).mase is None


def test_coverage_counts_actual_values_with_an_interval() -> None:
    result = evaluated()
    assert result.coverage(80.0) == pytest.approx(100 * 2 / 3)
    assert result.coverage_by_step(80.0) == [50, 100]
    assert result.covered_windows(80.0) == 2
    assert evaluated(up=-0.5).coverage(80.0) == pytest.approx(0)
    low = np.array([[np.nan, 0.0], [np.nan, 0.0]])
    some = evaluate(two_series(), two_windows(), np.ones((2, 2)), {80.0: (low, low + 9)})
    assert some.coverage_by_step(80.0) == [None, 100]
    assert some.covered_windows(80.0) == 1


def test_shapes_are_checked() -> None:
    panel, windows = two_series(), two_windows()
    with pytest.raises(ValueError, match=r"forecasts: found shape \(1, 2\), expected \(W = 2"):
        evaluate(panel, windows, np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"intervals\[80\]: found shape \(2, 3\)"):
        evaluate(panel, windows, np.ones((2, 2)), {80.0: (np.ones((2, 2)), np.ones((2, 3)))})
    with pytest.raises(ValueError, match="windows: is empty"):
        evaluate(panel, Windows(np.array([], int), np.array([], int)), np.ones((0, 2)))


def held_out(
    panel: Panel, horizon: int, windows: int, forecasts: np.ndarray, logs: bool = True
) -> Any:
    return SimpleNamespace(
        panel=panel,
        settings={"logs": Setting(logs, "")},
        held_out=HeldOut(rolling_windows(panel, horizon, windows), forecasts),
    )


def walks(series: int, length: int) -> Panel:
    rng = np.random.default_rng(4)
    return flat_panel([rng.normal(size=length).cumsum() for _ in range(series)])


def test_late_windows_are_calibrated_on_early_ones() -> None:
    """Of 60 windows of 5 steps, 28 are early, 28 are late, and 4 share values with both."""
    panel = walks(1, 200)
    windows = rolling_windows(panel, 5, 60)
    forecasts = windows.truth(panel, 5) + 1
    late = windows.ends >= windows.ends[0] + 32
    forecasts[late] += 1  # twice as wrong: no actual value is inside
    fitted = held_out(panel, 5, 60, forecasts)
    result = evaluate_held_out(fitted, [80.0])
    assert result.calibrated_on == "earlier windows of the series"
    assert result.covered_windows(80.0) == 28
    np.testing.assert_array_equal(~np.isnan(result.intervals[80.0][0][:, 0]), late)
    forecasts[~late & (windows.ends > windows.ends[0] + 27)] += 1e9  # in between: not used
    forecasts[late] -= 1
    assert evaluate_held_out(fitted, [80.0]).coverage(80.0) > 0


def test_series_are_calibrated_on_other_series() -> None:
    panel = walks(40, 30)
    windows = rolling_windows(panel, 5, 1)
    forecasts = windows.truth(panel, 5) + 1
    result = evaluate_held_out(held_out(panel, 5, 1, forecasts), [80.0])
    assert result.calibrated_on == "windows of other series"
    assert result.covered_windows(80.0) == 40
    forecasts[::2] += 1e6  # never inside; the others always are
    assert evaluate_held_out(held_out(panel, 5, 1, forecasts), [80.0]).coverage(80.0) == 50


def test_a_model_without_logs_is_calibrated_without_logs() -> None:
    """Such a model may forecast negative values, whose errors are then finite."""
    rng = np.random.default_rng(4)
    panel = flat_panel([5 + rng.random(30) for _ in range(40)])
    forecasts = -rolling_windows(panel, 5, 1).truth(panel, 5)
    for logs in (True, False):
        result = evaluate_held_out(held_out(panel, 5, 1, forecasts, logs), [80.0])
        low, high = result.intervals[80.0]
        assert np.isfinite(high).all() != logs
        # No value was negative, so bounds do not fall below 0 or the forecast.
        assert logs or ((high > forecasts).all() and (low == forecasts).all())


def test_too_few_windows_have_no_coverage() -> None:
    panel = walks(3, 60)
    result = evaluate_held_out(held_out(panel, 5, 6, np.ones((18, 5))), [80.0])
    assert (result.calibrated_on, result.coverage(80.0)) == ("", None)
    assert result.overall(MODEL).mae > 0


def test_the_held_out_windows_of_a_fit_are_evaluated() -> None:
    rng = np.random.default_rng(1)
    days = pd.date_range("2024-01-01", periods=120)
    frames = [
        pd.DataFrame({"unique_id": f"s{k}", "ds": days, "y": rng.normal(size=120)})
        for k in range(3)
    ]
    forecaster = Forecaster(3, season=7, steps=5).fit(pd.concat(frames))
    fitted = forecaster._fitted
    assert fitted is not None
    result = evaluate_held_out(fitted, [80, 95])
    assert result is not None
    assert len(result) == len(fitted.held_out.windows)
    assert 50 < result.coverage(80) <= result.coverage(95) <= 100
    assert evaluate_held_out(replace(fitted, held_out=None), [80]) is None


def perfect(panel: Panel, horizon: int, windows: Windows, error: float = 0.0) -> Evaluation:
    return evaluate(panel, windows, windows.truth(panel, horizon) + error)


def test_separate_windows_counts_windows_that_share_no_value() -> None:
    panel = walks(2, 30)
    assert separate_windows(perfect(panel, 5, rolling_windows(panel, 5, 1))) == 2
    assert separate_windows(perfect(panel, 5, rolling_windows(panel, 5, 5))) == 2
    assert separate_windows(perfect(panel, 5, rolling_windows(panel, 5, 6))) == 4
    assert separate_windows(perfect(panel, 5, rolling_windows(panel, 5, 3, step_size=5))) == 6


def test_warnings_name_weak_accuracy_and_weak_evidence() -> None:
    panel = walks(20, 30)
    windows = rolling_windows(panel, 5, 1)
    assert warnings_of(perfect(panel, 5, windows)) == []
    assert warnings_of(perfect(panel, 5, windows, error=99.0)) == [
        "naive was more accurate on these windows: use it, or add more data"
    ]
    still = flat_panel([np.ones(30), *([np.arange(30.0)] * 9)], season=4)
    found = warnings_of(perfect(still, 5, rolling_windows(still, 5, 1), error=99.0))
    assert found == [
        "seasonal-naive was more accurate on these windows: use it, or add more data",
        "MASE and RMSSE leave out 1 window of series with a constant history",
    ]
    one = walks(1, 30)
    assert warnings_of(perfect(one, 5, rolling_windows(one, 5, 5))) == [
        "only 1 non-overlapping window: the evidence is weak"
    ]


@pytest.mark.parametrize(("level", "share", "warned"), [(80, 75, 0), (80, 74, 1), (95, 91, 1)])
def test_a_warning_names_intervals_that_are_too_narrow(level: int, share: int, warned: int) -> None:
    panel = walks(100, 30)
    windows = rolling_windows(panel, 5, 1)
    truth = windows.truth(panel, 5)
    inside = (np.arange(100) < share)[:, None]
    high = np.where(inside, truth + 1, truth - 1)
    result = evaluate(panel, windows, truth, {float(level): (truth - 2, high)})
    held = f"{level} % intervals contained only {share} % of these values"
    told = f"{held}: they are probably too narrow"
    assert warnings_of(result) == [told][:warned]
