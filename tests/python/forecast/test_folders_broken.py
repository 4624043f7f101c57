"""Folders of broken files, full disks and killed processes."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memattn.errors import DataError
from memattn.forecast import file_passes

from ..full_disk import full_disk
from .folders import (
    LAYOUTS,
    assert_same_fit,
    by_series,
    by_time,
    forecaster,
    make_small,
    same,
    table,
    write,
    written,
)


@pytest.fixture(autouse=True)
def small_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowers the limits on rows, so that small tables count as large."""
    make_small(monkeypatch)


def with_part(folder: Path, name: str, part: Any) -> None:
    if isinstance(part, bytes):
        (folder / name).write_bytes(part)
    else:
        pq.write_table(pa.Table.from_pandas(part, preserve_index=False), folder / name)


ROWS = table(count=2)
BROKEN: dict[str, tuple[Any, str]] = {
    "no Parquet": (b"not a parquet file", "z.parquet: cannot be read as Parquet"),
    "empty": (b"", "z.parquet: cannot be read as Parquet"),
    "cut off": (b"PAR1" + bytes(100), "z.parquet: cannot be read as Parquet"),
    "no column": (ROWS.drop(columns="y"), 'z.parquet.*found no column "y"'),
    "other ids": (ROWS.assign(unique_id=1), "z.parquet.*found the type int64, expected large"),
    "other times": (ROWS.assign(ds=7), "z.parquet.*found the type int64, expected timestamp"),
    "lists": (ROWS.assign(y=[[1.0]] * len(ROWS)), "found lists or records as cells"),
    "missing id": (ROWS.assign(unique_id=[None, *ROWS.unique_id[1:]]), "row 1: the id is missing"),
    "missing time": (ROWS.assign(ds=[pd.NaT, *ROWS.ds[1:]]), "row 1: the time is missing"),
    "twice": (ROWS.assign(y=1.0), r"twice with different values, .* of part-\d\d.parquet and 1 in "
              r"row \d+ of z.parquet"),
}  # fmt: skip


@pytest.mark.parametrize("layout", ["series", "time"])
@pytest.mark.parametrize("kind", BROKEN)
def test_an_error_names_the_broken_file(kind: str, layout: str, tmp_path: Path) -> None:
    part, says = BROKEN[kind]
    folder = write(tmp_path / "in", LAYOUTS[layout](table(), 3))
    fitted = forecaster().fit(folder, memory="2GiB")
    before = fitted._state("test")
    with_part(folder, "z.parquet", part)
    out = tmp_path / "o.parquet"
    out.write_bytes(b"old")
    with pytest.raises(DataError, match=says):
        fitted.write_forecasts(out, folder)
    if kind != "twice":  # the sample need not contain its series
        with pytest.raises(DataError, match=says):
            fitted.fit(folder, memory="2GiB")
    assert fitted._state("test") is before
    assert out.read_bytes() == b"old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "o.parquet"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_error_names_the_file_and_row_of_a_bad_value(layout: str, tmp_path: Path) -> None:
    rows = table()
    fitted = forecaster().fit(rows)
    rows.loc[(rows.unique_id == "shop 21") & (rows.ds == "2016-03-01"), "y"] = np.inf
    parts = LAYOUTS[layout](rows, 5)
    (k,) = (k for k, part in enumerate(parts) if np.isinf(part.y).any())
    row = int(np.argmax(np.isinf(parts[k].y))) + 1
    folder = write(tmp_path / "in", parts)
    says = f'part-{k:02d}.parquet, column "y": row {row}: series "shop 21": found inf'
    with pytest.raises(DataError, match=says):
        fitted.write_forecasts(tmp_path / "o.csv", folder)


@pytest.mark.parametrize("layout", ["series", "time"])
def test_files_without_rows_and_numbers_of_other_types_are_read(
    layout: str, tmp_path: Path
) -> None:
    rows = table()
    whole = rows.y.round()
    rows = rows.assign(y=whole)
    rows.loc[rows.ds == "2015-02-01", "y"] += 0.5
    parts = LAYOUTS[layout](rows, 3)
    parts[0], parts[1] = parts[1], parts[0]
    parts[1] = parts[1][parts[1].y % 1 == 0].astype({"y": "int32"})
    rows = pd.concat(parts)
    folder = write(tmp_path / "in", [parts[0][:0], *parts, parts[2][:0]])
    expected = forecaster().fit(rows)
    found = forecaster().fit(folder, memory="2GiB")
    assert_same_fit(found, expected)
    same(written(found, folder, tmp_path / "o.parquet"), expected.predict())


def test_folders_and_patterns_without_rows_are_refused(tmp_path: Path) -> None:
    fitted = forecaster().fit(table())
    out, empty = tmp_path / "o.csv", tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("x")
    none = write(tmp_path / "none", [table()[:0]])
    for data, says in (
        (empty, "found no Parquet or CSV file in it"),
        (tmp_path / "gone", "no such file"),
        (str(tmp_path / "*.parquet"), "no file matches it"),
        (none, "the table has no rows"),
    ):
        with pytest.raises(DataError, match=says):
            fitted.write_forecasts(out, data)
        with pytest.raises(DataError, match=says):
            forecaster().fit(data, memory="2GiB")
    with pytest.raises(DataError, match=r"no such file or folder; expected \*\.parquet"):
        forecaster().fit(tmp_path / "gone", memory="2GiB")
    assert not out.exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("memory", [None, "2GiB"])
@pytest.mark.parametrize("above", ["y=1", "shop=1/shop=2", "y"])
def test_a_column_in_the_file_and_in_its_folders_name_is_refused(
    kind: str, memory: str | None, above: str, tmp_path: Path
) -> None:
    rows = table()
    folder = tmp_path / "in" / above
    folder.mkdir(parents=True)
    if kind == "csv":
        rows.to_csv(folder / "a.csv", index=False)
    else:
        rows.to_parquet(folder / "a.parquet", index=False)
    if "=" not in above:  # the name of a folder alone is no column
        assert forecaster().fit(tmp_path / "in", memory=memory).settings == (
            forecaster().fit(rows).settings
        )
        return
    with pytest.raises(DataError, match="this column is in the file and in the name") as caught:
        forecaster().fit(tmp_path / "in", memory=memory)
    assert (caught.value.kind, caught.value.file) == ("duplicate-column", folder / f"a.{kind}")
    assert caught.value.column == above.partition("=")[0]


@pytest.mark.parametrize(
    ("memory", "says"),
    [("2 bags", "expected a number of bytes"), (100, "at least 1 GiB"), (True, "found True"),
     ("999MiB", "of at least 1 GiB"), (2.5e9, "expected a number of bytes")],
)  # fmt: skip
def test_an_invalid_memory_is_refused(memory: Any, says: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_series(table(), 3))
    with pytest.raises((ValueError, TypeError), match=says):
        forecaster().fit(folder, memory=memory)


def test_memory_is_refused_for_data_that_is_read_at_once(tmp_path: Path) -> None:
    rows = table()
    csv = tmp_path / "rows.csv"
    rows.to_csv(csv, index=False)
    for data, options, says in (
        (rows, {}, "a data frame is in memory already"),
        (csv, {"target_col": ["a", "b"]}, "cannot be set for a wide table"),
    ):
        with pytest.raises(DataError, match=says):
            forecaster(**options).fit(data, memory="2GiB")
    with pytest.raises(DataError, match=r"expected a name in .csv, .csv.gz or .parquet"):
        forecaster().fit(rows).write_forecasts(tmp_path / "o.xlsx", tmp_path)


def test_a_series_too_long_for_memory_is_refused(tmp_path: Path) -> None:
    rows = table(count=3, rows=800)
    fitted = forecaster(freq="MS").fit(rows)
    for layout in ("series", "time"):
        folder = write(tmp_path / layout, LAYOUTS[layout](rows, 3))
        with pytest.raises(
            DataError, match=r"found 7\d\d rows in one series, expected at most 600"
        ):
            fitted.write_forecasts(tmp_path / "o.csv", folder)


def test_too_many_series_for_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_passes, "BYTES_A_SERIES", 1 << 27)
    folder = write(tmp_path / "in", by_series(table(), 3))
    fitted = forecaster().fit(table())
    with pytest.raises(DataError, match="memory: 40 series take 5,821 MiB; pass at"):
        fitted.write_forecasts(tmp_path / "o.csv", folder, memory="2GiB")
    assert fitted.write_forecasts(tmp_path / "o.csv", folder, memory="8GiB").series == 40


@pytest.mark.parametrize("name", ["o.parquet", "o.csv", "o.csv.gz"])
def test_a_full_disk_keeps_the_old_file(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_series(table(), 4))
    fitted, out = forecaster().fit(table()), tmp_path / name
    out.write_bytes(b"old")
    with full_disk(1000), pytest.raises(DataError, match=f"cannot write .*{name}: File too large"):
        fitted.write_forecasts(out, folder)
    assert out.read_bytes() == b"old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", name]


def test_a_full_disk_while_sorting_is_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_time(table(), 4))
    fitted = forecaster().fit(table())
    with full_disk(500), pytest.raises(DataError, match=r"cannot sort the rows by id.*TMPDIR"):
        fitted.write_forecasts(tmp_path / "o.csv", folder)
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


def test_sorting_without_duckdb_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "in", by_time(table(), 4))
    fitted = forecaster().fit(table())
    find = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda n: None if n == "duckdb" else find(n))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'memattn\[sort\]'"):
        fitted.write_forecasts(tmp_path / "o.csv", folder)


def test_an_exception_in_progress_leaves_no_output(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_series(table(), 4))
    fitted = forecaster().fit(table())

    def stop(done: int, series: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted.write_forecasts(tmp_path / "o.parquet", folder, progress=stop)
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


def test_a_killed_process_leaves_no_output(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_series(table(), 4))
    forecaster().fit(table()).save(tmp_path / "model")
    code = (
        "import sys, time\nfrom memattn.forecast import Forecaster\n"
        "def slow(done, series):\n    print(done, flush=True)\n    time.sleep(60)\n"
        "f = Forecaster.load('model')\nf.write_forecasts('o.parquet', 'in', progress=slow)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(0.1)
        process.kill()
    names = {one.name for one in tmp_path.iterdir()}
    if hasattr(os, "O_TMPFILE"):
        assert names == {"in", "model"}
    assert "o.parquet" not in names
    assert folder.exists()
