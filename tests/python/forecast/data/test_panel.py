"""A panel from frames: rows are sorted and filled, with notes on what was done."""

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.forecast.data.panel import Panel, panel_from_frame

from ..panels import (
    LIBRARIES,
    as_library,
    assert_same,
    days,
    frame_of,
    note,
    one_series,
    panel_of,
    random_table,
)

pytestmark = pytest.mark.parametrize("library", LIBRARIES)

FREQUENCIES = ["h", "15min", "D", "B", "W-SUN", "W-WED", "MS", "ME", "QS", "QE", "YS", "YE", "6h"]
SEASONS = [24, 96, 7, 5, 52, 52, 12, 12, 4, 4, 1, 1, 4]


@pytest.mark.parametrize("seed", range(6))
def test_order_of_rows_does_not_matter(library: str, seed: int) -> None:
    table = random_table(
        seed, freq=FREQUENCIES[2 * seed], zone=[None, "America/New_York"][seed % 2]
    )
    expected = panel_from_frame(as_library(library, table))
    shuffled = table.sample(frac=1.0, random_state=seed)
    found = panel_from_frame(as_library(library, shuffled))
    assert_same(found, expected)
    assert note(expected, "unsorted") == ""
    assert note(found, "unsorted").endswith(": sorted")


@pytest.mark.parametrize(("freq", "season"), list(zip(FREQUENCIES, SEASONS, strict=True)))
def test_frequency_and_season_are_inferred(library: str, freq: str, season: int) -> None:
    table = random_table(1, freq)
    panel = panel_from_frame(as_library(library, table))
    assert panel.season == season
    assert note(panel, "season").startswith(f"season: {season} (")
    given = panel_from_frame(as_library(library, table), freq=freq, season=3)
    assert (given.frequency, given.season) == (panel.frequency, 3)
    for k, (_, rows) in enumerate(table.groupby("unique_id")):
        last = rows["ds"].iloc[-1]
        following = pd.date_range(last, periods=6, freq=freq)[1:]
        found = given.times(np.full(5, k), np.arange(1, 6)).astype("datetime64[us]")
        np.testing.assert_array_equal(found, following.to_numpy(dtype="datetime64[us]"))
        np.testing.assert_array_equal(panel.series(k), rows["y"])


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "datetime64[us]", "datetime64[s]"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"])
@pytest.mark.parametrize("freq", ["h", "D", "MS"])
def test_times_of_a_zone_are_kept(library: str, dtype: str, zone: str, freq: str) -> None:
    ds = pd.date_range("2023-01-01", periods=500, freq=freq, tz=zone)
    ds = ds.as_unit(dtype[11:-1])
    if library == "polars" and dtype == "datetime64[s]":
        ds = ds.as_unit("ms")
    panel = panel_from_frame(as_library(library, pd.DataFrame({"ds": ds[:300], "y": 1.0})))
    assert note(panel, "gaps") == ""
    np.testing.assert_array_equal(panel.past(), ds[:300].as_unit("us").asi8)
    np.testing.assert_array_equal(panel.future(200)[0], ds[300:].as_unit("us").asi8)


def test_the_day_of_the_month_is_kept_after_short_months(library: str) -> None:
    panel = panel_of(library, one_series(["2023-12-30", "2024-01-30", "2024-02-29", "2024-03-30"]))
    texts = panel.past().astype("datetime64[us]").astype("datetime64[D]").astype(str).tolist()
    assert texts == ["2023-12-30", "2024-01-30", "2024-02-29", "2024-03-30"]
    future = panel.future(11)[0].astype("datetime64[us]").astype("datetime64[D]").astype(str)
    assert [future[0], future[10]] == ["2024-04-30", "2025-02-28"]


@pytest.mark.parametrize(
    ("ds", "following"),
    [
        (["2024-04-30", "2024-06-30"], "2024-08-31"),
        (["2024-06-30", "2024-09-30"], "2024-12-31"),
        (["2023-02-28", "2023-03-31"], "2023-04-30"),
        (["2023-02-28", "2023-03-28"], "2023-04-28"),
    ],
)
def test_rows_on_last_days_of_months_stay_on_last_days(
    library: str, ds: list[str], following: str
) -> None:
    panel = panel_of(library, one_series(ds))
    assert str(panel.future(1)[0, 0].astype("datetime64[us]"))[:10] == following


def test_equal_duplicates_are_dropped(library: str) -> None:
    ds = [*days(3), "2024-01-02", "2024-01-04"]
    panel = panel_of(library, one_series(ds, [1.0, 2.0, 3.0, 2.0, 4.0]))
    assert panel.values.tolist() == [1, 2, 3, 4]
    found = note(panel, "duplicates")
    assert found.startswith("1 row with the same time and value as another row of the series")
    assert "row 4 (2024-01-02)" in found


def test_gaps_and_missing_values_are_filled(library: str) -> None:
    ds = [day for k, day in enumerate(days(30)) if k not in (10, 11, 12)]
    y = [float(k) for k in range(1, 31) if k - 1 not in (10, 11, 12)]
    y[4] = np.nan
    panel = panel_of(library, one_series(ds, y))
    np.testing.assert_allclose(panel.filled, np.arange(1, 31), rtol=1e-15)
    assert np.flatnonzero(np.isnan(panel.values)).tolist() == [4, 10, 11, 12]
    assert note(panel, "gaps").startswith(
        "3 rows missing from the grid of 1 series, first after row 10 (2024-01-10): filled"
    )
    assert note(panel, "missing-values").startswith(
        "1 row without a value, first row 5 (2024-01-05): filled"
    )


def test_filling_does_not_reach_into_the_next_series(library: str) -> None:
    ds = [day for k, day in enumerate(days(10)) if k != 8]
    table = {"unique_id": ["a"] * 9 + ["b"] * 9, "ds": ds * 2, "y": [1.0] * 9 + [100.0] * 9}
    panel = panel_of(library, table)
    assert panel.offsets.tolist() == [0, 10, 20]
    assert panel.filled.tolist() == [1.0] * 10 + [100.0] * 10


def test_missing_ends_are_cut_off(library: str) -> None:
    y = [np.nan, np.nan, *map(float, range(1, 7)), np.nan]
    panel = panel_of(library, one_series(days(9), y))
    assert panel.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert [str(n) for n in panel.notes if n.kind == "ends"] == [
        f"{rows} of 1 series, first row {row}: removed"
        for rows, row in [
            ("2 rows without a value before the first value", "1 (2024-01-01)"),
            ("1 row without a value after the last value", "9 (2024-01-09)"),
        ]
    ]
    assert panel.last.astype("datetime64[us]").astype(str).tolist()[0].startswith("2024-01-08")


def test_cut_off_ends_are_not_counted_as_missing(library: str) -> None:
    ds = [day for k, day in enumerate(days(40)) if k not in (1, 2, 3, 38)]
    y = [np.nan] * 12 + [float(k) for k in range(20)] + [np.nan] * 4
    panel = panel_of(library, one_series(ds, y))
    assert panel.values.tolist() == list(range(20))
    assert note(panel, "gaps") == ""
    del ds[20], y[20]  # 2024-01-24
    panel = panel_of(library, one_series(ds, y))
    assert panel.filled.tolist() == list(range(20))
    assert "1 row missing from the grid of 1 series, first after row 20 (2024-01-23)" in note(
        panel, "gaps"
    )


def test_several_offsets_are_converted_to_utc(library: str) -> None:
    texts = ["2024-01-01T00:00+01:00", "2024-01-01T00:00Z", "2024-01-01T03:00+02:00"]
    panel = panel_of(library, one_series(texts))
    assert note(panel, "zones") == '"ds": 3 offsets from UTC in one column: converted to UTC'
    assert panel.frequency.words == "1 hour"
    assert str(panel.last.astype("datetime64[us]")[0]) == "2024-01-01T01:00:00.000000"


def test_days_on_a_clock_with_daylight_saving_time_are_days(library: str) -> None:
    texts = ["2024-03-30T00:00+01:00", "2024-03-31T00:00+01:00", "2024-04-01T00:00+02:00"]
    panel = panel_of(library, one_series(texts))
    assert panel.frequency.words == "1 day"
    assert "days are counted there" in note(panel, "zones")


def test_special_series_are_marked(library: str) -> None:
    table = {
        "unique_id": ["a"] * 3 + ["b"] * 3 + ["c"] + ["d"] * 3,
        "ds": [*days(3), *days(3), *days(1), *days(3)],
        "y": [1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 5.0, 4.0, 4.0, 4.0],
    }
    panel = panel_of(library, table)
    assert panel.positive.tolist() == [True, False, True, True]
    assert panel.constant.tolist() == [False, False, True, True]
    assert panel.shorter_than(3).tolist() == [False, False, True, False]
    assert note(panel, "not-positive").endswith('the first is "b"')
    assert note(panel, "constant").endswith('the first is "d"')
    assert note(panel, "short").endswith('the first is "c"')


def test_series_of_one_frequency_may_have_different_days(library: str) -> None:
    table = {
        "unique_id": ["a"] * 4 + ["b"] * 4,
        "ds": [
            *("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"),
            *("2023-01-15", "2023-02-15", "2023-03-15", "2023-04-15"),
        ],
        "y": [1.0] * 8,
    }
    panel = panel_of(library, table)
    future = panel.future(1)[:, 0].astype("datetime64[us]").astype("datetime64[D]")
    assert future.astype(str).tolist() == ["2024-05-31", "2023-05-15"]


def test_whole_numbers_are_times(library: str) -> None:
    panel = panel_of(library, one_series([990, 992, 994]))
    assert (panel.frequency.words, panel.season) == ("2 steps", 1)
    assert panel.future(2).tolist() == [[996, 998]]
    gaps = panel_of(library, one_series([1, 2, 3, 4, 6]), freq=1)
    assert gaps.filled.tolist() == [1, 2, 3, 4, 4.5, 5]


@pytest.mark.parametrize(
    "ds",
    [
        ["2024-01", "2024-02", "2024-03"],
        ["2024-Q1", "2024-Q2", "2024-Q3"],
        ["2024/01/01", "2024/01/02", "2024/01/03"],
        [dt.date(2024, 1, 1), dt.date(2024, 1, 2), dt.date(2024, 1, 3)],
    ],
)
def test_dates_in_other_formats_are_read(library: str, ds: list[Any]) -> None:
    panel = panel_of(library, one_series(ds))
    assert panel.frequency.step in (1, 3)
    assert str(panel.last.astype("datetime64[us]")[0]) > "2024-01-02"


@pytest.mark.parametrize(
    "y", [["1.5", "", "n/a", " 3e2 ", "4", "5", "6", "7", "8", "9", "10", "11"]]
)
def test_numbers_in_text_are_read(library: str, y: list[str]) -> None:
    panel = panel_of(library, one_series(days(12), y))
    np.testing.assert_allclose(panel.filled[[0, 1, 3, 11]], [1.5, 101, 300, 11])
    assert note(panel, "missing-values").startswith("2 rows without a value, first row 2")


def test_no_id_column_is_one_series(library: str) -> None:
    panel = panel_of(
        library, {"when": days(3), "sales": [1, 2, 3]}, time_col="when", target_col="sales"
    )
    assert panel.ids.tolist() == ["sales"]
    assert note(panel, "one-series") == 'no column "unique_id": one series, called "sales"'


def test_ids_are_sorted_and_keep_their_type(library: str) -> None:
    panel = panel_of(
        library, {"unique_id": [10, 9, 2], "ds": days(1) * 3, "y": [1, 2, 3]}, freq="D"
    )
    assert (panel.ids.tolist(), panel.values.tolist()) == ([2, 9, 10], [3, 2, 1])


def test_indices_and_types_of_pandas_give_the_same_panel(library: str) -> None:
    if library == "polars":
        y = pl.Series([Decimal("1.5"), Decimal(2), None])
        frame = frame_of(library, {"ds": days(3), "y": y})
        assert panel_from_frame(frame).values.tolist() == [1.5, 2.0]
        return
    ds = pd.date_range("2024-01-01", periods=3)
    expected = panel_from_frame(pd.DataFrame({"unique_id": "a", "ds": ds, "y": [1.0, 2.0, 3.0]}))
    forms: list[Any] = [
        pd.DataFrame({"ds": ds, "y": [1, 2, 3]}, index=pd.Index(["a"] * 3, name="unique_id")),
        pd.DataFrame({"unique_id": "a", "y": [1, 2, 3]}, index=ds.rename("ds")),
        pd.DataFrame({"unique_id": pd.Categorical(["a"] * 3), "ds": ds, "y": [1, 2, 3]}),
        pd.DataFrame({"unique_id": "a", "ds": ds, "y": pd.array([1, 2, 3], dtype="Int64")}),
        pd.DataFrame({"unique_id": "a", "ds": ds, "y": np.float32([1, 2, 3])}),
        pd.DataFrame({"unique_id": "a", "ds": ds, "y": [Decimal(1), 2, "3"]}),
        pd.DataFrame({"unique_id": "a", "ds": ds.astype("timestamp[us][pyarrow]"), "y": [1, 2, 3]}),
        pd.DataFrame({"unique_id": "a", "ds": ds.to_pydatetime().astype(object), "y": [1, 2, 3]}),
    ]
    for form in forms:
        assert_same(panel_from_frame(form), expected)


def test_the_frame_of_the_caller_is_unchanged(library: str) -> None:
    table = random_table(2).sample(frac=1.0, random_state=0)
    frame = as_library(library, table)
    copy = frame.copy() if library == "pandas" else frame.clone()
    panel_from_frame(frame)
    assert frame.equals(copy)


def test_repr_states_size_frequency_and_season(library: str) -> None:
    panel: Panel = panel_of(library, one_series(days(3)))
    assert repr(panel) == "Panel(1 series, 3 values, one every day, season 7)"
    assert len(panel) == 1
