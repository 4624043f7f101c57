"""What is inferred: season, lookback, split, and how many rows that needs."""

import numpy as np
import pytest

from memattn.errors import DataError
from memattn.forecast.settings import (
    autocorrelation,
    check_length,
    choose_patch_size,
    default_epochs,
    default_lookback,
    infer_season,
    rows_needed,
    split_rows,
)
from memattn.forecast.time_axis import TimeAxis, Unit

HOUR = 3_600_000_000


def axis(unit: Unit, step: int) -> TimeAxis:
    return TimeAxis("time", unit, [0, step], step, ["a", "b"])


def wave(period: int, rows: int = 400) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, 0.2, rows)
    return np.sin(2 * np.pi * np.arange(rows) / period) + noise


@pytest.mark.parametrize(
    ("unit", "step", "season"),
    [
        (Unit.MICROSECOND, HOUR, 24),
        (Unit.MICROSECOND, HOUR // 2, 48),
        (Unit.MICROSECOND, 3 * HOUR, 8),
        (Unit.DAY, 1, 7),
        (Unit.DAY, 7, 52),
        (Unit.MONTH, 1, 12),
        (Unit.MONTH, 3, 4),
        (Unit.ROW, 1, 24),
    ],
)
def test_season_from_spacing(unit: Unit, step: int, season: int) -> None:
    assert infer_season(axis(unit, step), [wave(season)]).rows == season


@pytest.mark.parametrize("unit", [Unit.MICROSECOND, Unit.ROW])
def test_no_season_where_the_values_show_none(unit: Unit) -> None:
    rng = np.random.default_rng(5)
    for values in (rng.normal(size=500), np.cumsum(rng.normal(size=500)), np.full(500, 3.0)):
        found = infer_season(axis(unit, HOUR if unit is Unit.MICROSECOND else 1), [values])
        assert found.rows == 1


def test_too_short_for_a_season() -> None:
    assert infer_season(axis(Unit.MICROSECOND, HOUR), [wave(24, 60)]).rows == 1


def test_autocorrelation_of_extremes() -> None:
    assert autocorrelation(np.full(10, 1e100), 2) == 0
    assert autocorrelation(np.arange(10.0), 2) == 0
    assert autocorrelation(np.tile([1e100, -1e100], 50), 2) == pytest.approx(0.98, abs=0.01)
    assert autocorrelation(np.arange(3.0), 7) == 0


@pytest.mark.parametrize("horizon", [1, 7, 48])
@pytest.mark.parametrize("lookback", [2, 24, 168, 1000])
def test_rows_needed_is_the_smallest_number(lookback: int, horizon: int) -> None:
    def windows(rows: int) -> int:
        return split_rows(rows, horizon).train_end - lookback - horizon + 1

    needed = rows_needed(lookback, horizon)
    assert windows(needed) >= 1
    assert windows(needed - 1) < 1
    check_length(split_rows(needed, horizon), lookback, horizon)
    with pytest.raises(DataError, match=f"expected at least {needed:,} for --lookback"):
        check_length(split_rows(needed - 1, horizon), lookback, horizon)


def test_default_lookback() -> None:
    assert default_lookback(split_rows(8730, 48), 48, 24) == 168
    assert default_lookback(split_rows(144, 12), 12, 12) == 48
    assert default_lookback(split_rows(100_000, 10), 10, 1) == 20
    assert default_lookback(split_rows(10, 1), 1, 1) == 3


def test_patch_size_and_epochs() -> None:
    assert choose_patch_size(168, 24) == 24
    assert choose_patch_size(52, 52) == 6
    assert choose_patch_size(3, 1) == 1
    assert default_epochs(20_307, 64) == 3
    assert default_epochs(10, 16) == 100
    assert default_epochs(10_000_000, 64) == 2
