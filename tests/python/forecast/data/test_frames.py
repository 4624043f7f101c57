"""Forecasts as tables of the caller's library: columns, their order, and original types."""

import csv
import datetime as dt
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from memattn.errors import DataError
from memattn.forecast.data.frames import cross_validation_frame, forecast_frame, panel_frame
from memattn.forecast.data.panel import panel_from_file, panel_from_frame
from memattn.forecast.data.windows import Windows, rolling_windows

from ..panels import LIBRARIES, as_library, days, one_series, panel_of, random_table, write_csv

ZONES = [None, "UTC", "Europe/Berlin", "America/St_Johns"]


def same_frame(found: Any, expected: Any) -> None:
    """Checks that frames have the same values, order, names and types."""
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    else:
        assert_frame_equal(found, expected)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("freq", ["h", "15min", "D", "B", "W-TUE", "MS", "ME", "QE", "YS"])
def test_a_panel_is_returned_as_the_frame_it_was_read_from(
    library: str, zone: str | None, freq: str
) -> None:
    table = random_table(11, freq, zone)
    expected = as_library(library, table)
    same_frame(panel_frame(panel_from_frame(expected)), expected)
    shuffled = as_library(library, table.sample(frac=1.0, random_state=3))
    same_frame(panel_frame(panel_from_frame(shuffled)), expected)


@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s"])
@pytest.mark.parametrize("zone", ZONES)
def test_pandas_types_are_kept(unit: str, zone: str | None) -> None:
    ds = pd.date_range("2024-03-01", periods=60, freq="D", tz=zone).as_unit(unit)
    for ids in (
        pd.Series(["b"] * 60),
        pd.Series(["b"] * 60, dtype=object),
        pd.Series(["b"] * 60, dtype="category"),
        pd.Series([7] * 60, dtype=np.int32),
    ):
        table = pd.DataFrame({"unique_id": ids, "ds": ds, "y": np.arange(60.0)})
        pd.testing.assert_frame_equal(panel_frame(panel_from_frame(table)), table)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([4, 5, 6], dtype=np.int16),
        pd.Series([4, 5, 6], dtype=np.uint64),
        pd.Series([4, 5, 6], dtype="Int64"),
        pd.Series(days(3)),
        pd.Series(days(3), dtype=object),
        pd.Series(["2024-01", "2024-02", "2024-03"]),
        pd.Series(["2024Q1", "2024Q2", "2024Q3"]),
        pd.Series(["2024-01-01T05:00+03:30", "2024-01-01T06:00+03:30", "2024-01-01T07:00+03:30"]),
        pd.Series([dt.date(2024, 1, day) for day in (1, 2, 3)], dtype=object),
        pd.Series(["7", "8", "9"]),
    ],
)
def test_pandas_times_are_kept(column: pd.Series) -> None:
    table = pd.DataFrame({"unique_id": "a", "ds": column, "y": [1.0, 2.0, 3.0]})
    found = panel_frame(panel_from_frame(table))
    assert found["ds"].tolist() == column.tolist()
    if column.dtype != object:
        assert found["ds"].dtype == column.dtype


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([4, 5, 6], dtype=pl.Int16),
        pl.Series([4, 5, 6], dtype=pl.UInt64),
        pl.Series(days(3)),
        pl.Series(["2024-01", "2024-02", "2024-03"]),
        pl.Series([dt.date(2024, 1, day) for day in (1, 2, 3)]),
        pl.Series([dt.datetime(2024, 1, 1, hour) for hour in (1, 2, 3)])
        .dt.replace_time_zone("Asia/Tokyo")
        .dt.cast_time_unit("ns"),
        pl.Series([dt.datetime(2024, 1, day) for day in (1, 2, 3)], dtype=pl.Datetime("ms")),
    ],
)
@pytest.mark.parametrize("ids", [pl.String, pl.Categorical, pl.Enum(["z", "a"])])
def test_polars_types_are_kept(column: pl.Series, ids: Any) -> None:
    table = pl.DataFrame(
        {"unique_id": pl.Series(["a"] * 3, dtype=ids), "ds": column, "y": [1.0, 2.0, 3.0]}
    )
    assert_frame_equal(panel_frame(panel_from_frame(table)), table)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_forecast_has_its_columns_in_order(library: str) -> None:
    table = {"unique_id": ["b", "b", "a", "a"], "ds": days(2) * 2, "y": [1.0, 2.0, 3.0, 4.0]}
    middle = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    intervals = {95: (middle - 9, middle + 9), 80: (middle - 1, middle + 1), 99.5: (middle, middle)}
    found = forecast_frame(panel_of(library, table), middle, intervals)
    assert list(found.columns) == [
        *("unique_id", "ds", "memattn", "memattn-lo-80", "memattn-hi-80"),
        *("memattn-lo-95", "memattn-hi-95", "memattn-lo-99.5", "memattn-hi-99.5"),
    ]
    assert list(found["unique_id"]) == ["a"] * 3 + ["b"] * 3
    assert list(found["ds"]) == ["2024-01-03", "2024-01-04", "2024-01-05"] * 2
    assert list(found["memattn"]) == [1, 2, 3, 4, 5, 6]
    assert list(found["memattn-lo-80"]) == [0, 1, 2, 3, 4, 5]
    assert list(found["memattn-hi-95"]) == [10, 11, 12, 13, 14, 15]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_backtest_has_its_columns_in_order(library: str) -> None:
    table = {
        "store": ["a"] * 5 + ["b"] * 3,
        "when": [*days(5), *days(3, "2023-12-30")],
        "sales": [float(k) for k in range(8)],
    }
    names = {"id_col": "store", "time_col": "when", "target_col": "sales"}
    panel = panel_of(library, table, **names)
    windows = rolling_windows(panel, horizon=2, n_windows=2)
    forecasts = np.arange(6.0).reshape(3, 2)
    found = cross_validation_frame(panel, windows, forecasts, {80: (forecasts, forecasts + 1)})
    assert list(found.columns) == [
        *("store", "when", "cutoff", "sales", "memattn", "memattn-lo-80", "memattn-hi-80")
    ]
    assert list(found["store"]) == ["a"] * 4 + ["b"] * 2
    first = ["2024-01-03", "2024-01-04", "2024-01-04", "2024-01-05"]
    assert list(found["when"]) == [*first, "2023-12-31", "2024-01-01"]
    assert list(found["cutoff"]) == [*["2024-01-02"] * 2, *["2024-01-03"] * 2, *["2023-12-30"] * 2]
    assert list(found["sales"]) == [2, 3, 3, 4, 6, 7]
    assert list(found["memattn-hi-80"]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("library", LIBRARIES)
def test_rows_after_the_end_of_a_series_are_left_out(library: str) -> None:
    panel = panel_of(library, one_series(days(3)))
    windows = Windows(np.array([0]), np.array([2]))
    found = cross_validation_frame(panel, windows, np.array([[7.0, 8.0]]), model="naive")
    assert list(found["naive"]) == [7.0]
    with pytest.raises(ValueError, match="cross_validation_frame: windows: found an end outside"):
        cross_validation_frame(panel, Windows(np.array([0]), np.array([4])), np.ones((1, 2)))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_forecast_days_continue_over_a_change_of_clocks(zone: str) -> None:
    ds = pd.date_range("2024-03-01", periods=400, freq="D", tz=zone)
    panel = panel_from_frame(pd.DataFrame({"ds": ds[:5], "y": 1.0}))
    found = forecast_frame(panel, np.ones((1, 395)))["ds"]
    assert found.tolist() == ds[5:].tolist()
    assert set(found.dt.hour) == {0}


@pytest.mark.parametrize(
    ("cells", "following"),
    [
        (days(3), ["2024-01-04", "2024-01-05"]),
        (["2024-01", "2024-02", "2024-03"], ["2024-04", "2024-05"]),
        (["2023-Q3", "2023-Q4"], ["2024-Q1", "2024-Q2"]),
        (["2024/01/31", "2024/02/29"], ["2024/03/31", "2024/04/30"]),
        (["2024-01-01T22:00Z", "2024-01-01T23:00Z"], ["2024-01-02T00:00Z", "2024-01-02T01:00Z"]),
        (
            ["2024-01-01 22:30+05:30", "2024-01-01 23:30+05:30"],
            ["2024-01-02 00:30+05:30", "2024-01-02 01:30+05:30"],
        ),
        (["1998", "1999"], ["2000", "2001"]),
    ],
)
def test_forecasts_of_a_csv_file_keep_its_style_of_dates(
    tmp_path: Path, cells: list[str], following: list[str]
) -> None:
    columns = {"ds": cells, "unique_id": ["x,1"] * len(cells), "y": range(len(cells))}
    quoted = {**columns, "unique_id": ['"x,1"'] * len(cells)}
    panel = panel_from_file(write_csv(tmp_path / "in.csv", quoted))
    bounds = {80: (np.zeros((1, 2)), np.array([[np.inf, np.nan]]))}
    table = forecast_frame(panel, np.array([[0.1 + 0.2, 1234567890.125]]), bounds, kind="small")
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows == [
        ["unique_id", "ds", "memattn", "memattn-lo-80", "memattn-hi-80"],
        ["x,1", following[0], "0.30000000000000004", "0.0", "inf"],
        ["x,1", following[1], "1234567890.125", "0.0", ""],
    ]


@pytest.mark.parametrize(
    ("zone", "freq", "last"),
    [
        (None, "D", "2024-01-04"),
        (None, "h", "2024-01-01 03:00:00"),
        (None, "250ms", "2024-01-01 00:00:00.750000"),
        ("America/St_Johns", "h", "2024-01-01 03:00:00-03:30"),
    ],
)
def test_forecasts_of_a_parquet_file_are_written_as_csv(
    tmp_path: Path, zone: str | None, freq: str, last: str
) -> None:
    path = tmp_path / "in.parquet"
    ds = pd.date_range("2024-01-01", periods=3, freq=freq, tz=zone)
    pl.from_pandas(pd.DataFrame({"ds": ds, "y": [1, 2, 3]})).write_parquet(path)
    table = forecast_frame(panel_from_file(path), np.ones((1, 1)), kind="small")
    assert table.to_csv().splitlines()[1] == f"y,{last},1.0"


def test_times_that_the_type_cannot_hold_are_refused() -> None:
    ds = pd.DatetimeIndex(["2261-01-01", "2262-01-01"]).as_unit("ns")
    panel = panel_from_frame(pd.DataFrame({"ds": ds, "y": [1, 2]}))
    with pytest.raises(DataError, match=r"beyond the latest time that datetime64\[ns\] can hold"):
        forecast_frame(panel, np.ones((1, 2)))
    polars_ds = pl.Series([dt.date(2261, 1, 1), dt.date(2262, 1, 1)]).cast(pl.Datetime("ns"))
    panel = panel_from_frame(pl.DataFrame({"ds": polars_ds, "y": [1, 2]}))
    with pytest.raises(DataError, match="beyond the latest time that Datetime"):
        forecast_frame(panel, np.ones((1, 2)))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("freq", ["YS", "D", "B", "h"])
def test_times_after_the_year_9999_are_refused(library: str, freq: str) -> None:
    start = {"YS": "9998-01-01", "D": "9999-12-20", "B": "9999-12-20", "h": "9999-12-28T20:00"}[
        freq
    ]
    panel = panel_of(library, one_series([start]), freq=freq)
    for horizon in (40, 1_000_000):
        with pytest.raises(DataError, match="beyond the year 9999"):
            forecast_frame(panel, np.broadcast_to(1.0, (1, horizon)))


@pytest.mark.parametrize("library", LIBRARIES)
def test_wrong_shapes_are_refused(library: str) -> None:
    panel = panel_of(library, one_series(days(3)))
    for forecasts in (np.ones(3), np.ones((2, 3))):
        with pytest.raises(ValueError, match=r"forecast_frame: forecasts: found shape"):
            forecast_frame(panel, forecasts)
    with pytest.raises(ValueError, match=r"intervals\[80\]\[1\]: found shape \(1, 2\)"):
        forecast_frame(panel, np.ones((1, 3)), {80: (np.ones((1, 3)), np.ones((1, 2)))})


@pytest.mark.parametrize(("library", "other"), [("pandas", "polars"), ("polars", "pandas")])
def test_pandas_and_polars_do_not_need_each_other(library: str, other: str) -> None:
    code = f"""
import sys
sys.modules[{other!r}] = None
sys.modules["pyarrow"] = None
import numpy as np, {library}
from memattn.forecast.data.panel import panel_from_frame
from memattn.forecast.data.frames import forecast_frame
ds = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[us]")
frame = {library}.DataFrame({{"unique_id": ["a", "a"], "ds": ds, "y": [1.0, 2.0]}})
months = ["2024-01", "2024-02"]
text = {library}.DataFrame({{"unique_id": ["a", "a"], "ds": months, "y": ["1", "2"]}})
for one in (frame, text):
    assert len(forecast_frame(panel_from_frame(one), np.ones((1, 3)))) == 3
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
