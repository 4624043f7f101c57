"""Metrics compared with results by hand, and edge cases."""

from fractions import Fraction

import numpy as np
import pytest

from memattn.forecast.metrics import (
    Total,
    mean_defined,
    mean_error,
    series_scales,
    significant,
    skill,
    window_errors,
)


def numbers(count: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(0)
    found = rng.gamma(1, 1, count) * 10.0 ** rng.integers(-12, 12, count)
    return np.append(found, [0.0, 5e-324, 2.2e-308, 1e300, np.nan])


def test_a_total_is_exact_and_rounded_once() -> None:
    known = numbers()[:-1]
    assert Total.of(numbers()).mean == float(sum(map(Fraction, known)) / len(known))
    assert Total.of(known).units == sum(map(Fraction, known)) * 2**1074
    assert Total.of(np.array([1e16, 1.0, 1.0])).mean == (1e16 + 2) / 3


@pytest.mark.parametrize("parts", [1, 2, 7, 500])
def test_totals_of_parts_add_up_to_the_total(parts: int) -> None:
    shuffled = np.random.default_rng(parts).permutation(numbers())
    totals = [Total.of(some) for some in np.array_split(shuffled, parts)]
    assert sum(totals, Total()) == Total.of(numbers())


def test_totals_of_no_number_and_of_infinity() -> None:
    assert Total.of(np.array([np.nan])).mean is None
    assert Total.of(np.array([1.0, np.inf, np.nan])) == Total(2**1074, 2, 1)
    assert Total.of(np.array([1.0, np.inf])).mean == np.inf


def smape(forecast: np.ndarray, truth: np.ndarray) -> float:
    forecast, truth = np.atleast_2d(forecast, truth)
    scale = np.ones(len(truth))
    return float(window_errors(forecast, truth, scale, scale).smape.mean())


def test_smape_equals_the_result_by_hand() -> None:
    forecast, truth = np.array([[1.0, 2.0], [5.0, 0.0]]), np.array([[2.0, 2.0], [2.0, 0.0]])
    assert smape(forecast, truth) == pytest.approx(200 * (1 / 3 + 3 / 7) / 4)


def test_smape_and_skill_of_zeros_are_defined() -> None:
    assert smape(np.zeros((2, 2)), np.zeros((2, 2))) == 0
    assert (skill(1, 0), skill(0, 0), skill(1, 4), skill(None, 1)) == (None, 0, 75, None)


def random_series(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 30, 20)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return rng.normal(size=offsets[-1]).round(1), offsets


@pytest.mark.parametrize("season", [1, 2, 7])
@pytest.mark.parametrize("seed", range(4))
def test_series_scales_equal_those_of_single_series(seed: int, season: int) -> None:
    values, offsets = random_series(seed)
    ends = np.random.default_rng(seed).integers(1, np.diff(offsets) + 1)
    scales = series_scales(values, offsets, season, ends)
    for k, end in enumerate(ends):
        known = values[offsets[k] : offsets[k] + end]
        lag = season if len(known) > season and np.any(known[season:] != known[:-season]) else 1
        if len(known) <= lag:
            assert (scales.absolute[k], scales.squared[k]) == (0, 0)
            continue
        change = known[lag:] - known[:-lag]
        assert scales.absolute[k] == pytest.approx(np.mean(np.abs(change)), rel=1e-12)
        assert scales.squared[k] == pytest.approx(np.mean(np.square(change)), rel=1e-12)


def test_window_errors_equal_those_of_single_windows() -> None:
    rng = np.random.default_rng(1)
    forecast, truth = rng.normal(size=(2, 50, 6))
    truth[3, 4:] = np.nan
    scale, square = rng.gamma(2.0, size=(2, 50))
    errors = window_errors(forecast, truth, scale, square)
    for k in range(50):
        steps = 4 if k == 3 else 6
        error = forecast[k, :steps] - truth[k, :steps]
        mae, mse = np.mean(np.abs(error)), np.mean(np.square(error))
        assert errors.mae[k] == pytest.approx(mae)
        assert errors.smape[k] == pytest.approx(smape(forecast[k, :steps], truth[k, :steps]))
        assert errors.mase[k] == pytest.approx(mae / scale[k])
        assert errors.rmsse[k] == pytest.approx(np.sqrt(mse / square[k]))


def test_window_errors_of_zeros_and_missing_values() -> None:
    nan = np.nan
    forecast = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, nan], [nan, 1.0], [1.0, 1.0]])
    truth = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, nan], [1.0, 1.0], [nan, nan]])
    errors = window_errors(forecast, truth, np.zeros(5), np.zeros(5))
    np.testing.assert_array_equal(errors.mae, [0, 0.5, 0, nan, nan])
    np.testing.assert_array_equal(errors.smape, [0, 100, 0, nan, nan])
    np.testing.assert_array_equal(errors.mase, [0, nan, 0, nan, nan])
    np.testing.assert_array_equal(errors.rmsse, [0, nan, 0, nan, nan])
    assert mean_defined(errors.mae) == (pytest.approx(0.5 / 3), 2)
    assert mean_defined(np.array([nan])) == (None, 1)


def test_a_forecast_of_nan_has_no_error() -> None:
    assert np.isnan(smape(np.array([np.nan, 1.0]), np.array([1.0, 1.0])))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(
            (0, "0.000"),
            (6.17, "6.170"),
            (9.9996, "10.00"),
            (10.6, "10.60"),
            (12345, "12,345"),
            (1e12, "1.000e+12"),
        ),
        *((None, "-"), (np.nan, "-"), (-0.00001, "-1.000e-05"), (np.inf, "-")),
    ],
)
def test_significant_rounds_to_four_digits(value: float | None, text: str) -> None:
    assert significant(value) == text


def test_the_error_of_a_mean_counts_groups() -> None:
    values = np.random.default_rng(0).normal(size=(2, 600))
    alone, groups = mean_error(values, np.arange(600))
    assert groups == 600
    np.testing.assert_allclose(alone, values.std(axis=1) / np.sqrt(600), rtol=1e-12)
    # Repeating every value three times, in groups of three, adds no information.
    again, groups = mean_error(np.repeat(values, 3, axis=1), np.repeat(np.arange(600), 3))
    assert groups == 600
    np.testing.assert_allclose(again, alone, rtol=1e-12)
