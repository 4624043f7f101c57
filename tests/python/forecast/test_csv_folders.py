"""Folders of CSV files, read in passes: the result equals that of one file, to the bit.

MEMATTN_LONG_TESTS=1 packs the files of every layout, cuts more random tables, and reads
smaller blocks.
"""

import gzip
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster, file_passes
from memattn.forecast.data import csv_blocks, text_file_set
from memattn.forecast.data.csv_lines import LinesOfRows
from memattn.forecast.data.frames import forecast_frame
from memattn.forecast.data.series_sample import hashes_of

from ..sampling import LONG, some
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
)
from .folders import write as write_parquet


@pytest.fixture(autouse=True)
def small_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowers the limits, so that small tables count as large and blocks have a few lines."""
    make_small(monkeypatch)
    set_blocks(monkeypatch, *((700, 13) if LONG else (1500, 29)))


def set_blocks(monkeypatch: pytest.MonkeyPatch, size: int, rows: int) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", size)
    monkeypatch.setattr(csv_blocks, "ROWS", rows)


Text = Callable[[pd.DataFrame], bytes]


def plain(rows: pd.DataFrame, **options: Any) -> bytes:
    return rows.to_csv(index=False, **options).encode()


def quoted(rows: pd.DataFrame) -> bytes:
    return plain(rows, quoting=1)


def odd(rows: pd.DataFrame) -> bytes:
    """Uses CRLF, a byte order mark, spaces around cells, blank lines and empty rows at the end."""
    text = plain(rows, lineterminator="\r\n").decode().replace(",", " , ")
    lines = text.split("\r\n")
    return b"\xef\xbb\xbf" + "\r\n".join([*lines[:4], "", *lines[4:], ",,", ",,", ""]).encode()


def quoted_lines(rows: pd.DataFrame) -> bytes:
    """Adds a column whose later cells have quotes, delimiters and line breaks."""
    notes = ["plain"] * (len(rows) // 2) + ['5" wide', "a, b", "two\nlines"] * len(rows)
    return plain(rows.assign(note=notes[: len(rows)]))


TEXTS: dict[str, Text] = {
    "plain": plain,
    "quoted": quoted,
    "odd": odd,
    "quoted lines": quoted_lines,
    "tab": lambda rows: plain(rows, sep="\t"),
    "decimal comma": lambda rows: plain(rows, sep=";", decimal=","),
    "utf-16": lambda rows: plain(rows).decode().encode("utf-16"),
    "last line": lambda rows: plain(rows).rstrip(b"\n"),
}


def write(
    folder: Path, parts: list[pd.DataFrame], text: Text = plain, packed: bool = False
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k, part in enumerate(parts):
        content = text(part)
        name = f"part-{k:02d}.csv" + (".gz" if packed else "")
        # Write two gzip members, as `cat a.gz b.gz` does.
        some = [gzip.compress(content[:99]), gzip.compress(content[99:])]
        (folder / name).write_bytes(b"".join(some) if packed else content)
    return folder


def one_file(path: Path, parts: list[pd.DataFrame], text: Text = plain) -> Path:
    path.write_bytes(text(pd.concat(parts, ignore_index=True)))
    return path


def written(fitted: Forecaster, data: Any, path: Path, **options: Any) -> pd.DataFrame:
    done = fitted.write_forecasts(path, data, **options)
    found = pd.read_csv(path, dtype={"unique_id": str, "ds": str})
    assert done.rows == len(found)
    return found


def at_once(fitted: Forecaster, data: Any, **options: Any) -> pd.DataFrame:
    """Returns the forecasts of `predict` as a file holds them."""
    found = fitted.forecasts(data, **options)
    text = forecast_frame(found.panel, found.values, found.intervals, kind="small").to_csv()
    return pd.read_csv(io.StringIO(text), dtype={"unique_id": str, "ds": str})


def check(tmp_path: Path, parts: list[pd.DataFrame], text: Text = plain, **options: Any) -> None:
    """Asserts that fits and forecasts of a folder, in passes and at once, equal those of a file."""
    level = [80, 95]
    file, folder = one_file(tmp_path / "one.csv", parts, text), tmp_path / "in"
    if not folder.exists():
        write(folder, parts, text)
    expected = forecaster(**options).fit(file)
    out = written(expected, file, tmp_path / "one-out.csv", level=level)
    for memory in ("2GiB", None):
        found = forecaster(**options).fit(folder, memory=memory)
        assert_same_fit(found, expected)
    same(written(found, folder, tmp_path / "out.csv", level=level), out)
    same(out, at_once(expected, file, level=level))


@pytest.mark.parametrize(
    ("layout", "packed"),
    # Every second is each layout once, and two of them packed.
    some([(layout, k % 2 == flip) for k, layout in enumerate(LAYOUTS) for flip in (0, 1)], 2),
)
def test_a_fit_in_passes_equals_a_fit_of_one_file(
    layout: str, packed: bool, tmp_path: Path
) -> None:
    parts = LAYOUTS[layout](table(), 5)
    write(tmp_path / "in", parts, packed=packed)
    check(tmp_path, parts)


@pytest.mark.parametrize("kind", TEXTS)
def test_files_in_any_dialect_equal_one_file(kind: str, tmp_path: Path) -> None:
    check(tmp_path, cut(table(), 3), TEXTS[kind])


@pytest.mark.parametrize("seed", some(range(6), 2))
def test_random_tables_do_not_depend_on_how_they_are_cut(seed: int, tmp_path: Path) -> None:
    """Compares one CSV file, many, and Parquet: sorted or not, cut anywhere, in any CSV dialect."""
    rng = np.random.default_rng(seed)
    rows = table(count=int(rng.integers(5, 40)), rows=int(rng.integers(20, 60)), seed=seed)
    names = rng.permutation([f"{k:03d}" for k in range(20)] + [f"a {k}" for k in range(20)])
    rows["unique_id"] = rows.unique_id.map(dict(zip(rows.unique_id.unique(), names, strict=False)))
    if rng.random() < 0.5:
        rows = rows.sample(frac=1, random_state=seed)
    elif rng.random() < 0.5:
        rows = rows.sort_values("ds", kind="stable")
    ends = np.sort(rng.integers(0, len(rows), int(rng.integers(1, 9))))
    parts = [rows[a:b] for a, b in zip([0, *ends], [*ends, len(rows)], strict=True)]
    text = TEXTS[list(TEXTS)[int(rng.integers(len(TEXTS)))]]
    write(tmp_path / "csv", parts, text)
    write_parquet(tmp_path / "parquet", parts)
    one_file(tmp_path / "one.csv", parts, text)
    expected = forecaster().fit(rows)
    out = at_once(forecaster().fit(tmp_path / "one.csv"), tmp_path / "one.csv", level=80)
    for data in (tmp_path / "csv", tmp_path / "csv" / "*.csv", tmp_path / "one.csv",
                 tmp_path / "parquet", tmp_path / "parquet" / "part-00.parquet"):  # fmt: skip
        if data.name.startswith("part"):
            data = write_parquet(tmp_path / "whole", [rows]) / "part-00.parquet"
        found = forecaster().fit(str(data), memory="2GiB")
        assert_same_fit(found, expected)
        same(written(found, str(data), tmp_path / "out.csv", level=80), out)


def in_form(kind: str) -> Callable[[int], str]:
    moments = pd.date_range("1998-01-01", periods=70, freq="MS")
    return {
        "years": lambda k: str(1950 + k),
        "YYYYMM": lambda k: moments[k].strftime("%Y%m"),
        "counts": lambda k: str(k + 1),
        "seconds": lambda k: str(1_500_000_000 + 3600 * k),
        "quarters": lambda k: f"{1990 + k // 4}-Q{k % 4 + 1}",
        "months": lambda k: moments[k].strftime("%b %Y"),
        "day first": lambda k: moments[k].strftime("%d/%m/%Y"),
        "zone": lambda k: f"2020-01-01T{k % 24:02d}:00:00+02:00" if k < 24 else
        f"2020-01-{k // 24 + 1:02d}T{k % 24:02d}:00:00+02:00",
        "two offsets": lambda k: str(
            pd.Timestamp("2020-10-20", tz="Europe/Oslo") + pd.Timedelta(hours=6 * k)
        ),
        "days of two offsets": lambda k: str(
            (pd.Timestamp("2020-09-20") + pd.Timedelta(days=k)).tz_localize("Europe/Oslo")
        ),
        "two styles": lambda k: str(
            pd.Timestamp("2020-01-01") + pd.Timedelta(hours=k)
        ).removesuffix(" 00:00:00"),
    }[kind]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["years", "YYYYMM", "counts", "seconds", "quarters", "months", "day first", "zone",
     "two offsets", "days of two offsets", "two styles"],
)  # fmt: skip
def test_the_form_of_times_is_that_of_all_rows(kind: str, tmp_path: Path) -> None:
    form = in_form(kind)
    rows = table(count=20, rows=40)
    rows = rows.assign(ds=rows.groupby("unique_id").cumcount())
    # The late times of some series decide how all times are read.
    rows["ds"] += 20 * (rows.unique_id.str[-1:].astype(int) % 2)
    layout = by_time if kind in ("years", "two styles") else by_series
    parts = [part.assign(ds=part.ds.map(form)) for part in layout(rows, 4)]
    options = {"day_first": True} if kind == "day first" else {}
    check(tmp_path, parts, **options)


def untrained(rows: pd.DataFrame) -> str:
    """Returns the id of a series that is not in the training sample."""
    ids = sorted(rows.unique_id.unique())
    name = ids[int(np.argmax(hashes_of(ids, 0)))]
    assert forecaster().fit(rows).settings["sample"].value < len(ids)
    return str(name)


def test_whole_numbers_are_steps_if_one_series_needs_it(tmp_path: Path) -> None:
    rows = table()
    rows = rows.assign(ds=1950 + rows.groupby("unique_id").cumcount())
    rows.loc[rows.unique_id == untrained(rows), "ds"] -= 1949
    check(tmp_path, by_series(rows, 4))
    found = forecaster().fit(tmp_path / "in", memory="2GiB")._state("test").panel
    assert found.frequency.words == "1 step"


@pytest.mark.parametrize("other", ["2020-01-{:02d}T00:00:00+01:00", "2020-01-{:02d} 00:00:00"])
def test_one_series_may_decide_the_form_of_all_times(other: str, tmp_path: Path) -> None:
    rows = table(rows=20).assign(ds=lambda one: one.groupby("unique_id").cumcount() + 1)
    name = untrained(rows)
    own = "2020-01-{:02d}T00:00:00+00:00" if "T" in other else "2020-01-{:02d}"
    rows["ds"] = [(other if one == name else own).format(day)
                  for one, day in zip(rows.unique_id, rows.ds, strict=True)]  # fmt: skip
    check(tmp_path, by_series(rows, 4))


def test_a_covariate_is_a_category_even_if_the_sample_has_only_numbers(tmp_path: Path) -> None:
    rows = table()
    ids = np.array(sorted(rows.unique_id.unique()))
    first = ids[np.argsort(hashes_of(ids, 0))[:18]]
    count = rows.groupby("unique_id").cumcount() % 3
    rows["kind"] = np.where(rows.unique_id.isin(first), count.astype(str), "text")
    assert forecaster().fit(rows).settings["sample"].value <= 18
    check(tmp_path, by_series(rows, 4), hist_exog_list="kind", steps=2)


@pytest.mark.parametrize("sep", [",", ";"])
def test_digit_groups_are_read_by_all_rows(sep: str, tmp_path: Path) -> None:
    """Only one row of the last file shows that 1,234 is more than a thousand."""
    rows = table(count=20)
    numbers = (100 * rows.y).round()
    numbers.iloc[-1] = 1_234_567
    rows = rows.assign(y=[f"{one:,.0f}" if one == one else "n/a" for one in numbers])
    check(tmp_path, cut(rows, 3), lambda part: plain(part, sep=sep))
    one = forecaster().fit(rows.assign(y=numbers))
    assert_same_fit(forecaster().fit(tmp_path / "in", memory="2GiB"), one)


def test_a_decimal_comma_in_one_file_counts_for_all_files(tmp_path: Path) -> None:
    """The first file has whole numbers alone, the last one shows decimal commas."""
    rows = table(count=20)
    rows["y"] = [f"{one:.3f}".replace(".", ",") if k > 600 else f"{one:.0f}"
                 for k, one in enumerate(rows.y.fillna(50))]  # fmt: skip
    check(tmp_path, cut(rows, 3), lambda part: plain(part, sep=";"))


@pytest.mark.parametrize("layout", ["series", "time"])
def test_covariates_are_numbers_or_categories_in_all_files(layout: str, tmp_path: Path) -> None:
    rows = shops(np.random.default_rng(3), days=70, count=6)
    rows["promo"] = np.where(rows.ds.dt.day == 3, "True", "false")
    # Most cells of one series are numbers, but not most cells of all series.
    rows["weather"] = np.where(rows.unique_id == "s4", rows.ds.dt.day % 3, rows.weather)
    lists = LISTS | {"futr_exog_list": [], "hist_exog_list": ["visits", "weather", "promo"]}
    parts = LAYOUTS[layout](rows, 4)
    check(tmp_path, parts, steps=2, **lists)


def test_key_value_folder_names_are_columns(tmp_path: Path) -> None:
    rows = table(count=12)
    for name, part in rows.groupby("unique_id"):
        folder = tmp_path / "in" / f"unique_id={name}".replace(" ", "%20")
        write(folder, cut(part.drop(columns="unique_id"), 2))
    check(tmp_path, [rows])


def test_very_many_bytes_are_read_in_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "in", by_series(table(), 3))
    assert len(forecaster().fit(folder)._state("test").panel) == 40
    monkeypatch.setattr(file_passes, "MANY_BYTES", 1000)
    assert len(forecaster().fit(folder)._state("test").panel) == 0


def test_gzip_files_count_as_eight_times_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "in", by_series(table(), 3), packed=True)
    size = sum(one.stat().st_size for one in folder.iterdir())
    monkeypatch.setattr(file_passes, "MANY_BYTES", 8 * size)
    assert not file_passes.read_in_passes(folder, None)
    monkeypatch.setattr(file_passes, "MANY_BYTES", 8 * size - 1)
    assert file_passes.read_in_passes(folder, None)


def test_bad_series_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = table()
    rows = rows[(rows.unique_id != "shop 03") | (rows.ds < "2015-03-01") | (rows.ds > "2018-01-01")]
    folder = write(tmp_path / "in", by_series(rows, 4))
    fitted = forecaster(on_bad_series="drop").fit(folder, memory="2GiB")
    done = fitted.write_forecasts(tmp_path / "o.csv", folder)
    (told,) = [one for one in done.notes if one.kind in ("bad-series", "gaps")]
    assert "shop 03" in told.text or "line" in told.text


def test_each_file_is_read_once_to_find_the_lines_of_bad_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = table()
    double = rows[rows.ds == "2016-05-01"].assign(y=1.0)
    assert len(double) > 30
    double = double[:20]
    rows = pd.concat([rows, double]).sort_values(["unique_id", "ds"], ignore_index=True)
    folder = write(tmp_path / "in", cut(rows, 3))
    fitted = forecaster(on_bad_series="drop").fit(folder, memory="2GiB")
    opened = []
    monkeypatch.setattr(
        text_file_set, "LinesOfRows", lambda path: (opened.append(path), LinesOfRows(path))[1]
    )
    done = fitted.write_forecasts(tmp_path / "o.csv", folder)
    (told,) = [one for one in done.notes if one.kind == "bad-series"]
    assert told.count == 20
    assert 1 <= len(opened) == len(set(opened)) <= 3
    row = int(np.argmax((rows.y == 1.0) & (rows.ds == "2016-05-01")))
    assert f"and 1 in line {row + 2} of part-00.csv" in told.text


def test_training_from_an_earlier_fit_reads_files(tmp_path: Path) -> None:
    rows = table()
    folder = write(tmp_path / "in", by_time(rows, 4))
    start = forecaster().fit(rows[rows.ds < "2018-01-01"])
    expected = forecaster().fit(rows, start_from=start)
    assert_same_fit(forecaster().fit(folder, start_from=start, memory="2GiB"), expected)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Forecaster:
    """Returns a fit of a folder; writing forecasts of broken folders needs no fit of its own."""
    folder = write(tmp_path_factory.mktemp("whole"), by_series(table(), 4))
    return forecaster().fit(folder, memory="2GiB")


def broken(content: bytes, line: int, change: Callable[[bytes], bytes]) -> bytes:
    lines = content.split(b"\n")
    lines[line - 1] = change(lines[line - 1])
    return b"\n".join(lines)


BAD_LINES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no number": (lambda line: line.rpartition(b",")[0] + b",abc",
                  'line 30, column "y": found "abc"'),
    "infinite": (lambda line: line.rpartition(b",")[0] + b",1e999",
                 'line 30, column "y": found "1e999"'),
    "two meanings": (lambda line: line.rpartition(b",")[0] + b',"1,234"',
                     'line 30, column "y": found "1,234"'),
    "no date": (lambda line: line.replace(line.split(b",")[1], b"soon"),
                'line 30, column "ds": found "soon", expected a date'),
    "a zone": (lambda line: line.replace(line.split(b",")[1], b"2016-01-01T00:00:00Z"),
               'line 30, column "ds": found a zone offset, expected none'),
    "no id": (lambda line: line.replace(line.split(b",")[0], b""),
              'line 30, column "unique_id": the id is missing'),
    "few cells": (lambda line: b"a,b", "line 30, column \"y\": found 2 cells, expected 3"),
    "many cells": (lambda line: line + b",4", "line 30: found 4 cells, expected 3"),
    "a quote": (lambda line: b'"a"b,2016-01-01,1', "line 30: this row is not valid CSV"),
    "NUL": (lambda line: line + b"\0", "line 30: the text has a NUL character"),
    "Latin-1": (lambda line: b"\xe5" + line, "line 30: found the byte 0xE5, expected UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind"),
    [*(("plain", kind) for kind in BAD_LINES),
     *(("quoted", kind) for kind in ("few cells", "a quote", "NUL", "Latin-1"))],
)  # fmt: skip
def test_an_error_names_the_file_and_line_of_a_bad_row(
    text: str, kind: str, fitted: Forecaster, tmp_path: Path
) -> None:
    change, says = BAD_LINES[kind]
    folder = write(tmp_path / "in", by_series(table(), 4), TEXTS[text])
    path = folder / "part-02.csv"
    path.write_bytes(broken(path.read_bytes(), 30, change))
    out = tmp_path / "o.csv"
    out.write_bytes(b"old")
    for memory in ("2GiB", None):
        with pytest.raises(DataError, match=r"part-02\.csv") as caught:
            forecaster().fit(folder, memory=memory)
        assert says in str(caught.value)
    with pytest.raises(DataError, match=r"part-02\.csv"):
        fitted.write_forecasts(out, folder)
    assert out.read_bytes() == b"old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "o.csv"]


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("z.csv", b"", "z.csv: the file is empty"),
    "a picture": ("z.csv", b"\x89PNG\r\n", "z.csv: looks like a picture"),
    "no header": ("z.csv", b"a,2020-01-01,3\nb,2020-01-01,4\n", "z.csv, line 1: found"),
    "no column": ("z.csv", b"unique_id,ds\na,2020-01-01\n", 'z.csv.*: found no column "y"'),
    "a name twice": ("z.csv", b"unique_id,ds,y,y\na,2020-01-01,1,2\n",
                     'there are two columns "y"'),
    "another delimiter": ("z.csv", b"unique_id;ds;y\na;2020-01-01;1\n",
                          "z.csv: found \";\" between cells, expected \",\""),
    "gzip cut off": ("z.csv.gz", gzip.compress(b"unique_id,ds,y\na,2020-01-01,1\n")[:-9],
                     "z.csv.gz: is a gzip file that is cut off"),
    "gzip broken": ("z.csv.gz", b"\x1f\x8b" + bytes(99), "z.csv.gz: is a damaged gzip file"),
    "Parquet": ("z.parquet", b"PAR1",
                "found Parquet and CSV files, such as z.parquet and part-00.csv"),
    "Parquet as CSV": ("z.csv", b"PAR1" + bytes(9), "z.csv: looks like Parquet"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_FILES)
def test_an_error_names_the_broken_file(kind: str, fitted: Forecaster, tmp_path: Path) -> None:
    name, content, says = BAD_FILES[kind]
    folder = write(tmp_path / "in", by_time(table(), 3))
    (folder / name).write_bytes(content)
    for memory in ("2GiB", None):
        with pytest.raises(DataError, match=says):
            forecaster().fit(folder, memory=memory)
    with pytest.raises(DataError, match=says):
        fitted.write_forecasts(tmp_path / "o.csv", folder)
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


def test_gzip_that_grows_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memattn.file_kinds.UNPACKED_ANYWAY", 5000)
    folder = write(tmp_path / "in", by_series(table(), 3), packed=True)
    content = b"unique_id,ds,y\n" + b"a,2020-01-01,1\n" * 99_999
    (folder / "z.csv.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="far more text than the file's"):
        forecaster().fit(folder, memory="2GiB")


def replaced(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


CHANGED: dict[str, Callable[[Path], object]] = {
    "cut after a line": lambda path: path.write_bytes(path.read_bytes()[:300].rpartition(b"\n")[0]),
    "another table": lambda path: path.write_bytes(b"unique_id,ds,y\na,soon,1\n"),
    "a row more": lambda path: path.write_bytes(path.read_bytes() + b"new,2020-01-01,1\n"),
    "the same size": lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"2")),
    "replaced": replaced,
}


@pytest.mark.parametrize("how", CHANGED)
@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_a_file_that_changes_between_passes_is_an_error(
    kind: str, how: str, fitted: Forecaster, tmp_path: Path
) -> None:
    writer = write if kind == "CSV" else write_parquet
    folder = writer(tmp_path / "in", by_series(table(), 4))
    last = sorted(folder.iterdir())[-1]

    def change(done: int, series: int) -> None:
        assert done < series
        if last.exists() and not changed:
            changed.append(how)
            CHANGED[how](last)

    changed: list[str] = []
    with pytest.raises(DataError, match="the file changed while it was read") as caught:
        fitted.write_forecasts(tmp_path / "o.csv", folder, progress=change)
    assert (caught.value.kind, caught.value.file) == ("changed-file", last)
    assert changed
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


def test_each_series_has_a_row_for_each_step_ahead(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", by_series(table(), 2))
    fitted = forecaster().fit(folder)
    assert len(written(fitted, folder, tmp_path / "o.csv")) == 40 * H
