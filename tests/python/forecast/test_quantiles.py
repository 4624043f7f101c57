"""The quantile loss: trained levels, calibrated or not, whose bounds never cross."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from memattn._memattn import PanelForecaster
from memattn.forecast import Forecaster, Panel
from memattn.forecast.conformal import (
    calibrate,
    conformal_quantile,
    domain_of,
    interval_ends,
)
from memattn.forecast.data.windows import last_windows
from memattn.forecast.fitting import forecast
from memattn.forecast.intervals import intervals_of

from .panels import flat_panel
from .test_forecaster import ending_together, monthly, numbers, without_last

HORIZON = 4


def noisy(count: int, length: int, seed: int, calm: float = 1.0) -> list[np.ndarray]:
    """Returns positive series around a level; every other one is four times as rough."""
    rng = np.random.default_rng(seed)
    size = np.where(np.arange(count) % 2 == 0, 0.05, 0.2)[:, None] * calm
    return list(np.exp(3 + size * rng.normal(size=(count, length))))


@pytest.fixture(scope="module")
def panel() -> Panel:
    return flat_panel(noisy(300, 40, 1))


@pytest.fixture(scope="module")
def fitted(panel: Panel) -> Forecaster:
    return Forecaster(HORIZON, loss="quantile", level=[95, 50], steps=150).fit(panel)


def column(table: pd.DataFrame, name: str) -> np.ndarray:
    return table[name].to_numpy().reshape(-1, HORIZON)


def test_the_engine_is_trained_for_the_bounds_and_the_median(panel: Panel) -> None:
    forecaster = Forecaster(HORIZON, loss="quantile", level=[95, 50], steps=20, intervals=False)
    table = forecaster.fit(panel).predict(level=[50, 95])
    options = {"horizon": HORIZON, "lookbacks": [32], "min_history": 8, "steps": 20}
    quantiles = [0.025, 0.25, 0.5, 0.75, 0.975]
    engine = PanelForecaster(**options, loss="pinball", quantiles=quantiles)
    engine.fit(panel.values, panel.offsets)
    windows = last_windows(panel)
    expected = engine.predict(panel.values, panel.offsets, windows.series, windows.ends)
    names = ["memattn-lo-95", "memattn-lo-50", "memattn", "memattn-hi-50", "memattn-hi-95"]
    for k, name in enumerate(names):
        np.testing.assert_array_equal(column(table, name), expected[:, k])
    assert (np.diff(expected, axis=1) >= 0).all()
    assert forecaster.settings["levels"].value == (50, 95)


@pytest.mark.parametrize("intervals", [True, False])
def test_coverage_of_future_values_is_near_the_level(
    panel: Panel, fitted: Forecaster, intervals: bool
) -> None:
    """The series have one distribution; without calibration, coverage is only roughly right."""
    forecaster = fitted
    if not intervals:
        forecaster = Forecaster(
            HORIZON, loss="quantile", level=[50, 95], steps=150, intervals=False
        ).fit(panel)
    whole = noisy(600, 40 + HORIZON, 2)
    truth = np.array([one[-HORIZON:] for one in whole])
    known = flat_panel([one[:-HORIZON] for one in whole])
    table = forecaster.predict(level=[50, 95], data=known)
    for level in (50, 95):
        low, high = column(table, f"memattn-lo-{level}"), column(table, f"memattn-hi-{level}")
        covered = 100 * ((low <= truth) & (truth <= high)).mean()
        assert abs(covered - level) <= (6 if intervals else 12), covered
    # Widths follow the roughness of each series.
    width = np.log(column(table, "memattn-hi-95") / column(table, "memattn-lo-95"))
    assert width[1::2].mean() > 2 * width[::2].mean()


def test_bounds_never_cross(fitted: Forecaster) -> None:
    other = flat_panel([*noisy(20, 30, 3, 3.0), np.array([5.0, 6.0]), np.full(20, 2.0)])
    table = fitted.predict(level=[95, 50], data=other)
    names = ["memattn-lo-95", "memattn-lo-50", "memattn", "memattn-hi-50", "memattn-hi-95"]
    ends = np.stack([column(table, name) for name in names])
    assert (np.diff(ends, axis=0) >= 0).all()
    assert (ends > 0).all()


def test_calibration_moves_the_bounds_by_the_ranked_distance() -> None:
    """Compares with conformalised quantile regression by hand: one level widens, one narrows."""
    rng = np.random.default_rng(5)
    panel = flat_panel([np.exp(rng.normal(size=30)) for _ in range(60)])
    held = panel.until(panel.lengths - 1)
    windows = last_windows(held)
    truth = windows.truth(panel, 1)[:, 0]
    ends = np.array([-3.0, -0.1, 0.0, 0.2, 4.0])
    quantiles = np.exp(np.tile(ends[None, :, None], (60, 1, 1)))
    calibration = calibrate(panel, windows, quantiles, levels=(50.0, 90.0))
    after = domain_of(panel, last_windows(panel))
    found = interval_ends(calibration, after, quantiles, [50.0, 90.0], (50.0, 90.0))
    moved = []
    for k, level in ((1, 50.0), (2, 90.0)):
        low, high = ends[2 - k], ends[2 + k]
        distance = np.maximum(low - np.log(truth), np.log(truth) - high)
        np.testing.assert_allclose(calibration.errors[:, k - 1, 0], distance)
        assert (distance < 0).any()
        power = calibration._scores(k - 1, True).power
        scores = distance / calibration.domain.unit(power)
        move = conformal_quantile(scores[:, None], level)[0] * after.unit(power)
        moved.append(np.sign(move[0]))
        expected_high = np.maximum(high + move, 0)
        if k == 2:
            expected_high = np.maximum(expected_high, np.log(found[50.0][1][:, 0]))
        np.testing.assert_allclose(np.log(found[level][1][:, 0]), expected_high, atol=1e-12)
    assert moved == [1, -1]


def test_bounds_that_move_inwards_stop_at_the_forecast() -> None:
    panel = flat_panel([np.exp(0.1 * np.sin(np.arange(30.0) + k)) for k in range(40)])
    held = panel.until(panel.lengths - 1)
    windows = last_windows(held)
    truth = windows.truth(panel, 1)
    wide = np.stack([truth / 50, truth, truth * 2, truth * 3, truth * 90], axis=1)
    calibration = calibrate(panel, windows, wide, levels=(50.0, 90.0))
    after = domain_of(panel, last_windows(panel))
    found = interval_ends(calibration, after, wide, [50.0, 90.0], (50.0, 90.0))
    (low50, high50), (low90, high90) = found[50.0], found[90.0]
    for low, high in found.values():
        assert (low <= wide[:, 2]).all()
        assert (wide[:, 2] <= high).all()
    assert (low90 <= low50).all()
    assert (high50 <= high90).all()


def test_held_out_windows_are_measured_with_trained_bounds(fitted: Forecaster) -> None:
    result = fitted.held_out([50, 95])
    assert result is not None
    for level in (50, 95):
        coverage = result.coverage(level)
        assert coverage is not None
        assert abs(coverage - level) < 6
    low, high = result.intervals[95.0]
    width = np.log(high / low)
    rough = result.windows.series % 2 == 1
    assert np.nanmean(width[rough]) > 2 * np.nanmean(width[~rough])
    np.testing.assert_array_less(low, result.forecasts["memattn"])


def test_levels_that_were_not_trained_are_refused(fitted: Forecaster, panel: Panel) -> None:
    expected = "level: found 80, expected a level that the quantile loss was trained for: 50, 95"
    with pytest.raises(ValueError, match=f"Forecaster.predict: {expected}"):
        fitted.predict(level=[50, 80])
    with pytest.raises(ValueError, match=f"Forecaster.held_out: {expected}"):
        fitted.held_out([80])
    small = Forecaster(HORIZON, loss="quantile", level=[50, 95], steps=2)
    with pytest.raises(ValueError, match=f"Forecaster.cross_validation: {expected}"):
        small.cross_validation(panel, 2, level=[80])
    assert Forecaster(3, loss="quantile").fit(panel.until(panel.lengths // 4)).settings[
        "levels"
    ].value == (80, 95)
    assert "levels" not in Forecaster(3, steps=2).fit(panel).settings


@pytest.mark.parametrize("intervals", [True, False])
def test_cross_validation_equals_forecasts_at_the_cutoff(intervals: bool) -> None:
    frame = ending_together(monthly())
    options = {"loss": "quantile", "steps": 20, "intervals": intervals}
    found = Forecaster(6, **options).cross_validation(frame, 2, step_size=3, level=[80])
    first = found.groupby("unique_id").head(6)
    then = Forecaster(6, **options).fit(without_last(frame, 9)).predict(level=[80])
    np.testing.assert_array_equal(numbers(first), numbers(then))


def test_an_untrained_model_without_calibration_has_no_intervals() -> None:
    values = np.exp(np.random.default_rng(1).normal(size=40).cumsum() / 10)
    calibrated = Forecaster(5, loss="quantile").fit(flat_panel([values]))
    assert calibrated.settings["steps"].value == 0
    table = calibrated.predict(level=[80, 95])
    assert (table["memattn-lo-80"] < table["memattn"]).all()
    bare = Forecaster(5, loss="quantile", intervals=False).fit(flat_panel([values]))
    with pytest.raises(ValueError, match="level: this fit has no intervals: fit with"):
        bare.predict(level=[80])


def test_without_a_calibration_the_trained_quantiles_are_the_bounds(fitted: Forecaster) -> None:
    """This is the state after a training that was stopped before calibration."""
    state = replace(fitted._state("test"), calibration=None)
    forecasts = forecast(state.model, state.panel, last_windows(state.panel))
    found = intervals_of("here", state, forecasts, [50.0, 95.0])
    for k, level in ((1, 50.0), (2, 95.0)):
        np.testing.assert_array_equal(found[level][0], forecasts.quantiles[:, 2 - k])
        np.testing.assert_array_equal(found[level][1], forecasts.quantiles[:, 2 + k])
    calibrated = fitted.predict(level=[95])
    assert (column(calibrated, "memattn-lo-95") != found[95.0][0]).all()
