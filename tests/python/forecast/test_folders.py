"""Folders of Parquet files, read in passes: the result equals that of one table, to the bit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster, file_passes
from memattn.forecast.data.file_set import FileSet
from memattn.forecast.data.file_sets import file_set

from .covariate_tables import LISTS, shops
from .folders import (
    LAYOUTS,
    H,
    assert_same_fit,
    by_series,
    by_time,
    cut,
    forecaster,
    make_small,
    same,
    table,
    write,
    written,
)
from .panels import note


@pytest.fixture(autouse=True)
def small_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowers the limits on rows, so that small tables need many passes, parts and sorts."""
    make_small(monkeypatch)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("files", [1, 7])
def test_a_fit_in_passes_equals_a_fit_of_one_table(layout: str, files: int, tmp_path: Path) -> None:
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


def test_only_series_spread_over_files_are_sorted_by_id(
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


def test_a_few_series_are_all_trained_on(tmp_path: Path) -> None:
    rows = table(count=8, rows=20)
    folder = write(tmp_path / "in", by_time(rows, 3))
    found, expected = forecaster().fit(folder, memory="1GiB"), forecaster().fit(rows)
    assert "sample" not in found.settings or found.settings["sample"].value < 8
    assert_same_fit(found, expected)


def test_a_fit_in_passes_keeps_measures_but_no_series(tmp_path: Path) -> None:
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


def test_patterns_match_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_key_value_folder_names_are_columns(tmp_path: Path) -> None:
    rows = table(count=12)
    for name, part in rows.groupby("unique_id"):
        write(tmp_path / "in" / f"unique_id={name}".replace(" ", "%20"),
              cut(part.drop(columns="unique_id"), 2))  # fmt: skip
    expected = forecaster().fit(rows)
    found = forecaster().fit(tmp_path / "in", memory="2GiB")
    assert_same_fit(found, expected)
    same(written(found, tmp_path / "in", tmp_path / "o.parquet"), expected.predict())


def test_key_value_folder_names_are_kept_when_rows_are_sorted(tmp_path: Path) -> None:
    rows = table()
    kinds = {name: "a b" if k % 2 else "c" for k, name in enumerate(sorted(set(rows.unique_id)))}
    rows["kind"] = rows.unique_id.map(kinds)
    for kind, part in rows.groupby("kind"):
        folder = tmp_path / "in" / f"kind={kind}".replace(" ", "%20")
        write(folder, by_time(part.drop(columns="kind"), 3))
    options = {"stat_exog_list": "kind"}
    expected = forecaster(**options).fit(rows)
    found = forecaster(**options).fit(tmp_path / "in", memory="2GiB")
    assert_same_fit(found, expected)
    same(written(found, tmp_path / "in", tmp_path / "o.parquet"), expected.predict())


def test_ids_may_be_whole_numbers_or_categories(tmp_path: Path) -> None:
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
def test_time_zones_are_kept(layout: str, tmp_path: Path) -> None:
    rows = table()
    rows["ds"] = rows.ds.dt.tz_localize("Europe/Oslo")
    folder = write(tmp_path / "in", LAYOUTS[layout](rows, 4))
    expected = forecaster().fit(rows)
    found = forecaster().fit(folder, memory="2GiB")
    assert_same_fit(found, expected)
    out = written(found, folder, tmp_path / "o.parquet")
    same(out, expected.predict().astype({"ds": out.ds.dtype}))


@pytest.mark.parametrize("layout", ["series", "time"])
def test_covariates_are_read_from_the_files(layout: str, tmp_path: Path) -> None:
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


def test_training_from_an_earlier_fit_reads_files(tmp_path: Path) -> None:
    rows = table()
    folder = write(tmp_path / "in", by_series(rows, 4))
    start = forecaster().fit(rows[rows.ds < "2018-01-01"])
    expected = forecaster().fit(rows, start_from=start)
    assert_same_fit(forecaster().fit(folder, start_from=start, memory="2GiB"), expected)


def test_a_stopped_fit_in_passes_continues(tmp_path: Path) -> None:
    folder, state = write(tmp_path / "in", by_series(table(), 4)), tmp_path / "state"
    expected = forecaster(steps=300).fit(folder, memory="2GiB")
    stopped = forecaster(steps=300)
    stopped.fit(folder, memory="2GiB", checkpoint=state, progress=lambda *told: False)
    assert note(stopped, "stopped")
    stopped.fit(folder, memory="2GiB", checkpoint=state, resume=True)
    assert_same_fit(stopped, expected)


@pytest.mark.parametrize("name", ["o.csv", "o.csv.gz"])
def test_csv_files_have_the_forecasts_of_predict(name: str, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("file", [0, 2])
def test_a_part_with_only_bad_series_is_left_out(file: int, tmp_path: Path) -> None:
    parts = by_series(table(), 4)
    bad = parts[file].unique_id.unique()
    parts[file] = parts[file].assign(y=parts[file].y.where(parts[file].ds != "2016-03-01", np.inf))
    folder = write(tmp_path / "in", parts)
    fitted = forecaster(on_bad_series="drop").fit(table())
    told: list[tuple[int, int]] = []
    done = fitted.write_forecasts(
        tmp_path / "o.parquet", folder, progress=lambda *one: told.append(one)
    )
    found = pd.read_parquet(tmp_path / "o.parquet")
    whole = fitted.predict(table())
    same(found, whole[~whole.unique_id.isin(bad)])
    assert done.series == 30
    assert [note.count for note in done.notes if note.kind == "bad-series"] == [10]
    assert told[-1] == (40, 40)


def test_only_bad_series_are_an_error(tmp_path: Path) -> None:
    fitted = forecaster(on_bad_series="drop").fit(table())
    rows = table().assign(y=np.inf)
    folder = write(tmp_path / "in", by_series(rows, 4))
    with pytest.raises(DataError, match=r'part-00.parquet.*: row 1: .*series "shop 00".*found inf'):
        fitted.write_forecasts(tmp_path / "o.csv", folder)
    assert not (tmp_path / "o.csv").exists()


def test_a_file_set_finds_the_file_of_a_row(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", cut(table(), 3))
    files = file_set(folder, ["unique_id"])
    assert isinstance(files, FileSet)
    assert files.rows == len(table())
    assert files.place(0) == (folder / "part-00.parquet", 0)
    second = int(files.lengths[0])
    assert files.place(second - 1) == (folder / "part-00.parquet", second - 1)
    assert files.place(second) == (folder / "part-01.parquet", 0)
