"""Covariates of the rows after each series, from a separate table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from memattn.errors import DataError
from memattn.forecast.data.covariates import Covariates
from memattn.forecast.data.future_rows import with_future
from memattn.forecast.data.panel import Panel, panel_from_file, panel_from_frame

from ..panels import note

NAN = float("nan")
FUTR = ["price", "kind"]
LISTS: dict[str, Any] = {"futr_exog_list": FUTR, "hist_exog_list": ["visits"]}
AHEAD = 5


def sales(seed: int = 0, zone: str | None = None) -> pd.DataFrame:
    """Returns three series of days that end on different days."""
    rng = np.random.default_rng(seed)
    parts = []
    for k, length in enumerate((9, 12, 7)):
        ds = pd.date_range("2024-03-20", periods=length, tz=zone)
        part = pd.DataFrame({"unique_id": f"s{k}", "ds": ds, "y": rng.gamma(2.0, size=length)})
        part["price"] = rng.normal(size=length)
        part["kind"] = np.resize(["none", "sale"], length)
        part["visits"] = 1.0
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def future_of(table: pd.DataFrame, rows: int = AHEAD, seed: int = 1) -> pd.DataFrame:
    """Returns the rows after each series, shuffled."""
    rng = np.random.default_rng(seed)
    parts = []
    for name, part in table.groupby("unique_id"):
        ds = pd.date_range(part.ds.max(), periods=rows + 1)[1:]
        more = pd.DataFrame({"unique_id": name, "ds": ds, "price": rng.normal(size=rows)})
        more["kind"] = rng.choice(["none", "sale", "new"], rows)
        parts.append(more)
    return pd.concat(parts).sample(frac=1.0, random_state=seed).reset_index(drop=True)


def covariates_of(panel: Panel) -> Covariates:
    assert panel.covariates is not None
    return panel.covariates


def rows_ahead(panel: Panel) -> np.ndarray:
    """Returns the covariates known over the horizon (N, ahead, 2)."""
    found = covariates_of(panel)
    return found.values[found.ahead_rows(panel.offsets)][:, :, :2]


def expected(future: pd.DataFrame) -> np.ndarray:
    table = future.sort_values(["unique_id", "ds"])
    values = np.column_stack([table.price, table.kind.map({"none": 0, "sale": 1, "new": -1})])
    return values.reshape(3, -1, 2)


@pytest.fixture
def panel() -> Panel:
    return panel_from_frame(sales(), ahead=AHEAD, **LISTS)


SOURCES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda table: table,
    "index": lambda table: table.set_index(["unique_id", "ds"]),
    "texts": lambda table: table.assign(ds=table.ds.astype(str)),
    "polars": pl.from_pandas,
    "lazy": lambda table: pl.from_pandas(table).lazy(),
    "pyarrow": pa.Table.from_pandas,
}


@pytest.mark.parametrize("source", SOURCES)
def test_rows_of_a_frame_become_covariates_ahead(panel: Panel, source: str) -> None:
    future = future_of(sales())
    before = covariates_of(panel).values.copy()
    found = with_future(panel, SOURCES[source](future), AHEAD)
    np.testing.assert_array_equal(rows_ahead(found), expected(future))
    np.testing.assert_array_equal(covariates_of(panel).values, before)  # unchanged
    rest = np.delete(covariates_of(found).values, covariates_of(found).ahead_rows(panel.offsets), 0)
    np.testing.assert_array_equal(
        rest, np.delete(before, covariates_of(found).ahead_rows(panel.offsets), 0)
    )
    assert np.isnan(
        covariates_of(found).values[covariates_of(found).ahead_rows(panel.offsets), 2]
    ).all()
    text = '"kind" has categories that fit has not seen in'
    assert note(found, "unknown-categories").startswith(text)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_of_a_file_become_covariates_ahead(panel: Panel, tmp_path: Path, ending: str) -> None:
    future, path = future_of(sales()), tmp_path / f"future.{ending}"
    future.to_csv(path, index=False) if ending == "csv" else future.to_parquet(path)
    found = with_future(panel, path, AHEAD)
    np.testing.assert_array_equal(rows_ahead(found), expected(future))
    np.testing.assert_array_equal(
        rows_ahead(with_future(panel, str(path), AHEAD)), expected(future)
    )


def test_other_rows_columns_and_series_are_ignored(panel: Panel) -> None:
    future = future_of(sales(), AHEAD + 3)
    past = sales().drop(columns=["visits"]).assign(price=NAN, other="x")
    strange = future.assign(unique_id="z")
    found = with_future(panel, pd.concat([strange, past, future]), AHEAD)
    np.testing.assert_array_equal(rows_ahead(found), expected(future)[:, :AHEAD])
    text = 'X_df has 1 series that the data lacks, first "z": ignored'
    assert note(found, "other-ids") == text


@pytest.mark.parametrize("steps", [1, 3])
def test_fewer_steps_need_fewer_rows(panel: Panel, steps: int) -> None:
    future = future_of(sales(), steps)
    found = rows_ahead(with_future(panel, future, steps))
    np.testing.assert_array_equal(found[:, :steps], expected(future))
    assert np.isnan(found[:, steps:]).all()
    again = rows_ahead(with_future(with_future(panel, future_of(sales()), AHEAD), future, steps))
    np.testing.assert_array_equal(again, found)


def test_rows_replace_those_of_the_frame() -> None:
    table = sales()
    table.loc[(table.unique_id == "s1") & (table.ds > "2024-03-28"), "y"] = NAN
    panel = panel_from_frame(table, ahead=2, **LISTS)
    assert not np.isnan(rows_ahead(panel)[1]).any()
    future = future_of(table.dropna(subset="y"), 2)
    np.testing.assert_array_equal(rows_ahead(with_future(panel, future, 2)), expected(future))


@pytest.mark.parametrize("zone", ["Europe/Oslo", "America/New_York", "UTC"])
def test_days_on_a_changing_clock_are_matched(zone: str) -> None:
    table = sales(zone=zone)  # the clocks of Oslo change on March 31
    panel = panel_from_frame(table, ahead=AHEAD, **LISTS)
    future = future_of(table)
    np.testing.assert_array_equal(rows_ahead(with_future(panel, future, AHEAD)), expected(future))
    elsewhere = future.assign(ds=future.ds.dt.tz_convert("Asia/Tokyo"))
    found = with_future(panel, elsewhere, AHEAD)
    np.testing.assert_array_equal(rows_ahead(found), expected(future))


@pytest.mark.parametrize(("zone", "shift"), [("Europe/Oslo", 7), ("America/New_York", -14)])
def test_days_on_a_changing_clock_are_matched_in_files(
    tmp_path: Path, zone: str, shift: int
) -> None:
    table = sales()  # on both sides of the change
    table["ds"] = (table.ds + pd.Timedelta(days=shift)).dt.tz_localize(zone)
    future = future_of(table)
    for name, part in (("past", table), ("future", future)):
        part.assign(ds=part.ds.map(str)).to_csv(tmp_path / f"{name}.csv", index=False)
    panel = panel_from_file(tmp_path / "past.csv", ahead=AHEAD, **LISTS)
    found = with_future(panel, tmp_path / "future.csv", AHEAD)
    np.testing.assert_array_equal(rows_ahead(found), expected(future))


def counted(table: pd.DataFrame, times: Callable[[Any], Any]) -> pd.DataFrame:
    return table.assign(ds=times((table.ds - pd.Timestamp("2024-03-01")).dt.days))


NUMBERED: dict[str, Callable[[Any], Any]] = {
    "numbers": lambda day: day,
    "years": lambda day: 2000 + day,
    "months": lambda day: (2000 + day // 12) * 100 + day % 12 + 1,
    "seconds": lambda day: 1_600_000_000 + 3600 * day,
}


@pytest.mark.parametrize("kind", NUMBERED)
def test_times_that_are_whole_numbers_are_matched(kind: str) -> None:
    table, future = sales(), future_of(sales(), 1)
    panel = panel_from_frame(counted(table, NUMBERED[kind]), ahead=AHEAD, **LISTS)
    found = with_future(panel, counted(future, NUMBERED[kind]), 1)
    np.testing.assert_array_equal(rows_ahead(found)[:, :1], expected(future))


def test_dates_with_the_day_first_are_matched() -> None:
    def said(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(ds=table.ds.dt.strftime("%d/%m/%Y"))

    panel = panel_from_frame(said(sales()), ahead=AHEAD, day_first=True, **LISTS)
    future = future_of(sales())
    found = with_future(panel, said(future), AHEAD)
    np.testing.assert_array_equal(rows_ahead(found), expected(future))


def test_rows_without_ids_apply_to_all_series() -> None:
    ds = pd.date_range("2024-01-01", periods=8)
    wide = pd.DataFrame({"date": ds, "north": 1.0, "south": 2.0, "price": np.arange(8.0)})
    wide.loc[6:, "south"] = NAN
    panel = panel_from_frame(wide, futr_exog_list="price", ahead=2)
    later = pd.DataFrame({"date": pd.date_range("2024-01-05", periods=9)})
    later["price"] = np.arange(4.0, 13)
    found = covariates_of(with_future(panel, later, 2))
    ahead = found.values[found.ahead_rows(panel.offsets)][:, :, 0]
    np.testing.assert_array_equal(ahead, [[8, 9], [6, 7]])


def test_ids_as_numbers_match_ids_as_text() -> None:
    table, future = sales(), future_of(sales())
    numbers = {"s0": 7, "s1": 10, "s2": 3}
    panel = panel_from_frame(table.replace({"unique_id": numbers}), ahead=AHEAD, **LISTS)
    texts = future.replace({"unique_id": {name: str(k) for name, k in numbers.items()}})
    found = with_future(panel, texts, AHEAD)
    np.testing.assert_array_equal(rows_ahead(found), expected(future)[[2, 0, 1]])


def test_rows_of_the_data_itself_are_used_if_complete() -> None:
    later = future_of(sales()).assign(y=NAN)
    panel = panel_from_frame(pd.concat([sales(), later]), ahead=AHEAD, **LISTS)
    assert with_future(panel, None, AHEAD) is panel
    gone = (later.unique_id == "s1") & (later.ds > "2024-04-03")
    panel = panel_from_frame(pd.concat([sales(), later[~gone]]), ahead=AHEAD, **LISTS)
    assert with_future(panel, None, 3) is panel
    words = 'X_df: pass the 5 rows after each series, with "price", "kind"; the data '
    with pytest.raises(DataError) as caught:
        with_future(panel, None, AHEAD)
    assert str(caught.value) == words + 'lacks 2 of these rows, first row 4 after series "s1"'


def test_a_panel_without_rows_ahead_is_refused_with_advice(panel: Panel) -> None:
    with pytest.raises(DataError, match=r"X_df: pass the 5 rows .* with .price., .kind.$"):
        with_future(panel, None, AHEAD)


def test_a_panel_without_covariates_known_ahead_is_unchanged() -> None:
    panel = panel_from_frame(sales(), ahead=AHEAD, hist_exog_list=["visits"])
    assert with_future(panel, future_of(sales()), AHEAD) is panel
    assert with_future(panel, None, AHEAD) is panel
    plain = panel_from_frame(sales())
    assert with_future(plain, future_of(sales()), AHEAD) is plain


def rename(**names: str) -> Callable[[pd.DataFrame], Any]:
    return lambda table: table.rename(columns=names)


def put(name: str, cell: Any, row: int = 4) -> Callable[[pd.DataFrame], Any]:
    """Returns a function that puts a cell into a row, counted from 1."""

    def broken(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({name: object})
        table.loc[row - 1, name] = cell
        return table

    return broken


def sorted_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["unique_id", "ds"], ignore_index=True)


# What breaks the rows in order, kind, row (from 1), column, words of the message.
Broken = tuple[Callable[[pd.DataFrame], Any], str, int | None, str | None, str]
BROKEN: dict[str, Broken] = {
    "no time column": (rename(ds="date"), "missing-column", None, "ds", 'no column "ds"'),
    "no price": (rename(price="Price"), "missing-column", None, "price", 'did you mean "Price"'),
    "no ids": (rename(unique_id="id"), "duplicate-time", 13, "ds", 'no column "unique_id"'),
    "a row missing": (
        lambda table: table.drop(index=7),
        "missing-row",
        None,
        "ds",
        'no row for series "s1" at 2024-04-03, expected the 5 rows',
    ),
    "a series missing": (
        lambda table: table[table.unique_id != "s1"],
        "missing-row",
        None,
        "ds",
        'series "s1" at 2024-04-01 and 4 more',
    ),
    "no rows": (lambda table: table.head(0), "missing-row", None, "ds", 'series "s0"'),
    "later rows": (
        lambda table: table.assign(ds=table.ds + pd.Timedelta(hours=1)),
        "missing-row",
        None,
        "ds",
        "here 2024-03-28",
    ),
    "a row twice": (
        lambda table: pd.concat([table, table.iloc[[3]]]),
        "duplicate-time",
        16,
        "ds",
        'series "s0" at 2024-04-01 occurs twice, here and in row 4',
    ),
    "an empty number": (put("price", NAN), "missing-covariate", 4, "price", "a number"),
    "an empty text": (put("price", "", 2), "missing-covariate", 2, "price", "a number"),
    "an empty category": (put("kind", None), "missing-covariate", 4, "kind", "a category"),
    "a blank category": (put("kind", " "), "missing-covariate", 4, "kind", "a category"),
    "text in numbers": (put("price", "cheap"), "not-a-number", 4, "price", 'found "cheap"'),
    "infinity": (put("price", np.inf), "not-finite", 4, "price", "inf"),
    "too large": (
        lambda table: table.assign(price=np.where(table.index == 3, 1e101, 1.0)),
        "too-large",
        4,
        "price",
        "1e+101",
    ),
    "numbers for categories": (
        lambda table: table.assign(kind=1),
        "other-type",
        1,
        "kind",
        "expected text as in training",
    ),
    "dates for numbers": (
        lambda table: table.assign(price=table.ds),
        "not-a-covariate",
        None,
        "price",
        "the type datetime64",
    ),
    "a missing time": (put("ds", None), "not-a-date", 4, "ds", "the time is missing"),
    "a time that is none": (
        lambda table: table.assign(ds=["soon", *table.ds.astype(str)[1:]]),
        "not-a-date",
        1,
        "ds",
        '"soon"',
    ),
    "numbers for dates": (
        lambda table: table.assign(ds=range(15)),
        "other-times",
        1,
        "ds",
        "found whole numbers, expected dates",
    ),
    "a zone": (
        lambda table: table.assign(ds=table.ds.dt.tz_localize("UTC")),
        "other-times",
        1,
        "ds",
        "found a time zone, expected none",
    ),
    "a missing id": (put("unique_id", None), "missing-id", 4, "unique_id", "the id is missing"),
    "a column twice": (
        lambda table: pd.concat([table, table[["price"]]], axis=1),
        "duplicate-column",
        None,
        "price",
        "there are two columns",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_invalid_rows_are_refused(panel: Panel, name: str) -> None:
    broken, kind, row, column, words = BROKEN[name]
    with pytest.raises(DataError) as caught:
        with_future(panel, broken(sorted_rows(future_of(sales()))), AHEAD)
    error = caught.value
    assert (error.kind, error.line, error.column) == (kind, row, column)
    assert words in str(error)
    assert "X_df" in str(error)


def test_errors_in_a_file_name_the_line(panel: Panel, tmp_path: Path) -> None:
    path = tmp_path / "future.csv"
    put("price", "cheap", 2)(sorted_rows(future_of(sales()))).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"future.csv, line 3, column .price.: X_df: found .cheap."):
        with_future(panel, path, AHEAD)
    with pytest.raises(DataError, match="no such file"):
        with_future(panel, tmp_path / "none.csv", AHEAD)


@pytest.mark.parametrize("future", [3, [1, 2], np.zeros(3), {"price": [1]}])
def test_arguments_that_are_not_tables_are_type_errors(panel: Panel, future: Any) -> None:
    with pytest.raises(TypeError, match=r"X_df: found .*, expected a data frame or the path"):
        with_future(panel, future, AHEAD)


@pytest.mark.parametrize("steps", [0, AHEAD + 1])
def test_more_steps_than_the_panel_has_are_refused(panel: Panel, steps: int) -> None:
    with pytest.raises(DataError, match=f"h: found {steps}, expected 1 to 5"):
        with_future(panel, future_of(sales()), steps)


def test_dates_for_numbered_rows_are_refused() -> None:
    panel = panel_from_frame(counted(sales(), lambda day: day), ahead=AHEAD, **LISTS)
    with pytest.raises(DataError, match="found dates, expected whole numbers"):
        with_future(panel, future_of(sales()), AHEAD)


def test_times_without_the_zone_of_the_panel_are_refused() -> None:
    panel = panel_from_frame(sales(zone="UTC"), ahead=AHEAD, **LISTS)
    with pytest.raises(DataError, match="found no time zone, expected one"):
        with_future(panel, future_of(sales()), AHEAD)
