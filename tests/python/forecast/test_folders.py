"""Folders of Parquet files, read in passes: the bits of one table, and what goes wrong."""

import os
import subprocess
import sys
import time
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
from memattn.forecast import Forecaster, file_passes
from memattn.forecast.data import external_sort, file_set, series_parts, series_sample
from memattn.forecast.data.file_set import FileSet
from memattn.forecast.data.series_sample import Budget

from ..full_disk import full_disk
from .covariate_tables import LISTS, shops
from .panels import note

H = 4


@pytest.fixture(autouse=True)
def small_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows count as many, so that there are many passes, parts and sorts."""
    monkeypatch.setattr(series_sample, "BUDGET", Budget(600, 3))
    monkeypatch.setattr(file_set, "BATCH_ROWS", 64)
    monkeypatch.setattr(external_sort, "GROUP_ROWS", 64)
    monkeypatch.setattr(series_parts, "MANY_ROWS", 500)
    monkeypatch.setattr(file_passes, "FEWEST_ROWS", 600)
    monkeypatch.setattr(file_passes, "MOST_ROWS", 600)


def table(count: int = 40, rows: int = 40, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(count):
        ds = pd.date_range("2015-01-01", periods=rows + k % 5, freq="MS")
        y = 50 + 10 * np.sin(np.arange(len(ds)) / 2 + k) + rng.normal(size=len(ds))
        y[rng.random(len(ds)) < 0.02] = np.nan
        part = pd.DataFrame({"unique_id": f"shop {k:02d}", "ds": ds, "y": y})
        parts.append(part[rng.random(len(ds)) > 0.02])
    return pd.concat(parts, ignore_index=True)


def write(folder: Path, parts: list[pd.DataFrame], **options: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k, part in enumerate(parts):
        part.to_parquet(folder / f"part-{k:02d}.parquet", index=False, **options)
    return folder


def by_series(rows: pd.DataFrame, files: int) -> list[pd.DataFrame]:
    """Each file has whole series, in the order of their ids."""
    ids = np.array_split(np.sort(rows.unique_id.unique()), files)
    return [rows[rows.unique_id.isin(some)] for some in ids]


def cut(rows: pd.DataFrame, files: int) -> list[pd.DataFrame]:
    """Rows in the order of ids, cut within series."""
    return [rows.iloc[some] for some in np.array_split(np.arange(len(rows)), files)]


def by_time(rows: pd.DataFrame, files: int) -> list[pd.DataFrame]:
    """Each file has rows of all series."""
    rows = rows.sort_values("ds", kind="stable")
    return cut(rows, files)


def mixed(rows: pd.DataFrame, files: int) -> list[pd.DataFrame]:
    """Rows in no order, in files of whole series that are in no order."""
    rng = np.random.default_rng(0)
    ids = np.array_split(rng.permutation(rows.unique_id.unique()), files)
    return [rows[rows.unique_id.isin(some)].sample(frac=1, random_state=1) for some in ids]


LAYOUTS: dict[str, Callable[[pd.DataFrame, int], list[pd.DataFrame]]] = {
    "series": by_series,
    "cut": cut,
    "time": by_time,
    "mixed": mixed,
}


def forecaster(**options: Any) -> Forecaster:
    return Forecaster(H, **({"steps": 4, "prior": None} | options))


def written(fitted: Forecaster, data: Any, path: Path, **options: Any) -> pd.DataFrame:
    done = fitted.write_forecasts(path, data, **options)
    found = pl.read_parquet(path).to_pandas()
    assert done.rows == len(found)
    assert done.series == found.unique_id.nunique()
    return found


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Whatever the order of the series, which is that of the files."""
    order = ["unique_id", "ds"]
    found, expected = (one.sort_values(order, ignore_index=True) for one in (found, expected))
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)


def weights(fitted: Forecaster) -> list[np.ndarray]:
    engine = fitted._state("test").model.engine
    return [engine.parameters(k) for k in range(engine.members)]


def assert_same_fit(found: Forecaster, expected: Forecaster) -> None:
    for one, other in zip(weights(found), weights(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    calibrations = [one._state("test").calibration for one in (found, expected)]
    if calibrations[0] is not None and calibrations[1] is not None:
        np.testing.assert_array_equal(calibrations[0].errors, calibrations[1].errors)
    assert found.settings == expected.settings


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("files", [1, 7])
def test_passes_have_the_bits_of_one_table(layout: str, files: int, tmp_path: Path) -> None:
    rows = table()
    folder = write(tmp_path / "in", LAYOUTS[layout](rows, files), row_group_size=37)
    expected = forecaster().fit(rows)
    assert expected.settings["sample"].value < 40
    found = forecaster().fit(folder, memory="2GiB")
    assert_same_fit(found, expected)
    out = written(found, folder, tmp_path / "out.parquet", level=[80, 95])
    same(out, expected.predict(level=[80, 95]))
    if layout in ("series", "cut"):
        assert out.unique_id.is_monotonic_increasing
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups > 3
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "out.parquet"]


def test_files_that_lie_otherwise_are_sorted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, sorts = table(), []
    sort = file_passes.in_order_of_ids
    monkeypatch.setattr(
        file_passes, "in_order_of_ids", lambda *given: sorts.append(given) or sort(*given)
    )
    fitted = forecaster().fit(rows)
    for layout in ("series", "cut", "mixed"):
        folder = write(tmp_path / layout, LAYOUTS[layout](rows, 9))
        fitted.write_forecasts(tmp_path / "o.csv", folder)
    assert not sorts
    fitted.write_forecasts(tmp_path / "o.csv", write(tmp_path / "time", by_time(rows, 9)))
    assert len(sorts) == 1


def test_few_series_are_all_trained_on(tmp_path: Path) -> None:
    rows = table(count=8, rows=20)
    folder = write(tmp_path / "in", by_time(rows, 3))
    found, expected = forecaster().fit(folder, memory="1GiB"), forecaster().fit(rows)
    assert "sample" not in found.settings or found.settings["sample"].value < 8
    assert_same_fit(found, expected)


def test_a_fit_keeps_no_series_but_what_it_measured(tmp_path: Path) -> None:
    rows = table()
    folder = write(tmp_path / "in", by_series(rows, 4))
    found, expected = forecaster().fit(folder, memory="2GiB"), forecaster().fit(rows)
    with pytest.raises(RuntimeError, match="without its series"):
        found.predict()
    same(found.predict(rows), expected.predict(rows))
    measured = [one.held_out([80]) for one in (found, expected)]
    assert measured[0] is not None
    assert measured[1] is not None
    assert measured[0].overall("memattn") == measured[1].overall("memattn")
    assert "of 40, chosen by a hash" in note(found, "sample")
    found.save(tmp_path / "f")
    loaded = Forecaster.load(tmp_path / "f")
    same(written(loaded, folder, tmp_path / "o.parquet"), expected.predict())


def test_patterns_name_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table()
    write(tmp_path / "in" / "a", by_series(rows, 3)[:1])
    write(tmp_path / "in" / "b", by_series(rows, 3)[1:])
    (tmp_path / "in" / "b" / "_SUCCESS").touch()
    expected = forecaster().fit(rows)
    pattern = str(tmp_path / "in" / "*" / "*.parquet")
    for memory in (None, "2GiB"):
        assert_same_fit(forecaster().fit(pattern, memory=memory), expected)
    same(written(expected, pattern, tmp_path / "o.parquet"), expected.predict())
    monkeypatch.chdir(tmp_path / "in" / "b")
    some = expected.predict(pd.concat(by_series(rows, 3)[1:]))
    same(written(expected, "*.parquet", tmp_path / "o.parquet"), some)


def test_very_many_rows_are_read_in_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "in", by_series(table(), 3))
    assert len(forecaster().fit(folder)._state("test").panel) == 40
    monkeypatch.setattr(file_passes, "MANY_ROWS", 1000)
    assert len(forecaster().fit(folder)._state("test").panel) == 0


def test_names_of_folders_are_columns(tmp_path: Path) -> None:
    rows = table(count=12)
    for name, part in rows.groupby("unique_id"):
        write(tmp_path / "in" / f"unique_id={name}".replace(" ", "%20"),
              cut(part.drop(columns="unique_id"), 2))  # fmt: skip
    expected = forecaster().fit(rows)
    found = forecaster().fit(tmp_path / "in", memory="2GiB")
    assert_same_fit(found, expected)
    same(written(found, tmp_path / "in", tmp_path / "o.parquet"), expected.predict())


def test_whole_numbers_name_series_and_categories_too(tmp_path: Path) -> None:
    rows = table()
    for ids in (rows.unique_id.str[-2:].astype(int), rows.unique_id.astype("category")):
        other = rows.assign(unique_id=ids)
        folder = write(tmp_path / "in", by_time(other, 5))
        expected = forecaster().fit(other)
        found = forecaster().fit(folder, memory="2GiB")
        assert_same_fit(found, expected)
        out = written(found, folder, tmp_path / "o.parquet")
        same(out, expected.predict().astype({"unique_id": out.unique_id.dtype}))


@pytest.mark.parametrize("layout", ["series", "time"])
def test_zones_stay(layout: str, tmp_path: Path) -> None:
    rows = table()
    rows["ds"] = rows.ds.dt.tz_localize("Europe/Oslo")
    folder = write(tmp_path / "in", LAYOUTS[layout](rows, 4))
    expected = forecaster().fit(rows)
    found = forecaster().fit(folder, memory="2GiB")
    assert_same_fit(found, expected)
    out = written(found, folder, tmp_path / "o.parquet")
    same(out, expected.predict().astype({"ds": out.ds.dtype}))


@pytest.mark.parametrize("layout", ["series", "time"])
def test_covariates_come_from_the_files(layout: str, tmp_path: Path) -> None:
    rows = shops(np.random.default_rng(3), days=70, count=6)
    last = rows.ds > rows.ds.max() - pd.Timedelta(days=H)
    ahead = pd.MultiIndex.from_product(
        [rows.unique_id.unique(), pd.date_range(rows.ds.max() - pd.Timedelta(days=6), periods=7)],
        names=["unique_id", "ds"],
    )
    ahead = ahead.to_frame(index=False).assign(price=10.0, weather="sun")
    rows = rows[~last]
    static = rows.groupby("unique_id", as_index=False).region.first()
    options = {"steps": 2, **LISTS}
    folder = write(tmp_path / "in", LAYOUTS[layout](rows.drop(columns="region"), 4))
    expected = Forecaster(H, **options).fit(rows.drop(columns="region"), static_df=static)
    found = Forecaster(H, **options).fit(folder, static_df=static, memory="2GiB")
    assert_same_fit(found, expected)
    ends = rows.groupby("unique_id").ds.max()
    ahead = pd.concat(
        pd.DataFrame(
            {"unique_id": name, "ds": pd.date_range(end, periods=H + 1)[1:], "price": 9.0,
             "weather": "sun"}
        )
        for name, end in ends.items()
    )  # fmt: skip
    given = {"X_df": ahead, "static_df": static}
    out = written(found, folder, tmp_path / "o.parquet", **given)
    same(out, expected.predict(rows.drop(columns="region"), **given))


def test_training_goes_on_from_files(tmp_path: Path) -> None:
    rows = table()
    folder = write(tmp_path / "in", by_series(rows, 4))
    start = forecaster().fit(rows[rows.ds < "2018-01-01"])
    expected = forecaster().fit(rows, start_from=start)
    assert_same_fit(forecaster().fit(folder, start_from=start, memory="2GiB"), expected)


def test_checkpoints_of_files_go_on(tmp_path: Path) -> None:
    folder, state = write(tmp_path / "in", by_series(table(), 4)), tmp_path / "state"
    expected = forecaster(steps=300).fit(folder, memory="2GiB")
    stopped = forecaster(steps=300)
    stopped.fit(folder, memory="2GiB", checkpoint=state, progress=lambda *told: False)
    assert note(stopped, "stopped")
    stopped.fit(folder, memory="2GiB", checkpoint=state, resume=True)
    assert_same_fit(stopped, expected)


@pytest.mark.parametrize("name", ["o.csv", "o.csv.gz"])
def test_text_is_written_as_it_comes(name: str, tmp_path: Path) -> None:
    rows = table()
    folder = write(tmp_path / "in", by_series(rows, 4))
    fitted = forecaster().fit(rows)
    fitted.write_forecasts(tmp_path / name, folder, level=80)
    found = pd.read_csv(tmp_path / name, parse_dates=["ds"])
    same(found, fitted.predict(level=80))


def test_progress_counts_series(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_series(table(), 4))
    fitted, told = forecaster().fit(table()), []
    fitted.write_forecasts(tmp_path / "o.csv", folder, progress=lambda *one: told.append(one))
    assert told == sorted(set(told))
    assert told[-1] == (40, 40)
    assert len(told) > 4


def test_bad_series_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = table()
    bad = rows.unique_id.isin(["shop 03", "shop 21", "shop 39"])
    rows.loc[bad & (rows.ds == "2016-03-01"), "y"] = np.inf
    folder = write(tmp_path / "in", by_series(rows, 4))
    fitted = forecaster(on_bad_series="drop").fit(folder, memory="2GiB")
    assert_same_fit(fitted, forecaster(on_bad_series="drop").fit(rows))
    done = fitted.write_forecasts(tmp_path / "o.csv", folder)
    assert done.series == 37
    (told,) = [one for one in done.notes if one.kind == "bad-series"]
    assert told.count == 3
    assert "shop 03" in told.text
    with pytest.raises(DataError, match=r'part-00.parquet.*: row \d+: series "shop 03".*found inf'):
        forecaster().fit(rows[~bad]).write_forecasts(tmp_path / "o.csv", folder)


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
    "missing id": (ROWS.assign(unique_id=[None, *ROWS.unique_id[1:]]), "z.parquet.*: row 1: found"),
    "missing time": (ROWS.assign(ds=[pd.NaT, *ROWS.ds[1:]]), "z.parquet.*: row 1: .*no time"),
    "twice": (ROWS.assign(y=1.0), r"twice with different values, .* of part-\d\d.parquet and 1 in "
              r"row \d+ of z.parquet"),
}  # fmt: skip


@pytest.mark.parametrize("layout", ["series", "time"])
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_refused_with_their_name(kind: str, layout: str, tmp_path: Path) -> None:
    part, says = BROKEN[kind]
    folder = write(tmp_path / "in", LAYOUTS[layout](table(), 3))
    fitted = forecaster().fit(folder, memory="2GiB")
    before = fitted._state("test")
    with_part(folder, "z.parquet", part)
    out = tmp_path / "o.parquet"
    out.write_bytes(b"old")
    with pytest.raises(DataError, match=says):
        fitted.write_forecasts(out, folder)
    if kind != "twice":  # whose series need not be in the sample
        with pytest.raises(DataError, match=says):
            fitted.fit(folder, memory="2GiB")
    assert fitted._state("test") is before
    assert out.read_bytes() == b"old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "o.parquet"]


def test_files_without_rows_and_numbers_of_other_types_are_read(tmp_path: Path) -> None:
    rows = table()
    whole = rows.y.round()
    rows = rows.assign(y=whole)
    parts = by_series(rows, 3)
    parts[1] = parts[1].dropna().astype({"y": "int32"})
    rows = pd.concat(parts)
    folder = write(tmp_path / "in", [parts[0][:0], *parts, parts[2][:0]])
    expected = forecaster().fit(rows)
    found = forecaster().fit(folder, memory="2GiB")
    assert_same_fit(found, expected)
    same(written(found, folder, tmp_path / "o.parquet"), expected.predict())


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    fitted = forecaster().fit(table())
    out, empty = tmp_path / "o.csv", tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("x")
    none = write(tmp_path / "none", [table()[:0]])
    for data, says in (
        (empty, "found no Parquet file in it"),
        (tmp_path / "gone", "found no Parquet file"),
        (str(tmp_path / "*.parquet"), "no file matches it"),
        (none, "without rows"),
    ):
        with pytest.raises(DataError, match=says):
            fitted.write_forecasts(out, data)
        with pytest.raises(DataError, match=says):
            forecaster().fit(data, memory="2GiB")
    assert not out.exists()


@pytest.mark.parametrize(
    ("memory", "says"),
    [("2 bags", "expected a number of bytes"), (100, "at least 1 GiB"), (True, "found True"),
     ("999MiB", "of at least 1 GiB"), (2.5e9, "expected a number of bytes")],
)  # fmt: skip
def test_memory_is_checked(memory: Any, says: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_series(table(), 3))
    with pytest.raises((ValueError, TypeError), match=says):
        forecaster().fit(folder, memory=memory)


def test_what_is_read_at_once_has_no_memory_to_state(tmp_path: Path) -> None:
    rows = table()
    csv = tmp_path / "rows.csv"
    rows.to_csv(csv, index=False)
    for data, options, says in (
        (rows, {}, "a data frame is in memory already"),
        (csv, {}, "expected Parquet"),
        (csv, {"target_col": ["a", "b"]}, "options of a wide table"),
    ):
        with pytest.raises(DataError, match=says):
            forecaster(**options).fit(data, memory="2GiB")
    with pytest.raises(DataError, match=r"expected a name in .csv, .csv.gz or .parquet"):
        forecaster().fit(rows).write_forecasts(tmp_path / "o.xlsx", tmp_path)


def test_a_series_that_is_too_long_is_named(tmp_path: Path) -> None:
    rows = table(count=3, rows=800)
    fitted = forecaster(freq="MS").fit(rows)
    for layout in ("series", "time"):
        folder = write(tmp_path / layout, LAYOUTS[layout](rows, 3))
        with pytest.raises(
            DataError, match=r"found 7\d\d rows in one series, expected at most 600"
        ):
            fitted.write_forecasts(tmp_path / "o.csv", folder)


@pytest.mark.parametrize("name", ["o.parquet", "o.csv", "o.csv.gz"])
def test_a_full_disk_leaves_the_old_file(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_series(table(), 4))
    fitted, out = forecaster().fit(table()), tmp_path / name
    out.write_bytes(b"old")
    with full_disk(1000), pytest.raises(DataError, match=f"cannot write .*{name}: File too large"):
        fitted.write_forecasts(out, folder)
    assert out.read_bytes() == b"old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", name]


def test_a_full_disk_while_sorting_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_time(table(), 4))
    fitted = forecaster().fit(table())
    with full_disk(500), pytest.raises(DataError, match=r"cannot sort the rows by id.*TMPDIR"):
        fitted.write_forecasts(tmp_path / "o.csv", folder)
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


def test_no_duckdb_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "in", by_time(table(), 4))
    fitted = forecaster().fit(table())
    find = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda n: None if n == "duckdb" else find(n))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'memattn\[sort\]'"):
        fitted.write_forecasts(tmp_path / "o.csv", folder)


def test_an_exception_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_series(table(), 4))
    fitted = forecaster().fit(table())

    def stop(done: int, series: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted.write_forecasts(tmp_path / "o.parquet", folder, progress=stop)
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


def test_a_killed_process_leaves_nothing(tmp_path: Path) -> None:
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


def test_files_know_their_rows(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", cut(table(), 3))
    files = file_set.file_set(folder, ["unique_id"])
    assert isinstance(files, FileSet)
    assert files.rows == len(table())
    assert files.place(0) == (folder / "part-00.parquet", 0)
    second = int(files.lengths[0])
    assert files.place(second - 1) == (folder / "part-00.parquet", second - 1)
    assert files.place(second) == (folder / "part-01.parquet", 0)
