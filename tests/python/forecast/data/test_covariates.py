"""Covariates equal those of plain pandas, in every kind of table and cut at a cutoff."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from memattn.forecast.data.arrow_columns import ArrowColumns
from memattn.forecast.data.covariates import Covariate, Covariates
from memattn.forecast.data.panel import Panel, panel_from_file, panel_from_frame
from memattn.forecast.data.panel_files import read_columns
from memattn.forecast.data.windows import Rolling

from ..panels import assert_same, note

FUTR, HIST, STAT = ["price", "promo", "kind"], ["visits", "weather"], ["region", "size"]
LISTS: dict[str, Any] = {"futr_exog_list": FUTR, "hist_exog_list": HIST, "stat_exog_list": STAT}
NAN = float("nan")


def random_table(seed: int, ahead: int, holes: int = 2) -> pd.DataFrame:
    """Returns shuffled series of days with missing and repeated rows, and some rows ahead."""
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(int(rng.integers(1, 6))):
        length, more = int(rng.integers(16, 30)), int(rng.integers(0, ahead + 3))
        count = length + more
        y = rng.gamma(2.0, size=count)
        y[rng.integers(1, length - 1)] = NAN
        y[length:] = NAN
        ds = pd.date_range("2024-01-01", periods=count) + pd.Timedelta(days=int(rng.integers(9)))
        part = pd.DataFrame({"unique_id": f"s{k}", "ds": ds, "y": y})
        part["price"] = rng.normal(size=count)
        part["promo"] = rng.random(count) < 0.3
        part["kind"] = rng.choice(["none", "sale", "new"], count)
        part["visits"] = np.where(rng.random(count) < 0.2, NAN, rng.normal(size=count))
        part["weather"] = rng.choice(np.array(["wet", "dry", None], object), count)
        part["region"] = rng.choice(["north", "south"])
        part["size"] = rng.normal()
        gone = rng.choice(np.arange(2, length - 1), holes, replace=False)
        parts.append(part.drop(index=gone))
    table = pd.concat(parts, ignore_index=True)
    table = pd.concat([table, table.sample(3, random_state=seed)])
    return table.sample(frac=1.0, random_state=seed).reset_index(drop=True)


def expected_covariates(table: pd.DataFrame, ahead: int) -> np.ndarray:
    """Returns the covariates of a table of days, by reindexing each series."""
    table = table.copy()
    for name in ("kind", "weather", "region"):
        categories = sorted(table[name].dropna().unique())
        table[name] = pd.Categorical(table[name], categories).codes
        table[name] = table[name].astype(float).where(table[name] >= 0)
    parts = []
    for _, part in table.drop_duplicates().groupby("unique_id"):
        given = part[part.y.notna()].ds
        rows = part.set_index("ds").sort_index()
        grid = pd.date_range(given.min(), given.max() + pd.Timedelta(days=ahead))
        found = rows.reindex(grid)
        found.loc[grid > given.max(), HIST] = NAN
        for name in STAT:
            found[name] = rows[name].iloc[0]
        parts.append(found[[*FUTR, *HIST, *STAT]].astype(float))
    return pd.concat(parts).to_numpy()


def covariates_of(panel: Panel) -> Covariates:
    assert panel.covariates is not None
    return panel.covariates


def as_duckdb(table: pd.DataFrame) -> Any:
    return duckdb.connect().from_df(table)


def as_categories(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({"kind": "category", "weather": "category", "promo": "boolean"})


def as_polars_categories(table: pd.DataFrame) -> pl.DataFrame:
    kind = pl.Enum(["sale", "none", "new"])
    return pl.from_pandas(table).cast({"kind": kind, "weather": pl.Categorical})


def as_arrow_categories(table: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(as_categories(table), preserve_index=False)


FRAMES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda table: table,
    "pandas-objects": lambda table: table.astype(object),
    "pandas-categories": as_categories,
    "polars": pl.from_pandas,
    "polars-lazy": lambda table: pl.from_pandas(table).lazy(),
    "polars-categories": as_polars_categories,
    "pyarrow": lambda table: pa.Table.from_pandas(table, preserve_index=False),
    "pyarrow-dictionaries": as_arrow_categories,
    "duckdb": as_duckdb,
}


@pytest.mark.parametrize("seed", range(25))
def test_covariates_equal_those_of_pandas(seed: int) -> None:
    ahead = seed % 4
    table = random_table(seed, ahead)
    panel = panel_from_frame(table, ahead=ahead, **LISTS)
    found = covariates_of(panel)
    assert [column.name for column in found.columns] == [*FUTR, *HIST, *STAT]
    assert [column.role for column in found.columns] == ["futr"] * 3 + ["hist"] * 2 + ["stat"] * 2
    np.testing.assert_array_equal(found.values, expected_covariates(table, ahead))
    assert_same(panel, panel_from_frame(table))


@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_of_frame_has_the_same_covariates(kind: str) -> None:
    table = random_table(3, 4)
    expected = covariates_of(panel_from_frame(table, ahead=4, **LISTS))
    found = covariates_of(panel_from_frame(FRAMES[kind](table), ahead=4, **LISTS))
    assert found.columns == expected.columns
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize("ending", ["csv", "parquet", "categories.parquet"])
def test_files_have_the_same_covariates(tmp_path: Path, ending: str) -> None:
    table, path = random_table(3, 4), tmp_path / f"table.{ending}"
    if ending == "csv":
        table.to_csv(path, index=False)
    else:
        (as_categories(table) if ending.startswith("cat") else table).to_parquet(path)
    expected = covariates_of(panel_from_frame(table, ahead=4, **LISTS))
    found = covariates_of(panel_from_file(path, ahead=4, **LISTS))
    assert found.columns == expected.columns
    np.testing.assert_array_equal(found.values, expected.values)


def test_a_large_file_has_the_same_covariates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, path = random_table(3, 4), tmp_path / "table.csv"
    table.to_csv(path, index=False)
    expected = covariates_of(panel_from_file(path, ahead=4, **LISTS))
    monkeypatch.setattr("memattn.forecast.data.panel_files.ARROW_BYTES", 0)
    assert isinstance(read_columns(path), ArrowColumns)
    found = covariates_of(panel_from_file(path, ahead=4, **LISTS))
    assert found.columns == expected.columns
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize("seed", range(5))
def test_until_keeps_the_past_and_covariates_known_ahead(seed: int) -> None:
    table = random_table(seed, 5)
    panel = panel_from_frame(table, ahead=5, **LISTS)
    ends = np.maximum(panel.lengths - 4, 0) * (np.arange(len(panel)) % 3 > 0)
    cut = panel.until(ends)
    whole, found = covariates_of(panel), covariates_of(cut)
    starts, cut_starts = whole.starts(panel.offsets), found.starts(cut.offsets)
    kept = np.flatnonzero(ends)
    assert len(cut) == len(kept)
    assert cut_starts[-1] == len(found.values)
    for k, series in enumerate(kept):
        mine = found.values[cut_starts[k] : cut_starts[k + 1]]
        expected = whole.values[starts[series] : starts[series + 1]][: len(mine)].copy()
        expected[-5:, 3:5] = NAN
        np.testing.assert_array_equal(mine, expected)
    again = covariates_of(panel)
    assert again.values is whole.values
    np.testing.assert_array_equal(again.values, expected_covariates(table, 5))


def test_until_of_all_rows_changes_nothing() -> None:
    panel = panel_from_frame(random_table(1, 5), ahead=5, **LISTS)
    found = covariates_of(panel.until(panel.lengths))
    np.testing.assert_array_equal(found.values, covariates_of(panel).values)


def test_one_series_may_have_columns_of_other_names() -> None:
    table = pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=6),
            "sales": [1.0, 2, 3, 4, NAN, NAN],
            "price": [9.0, 8, 7, 6, 5, 4],
            "promo": [True, False, False, True, True, False],
        }
    )
    lists: dict[str, Any] = {"futr_exog_list": ["price", "promo"], "ahead": 2}
    panel = panel_from_frame(table, target_col="sales", **lists)
    assert panel.values.tolist() == [1, 2, 3, 4]
    expected = table[["price", "promo"]].to_numpy(float)
    np.testing.assert_array_equal(covariates_of(panel).values, expected)
    assert "left out" not in note(panel, "wide")
    renamed = panel_from_frame(table.rename(columns={"sales": "y"}), **lists)
    np.testing.assert_array_equal(covariates_of(renamed).values, expected)
    assert renamed.ids.tolist() == ["y"]


def test_a_wide_table_has_the_same_covariates_for_all_series() -> None:
    table = pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=6),
            "north": [1.0, 2, 3, 4, NAN, NAN],
            "south": [NAN, 2.0, 3, 4, 5, NAN],
            "price": [9.0, 8, 7, 6, 5, 4],
            "visits": [1.0, NAN, 3, 4, 5, NAN],
        }
    )
    panel = panel_from_frame(table, futr_exog_list="price", hist_exog_list="visits", ahead=1)
    assert panel.ids.tolist() == ["north", "south"]
    assert covariates_of(panel).columns == (Covariate("price", "futr"), Covariate("visits", "hist"))
    expected = [[9, 1], [8, NAN], [7, 3], [6, 4], [5, NAN], [8, NAN], [7, 3], [6, 4], [5, 5]]
    np.testing.assert_array_equal(covariates_of(panel).values, [*expected, [4, NAN]])


def small(**columns: Any) -> pd.DataFrame:
    """Returns six days of one series with more columns."""
    ds = pd.date_range("2024-01-01", periods=6)
    return pd.DataFrame({"ds": ds, "y": np.arange(1.0, 7), **columns})


@pytest.mark.parametrize(
    ("cells", "values", "categories"),
    [
        ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], ()),
        (["1", "2", "3", "", "n/a", "6.5"], [1, 2, 3, NAN, NAN, 6.5], ()),
        ([True, False, None, True, True, True], [1, 0, NAN, 1, 1, 1], ()),
        (["TRUE", "False", "true", "", "false", None], [1, 0, 1, NAN, 0, NAN], ()),
        (["b", " a", "a ", "b", "", None], [1, 0, 0, 1, NAN, NAN], ("a", "b")),
        (["none", "A", "none", "A", "nan", "A"], [1, 0, 1, 0, NAN, 0], ("A", "none")),
        (pd.Categorical([1, 2, 1, 2, 10, None]), [0, 2, 0, 2, 1, NAN], ("1", "10", "2")),
        (pd.Categorical(list("121212")), [0, 1, 0, 1, 0, 1], ("1", "2")),
        ([None] * 6, [NAN] * 6, ()),
        (["é", "z", "Z", "é", "z", "Z"], [2, 1, 0, 2, 1, 0], ("Z", "z", "é")),
    ],
)
def test_cells_become_numbers_or_categories(
    cells: Any, values: list[float], categories: tuple[str, ...]
) -> None:
    panel = panel_from_frame(small(x=cells), hist_exog_list=["x"])
    found = covariates_of(panel)
    assert found.columns == (Covariate("x", "hist", categories),)
    np.testing.assert_array_equal(found.values[:, 0], values)


def test_categories_are_those_of_fit() -> None:
    lists: dict[str, Any] = {"futr_exog_list": ["x"], "hist_exog_list": ["z"], "ahead": 2}
    fit = panel_from_frame(small(x=list("abcabc"), z=1.0), **lists)
    later = panel_from_frame(small(x=["b", "d", "12", "c", "c", "d"], z="2"), like=fit, **lists)
    found = covariates_of(later)
    assert found.columns == covariates_of(fit).columns
    assert found.values[:6, 0].tolist() == [1, -1, -1, 2, 2, -1]
    text = '"x" has categories that fit has not seen in 3 rows'
    assert note(later, "unknown-categories") == text


def test_a_static_covariate_may_be_empty_in_some_rows_or_all() -> None:
    table = pd.DataFrame(
        {
            "unique_id": list("aaabbb"),
            "ds": [*pd.date_range("2024-01-01", periods=3)] * 2,
            "y": 1.0,
            "region": ["n", None, "n", None, None, None],
            "size": [NAN, NAN, NAN, NAN, 3.0, NAN],
        }
    )
    panel = panel_from_frame(table, stat_exog_list=["region", "size"], ahead=1)
    expected = [[0, NAN]] * 4 + [[-1, 3]] * 4
    np.testing.assert_array_equal(covariates_of(panel).values, expected)
    texts = [one.text for one in panel.notes if one.kind == "missing-static"]
    assert texts == [
        '"region" is empty in 1 series, first "b"',
        '"size" is empty in 1 series, first "a"',
    ]


def test_a_panel_without_lists_has_no_covariates() -> None:
    panel = panel_from_frame(small(x=1.0), futr_exog_list=None, hist_exog_list=(), ahead=3)
    assert panel.covariates is None
    assert panel.until(np.array([3])).covariates is None


def test_rows_after_the_last_value_without_a_covariate_are_cut_off() -> None:
    table = small(x=[1.0, 2, 3, 4, 5, NAN])
    table.loc[4:, "y"] = NAN
    panel = panel_from_frame(table, futr_exog_list="x", ahead=2)
    np.testing.assert_array_equal(covariates_of(panel).values[:, 0], [1, 2, 3, 4, 5, NAN])
    assert note(panel, "future-rows") == (
        "1 row after the last value of 1 series, first row 5 (2024-01-05): used for covariates "
        "over the horizon"
    )
    assert note(panel, "ends").startswith("1 row without a value after the last value")


def test_rows_after_the_last_value_may_have_gaps() -> None:
    table = small(x=[1.0, 2, 3, NAN, 5, 6], z=1.0)
    table.loc[3:, "y"] = NAN
    panel = panel_from_frame(table.drop(index=4), futr_exog_list="x", hist_exog_list="z", ahead=3)
    expected = [[1, 1], [2, 1], [3, 1], [NAN, NAN], [NAN, NAN], [6, NAN]]
    np.testing.assert_array_equal(covariates_of(panel).values, expected)
    assert note(panel, "gaps") == ""
    assert note(panel, "future-rows").startswith(
        "1 row after the last value of 1 series, first row 5"
    )


FREQUENCIES = [
    ("h", "Europe/Oslo"),
    ("h", None),
    ("D", "America/New_York"),
    ("MS", None),
    ("ME", None),
]
FREQUENCIES += [("B", None), ("QS", None), ("15min", "Asia/Kolkata"), ("W-SUN", None)]


@pytest.mark.parametrize(("freq", "zone"), FREQUENCIES)
def test_covariates_lie_on_the_grid_of_any_frequency(freq: str, zone: str | None) -> None:
    rng = np.random.default_rng(7)
    ds = pd.date_range("2024-03-29", periods=40, freq=freq, tz=zone)
    table = pd.DataFrame({"ds": ds, "y": rng.gamma(2.0, size=40), "price": rng.normal(size=40)})
    table.loc[34:, "y"] = NAN
    gone = [3, 9, 36]
    panel = panel_from_frame(table.drop(index=gone), futr_exog_list="price", ahead=5)
    expected = table.price.to_numpy()[:39].copy()
    expected[gone] = NAN
    np.testing.assert_array_equal(covariates_of(panel).values[:, 0], expected)


@pytest.mark.parametrize("seed", range(5))
def test_a_backtest_reads_the_same_covariates(seed: int) -> None:
    table = random_table(seed, 3, holes=1)
    held = Rolling(horizon=2, n_windows=1, step_size=1)
    panel = panel_from_frame(table, ahead=3, held=held, **LISTS)
    np.testing.assert_array_equal(covariates_of(panel).values, expected_covariates(table, 3))


def test_index_levels_may_be_times_and_covariates() -> None:
    table = small(x=np.arange(6.0), z=1.0)
    panel = panel_from_frame(table.set_index("ds"), futr_exog_list="x", hist_exog_list="z")
    np.testing.assert_array_equal(covariates_of(panel).values, table[["x", "z"]])
    panel = panel_from_frame(table.set_index(["ds", "x"]), futr_exog_list="x", hist_exog_list="z")
    np.testing.assert_array_equal(covariates_of(panel).values, table[["x", "z"]])


def test_bad_covariates_drop_their_series() -> None:
    table = pd.concat([small(x=1.0).assign(unique_id=name) for name in "abc"], ignore_index=True)
    table.loc[8, "x"] = np.inf
    table.loc[15, "x"] = -np.inf
    panel = panel_from_frame(table, futr_exog_list="x", on_bad_series="drop", freq="D")
    assert panel.ids.tolist() == ["a"]
    assert covariates_of(panel).values.tolist() == [[1.0]] * 6
    assert note(panel, "bad-series").startswith("2 series left out")
