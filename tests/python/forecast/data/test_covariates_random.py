"""Random cells of covariates give valid `Covariates` or a DataError."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.errors import DataError
from memattn.forecast.data.covariates import Covariates
from memattn.forecast.data.future_rows import with_future
from memattn.forecast.data.panel import Panel, panel_from_file, panel_from_frame

from ..panels import write_csv

NUMBERS = ["0", "1", "2.5", "-3", "1e3"]
WORDS = ["sale", "none", "new", "é", "two words"]
ODD = ["", None, "nan", "inf", "1e200", "True", "2024-01-01", "n/a", " ", "x"]
AHEAD = 2


def random_column(rng: np.random.Generator, count: int) -> list[Any]:
    """Returns numbers, words or booleans, and a few cells of other kinds."""
    usual = [NUMBERS, WORDS, ["True", "False"]][rng.integers(3)]
    column = list(rng.choice(np.array(usual, object), count))
    for row in rng.integers(count, size=rng.integers(0, 3)):
        column[row] = ODD[rng.integers(len(ODD))]
    return column


def random_cells(rng: np.random.Generator) -> dict[str, list[Any]]:
    """Returns one or two series of days, some with covariates after the end."""
    table: dict[str, list[Any]] = {name: [] for name in ("unique_id", "ds", "y")}
    for name in ("a", "b")[: rng.integers(1, 3)]:
        count, more = int(rng.integers(3, 8)), int(rng.integers(0, 4))
        table["unique_id"] += [name] * (count + more)
        table["ds"] += [f"2024-02-{day:02d}" for day in range(20, 20 + count + more)]
        table["y"] += [str(k) for k in range(count)] + [""] * more
    for name in ("known", "past", "fixed"):
        table[name] = random_column(rng, len(table["y"]))
    if rng.random() < 0.8:
        table["fixed"] = [{"a": "n", "b": "s"}[one] for one in table["unique_id"]]
    return table


def check(panel: Panel) -> None:
    covariates = panel.covariates
    assert covariates is not None
    assert covariates.values.shape == (len(panel.values) + AHEAD * len(panel), 3)
    assert covariates.values.dtype == np.float64
    ahead = covariates.ahead_rows(panel.offsets)
    assert np.isnan(covariates.values[ahead, 1]).all()
    for column, values in zip(covariates.columns, covariates.values.T, strict=True):
        given = values[~np.isnan(values)]
        assert (np.abs(given) <= 1e100).all()
        assert list(column.categories) == sorted(set(column.categories))
        if column.categories:
            assert np.isin(given, np.arange(-1, len(column.categories))).all()
    fixed = np.split(covariates.values[:, 2], covariates.starts(panel.offsets)[1:-1])
    assert all(len(np.unique(one)) == 1 for one in fixed)


def assert_same(found: Covariates | None, expected: Covariates | None) -> None:
    assert found is not None
    assert expected is not None
    assert found.columns == expected.columns
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize("seed", range(80))
def test_random_covariates_are_valid_or_a_data_error(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = random_cells(rng)
    text = {name: [cell or "" for cell in column] for name, column in table.items()}
    lists: dict[str, Any] = {"futr_exog_list": ["known"], "hist_exog_list": ["past"]}
    lists |= {"stat_exog_list": ["fixed"], "ahead": AHEAD, "freq": "D"}
    path = write_csv(tmp_path / "table.csv", text)
    sources: list[Any] = [
        lambda **more: panel_from_frame(pd.DataFrame(table), **lists, **more),
        lambda **more: panel_from_frame(pd.DataFrame(table, dtype=object), **lists, **more),
        lambda **more: panel_from_frame(pl.DataFrame(table), **lists, **more),
        lambda **more: panel_from_file(path, **lists, **more),
    ]
    made, refusals = [], []
    for source in sources:
        try:
            panel = source()
        except DataError as error:
            refusals.append(error)
            continue
        check(panel)
        check(panel.until(np.maximum(panel.lengths - 2, 1)))
        assert_same(source(like=panel).covariates, panel.covariates)
        made.append(panel)
    assert not (made and refusals)
    for panel in made[1:]:
        assert_same(panel.covariates, made[0].covariates)
    for error in refusals:
        assert "found" in error.problem
        assert "expected" in error.problem
        assert error.column in ("known", "past", "fixed")
        assert error.kind == refusals[0].kind


@pytest.mark.parametrize("seed", range(80))
def test_random_rows_ahead_are_valid_or_a_data_error(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds: list[Any] = [[1.0, 2, 3, 4], ["sale", "none", "new", "sale"], [True, False, True, True]]
    past = pd.DataFrame({"ds": pd.date_range("2024-02-01", periods=4), "y": 1.0})
    past["known"] = kinds[rng.integers(3)]
    panel = panel_from_frame(past, futr_exog_list="known", ahead=AHEAD)
    days = rng.permutation(["2024-02-05", "2024-02-06", "2024-02-07", "2024-02-04"])
    table: dict[str, list[Any]] = {"ds": days.tolist(), "known": random_column(rng, 4)}
    if rng.random() < 0.2:
        table["ds"][0] = rng.choice(["soon", "", "7", "2024-02-05T01:00", "2024-02-06"])
    text = {name: [cell or "" for cell in column] for name, column in table.items()}
    path = write_csv(tmp_path / "future.csv", text)
    made, refusals = [], []
    for future in (pd.DataFrame(table), pl.DataFrame(table), path):
        try:
            made.append(with_future(panel, future, AHEAD).covariates)
        except DataError as error:
            refusals.append(error)
    assert not (made and refusals)
    for covariates in made:
        assert_same(covariates, made[0])
        assert covariates is not None
        assert not np.isnan(covariates.values).any()
    for error in refusals:
        assert "X_df" in str(error)
        assert error.column in ("ds", "known")
        assert error.kind == refusals[0].kind
