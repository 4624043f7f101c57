"""Tables as files: the name of the file decides the format, whatever the panel came from."""

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.errors import DataError
from memattn.forecast.data import table_files
from memattn.forecast.data.frames import forecast_frame
from memattn.forecast.data.panel import Panel, panel_from_file, panel_from_frame
from memattn.forecast.data.small_table import SmallTable
from memattn.forecast.data.table_files import kind_of_file, table_bytes

from ..panels import random_table, write_csv


def written(panel: Panel, name: str) -> bytes:
    path = Path(name)
    table = forecast_frame(panel, np.ones((len(panel), 2)), kind=kind_of_file(path))
    return table_bytes(table, path)


@pytest.fixture(params=["polars", "pyarrow"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only library that is installed to write Parquet."""
    find = table_files.importlib.util.find_spec
    monkeypatch.setattr(
        table_files.importlib.util,
        "find_spec",
        lambda name: find(name) if name in (request.param, "narwhals") else None,
    )
    return str(request.param)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_files_have_the_rows_of_the_frame(zone: str | None) -> None:
    panel = panel_from_frame(random_table(3, "h", zone))
    expected = forecast_frame(panel, np.ones((len(panel), 2)))
    found = pd.read_parquet(io.BytesIO(written(panel, "f.parquet")))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    text = written(panel, "f.csv").decode()
    assert text.count("\n") == 1 + len(expected)


def test_parquet_of_a_csv_file_has_utc_times_and_numbers(tmp_path: Path) -> None:
    zoned = [f"2024-01-0{k}T12:00+02:00" for k in range(1, 6)]
    path = write_csv(tmp_path / "a.csv", {"ds": zoned, "y": [1, 2, 3, 4, 5]})
    table = pl.read_parquet(io.BytesIO(written(panel_from_file(path), "f.PQ")))
    assert table["ds"].dtype == pl.Datetime("us", "UTC")
    assert table["ds"].dt.hour().to_list() == [10, 10]
    counted = write_csv(tmp_path / "b.csv", {"a": [1, 2, 3]})
    table = pl.read_parquet(io.BytesIO(written(panel_from_file(counted), "f.parquet")))
    assert table.rows()[0] == ("a", 4, 1.0)


def test_a_missing_parquet_writer_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files.importlib.util, "find_spec", lambda name: None)
    assert kind_of_file(Path("f.csv")) == "small"
    with pytest.raises(DataError, match="writing Parquet needs Polars or PyArrow: pip install"):
        kind_of_file(Path("f.parquet"))


@pytest.mark.parametrize("name", ["a.xlsx", "a.txt", "a.json", "a.csv.zip", "a.gz", "a.parquet.gz"])
def test_names_with_other_suffixes_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"expected a name in .csv, .csv.gz or .parquet") as caught:
        kind_of_file(Path(name))
    assert (caught.value.kind, caught.value.argument) == ("option", "output")


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a", "-"])
def test_csv_or_no_suffix_means_csv(name: str) -> None:
    assert kind_of_file(Path(name)) == "small"


def test_gzip_holds_the_same_csv(tmp_path: Path) -> None:
    table = SmallTable({"ds": np.array(["2024-01-01"], object), "y": np.array([1.5])})
    plain = table_bytes(table, Path("a.csv"))
    packed = table_bytes(table, Path("a.csv.gz"))
    assert packed == table_bytes(table, Path("a.csv.gz"))
    assert gzip.decompress(packed) == plain
