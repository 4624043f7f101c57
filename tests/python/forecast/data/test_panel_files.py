"""A panel from CSV and Parquet files, long and wide; Parquet readers are optional."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast.data import panel_files, parquet_reader
from memattn.forecast.data.frames import forecast_frame
from memattn.forecast.data.panel import panel_from_file, panel_from_frame

from ..panels import as_library, assert_same, days, note, random_table, write_csv


def test_files_hold_the_same_panel(tmp_path: Path) -> None:
    table = random_table(3, "MS")
    expected = panel_from_frame(table)
    table.to_csv(tmp_path / "long.csv", index=False)
    as_library("polars", table).write_parquet(tmp_path / "long.parquet")
    for name in ("long.csv", "long.parquet"):
        assert_same(panel_from_file(tmp_path / name), expected)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_wide_files_have_a_series_for_each_numeric_column(tmp_path: Path, kind: str) -> None:
    columns = {
        "when": days(12),
        "b": [*map(str, range(1, 12)), ""],
        "label": ["x"] * 12,
        "a": [str(k * k) for k in range(12)],
    }
    path = tmp_path / f"wide.{kind}"
    if kind == "csv":
        write_csv(path, columns)
    else:
        numbers = {k: pd.to_numeric(pd.Series(columns[k])) for k in "ba"}
        pd.DataFrame({**columns, **numbers}).to_parquet(path, engine="pyarrow")
    panel = panel_from_file(path)
    assert panel.ids.tolist() == ["b", "a"]
    assert panel.lengths.tolist() == [11, 12]
    assert 'left out: "label"; times in "when"' in note(panel, "wide")
    assert panel.form.library == "csv"


def test_a_file_without_times_counts_its_rows(tmp_path: Path) -> None:
    panel = panel_from_file(write_csv(tmp_path / "numbers.csv", {"x": [5, 6, 7], "y": [1, 2, 3]}))
    assert panel.ids.tolist() == ["x", "y"]
    assert panel.future(1).tolist() == [[4], [4]]


def test_polars_and_pyarrow_read_the_same_panel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.parquet"
    random_table(4, "h").set_index("ds").to_parquet(path, engine="pyarrow")
    by_arrow = panel_from_file(path)
    monkeypatch.setattr(parquet_reader, "_by_arrow", parquet_reader._by_polars)
    assert_same(panel_from_file(path), by_arrow)


def test_an_index_that_pandas_wrote_is_not_a_series(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    table = pd.DataFrame({"ds": days(9), "a": range(9)})
    table[table.index != 3].to_parquet(path, engine="pyarrow")
    assert panel_from_file(path).ids.tolist() == ["a"]


def test_a_missing_parquet_reader_is_an_error_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.parquet"
    random_table(4).to_parquet(path)
    monkeypatch.setattr(panel_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'memattn\[parquet\]'"):
        panel_from_file(path)


@pytest.mark.parametrize("reader", ["_by_polars", "_by_arrow"])
@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"unique_id,ds,y"])
def test_broken_parquet_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, data: bytes
) -> None:
    monkeypatch.setattr(parquet_reader, "_by_arrow", getattr(parquet_reader, reader))
    path = tmp_path / "broken.parquet"
    path.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read as Parquet") as caught:
        panel_from_file(path)
    assert caught.value.kind == "unreadable"
    with pytest.raises(DataError, match="no such file"):
        panel_from_file(tmp_path / "none.parquet")


def test_weeks_keep_their_style(tmp_path: Path) -> None:
    for mark, day in (("-W", ""), ("W", ""), ("-W", "-7")):
        weeks = [f"2020{mark}{week}{day}" for week in range(40, 53)]
        path = write_csv(tmp_path / "weeks.csv", {"week": weeks, "sales": range(13)})
        panel = panel_from_file(path)
        assert panel.frequency.words == "1 week"
        table = forecast_frame(panel, np.ones((1, 2)), kind="small")
        assert table["week"].tolist() == [f"2020{mark}53{day}", f"2021{mark}01{day}"]


def test_a_file_without_a_suffix_is_read_by_its_content(tmp_path: Path) -> None:
    table, path = random_table(3), tmp_path / "data"
    expected = panel_from_frame(table)
    table.to_csv(path, index=False)
    assert_same(panel_from_file(path), expected)
    as_library("polars", table).write_parquet(path)
    assert_same(panel_from_file(path), expected)
    path.unlink()
    path.symlink_to("/proc/self/mem")  # whose first bytes cannot be read
    with pytest.raises(DataError, match=r"data: cannot be read: Input/output error"):
        panel_from_file(path)
