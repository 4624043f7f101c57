"""Invalid covariates are refused with the reason, the row and the column."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.errors import DataError
from memattn.forecast.data.panel import panel_from_file, panel_from_frame
from memattn.forecast.data.windows import Rolling

NAN, INF = float("nan"), float("inf")
DAYS = pd.date_range("2024-01-01", periods=4)
AHEAD = 2


def table(**columns: Any) -> pd.DataFrame:
    """Returns series a of four days, and series b of two days and two with covariates only."""
    found: dict[str, Any] = {"unique_id": [*"aaaabbbb"], "ds": [*DAYS] * 2}
    found["y"] = [1.0, 2, 3, 4, 5, 6, NAN, NAN]
    found |= {
        "price": np.arange(8.0),
        "kind": [*"xyxyxyxy"],
        "visits": 1.0,
        "region": [*"nnnnssss"],
    }
    return pd.DataFrame(found | columns)


def numbers(row: int, cell: Any) -> list[Any]:
    """Returns numbers with `cell` in a row, counted from 1."""
    return [*range(row - 1), cell, *range(row, 8)]


FUTR: dict[str, Any] = {"futr_exog_list": ["price"]}
KIND: dict[str, Any] = {"futr_exog_list": ["kind"]}
HIST: dict[str, Any] = {"hist_exog_list": ["visits"]}
STAT: dict[str, Any] = {"stat_exog_list": ["region"]}
TESTED: dict[str, Any] = {"held": Rolling(AHEAD, 1, 1)}  # rows in which forecasts are made
NO_TEXT = [f"{k}" for k in range(8)]

# The table, the lists, kind, row (from 1), column, words of the message.
Broken = tuple[pd.DataFrame, dict[str, Any], str, int | None, str | None, str]
CELLS: dict[str, Broken] = {
    "no number known ahead": (
        table(price=numbers(3, NAN)), FUTR | TESTED, "missing-covariate", 3, "price",
        'series "a": found an empty cell at 2024-01-03, expected a number',
    ),
    "none in the row after the end": (
        table(price=numbers(8, NAN)), FUTR | {"futr_exog_list": ["price", "visits"]},
        "missing-covariate", 8, "price", 'series "b"',
    ),
    "no text known ahead": (
        table(price=[*NO_TEXT[:3], "", *NO_TEXT[4:]]), FUTR | TESTED, "missing-covariate", 4,
        "price",
        "expected a number",
    ),
    "no category known ahead": (
        table(kind=["x", "y", None, *"yxyxy"]), KIND | TESTED, "missing-covariate", 3, "kind",
        "expected a category; use a word such as none",
    ),
    "half a row after the end": (
        table(price=numbers(7, NAN)), {"futr_exog_list": ["price", "kind"]}, "missing-covariate", 7,
        "price", 'series "b": found an empty cell at 2024-01-03, expected a number',
    ),
    "text in numbers": (
        table(price=[*NO_TEXT[:5], "cheap", *NO_TEXT[6:]]), FUTR, "not-a-number", 6, "price",
        'found "cheap"',
    ),
    "text in past numbers": (
        table(visits=[*NO_TEXT[:2], "many", *NO_TEXT[3:]]), HIST, "not-a-number", 3, "visits",
        'found "many"',
    ),
    "text in static numbers": (
        table(region=[*NO_TEXT[:7], "n"]), STAT, "not-a-number", 8, "region", 'found "n"',
    ),
    "a boolean among numbers": (
        table(price=pd.Series(numbers(3, True), dtype=object)), FUTR, "not-a-number", 3, "price",
        "True",
    ),
    "a decimal comma": (
        table(price=[*NO_TEXT[:3], "3,5", *NO_TEXT[4:]]), FUTR, "not-a-number", 4, "price", "point",
    ),
    "infinity": (table(price=numbers(3, INF)), FUTR, "not-finite", 3, "price", "found inf"),
    "minus infinity": (
        table(visits=numbers(4, -INF)), HIST, "not-finite", 4, "visits", "found -inf",
    ),
    "infinity after the end": (
        table(price=numbers(8, INF)), FUTR, "not-finite", 8, "price", "found inf",
    ),
    "infinity as text": (
        table(price=[*NO_TEXT[:3], "inf", *NO_TEXT[4:]]), FUTR, "not-finite", 4, "price", '"inf"',
    ),
    "too large": (table(price=numbers(2, 1e101)), FUTR, "too-large", 2, "price", "found 1e+101"),
    "too large in the past": (
        table(visits=numbers(6, -2e100)), HIST, "too-large", 6, "visits", "rescale it",
    ),
    "too large for every row": (
        table(region=1e300), STAT, "too-large", 1, "region", "at most 1e+100",
    ),
    "a static number that changes": (
        table(region=[1, 1, 2, 1, 3, 3, 3, 3]), STAT, "not-constant", 3, "region",
        'series "a": found 2 in row 3 (2024-01-03) and 1 in row 1 (2024-01-01), expected one value',
    ),
    "a static category that changes": (
        table(region=[*"nnnnssns"]), STAT, "not-constant", 7, "region",
        'found "n" in row 7 (2024-01-03) and "s" in row 5',
    ),
    "dates": (table(price=[*DAYS] * 2), FUTR, "not-a-covariate", None, "price", "type datetime"),
    "dates as text": (
        table(price=[f"2024-0{k}-01" for k in range(1, 9)]), FUTR, "not-a-covariate", 1, "price",
        'found the date "2024-01-01", expected numbers, booleans or categories; pass calendar=True',
    ),
    "dates as objects": (
        table(price=[dt.date(2024, k, 1) for k in range(1, 9)]), FUTR, "not-a-covariate", 1,
        "price", "found the date",
    ),
    "spans": (
        table(price=pd.to_timedelta(range(8), "D")), FUTR, "not-a-covariate", None, "price",
        "expected numbers, booleans or text",
    ),
    "lists": (table(price=[[1]] * 8), FUTR, "not-a-value", None, "price", "lists or records"),
    "half a surrogate pair": (
        table(kind=pd.Series([*"xyxyxy", "\ud800", "x"], dtype=object)), KIND, "not-a-covariate",
        None, "kind", "Unicode",
    ),
    "a time twice": (
        pd.concat([table(), table(price=9.0).iloc[[2]]], ignore_index=True), FUTR, "duplicate-time",
        9, "ds", 'twice with different cells of "price" in row 3 and row 9; expected one row',
    ),
    "a time twice, once without a category": (
        pd.concat([table(), table(kind=None).iloc[[0]]], ignore_index=True),
        {"hist_exog_list": ["kind"]}, "duplicate-time", 9, "ds", 'different cells of "kind"',
    ),
    "a time after the end twice": (
        pd.concat([table(), table(price=9.0).iloc[[7]]], ignore_index=True), FUTR, "duplicate-time",
        9, "ds", "2024-01-04 twice with different cells",
    ),
    "a time after the end between the steps": (
        table(ds=[*DAYS, *DAYS[:3], DAYS[3] + pd.Timedelta(hours=1)]), FUTR | {"freq": "D"},
        "off-grid", 8, "ds", "2024-01-04T01",
    ),
}  # fmt: skip


def test_cells_of_the_past_may_be_empty() -> None:
    panel = panel_from_frame(table(price=numbers(2, NAN), kind=[None, *"yxyxyxy"]), ahead=AHEAD, **{
        "futr_exog_list": ["price"], "hist_exog_list": ["kind"],
    })  # fmt: skip
    assert panel.covariates is not None
    assert np.isnan(panel.covariates.values).any(axis=0).tolist() == [True, True]
    notes = [one.text for one in panel.notes if one.kind == "missing-covariates"]
    assert notes == [
        '"price" has 1 empty cell, first row 2 (2024-01-02): filled with the previous value, '
        "marked as missing",
        '"kind" has 1 empty cell, first row 1 (2024-01-01): filled with the previous value, '
        "marked as missing",
    ]


@pytest.mark.parametrize("name", CELLS)
def test_invalid_cells_are_refused(name: str) -> None:
    frame, lists, kind, row, column, words = CELLS[name]
    with pytest.raises(DataError) as caught:
        panel_from_frame(frame, ahead=AHEAD, **lists)
    error = caught.value
    assert (error.kind, error.line, error.column) == (kind, row, column)
    assert words in str(error)


LISTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no such column": (
        {"futr_exog_list": ["Price"]}, "missing-column",
        'futr_exog_list: found no column "Price" (did you mean "price"?); the columns are "price"',
    ),
    "no such column of the past": (
        {"hist_exog_list": ["visitors"]}, "missing-column", 'did you mean "visits"?',
    ),
    "no such static column": (
        {"stat_exog_list": ["area"]}, "missing-column", 'stat_exog_list: found no column "area"',
    ),
    "a column twice": (
        {"futr_exog_list": ["price", "price"]}, "option",
        'futr_exog_list: "price" is listed twice; list it once',
    ),
    "a column in two lists": (
        {"futr_exog_list": ["price"], "hist_exog_list": ["price"]}, "option",
        'hist_exog_list: "price" is also in futr_exog_list; list it once',
    ),
    "the target": (
        {"hist_exog_list": ["y"]}, "option", '"y" is already target_col; name another column',
    ),
    "the times": (
        {"futr_exog_list": ["ds"]}, "option", '"ds" is already time_col',
    ),
    "the ids": (
        {"stat_exog_list": ["unique_id"]}, "option", '"unique_id" is already id_col',
    ),
    "a named target": (
        {"hist_exog_list": ["price"], "target_col": "price"}, "option", "is already target_col",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_invalid_lists_are_refused(name: str) -> None:
    options, kind, words = LISTS[name]
    with pytest.raises(DataError) as caught:
        panel_from_frame(table(), **options)
    assert caught.value.kind == kind
    assert words in str(caught.value)


@pytest.mark.parametrize("names", [3, [3], ["price", None], {"price": 1}, b"price", [["price"]]])
def test_arguments_that_are_not_lists_of_names_are_type_errors(names: Any) -> None:
    with pytest.raises(
        TypeError, match=r"hist_exog_list: found .*, expected a list of column names"
    ):
        panel_from_frame(table(), hist_exog_list=names)


def test_errors_in_a_file_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    table(price=numbers(3, NAN)).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"table.csv, line 4, column .price.: series .a.: found an"):
        panel_from_file(path, **FUTR, **TESTED)
    parquet = tmp_path / "table.parquet"
    table(kind=[*"xyxyx", None, *"xy"]).to_parquet(parquet)
    with pytest.raises(DataError, match=r"parquet, column .kind.: .*row 6: series .b.: found an"):
        panel_from_file(parquet, **KIND, held=Rolling(1, 1, 1))


BOTH: dict[str, Any] = {"futr_exog_list": ["kind", "price"]}
FITTED: dict[str, tuple[pd.DataFrame, dict[str, Any], str, str]] = {
    "numbers for categories": (
        table(kind=1.0), BOTH, "other-type", "found numbers, expected text as in training, such as",
    ),
    "booleans for categories": (
        table(kind=True), BOTH, "other-type", "found booleans, expected text as in training",
    ),
    "categories for numbers": (table(price=[*"xyxyxyxy"]), BOTH, "not-a-number", 'found "x"'),
    "one column more": (
        table(), {"futr_exog_list": ["kind", "price", "visits"]}, "option",
        'futr_exog_list: "visits" is not one of these covariates in fit()',
    ),
    "one column fewer": (
        table(), {"futr_exog_list": ["price"], "hist_exog_list": []}, "option",
        'futr_exog_list: lacks "kind"; expected the covariates of fit(), "kind", "price"',
    ),
    "another role": (
        table(), {"futr_exog_list": ["price"], "hist_exog_list": ["kind"]}, "option",
        'hist_exog_list: "kind" is not one',
    ),
    "another frame": (table().drop(columns="kind"), BOTH, "missing-column", 'no column "kind"'),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTED)
def test_other_covariates_than_in_fit_are_refused(name: str) -> None:
    frame, lists, kind, words = FITTED[name]
    fit = panel_from_frame(table(), ahead=AHEAD, **BOTH)
    with pytest.raises(DataError) as caught:
        panel_from_frame(frame, ahead=AHEAD, like=fit, **lists)
    assert caught.value.kind == kind
    assert words in str(caught.value)


def test_an_error_in_a_long_polars_column_names_the_row() -> None:
    frame = pl.DataFrame({"ds": range(2000), "y": 1.0, "x": [*map(str, range(1999)), "x"]})
    with pytest.raises(DataError, match='row 2000, column "x": found "x"'):
        panel_from_frame(frame, futr_exog_list=["x"])
