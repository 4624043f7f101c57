"""Metrics and intervals, by hand and at their edges."""

import numpy as np
import pytest

from memattn.forecast.accuracy_table import significant
from memattn.forecast.intervals import coverage, half_widths, windows_needed
from memattn.forecast.metrics import accuracy, ratio, seasonal_scale, skill, smape


def test_accuracy_by_hand() -> None:
    forecast, truth = np.array([[1.0, 2.0], [5.0, 0.0]]), np.array([[2.0, 2.0], [2.0, 0.0]])
    measured = accuracy(forecast, truth, scale=2.0)
    assert measured.mae == 1.0
    assert measured.rmse == pytest.approx(np.sqrt(10 / 4))
    assert measured.mase == 0.5
    assert measured.smape == pytest.approx(200 * (1 / 3 + 3 / 7) / 4)


def test_zeros_are_defined() -> None:
    zeros = np.zeros((2, 2))
    assert smape(zeros, zeros) == 0
    assert accuracy(zeros, zeros, scale=0.0).mase == 0
    assert accuracy(zeros + 1, zeros, scale=0.0).mase is None
    assert (ratio(1, 0), ratio(0, 0)) == (None, 0)
    assert (skill(1, 0), skill(0, 0), skill(1, 4), skill(None, 1)) == (None, 0, 75, None)


def test_seasonal_scale() -> None:
    assert seasonal_scale(np.array([1.0, 5.0, 2.0, 9.0]), 2) == 2.5


def test_half_widths_are_the_conformal_quantiles() -> None:
    errors = np.arange(1, 100, dtype=float)[:, None] * np.array([1, -2])
    np.testing.assert_array_equal(half_widths(errors, 80), [80, 160])
    np.testing.assert_array_equal(half_widths(errors, 95), [95, 190])
    np.testing.assert_array_equal(half_widths(errors[:3], 95), [3, 6])
    assert (windows_needed(80), windows_needed(95)) == (4, 19)
    assert coverage(errors, half_widths(errors, 80)) == pytest.approx(100 * 80 / 99)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.000"), (6.17, "6.170"), (10.6, "10.60"), (12345, "12,345"), (1e12, "1.000e+12")],
)
def test_significant(value: float, text: str) -> None:
    assert significant(value) == text
