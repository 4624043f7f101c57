"""Data frames of every library are read alike, refused alike and returned in their own kind."""

import datetime as dt
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.data import frame_columns as module
from memattn.forecast.data.frame_columns import frame_columns
from memattn.forecast.data.frames import cross_validation_frame, forecast_frame
from memattn.forecast.data.panel import Panel, panel_from_file, panel_from_frame
from memattn.forecast.data.windows import rolling_windows

from ..panels import assert_same, days, note, random_table

KINDS = ("pandas", "polars", "lazy", "pyarrow", "duckdb")


def as_kind(kind: str, table: pd.DataFrame) -> Any:
    if kind == "pandas":
        return table
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    if kind == "pyarrow":
        return arrow
    if kind == "duckdb":
        return duckdb.from_arrow(arrow)
    frame = pl.from_arrow(arrow)
    return frame.lazy() if kind == "lazy" else frame


def forecast(panel: Panel, rows: int = 1) -> Any:
    return forecast_frame(panel, np.ones((len(panel), rows)))


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_library_gives_the_same_panel(kind: str, zone: str | None) -> None:
    table = random_table(5, "h", zone)
    panel = panel_from_frame(as_kind(kind, table))
    assert_same(panel, panel_from_frame(table))
    expected = {"lazy": pl.DataFrame, "polars": pl.DataFrame, "pandas": pd.DataFrame}
    found = forecast(panel)
    assert type(found) is expected.get(kind, pa.Table)
    ids = found["unique_id"].to_pylist() if kind in ("pyarrow", "duckdb") else found["unique_id"]
    assert list(ids) == panel.ids.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_wide_frames_are_read_as_wide_files_are(kind: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=9), "label": "x"})
    table = table.assign(b=np.arange(9.0), a=np.arange(9, dtype=np.int32))
    table.to_csv(tmp_path / "wide.csv", index=False)
    expected = panel_from_file(tmp_path / "wide.csv")
    found = panel_from_frame(as_kind(kind, table))
    assert_same(found, expected)
    assert note(found, "wide") == note(expected, "wide")
    named = Forecaster(1, target_col=["a", "b"], steps=1).fit(as_kind(kind, table))
    assert named._state("test").panel.ids.tolist() == ["a", "b"]


@pytest.mark.parametrize("name", ["date", None, "ds"])
def test_an_index_of_dates_is_the_column_of_times(name: str | None) -> None:
    index = pd.date_range("2024-01-01", periods=9, name=name)
    wide = pd.DataFrame({"a": range(9), "b": range(9)}, index=index)
    panel = panel_from_frame(wide)
    assert panel.frequency.words == "1 day"
    assert list(forecast(panel).columns)[:2] == ["unique_id", name or "ds"]
    assert list(wide.columns) == ["a", "b"]
    kept = panel_from_frame(wide.assign(ds=range(9)))
    assert kept.frequency.words == "1 step"


def test_an_index_of_periods_is_refused_and_a_taken_name_becomes_ds() -> None:
    months = pd.period_range("2024-01", periods=9, freq="M", name="month")
    with pytest.raises(DataError, match=r"\.dt\.to_timestamp\(\)"):
        panel_from_frame(pd.DataFrame({"a": range(9)}, index=months))
    index = pd.date_range("2024-01-01", periods=9)
    for name, columns in (("a", ["a"]), (None, pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))):
        table = pd.DataFrame(np.ones((9, len(columns))), index.rename(name), columns)
        assert list(forecast(panel_from_frame(table)).columns)[1] == "ds"


def test_index_levels_with_the_names_of_columns_are_columns() -> None:
    table = random_table(3)
    expected = panel_from_frame(table)
    for levels in (["unique_id"], ["ds"], ["unique_id", "ds"], ["y", "ds"]):
        assert_same(panel_from_frame(table.set_index(levels)), expected)
    twice = table.set_index(table["unique_id"].rename("unique_id"))
    assert_same(panel_from_frame(twice), expected)


def test_column_names_that_are_not_text_become_text() -> None:
    table = pd.DataFrame({"ds": days(5), 2024: range(5), ("a", "b"): range(5)})
    assert panel_from_frame(table).ids.tolist() == ["2024", "('a', 'b')"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([dt.date(2024, 1, k) for k in (1, 2, 3)], pa.date32()),
        pa.array([dt.date(2024, 1, k) for k in (1, 2, 3)], pa.date64()),
        pa.array([0, 86_400, 2 * 86_400], pa.timestamp("s")),
        pa.array([0, 86_400_000, 2 * 86_400_000], pa.timestamp("ms", "UTC")),
        pa.array([0, 3600 * 10**9, 7200 * 10**9], pa.timestamp("ns", "+05:30")),
        pa.array([4, 5, 6], pa.uint8()),
        pa.array(["2024-01", "2024-02", "2024-03"], pa.large_string()),
    ],
    ids=lambda column: str(column.type),
)
@pytest.mark.parametrize("backed", [True, False], ids=["pandas", "pyarrow"])
def test_arrow_types_of_times_are_kept(column: pa.Array, backed: bool) -> None:
    table = pa.table({"unique_id": ["a"] * 3, "ds": column, "y": [1.0, 2.0, 3.0]})
    frame = table.to_pandas(types_mapper=pd.ArrowDtype) if backed else table
    found = forecast(panel_from_frame(frame), 2)
    if backed:
        assert found["ds"].dtype == frame["ds"].dtype
        assert (found["ds"] > frame["ds"].max()).all()
    else:
        assert found.schema.field("ds").type == column.type
        assert min(found["ds"].to_pylist()) > max(column.to_pylist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["time", "duration", "boolean", "fraction"])
def test_columns_of_other_types_are_not_taken_for_times(kind: str, case: str) -> None:
    first = {
        "time": [dt.time(k) for k in range(9)],
        "duration": pd.to_timedelta(range(9), unit="h"),
        "boolean": [True] * 9,
        "fraction": np.arange(9) / 2,
    }[case]
    table = pd.DataFrame({"first": first, "unique_id": "a", "when": days(9), "y": range(9)})
    frame = as_kind(kind, table)
    assert panel_from_frame(frame).frequency.words == "1 day"
    with pytest.raises(DataError, match=r'"first": found .* expected (dates|a date)'):
        panel_from_frame(frame, time_col="first")


@pytest.mark.parametrize("kind", KINDS)
def test_digits_in_text_are_ids_and_not_times(kind: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"unique_id": ["101", "102"] * 9, "date": np.repeat(days(9), 2)})
    table["y"] = np.arange(18.0)
    found = panel_from_frame(as_kind(kind, table))
    assert (found.ids.tolist(), found.frequency.words) == (["101", "102"], "1 day")
    table.to_parquet(tmp_path / "long.parquet", engine="pyarrow")
    assert_same(panel_from_file(tmp_path / "long.parquet"), found)
    wide = pd.DataFrame({"batch": [str(1000 + k) for k in range(9)], "date": days(9), "a": 1.5})
    wide.to_parquet(tmp_path / "wide.parquet", engine="pyarrow")
    for panel in (
        panel_from_frame(as_kind(kind, wide)),
        panel_from_file(tmp_path / "wide.parquet"),
    ):
        assert panel.frequency.words == "1 day"


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize(
    "y",
    [
        np.array([1234567890 + 7 * k for k in range(12)]),
        np.array([2**53 - k for k in range(12)]),
        np.float32([0.1 * k for k in range(12)]),
        np.array([1e-300 * (k + 1) for k in range(12)]),
        np.uint8(range(12)),
        np.float64(range(12)),
    ],
    ids=["ten digits", "2**53", "float32", "small", "uint8", "whole floats"],
)
def test_observed_values_keep_their_bits_and_type(kind: str, y: Any, tmp_path: Path) -> None:
    table = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=12), "y": y})
    panel = panel_from_frame(as_kind(kind, table))
    windows = rolling_windows(panel, horizon=2, n_windows=3)
    found = cross_validation_frame(panel, windows, np.ones((3, 2)))["y"]
    found = found.to_numpy()
    assert found.dtype == y.dtype
    assert found.tolist() == y[[8, 9, 9, 10, 10, 11]].tolist()
    table.to_csv(tmp_path / "a.csv", index=False)
    panel = panel_from_file(tmp_path / "a.csv")
    table = cross_validation_frame(panel, windows, np.ones((3, 2)), kind="small")
    given = pd.read_csv(tmp_path / "a.csv")["y"].tolist()
    assert [float(cell) for cell in table["y"]] == [given[k] for k in (8, 9, 9, 10, 10, 11)]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "csv"])
def test_rounded_whole_numbers_are_noted(kind: str, tmp_path: Path) -> None:
    values = [2**53 + 2 * k for k in range(11)] + [2**53 + 1]
    table = pd.DataFrame({"ds": days(12), "y": values})
    if kind == "csv":
        table.to_csv(tmp_path / "a.csv", index=False)
        panel = panel_from_file(tmp_path / "a.csv")
    else:
        panel = panel_from_frame(as_kind(kind, table))
    place = "line 13" if kind == "csv" else "row 12"
    expected = f'"y" has whole numbers beyond 2**53, first {place}: rounded to the nearest'
    assert note(panel, "rounded").startswith(expected)
    exact = table[:11]
    assert note(panel_from_frame(exact), "rounded") == ""


def test_unused_columns_are_noted() -> None:
    table = random_table(3)
    assert note(panel_from_frame(table), "unused") == ""
    panel = panel_from_frame(table.assign(price=1.0, promo="x"))
    assert note(panel, "unused") == (
        'not used: "price", "promo"; list covariates in futr_exog_list (known ahead), '
        "hist_exog_list (in the past) or stat_exog_list"
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"time_col": "cutoff"}, '"cutoff" is also a column of every forecast; rename it'),
        ({"time_col": "memattn"}, 'time_col: the column "memattn"'),
        ({"target_col": "ds"}, 'target_col: "ds" is already time_col'),
        ({"time_col": "unique_id"}, 'id_col: "unique_id" is already time_col'),
        ({"id_col": "y"}, 'id_col: "y" is already target_col; name another column'),
    ],
)
@pytest.mark.parametrize("kind", ["pandas", "csv"])
def test_conflicting_names_are_refused(
    kind: str, names: dict[str, str], said: str, tmp_path: Path
) -> None:
    table = pd.DataFrame({"unique_id": 1, "ds": range(1, 10), "y": np.arange(9) + 5})
    ((role, name),) = names.items()
    if name not in table:
        usual = {"id_col": "unique_id", "time_col": "ds", "target_col": "y"}[role]
        table = table.rename(columns={usual: name})
    elif role != "target_col":
        table = table.assign(**{name: range(9)})
    table.to_csv(tmp_path / "a.csv", index=False)
    read: Any = panel_from_file if kind == "csv" else panel_from_frame
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.csv" if kind == "csv" else table, **names)
    assert said in str(caught.value)


def test_a_missing_narwhals_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ds,y\n" + "".join(f"2024-01-0{k},{k}\n" for k in range(1, 9)))
    code = """
import sys, importlib.util
sys.modules["narwhals"] = None
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "narwhals" else find(name, *more)
from memattn.forecast import Forecaster
print(len(Forecaster(1, steps=1).fit("a.csv").predict()))
import pandas
try:
    Forecaster(1).fit(pandas.DataFrame({"ds": [1, 2], "y": [1, 2]}))
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines() == ["1", "a data frame needs: pip install 'memattn[forecast]'"]


def test_a_pandas_like_frame_is_converted_to_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"ds": days(3), "y": [1.0, 2.0, 4.0]})
    kind = SimpleNamespace(value="modin")
    theirs = SimpleNamespace(implementation=kind, to_pandas=lambda: table)
    read = module.nw.from_native
    monkeypatch.setattr(module.nw, "from_native", lambda one: theirs if one is kind else read(one))
    columns = frame_columns(kind)
    assert (columns.library, columns.names) == ("pandas", ["ds", "y"])
    assert columns.numbers("y").tolist() == [1, 2, 4]


def test_ids_with_half_a_surrogate_pair_are_refused() -> None:
    ids = pd.Series(["a", "b\ud800", "a"], dtype=object)
    table = pd.DataFrame({"unique_id": ids, "ds": days(3), "y": [1, 2, 3]})
    with pytest.raises(DataError, match="found ids with half a surrogate pair, expected Unicode"):
        panel_from_frame(table)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([5, None, 7], dtype=pl.Int64),
        pl.Series([5, None, 7], dtype=pl.Int128),
        pl.Series([5.0, None, 7.0], dtype=pl.Float32),
        pl.Series(["5", None, "7"]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_missing_numbers_of_every_type_become_nan(column: pl.Series) -> None:
    columns = frame_columns(pl.DataFrame({"y": column, "none": [None] * 3}))
    np.testing.assert_array_equal(columns.numbers("y"), [5, np.nan, 7])
    np.testing.assert_array_equal(columns.numbers("none"), [np.nan] * 3)


def test_sparse_columns_are_read() -> None:
    table = pd.DataFrame(
        {
            "ds": pd.arrays.SparseArray([0, 1, 2]),
            "y": pd.arrays.SparseArray([0.0, 3.0, 0.0]),
        }
    )
    panel = panel_from_frame(table)
    assert panel.values.tolist() == [0, 3, 0]
    assert forecast(panel)["ds"].tolist() == [3]


def test_cells_of_several_values_are_not_taken_for_times() -> None:
    table = pd.DataFrame({"lists": [[1], [2], [3]], "when": days(3), "a": [1, 2, 3.5]})
    panel = panel_from_frame(table)
    assert (panel.ids.tolist(), panel.frequency.words) == (["a"], "1 day")
    with pytest.raises(DataError, match='"lists": found lists or records as cells'):
        panel_from_frame(table, time_col="lists")
