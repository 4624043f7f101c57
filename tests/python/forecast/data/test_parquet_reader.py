"""Parquet files by both readers: damaged files, and files of far more values than bytes.

MEMATTN_LONG_TESTS=1 tries many more damaged files, and every nested cell in every role.
"""

import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memattn.errors import DataError
from memattn.forecast.data import parquet_reader
from memattn.forecast.data.panel import panel_from_file
from memattn.forecast.data.parquet_reader import read_parquet

from ...sampling import LONG, pairwise
from ..panels import note, random_table

MUTATIONS = 900 if LONG else 50

SERIES = 9  # of random_table(4)


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Hides libraries as if they were not installed."""
    find = parquet_reader.importlib.util.find_spec
    monkeypatch.setattr(
        parquet_reader.importlib.util, "find_spec", lambda one: None if one in names else find(one)
    )


@pytest.fixture(params=["PyArrow", "Polars alone"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only library that is installed to read Parquet."""
    without(monkeypatch, *(("polars",) if request.param == "PyArrow" else ("pyarrow",)), "pandas")
    return str(request.param)


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        panel_from_file(path)
    assert caught.value.file == path
    return caught.value


def content(table: pd.DataFrame, **options: Any) -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), data, **options)
    return data.getvalue()


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Returns the data with a few bytes changed, mostly in the footer; its length is kept."""
    copy = bytearray(data)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(rng.choice((4, footer)), len(data) - 8)
        copy[at] = rng.choice((copy[at] ^ 1 << rng.randrange(8), 0, 0xFF, rng.randrange(256)))
    return bytes(copy)


# PyArrow and Polars print about some names and zones that are not UTF-8, besides raising.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_files_are_refused_or_read(reader: str, tmp_path: Path) -> None:
    table = random_table(3, "h", "Europe/Berlin")
    plain = table.assign(label="x", ds=table["ds"].dt.tz_convert("UTC").dt.tz_localize(None))
    files = [
        content(table),
        content(plain, compression="none", use_dictionary=False),
        content(table, compression="zstd", data_page_version="2.0", row_group_size=20),
    ]
    rng, path, bad = random.Random(0), tmp_path / "damaged.parquet", 0
    turns = MUTATIONS // 8 if reader == "Polars alone" else MUTATIONS  # in a process each
    for turn in range(turns):
        path.write_bytes(damaged(files[turn % len(files)], rng))
        try:
            panel_from_file(path)
        except DataError:
            bad += 1
    assert turns // 3 < bad < turns


class PanicException(BaseException):
    """Stands for the exception of Polars, which is a BaseException."""


@pytest.mark.parametrize(
    "error",
    [KeyError("a"), pa.lib.ArrowNotImplementedError("b"), PanicException("c"), OSError(5, "d")],
    ids=lambda error: type(error).__name__,
)
def test_every_error_while_reading_becomes_a_data_error(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    path = tmp_path / "table.parquet"
    path.write_bytes(content(random_table(2)))
    monkeypatch.setattr(parquet_reader, "_by_arrow", fail)
    said = refused(path)
    assert said.kind == "unreadable"
    assert str(said).endswith("write the file again, or as CSV")
    assert "Traceback" not in str(said)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_interruption_does_not_become_a_data_error(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    path = tmp_path / "table.parquet"
    path.write_bytes(content(random_table(2)))
    monkeypatch.setattr(parquet_reader, "_by_arrow", fail)
    with pytest.raises(type(error)):
        panel_from_file(path)


def test_a_memory_error_becomes_a_data_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError

    path = tmp_path / "table.parquet"
    path.write_bytes(content(random_table(2)))
    monkeypatch.setattr(parquet_reader, "_by_arrow", fail)
    assert "not enough memory" in str(refused(path))


def test_errors_while_using_a_column_become_data_errors(reader: str, tmp_path: Path) -> None:
    """An unknown zone is found when the column is used, after the file is read."""
    path = tmp_path / "zone.parquet"
    times = pa.array([0, 1, 2], pa.timestamp("us", "Mars/Base"))
    pq.write_table(pa.table({"ds": times, "y": [1.0, 2.0, 3.0]}), path)
    assert refused(path).kind in ("unreadable", "unknown-zone")


def test_a_file_of_far_more_values_than_bytes_is_refused_unread(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.parquet"
    rows = parquet_reader.CELLS_ANYWAY // 2
    column = pa.array(np.zeros(rows, np.int8))
    pq.write_table(pa.table({"ds": column, "y": column, "z": column}), path)
    assert path.stat().st_size < 100_000

    def not_read(*arguments: object) -> None:
        raise AssertionError("the values were read")

    monkeypatch.setattr(pq.ParquetFile, "read", not_read)
    monkeypatch.setattr(pl.LazyFrame, "collect", not_read)
    said = refused(path)
    assert said.kind == "too-large"
    assert f"found {rows:,} rows of 3 columns in" in str(said)
    assert "write the table as CSV" in str(said)


def test_the_limit_of_cells_grows_with_the_bytes(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(content(random_table(4)))
    cells = 3 * len(random_table(4))
    monkeypatch.setattr(parquet_reader, "CELLS_ANYWAY", 0)
    monkeypatch.setattr(parquet_reader, "CELLS_A_BYTE", cells / path.stat().st_size)
    assert len(panel_from_file(path)) == SERIES
    monkeypatch.setattr(parquet_reader, "CELLS_A_BYTE", (cells - 1) / path.stat().st_size)
    assert refused(path).kind == "too-large"


def test_a_text_of_many_rows_is_in_memory_once(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "text.parquet"
    name = "x" * 1_000_000
    ids = pa.DictionaryArray.from_arrays(np.zeros(1000, np.int32), [name])
    table = pa.table({"unique_id": ids, "ds": range(1000), "y": [1.0] * 1000})
    pq.write_table(table, path, store_schema=False)  # so its text is plain text to a reader
    assert path.stat().st_size < 1_000_000
    assert panel_from_file(path).ids.tolist() == [name]


def test_lists_and_structs_are_left_out(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "nested.parquet"
    table = {"ds": range(5), "list": [[1, 2]] * 5, "struct": [{"a": 1}] * 5, "y": [1.0] * 5}
    pq.write_table(pa.table(table), path)
    panel = panel_from_file(path)
    assert panel.values.tolist() == [1.0] * 5
    assert note(panel, "unused").startswith('not used: "list", "struct"; ')
    # They are not even read: here their pages are destroyed.
    data = bytearray(path.read_bytes())
    group = pq.ParquetFile(path).metadata.row_group(0)
    for column in (1, 2):
        start = group.column(column).dictionary_page_offset
        size = group.column(column).total_compressed_size
        data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    assert panel_from_file(path).values.tolist() == [1.0] * 5


ROLES = {"id_col": "unique_id", "time_col": "ds", "target_col": "y"}


@pytest.mark.parametrize(
    ("reader", "role", "cell", "usual"),
    pairwise(["PyArrow", "Polars alone"], list(ROLES), [[1, 2], {"a": 1}, []], [True, False]),
    indirect=["reader"],
)
def test_lists_and_structs_in_a_role_are_refused(
    reader: str, tmp_path: Path, role: str, cell: object, usual: bool
) -> None:
    path = tmp_path / "nested.parquet"
    name = ROLES[role] if usual else "nested"
    table = {"unique_id": ["a"] * 5, "ds": range(5), "y": [1.0] * 5, name: [cell] * 5}
    pq.write_table(pa.table(table), path)
    with pytest.raises(DataError) as caught:
        panel_from_file(path, **{role: name})
    error = caught.value
    assert (error.kind, error.file, error.column) == ("not-a-value", path, name)
    assert error.problem == "found lists or records as cells, expected single values"


def test_a_file_of_lists_only_is_refused(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "nested.parquet"
    pq.write_table(pa.table({"a": [[1, 2]] * 5}), path)
    assert 'there is no numeric column to forecast among "a"' in str(refused(path))


def test_an_index_of_times_is_read(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    days = pd.date_range("2024-01-01", periods=4, name="ds")
    pd.DataFrame({"y": [1.0, 2, 3, 4]}, index=days).to_parquet(path, engine="pyarrow")
    assert panel_from_file(path).frequency.words == "1 day"


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda path: None, "not-found", "no such file; expected a Parquet file"),
        (lambda path: path.mkdir(), "no-files", "the folder has no CSV or Parquet files"),
        (lambda path: os.mkfifo(path), "not-a-file", "found a pipe or a device, expected"),
        (lambda path: path.symlink_to(path), "unreadable", "cannot be read: Too many levels of"),
        (lambda path: path.symlink_to("/dev/zero"), "not-a-file", "found a pipe or a device"),
    ],
    ids=["none", "folder", "pipe", "circle", "device"],
)
def test_paths_that_are_not_files_are_refused(
    make: Callable[[Path], object], kind: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.parquet"
    make(path)
    error = refused(path)
    assert error.kind == kind
    assert said in str(error)


def test_a_file_that_crashes_polars_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text("import os, signal; os.kill(os.getpid(), signal.SIGABRT)")
    path = tmp_path / "table.parquet"
    path.write_bytes(content(random_table(4)))
    without(monkeypatch, "pyarrow")
    assert len(panel_from_file(path)) == SERIES
    monkeypatch.setattr(parquet_reader, "_CHILD", child)
    assert 'as Parquet ("Polars crashed on it with exit code -6")' in str(refused(path))


def test_a_damaged_length_is_refused(reader: str) -> None:
    """Polars 2.1 requests two exabytes for this file, and aborts the process."""
    assert refused(Path(__file__).with_name("damaged_length.parquet")).kind == "unreadable"


def test_tables_of_polars_are_read(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "table.pq"
    pl.from_pandas(random_table(4)).write_parquet(path)
    assert len(panel_from_file(path)) == SERIES


def test_a_missing_reader_is_an_error_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(content(random_table(2)))
    without(monkeypatch, "pyarrow", "polars")
    with pytest.raises(ModuleNotFoundError) as caught:
        panel_from_file(path)
    assert str(caught.value) == (
        f"{path}: reading Parquet needs Polars or PyArrow: "
        "pip install 'memattn[polars]' or 'memattn[parquet]'"
    )


def test_folders_without_an_equals_sign_name_no_column(tmp_path: Path) -> None:
    (tmp_path / "2024" / "shop=1").mkdir(parents=True)
    (tmp_path / "2024" / "shop=1" / "a.parquet").write_bytes(content(random_table(2)[["ds", "y"]]))
    assert read_parquet(tmp_path).names == ["ds", "y", "shop"]
