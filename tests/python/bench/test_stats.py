"""Medians, quartiles, and ratios within a round."""

import pytest
from bench import stats

ROUNDS = [{"a": 2.0, "b": 4.0}, {"a": 20.0, "b": 50.0}, {"a": 3.0, "b": 9.0}, {"a": 5.0}]


def test_quantile_is_linear_between_neighbours() -> None:
    assert stats.quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert stats.quantile([4.0, 1.0], 0.25) == 1.75
    assert stats.quantile([7.0], 0.9) == 7.0
    with pytest.raises(ValueError, match="at least one"):
        stats.quantile([], 0.5)


def test_spread_has_median_quartiles_and_minimum() -> None:
    assert stats.spread([5.0, 1.0, 2.0, 4.0, 3.0]) == stats.Spread(3.0, 2.0, 4.0, 1.0)


def test_ratio_is_taken_within_a_round() -> None:
    # The ratio of the medians would be 9 / 4. The slow second round counts as much as the others.
    assert stats.ratio(ROUNDS, "b", "a").median == 2.5
    assert stats.ratio(ROUNDS, "b", "a").high == 2.75


def test_fastest_ignores_contestants_without_measurements() -> None:
    assert stats.fastest(ROUNDS, ["b", "a", "c"]) == "a"
    assert stats.fastest(ROUNDS, ["c"]) is None
