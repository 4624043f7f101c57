"""Backtests of tables in parts equal those of the whole table: models, forecasts and measures."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget
from memattn.forecast.measured import METHODS

from ...sampling import pairwise
from .pieces import Pieces, in_pieces, pieces

__all__ = ["in_pieces"]
pytestmark = pytest.mark.usefixtures("in_pieces")
LEVELS: dict[str, Any] = {"level": [80, 95]}


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_sample, "BUDGET", Budget(500, 3))


def ragged(count: int = 24) -> pd.DataFrame:
    """Returns monthly series of several lengths and last months, one too short, some with gaps."""
    rng = np.random.default_rng(0)
    parts = []
    for k in range(count):
        rows = 44 + 3 * (k % 5) if k else 2
        last = pd.Timestamp("2020-06-01") - pd.DateOffset(months=k % 4)
        ds = pd.date_range(end=last, periods=rows, freq="MS", unit="us")
        y = (k + 1) * (100 + 30 * np.sin(np.arange(rows) * np.pi / 6) + rng.normal(0, 9, rows))
        part = pd.DataFrame({"unique_id": f"series {k}", "ds": ds, "y": y})
        if k % 6 == 5:
            part = part.drop(index=part.index[[7, rows - 6]])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def counted() -> pd.DataFrame:
    """Returns `ragged` with row numbers for times; each series counts its rows from 1."""
    table = ragged()
    return table.assign(ds=table.groupby("unique_id").cumcount() + 1)


def small(**options: Any) -> Forecaster:
    return Forecaster(**{"horizon": 3, "season": 12, "steps": 5, "members": 2, **options})


def ordered(found: pd.DataFrame, like: pd.DataFrame, *keys: str) -> pd.DataFrame:
    keys = ("unique_id", *keys)
    found = found.sort_values(list(keys)).reset_index(drop=True)
    return found.astype(dict(like.dtypes))


def assert_same_measures(found: Any, expected: Any) -> None:
    assert repr(found) == repr(expected)
    assert len(found) == len(expected)
    for method in METHODS:
        assert found.overall(method) == expected.overall(method)
        assert found.cells(method) == expected.cells(method)
        np.testing.assert_equal(vars(found.by_step(method)), vars(expected.by_step(method)))
    for level in expected.intervals:
        assert found.coverage(level) == expected.coverage(level)
        assert found.coverage_by_step(level) == expected.coverage_by_step(level)
        assert found.covered_windows(level) == expected.covered_windows(level)
    errors = expected.to_frame()
    errors = ordered(errors, errors, "metric")
    rows = ordered(found.to_frame().frame(), errors, "metric")
    pd.testing.assert_frame_equal(rows, errors, check_exact=True)


def name_outside(table: pd.DataFrame) -> str:
    sample = series_sample.sample_of(small().panel(table), 0)
    assert sample is not None
    return next(one for one in table["unique_id"].unique()[1:] if one not in sample.panel.ids)


def early() -> pd.DataFrame:
    """Returns `ragged` with one series, outside the sample, that ends nine months earlier."""
    table = ragged()
    mine = table["unique_id"] == name_outside(table)
    return table.assign(ds=table["ds"].where(~mine, table["ds"] - pd.DateOffset(months=9)))


def long() -> pd.DataFrame:
    """Returns nine series long enough that later windows are calibrated several rows at a time."""
    table, parts = ragged(), []
    for k, (name, rows) in enumerate(table.groupby("unique_id")):
        start = pd.Timestamp("1990-01-01") + pd.DateOffset(months=2 * k)
        ds = pd.date_range(start, periods=180 + 7 * k % 11, freq="MS", unit="us")
        y = np.resize(rows["y"].dropna(), len(ds)) * np.linspace(1, 1 + k, len(ds))
        parts.append(pd.DataFrame({"unique_id": name, "ds": ds, "y": y}))
    return pd.concat(parts[:9], ignore_index=True)


CASES: list[dict[str, Any]] = [
    {"n_windows": 4, "step_size": 2, **LEVELS},
    {"n_windows": 3, "refit": True, **LEVELS},
    {"n_windows": 5, "refit": 2, **LEVELS},
    {"n_windows": 2, "val_size": 4, **LEVELS},
]


@pytest.mark.parametrize(
    ("table", "options", "split"), pairwise([ragged, counted, early], CASES, [(5, 30), (1, 1)])
)
def test_a_backtest_of_parts_equals_that_of_the_table(
    table: Any, options: dict[str, Any], split: tuple[int, int]
) -> None:
    expected = small().backtest(table(), **options)
    assert "sample" in small().fit(table()).settings
    windows = small().cross_validation(table(), **options)
    windows = ordered(windows, windows, "cutoff", "ds")
    parts, groups = split
    given = pieces(table(), parts, groups, seed=parts)
    assert_same_measures(small().backtest(given, **options), expected)
    rows = small().cross_validation(given, **options)
    assert isinstance(rows, Pieces)
    rows = ordered(rows.frame(), windows, "cutoff", "ds")
    pd.testing.assert_frame_equal(rows, windows, check_exact=True)


def test_calibration_several_rows_at_a_time_equals_that_of_the_table() -> None:
    options: dict[str, Any] = {"n_windows": 40, "step_size": 3, "level": [80]}
    expected = small().cross_validation(long(), **options)
    expected = ordered(expected, expected, "cutoff", "ds")
    rows = small().cross_validation(pieces(long(), 3, 40), **options)
    rows = ordered(rows.frame(), expected, "cutoff", "ds")
    pd.testing.assert_frame_equal(rows, expected, check_exact=True)


def test_a_backtest_of_parts_with_trained_quantiles_equals_that_of_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for size in (500, 10**6):
        monkeypatch.setattr(series_sample, "BUDGET", Budget(size, 3))
        options = {"n_windows": 3, "refit": 2, "level": [80]}
        expected = small(loss="quantile").backtest(ragged(), **options)
        found = small(loss="quantile").backtest(pieces(ragged(), 3, 5), **options)
        assert_same_measures(found, expected)


def test_invalid_arguments_are_the_same_errors_as_for_one_table() -> None:
    given = pieces(ragged(), 3, 4)
    with pytest.raises(DataError, match="the longest series has 56 values, expected more"):
        small(horizon=60).backtest(given)
    with pytest.raises(ValueError, match="refit: found 0, expected"):
        small().cross_validation(given, 2, refit=0)
    with pytest.raises(ValueError, match="level: found 50, expected"):
        small(loss="quantile").backtest(given, 2, level=[50])


def with_gap(name: str, first: int, rows: int) -> pd.DataFrame:
    table = ragged()
    place = np.flatnonzero(table["unique_id"] == name)[first : first + rows]
    return table.drop(index=table.index[place])


def test_too_many_missing_rows_are_an_error_with_series_and_row() -> None:
    name = name_outside(ragged())
    table = with_gap(name, 8, 16)
    for one in (table, pieces(table, 3, 4)):
        with pytest.raises(DataError, match=f'series "{name}": found 16 of .* rows missing') as e:
            small().cross_validation(one, 2)
        assert e.value.kind == "too-many-missing"
        assert e.value.column == "ds"
    assert e.value.line == 1  # within its series, in the order of time


def test_missing_rows_after_the_first_cutoff_are_no_error() -> None:
    name = name_outside(ragged())
    table = with_gap(name, 35, 12)  # after the first cutoff: the windows lie in the last 15 rows
    options = {"n_windows": 13}
    expected = small().backtest(table, **options)
    assert_same_measures(small().backtest(pieces(table, 3, 4), **options), expected)


@pytest.mark.parametrize("groups", [1, 4, 40])
def test_series_with_too_many_missing_rows_are_dropped(groups: int) -> None:
    name = name_outside(ragged())
    table = with_gap(name, 8, 16)
    place = np.flatnonzero(table["unique_id"] == "series 7")[-1]
    table.loc[table.index[place], "y"] = np.inf  # after the first cutoff: only this row is dropped
    options = {"n_windows": 3, "step_size": 2, "level": [80]}
    expected = small(on_bad_series="drop").backtest(table, **options)
    assert name not in expected.panel.ids
    found = small(on_bad_series="drop")
    assert_same_measures(found.backtest(pieces(table, 3, groups), **options), expected)
    counts = {note.kind: note.count for note in found.worker_notes}
    assert (counts["bad-series"], counts["bad-rows"]) == (1, 1)
