"""Covariates of series from a separate table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.errors import DataError
from memattn.forecast.data.covariates import Covariate, Covariates
from memattn.forecast.data.panel import Panel, panel_from_frame

from ..panels import note

NAN = float("nan")
LISTS: dict[str, Any] = {"stat_exog_list": ["region", "size"], "ahead": 2}


def sales(ids: Any = ("a", "b", "c")) -> pd.DataFrame:
    ds = pd.date_range("2024-01-01", periods=4)
    parts = [pd.DataFrame({"unique_id": name, "ds": ds, "y": 1.0}) for name in ids]
    return pd.concat(parts, ignore_index=True)


def static(ids: Any = ("c", "a", "b"), **columns: Any) -> pd.DataFrame:
    found = {"unique_id": list(ids), "region": ["s", "n", "s"], "size": [3.0, 1.0, 2.0]}
    return pd.DataFrame(found | columns)


def covariates_of(panel: Panel) -> Covariates:
    assert panel.covariates is not None
    return panel.covariates


def of_series(panel: Panel) -> np.ndarray:
    """Returns the values of each series; checks that they are the same in all of its rows."""
    found = covariates_of(panel)
    rows = found.values.reshape(len(panel), -1, len(found.columns))
    np.testing.assert_array_equal(rows, np.repeat(rows[:, :1], rows.shape[1], axis=1))
    return rows[:, 0]


@pytest.mark.parametrize(
    "source", [lambda table: table, pl.from_pandas, lambda t: t.set_index("unique_id")]
)
def test_rows_of_a_frame_are_matched_by_id(source: Callable[[pd.DataFrame], Any]) -> None:
    panel = panel_from_frame(sales(), static_df=source(static()), **LISTS)
    expected = Covariate("region", "stat", ("n", "s")), Covariate("size", "stat")
    assert covariates_of(panel).columns == expected
    np.testing.assert_array_equal(of_series(panel), [[0, 1], [1, 2], [1, 3]])
    assert covariates_of(panel).values.shape == (3 * 6, 2)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_of_a_file_are_matched_by_id(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"static.{ending}"
    static().to_csv(path, index=False) if ending == "csv" else static().to_parquet(path)
    panel = panel_from_frame(sales(), static_df=path, **LISTS)
    np.testing.assert_array_equal(of_series(panel), [[0, 1], [1, 2], [1, 3]])


def test_ids_that_are_numbers_are_matched(tmp_path: Path) -> None:
    path = tmp_path / "static.csv"
    static((10, 7, 9)).to_csv(path, index=False)
    panel = panel_from_frame(sales((7, 9, 10)), static_df=path, **LISTS)
    np.testing.assert_array_equal(of_series(panel), [[0, 1], [1, 2], [1, 3]])


def test_columns_may_be_in_the_data_or_in_the_table() -> None:
    table = sales().assign(size=[1.0] * 4 + [2.0] * 4 + [3.0] * 4, region="in the table", price=5)
    panel = panel_from_frame(
        table, static_df=static().drop(columns="size"), futr_exog_list="price", **LISTS
    )
    assert [one.name for one in covariates_of(panel).columns] == ["price", "region", "size"]
    found = covariates_of(panel).values.reshape(3, 6, 3)
    np.testing.assert_array_equal(found[:, 0], [[5, 0, 1], [5, 1, 2], [5, 1, 3]])


def test_other_series_are_ignored() -> None:
    panel = panel_from_frame(sales(("a", "c")), static_df=static(), **LISTS)
    np.testing.assert_array_equal(of_series(panel), [[0, 1], [1, 3]])
    text = 'static_df has 1 series that the data lacks, first "b": ignored'
    assert note(panel, "other-ids") == text


def test_one_series_needs_no_id() -> None:
    table = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=4), "y": 1.0})
    panel = panel_from_frame(table, static_df=pd.DataFrame({"region": ["n"], "size": [2]}), **LISTS)
    np.testing.assert_array_equal(of_series(panel), [[0, 2]])


def test_series_of_a_wide_table_are_matched() -> None:
    ds = pd.date_range("2024-01-01", periods=4)
    table = pd.DataFrame({"date": ds, "b": 1.0, "a": 2.0, "c": 3.0})
    panel = panel_from_frame(table, static_df=static(), **LISTS)
    np.testing.assert_array_equal(of_series(panel), [[1, 2], [0, 1], [1, 3]])


def test_empty_cells_are_noted() -> None:
    table = static(region=["s", None, "s"], size=[3.0, 1.0, NAN])
    panel = panel_from_frame(sales(), static_df=table, **LISTS)
    np.testing.assert_array_equal(of_series(panel), [[-1, 1], [0, NAN], [0, 3]])
    texts = [one.text for one in panel.notes if one.kind == "missing-static"]
    assert texts == [f'"{name}" is empty in 1 series, first "{k}"' for name, k in
                     (("region", "a"), ("size", "b"))]  # fmt: skip


def test_categories_are_those_of_fit() -> None:
    fit = panel_from_frame(sales(), static_df=static(), **LISTS)
    table = static(region=["s", "n", "w"])
    panel = panel_from_frame(sales(), static_df=table, like=fit, **LISTS)
    assert covariates_of(panel).columns == covariates_of(fit).columns
    np.testing.assert_array_equal(of_series(panel), [[0, 1], [-1, 2], [1, 3]])
    assert note(panel, "unknown-categories").endswith("that fit has not seen in 1 series")


def test_bad_series_need_no_row() -> None:
    table = sales(("a", "b", "d"))
    table.loc[table.unique_id == "d", "y"] = np.inf
    panel = panel_from_frame(table, static_df=static(), on_bad_series="drop", **LISTS)
    np.testing.assert_array_equal(of_series(panel), [[0, 1], [1, 2]])


# The table, kind, row (from 1), column, words of the message.
BROKEN: dict[str, tuple[pd.DataFrame, str, int | None, str | None, str]] = {
    "an id twice": (static(("a", "b", "a")), "duplicate-id", 3, "unique_id", "here and in row 1"),
    "no row": (static(("a", "b", "d")), "missing-id", None, None, 'has no row for series "c"'),
    "no rows": (static().head(0), "missing-id", None, None, 'series "a" and 2 more'),
    "an empty id": (static(("a", None, "c")), "missing-id", 2, "unique_id", "the id is missing"),
    "no ids": (static().rename(columns={"unique_id": "id"}), "missing-column", None, "unique_id",
               'no column "unique_id"'),
    "one row without ids": (static().drop(columns="unique_id").head(1), "missing-column", None,
                            None, "a row for each of 3 series"),
    "no such column": (static()[["unique_id"]], "missing-column", None, "region",
                       'no column "region"'),
    "text in numbers": (static(size=["3", "big", "2"]), "not-a-number", 2, "size", '"big"'),
    "infinity": (static(size=[1.0, 2.0, np.inf]), "not-finite", 3, "size", "found inf"),
    "too large": (static(size=[1.0, -1e101, 2.0]), "too-large", 2, "size", "-1e+101"),
    "dates": (static(size=pd.date_range("2024", periods=3)), "not-a-covariate", None, "size",
              "expected numbers, booleans or text"),
    "ids of fractions": (static((0.5, 1.5, 2.5)), "mixed-ids", None, "unique_id", "the type"),
    "a column twice": (pd.concat([static(), static()[["size"]]], axis=1), "duplicate-column", None,
                       "size", "there are two columns"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_invalid_tables_are_refused(name: str) -> None:
    table, kind, row, column, words = BROKEN[name]
    with pytest.raises(DataError) as caught:
        panel_from_frame(sales(), static_df=table, **LISTS)
    error = caught.value
    assert (error.kind, error.line, error.column) == (kind, row, column)
    assert words in str(error)
    assert "static_df" in str(error)


def test_errors_in_a_file_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "static.csv"
    static(size=["3", "big", "2"]).to_csv(path, index=False)
    words = r"static.csv, line 3, column .size.: static_df: found .big."
    with pytest.raises(DataError, match=words):
        panel_from_frame(sales(), static_df=path, **LISTS)


def test_a_column_that_neither_table_has_is_refused() -> None:
    with pytest.raises(DataError, match=r"stat_exog_list: found no column .size.; the columns are"):
        panel_from_frame(sales(), static_df=static().drop(columns="size"), **LISTS)


def test_a_table_without_a_list_is_refused() -> None:
    with pytest.raises(DataError, match="needs stat_exog_list=, which names its columns"):
        panel_from_frame(sales(), static_df=static())


@pytest.mark.parametrize("table", [3, [1], {"region": ["n"]}, np.zeros(3)])
def test_arguments_that_are_not_tables_are_type_errors(table: Any) -> None:
    with pytest.raises(TypeError, match=r"static_df: found .*, expected a data frame or the path"):
        panel_from_frame(sales(), static_df=table, **LISTS)
