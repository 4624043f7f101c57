"""Conformal intervals: exact ranks, domains from the past alone, coverage and nesting."""

import math
from dataclasses import replace

import numpy as np
import pytest

from memattn._memattn import RECENT_ROWS
from memattn.forecast.baselines import naive
from memattn.forecast.conformal import (
    FORGOTTEN,
    POWERS,
    SHARED,
    Calibration,
    Domain,
    calibrate,
    conformal_quantile,
    domain_of,
    interval_ends,
    rolling_ends,
)
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.windows import Windows, ages, last_windows, rolling_windows

from .panels import flat_panel

ENOUGH = 20  # scores of a domain; with fewer, those of the other domain are used too


def walks(count: int, length: int, seed: int, positive: bool) -> list[np.ndarray]:
    """Returns random walks, each with its own roughness; positive ones are walks in logs."""
    rng = np.random.default_rng(seed)
    paths = rng.normal(size=(count, length)).cumsum(axis=1) * rng.gamma(2, 0.1, (count, 1))
    if positive:
        return list(np.exp(paths))
    paths -= paths.mean(axis=1, keepdims=True)
    assert (paths.min(axis=1) < 0).all()
    return list(paths)


@pytest.mark.parametrize("level", [0.5, 20, 50, 80, 95, 99.9])
@pytest.mark.parametrize("count", [1, 4, 19, 99])
def test_quantile_is_the_score_of_its_rank(level: float, count: int) -> None:
    scores = np.random.default_rng(3).gamma(1, size=(count, 3))
    scores[: count // 2, 2] = np.nan
    known = [count, count, count - count // 2]
    found = conformal_quantile(scores, level)
    for k in range(3):
        own = max(1, SHARED * (k + 1))
        rank = min(math.ceil(round((known[k] + own) * level / 100, 9)), known[k])
        column = scores[~np.isnan(scores[:, k]), k]
        assert np.count_nonzero(column <= found[k]) == rank
        assert found[k] in column


def test_quantile_of_nothing_is_nan() -> None:
    assert np.isnan(conformal_quantile(np.empty((0, 2)), 80)).all()
    assert np.isnan(conformal_quantile(np.full((5, 2), np.nan), 80)).all()


def test_domain_depends_only_on_the_window() -> None:
    rng = np.random.default_rng(5)
    series = [rng.gamma(2, size=size) for size in (1, 2, 7, 30)]
    series += [rng.normal(size=9), np.array([2.0, 3.0, -1.0, 4.0]), 1e90 * rng.normal(size=8)]
    series += [np.array([1e-3, 2e-3, 0.0]), np.zeros(5), np.full(4, 7.0)]
    panel = flat_panel(series)
    places = [(k, end) for k, one in enumerate(series) for end in range(1, len(one) + 1)]
    found = domain_of(panel, Windows(*np.array(places).T))
    for i, (k, end) in enumerate(places):
        known = series[k][:end]
        assert found.logs[i] == (known > 0).all()
        assert found.least[i] == (-np.inf if (known < 0).any() else 0)
        assert found.change[i] == 1  # no history is longer than the last rows
        values = np.log(known) if found.logs[i] else known
        expected = np.abs(np.diff(values)).mean() if end > 1 else 0.0
        np.testing.assert_allclose(found.roughness[i], expected, rtol=1e-12)


def test_roughness_in_logs_is_over_a_season_if_that_is_less() -> None:
    rng = np.random.default_rng(6)
    rough = np.exp(rng.normal(size=30).cumsum())
    seasonal = np.exp(np.tile(rng.normal(size=4), 8)[:30] + 0.01 * rng.normal(size=30))
    repeated = np.tile([1.0, 2.0, 4.0, 3.0], 5)
    series = [rough, seasonal, repeated, seasonal[:4], seasonal - 1, np.full(9, 2.0)]
    found = domain_of(flat_panel(series, 4), last_windows(flat_panel(series, 4)))

    def change(values: np.ndarray, lag: int) -> float:
        return float(np.abs(values[lag:] - values[:-lag]).mean())

    logs = [np.log(one) for one in series[:4]]
    expected = [change(logs[0], 1), change(logs[1], 4), 0.01 * change(logs[2], 1)]
    expected += [change(logs[3], 1), change(series[4], 1), 0]
    assert change(logs[0], 4) > change(logs[0], 1)
    np.testing.assert_allclose(found.roughness, expected, rtol=1e-12)
    np.testing.assert_allclose(found.unit(0.7)[:4], np.array(expected[:4]) ** 0.7)
    assert found.unit(0.7)[4] == found.roughness[4]


def test_a_thousandfold_step_rules_out_logs() -> None:
    series = [np.array([100, 101, 1e-9, 102]), np.array([1e-9, 100]), np.array([1.0, 999.0])]
    panel = flat_panel([np.array([1e9]), *series])  # the first value of a series is no step
    windows = Windows(np.array([0, 1, 1, 1, 2, 2, 3]), np.array([1, 2, 3, 4, 1, 2, 2]))
    found = domain_of(panel, windows)
    assert found.logs.tolist() == [True, True, False, False, True, False, True]


def test_the_unit_grows_if_the_last_rows_are_rougher_than_the_history() -> None:
    rng = np.random.default_rng(2)
    calm, rough = rng.normal(size=2 * RECENT_ROWS), 9 * rng.normal(size=RECENT_ROWS)
    values = np.concatenate([calm, rough])
    panel = flat_panel([values, np.concatenate([rough, calm]), np.exp(values / 9)], season=4)
    found = domain_of(panel, last_windows(panel))

    def share(lag: int) -> float:
        late = np.abs(values[-RECENT_ROWS:][lag:] - values[-RECENT_ROWS:][:-lag]).mean()
        return float(late / np.abs(values[lag:] - values[:-lag]).mean())

    np.testing.assert_allclose(found.change[[0, 2]], (share(1) * share(4)) ** 0.25)
    assert found.change[0] > 1.3
    assert found.change[1] < 0.8
    assert found.unit(1.0)[0] == found.roughness[0] * found.change[0]


def test_errors_of_a_model_without_logs_are_not_in_logs() -> None:
    panel = flat_panel([np.array([1.0, 3.0, 7.0, 8.0])])
    windows = Windows(np.array([0]), np.array([3]))
    domain = domain_of(panel, windows, logs=False)
    assert (domain.logs.tolist(), domain.roughness.tolist()) == ([False], [3.0])
    calibration = calibrate(panel, windows, np.array([[-2.0]]), logs=False)
    assert calibration.errors.tolist() == [[[10.0]]]
    low, high = interval_ends(calibration, domain, np.array([[1.0]]), [80])[80]
    assert (low.tolist(), high.tolist()) == ([[0.0]], [[11.0]])  # the series was never negative
    below = replace(domain, least=np.array([-np.inf]))
    low, _ = interval_ends(calibration, below, np.array([[1.0]]), [80])[80]
    assert low.tolist() == [[-9.0]]


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("level", [60, 90])
def test_coverage_equals_the_level(positive: bool, level: float) -> None:
    horizon, count = 4, 3000
    panel = flat_panel(walks(2 * count, 40, 11, positive))
    windows = rolling_windows(panel, horizon, 1)
    forecasts = naive(panel, windows, horizon)
    first, second = np.arange(count), np.arange(count, 2 * count)
    past = Windows(windows.series[first], windows.ends[first])
    coming = Windows(windows.series[second], windows.ends[second])
    calibration = calibrate(panel, past, forecasts[first])
    domain = domain_of(panel, coming)
    low, high = interval_ends(calibration, domain, forecasts[second], [level])[level]
    truth = coming.truth(panel, horizon)
    covered = ((low <= truth) & (truth <= high)).mean(axis=0)
    share = level / 100
    # Both the rank among the scores and the share of actual values inside are binomial.
    deviation = math.sqrt(share * (1 - share) * 2 / count)
    assert (np.abs(covered - share) <= 4 * deviation).all(), covered
    # Smooth series have narrower intervals than rough ones.
    width = (high - low)[:, 0] / (np.abs(forecasts[second, 0]) if positive else 1)
    rough = domain.roughness > np.median(domain.roughness)
    assert np.median(width[rough]) > 1.2 * np.median(width[~rough])


def test_levels_nest_around_the_forecast() -> None:
    panel = flat_panel(walks(40, 20, 1, True) + walks(40, 20, 2, False) + [np.zeros(20)])
    windows = rolling_windows(panel, 3, 2)
    calibration = calibrate(panel, windows, naive(panel, windows, 3))
    after = last_windows(panel)
    forecasts = naive(panel, after, 3)
    levels = [0.001, 1.0, 50.0, 80.0, 99.999]
    ends = interval_ends(calibration, domain_of(panel, after), forecasts, levels)
    inner_low = inner_high = forecasts
    for level in levels:
        low, high = ends[level]
        assert (low <= inner_low).all()
        assert (high >= inner_high).all()
        inner_low, inner_high = low, high
    assert (inner_low[:80] < forecasts[:80]).all()
    assert (inner_high[:80] > forecasts[:80]).all()
    np.testing.assert_array_equal(inner_low[80], inner_high[80])  # the unit of its errors is 0
    assert (inner_low[:40] > 0).all()


def test_a_domain_with_few_scores_uses_those_of_the_other() -> None:
    """A single series without logs among many positive ones has intervals in its own unit."""
    panel = flat_panel([*walks(ENOUGH, 30, 1, True), 1000 * walks(1, 30, 2, False)[0]])
    windows = rolling_windows(panel, 2, 1)
    calibration = calibrate(panel, windows, naive(panel, windows, 2))
    after = last_windows(panel)
    domain, forecasts = domain_of(panel, after), naive(panel, after, 2)
    low, high = interval_ends(calibration, domain, forecasts, [50])[50]
    roughness = calibration.domain.roughness
    quantile = conformal_quantile(calibration.errors[:, 0] / roughness[:, None], 50)
    np.testing.assert_allclose((high - low)[-1], 2 * domain.roughness[-1] * quantile)
    np.testing.assert_allclose((high + low)[-1], 2 * forecasts[-1])


def test_the_new_window_counts_more_the_more_steps_ahead() -> None:
    scores = np.repeat(np.arange(100.0)[:, None], 40, axis=1)
    found = conformal_quantile(scores, 80)
    assert found[0] == math.ceil(101 * 0.8) - 1
    assert found[39] == math.ceil((100 + SHARED * 40) * 0.8) - 1


def test_the_quantile_counts_scores_by_weight() -> None:
    scores = np.array([[1.0], [2.0], [3.0], [4.0]])
    weights = np.array([1.0, 1.0, 0.25, 0.25])
    found = [conformal_quantile(scores, level, weights)[0] for level in (20, 28, 57, 58, 65, 71)]
    assert found == [1, 1, 2, 3, 4, 4]  # the weights sum to 2.5, and the new window adds 1


def test_the_chosen_power_of_roughness_fits_the_errors() -> None:
    rng = np.random.default_rng(4)
    roughness = np.exp(rng.normal(size=400) - 4)
    domain = Domain(np.ones(400, bool), roughness, np.ones(400), np.zeros(400))
    for power in POWERS:
        errors = roughness[:, None, None] ** power * np.abs(rng.laplace(size=(400, 1, 6)))
        errors[0, 0, 0], errors[1, 0, 1:] = np.inf, np.nan
        calibration = Calibration(errors, domain, np.ones(400, np.int64), 100.0)
        assert abs(calibration._scores(0, True).power - power) <= 0.1


def test_before_returns_the_errors_known_at_that_time() -> None:
    """The intervals of a window use only the errors known when it begins."""
    panel = flat_panel(walks(3, 60, 5, False))
    windows = rolling_windows(panel, 1, 30)
    forecasts = naive(panel, windows, 4)
    whole = calibrate(panel, windows, forecasts)
    assert whole.age[:30].tolist() == list(range(30, 0, -1))
    cut = panel.until(panel.lengths - 10)
    early = windows.ends < 50
    then = calibrate(cut, Windows(windows.series[early], windows.ends[early]), forecasts[early])
    found = whole.before(10)
    np.testing.assert_array_equal(found.errors, then.errors)
    np.testing.assert_array_equal(found.age, then.age)
    np.testing.assert_array_equal(found.domain.roughness, then.domain.roughness)
    again = then.joined(whole, 10)
    np.testing.assert_array_equal(again.age, np.concatenate([then.age + 10, whole.age]))

    coming = Windows(np.array([0, 1, 1]), np.array([50, 50, 55]))
    domain, points = domain_of(panel, coming), naive(panel, coming, 4)
    low, high = rolling_ends(whole, ages(panel, coming), domain, points, [80])[80]
    first = Domain(*(one[:2] for one in vars(domain).values()))
    expected = interval_ends(then, first, points[:2], [80])[80]
    np.testing.assert_array_equal((low[:2], high[:2]), expected)
    assert not np.array_equal(high[2] - points[2], high[1] - points[1])


def test_bounds_of_some_windows_equal_those_among_all() -> None:
    panel = flat_panel(walks(3, 400, 5, False))
    windows = rolling_windows(panel, 4, 90, 3)
    forecasts = naive(panel, windows, 4)
    calibration = calibrate(panel, windows, forecasts)
    age, domain = ages(panel, windows), domain_of(panel, windows)
    low, high = rolling_ends(calibration, age, domain, forecasts, [80])[80]
    some = np.zeros(len(windows), dtype=bool)
    some[45::7] = True  # windows of each series, but not the oldest
    part = age[some], domain[some], forecasts[some], [80]
    found = rolling_ends(calibration, *part, among=np.unique(age))[80]
    np.testing.assert_array_equal(found, (low[some], high[some]))
    assert not np.array_equal(rolling_ends(calibration, *part)[80], found)


def test_old_errors_are_dropped_after_six_half_lives() -> None:
    domain = Domain(np.zeros(2, bool), np.ones(2), np.ones(2), np.full(2, -np.inf))
    ages_of = np.array([1, 1 + 100 * FORGOTTEN])
    calibration = Calibration(np.array([[[1.0]], [[2.0]]]), domain, ages_of, 100.0)
    assert len(calibration.before(0)) == 2
    assert len(replace(calibration, age=ages_of + np.array([0, 1])).before(0)) == 1


def test_a_non_positive_value_after_positive_ones_is_an_infinite_error() -> None:
    panel = flat_panel([np.array([2.0, 3.0, 0.0]), np.array([2.0, 3.0, 4.0])])
    windows = rolling_windows(panel, 1, 1)
    calibration = calibrate(panel, windows, naive(panel, windows, 1))
    assert calibration.errors[0, 0, 0] == np.inf
    np.testing.assert_allclose(calibration.errors[1, 0, 0], np.log(4 / 3))
    without_logs = calibrate(panel, windows, np.array([[0.0], [-1.0]]))  # forecasts without a log
    assert (without_logs.errors == np.inf).all()


def test_steps_without_a_score_have_no_interval() -> None:
    domain = Domain(np.array([True]), np.array([0.1]), np.ones(1), np.zeros(1))
    calibration = Calibration(np.array([[[0.1, np.nan]]]), domain, np.ones(1, np.int64), 100.0)
    low, high = interval_ends(calibration, domain, np.array([[2.0, 2.0]]), [80])[80]
    assert low[0, 0] < 2 < high[0, 0]
    assert np.isnan([low[0, 1], high[0, 1]]).all()


def test_until_returns_the_panel_as_it_was() -> None:
    panel: Panel = flat_panel([np.arange(5.0), np.arange(3.0), np.arange(4.0)])
    found = panel.until(np.array([2, 0, 4]))
    assert found.ids.tolist() == ["s00000", "s00002"]
    assert found.values.tolist() == [0, 1, 0, 1, 2, 3]
    assert found.offsets.tolist() == [0, 2, 6]
    assert found.last.tolist() == [panel.last[0] - 3, panel.last[2]]
