"""Columns without a named role: row numbers, parts of dates, dates as numbers, and ids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast.data import panel_files
from memattn.forecast.data.frames import forecast_frame
from memattn.forecast.data.panel import panel_from_file, panel_from_frame

from ..panels import LIBRARIES, days, frame_of, note, write_csv

ROWS = 60
SALES = [str(20 + k * k % 17) for k in range(ROWS)]
WHEN = pd.Series(pd.date_range("2019-12-05", periods=ROWS))
WEEKDAY = np.array([day.weekday() for day in WHEN])
NORTH, SOUTH = days(30), days(30, "2024-01-31")


def wide(tmp_path: Path, **columns: Any) -> Path:
    return write_csv(tmp_path / "wide.csv", {"date": WHEN.dt.date, **columns, "sales": SALES})


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("", [f"7{k * k % 10}" for k in range(ROWS)], "no name"),
        ("Unnamed: 0", range(5, ROWS + 5), "no name"),
        ("n", range(ROWS), "row numbers"),
        ("n", range(1, ROWS + 1), "row numbers"),
        ("n", WHEN.dt.year, "the year of the times"),
        ("n", WHEN.dt.month, "the month of the times"),
        ("n", WHEN.dt.day, "the day of the times"),
        ("n", WEEKDAY, "the weekday of the times"),
        ("n", WEEKDAY + 1, "the weekday of the times"),
        ("n", (WEEKDAY + 1) % 7 + 1, "the weekday from Sunday of the times"),
        ("n", WHEN.dt.isocalendar().week, "the week of the times"),
        ("n", WHEN.dt.strftime("%Y%m%d"), "dates as YYYYMMDD"),
        ("n", WHEN.dt.strftime("%Y%m"), "dates as YYYYMM"),
        ("n", WHEN.to_numpy("datetime64[s]").astype(int), "dates as seconds since 1970"),
        ("n", WHEN.to_numpy("datetime64[ms]").astype(int), "dates as milliseconds since 1970"),
    ],
)
def test_row_numbers_and_parts_of_dates_are_not_series(
    tmp_path: Path, name: str, cells: Any, why: str
) -> None:
    panel = panel_from_file(wide(tmp_path, **{name: list(cells)}))
    assert panel.ids.tolist() == ["sales"]
    assert f'left out: "{name}" ({why})' in note(panel, "wide")


def test_row_numbers_are_a_series_if_they_are_named(tmp_path: Path) -> None:
    path = wide(tmp_path, n=range(ROWS))
    assert panel_from_file(path, target_col=["n", "sales"]).ids.tolist() == ["n", "sales"]


def test_constant_and_descending_columns_are_series(tmp_path: Path) -> None:
    flat, late = [3] * ROWS, [0] * 20 + [1] * 40
    path = wide(tmp_path, zero=[0] * ROWS, flat=flat, late=late, down=range(ROWS, 0, -1))
    assert panel_from_file(path).ids.tolist() == ["zero", "flat", "late", "down", "sales"]


@pytest.mark.parametrize(
    ("cells", "span"),
    [
        (range(1950, 2010), "1 year"),
        (WHEN.dt.strftime("%Y%m%d"), "1 day"),
        (pd.Series(pd.date_range("1999-05", periods=ROWS, freq="MS")).dt.strftime("%Y%m"), "1 mon"),
        (WHEN.to_numpy("datetime64[s]").astype(int), "1 day"),
        (1577836800000 + np.arange(ROWS) * 3_600_000, "1 hour"),
    ],
)
def test_times_in_numbers_are_found(tmp_path: Path, cells: Any, span: str) -> None:
    path = write_csv(tmp_path / "t.csv", {"sales": SALES, "t": list(cells)})
    panel = panel_from_file(path)
    assert panel.ids.tolist() == ["sales"]
    assert panel.frequency.words.startswith(span)
    assert 'times in "t"' in note(panel, "wide")


def test_dates_split_over_two_columns_are_refused(tmp_path: Path) -> None:
    columns = {
        "year": [2000 + k // 12 for k in range(ROWS)],
        "Month": [k % 12 + 1 for k in range(ROWS)],
    }
    path = write_csv(tmp_path / "t.csv", {**columns, "sales": SALES})
    with pytest.raises(DataError, match='the columns "year" and "Month"; join them'):
        panel_from_file(path)


SHOPS: dict[str, Mapping[str, Any]] = {
    "one after the other": {"shop": ["N"] * 30 + ["S"] * 30, "ds": NORTH + SOUTH},
    "numbered": {"shop": [101] * 30 + [102] * 30, "ds": NORTH + SOUTH},
    "at once": {"shop": ["N"] * 30 + ["S"] * 30, "ds": NORTH + NORTH},
    "by time": {"shop": ["N", "S"] * 30, "ds": sorted(NORTH + NORTH)},
    "numbered, by time": {"shop": [1, 2] * 30, "ds": sorted(NORTH + NORTH)},
    "in turn": {
        "shop": ["N"] * 30 + ["S"] * 30,
        "ds": (NORTH + SOUTH)[::2] + (NORTH + SOUTH)[1::2],
    },
    "upside down": {"shop": ["S"] * 30 + ["N"] * 30, "ds": (NORTH + SOUTH)[::-1]},
}


@pytest.mark.parametrize("case", SHOPS)
@pytest.mark.parametrize("kind", [*LIBRARIES, "long", "wide"])
def test_a_column_that_looks_like_ids_is_refused_with_advice(
    tmp_path: Path, kind: str, case: str
) -> None:
    columns = {**SHOPS[case], "price": [1.5] * ROWS, "y": [float(cell) for cell in SALES]}

    def read(**options: Any) -> Any:
        if kind in LIBRARIES:
            return panel_from_frame(frame_of(kind, columns), **options)
        names = {"ds": "date", "y": "sales"} if kind == "wide" else {}
        named = {names.get(name, name): cells for name, cells in columns.items()}
        if kind == "wide" and "id_col" in options and options["id_col"]:
            options |= {"time_col": "date", "target_col": "sales"}
        return panel_from_file(write_csv(tmp_path / "t.csv", named), **options)

    with pytest.raises(DataError, match=r'column "shop" .* pass id_col= with "shop";') as caught:
        read()
    assert (caught.value.kind, caught.value.column) == ("no-ids", "shop")
    assert len(read(id_col="shop")) == 2
    if len(set(columns["ds"])) == ROWS:
        assert "id_col=None says" in note(read(id_col=None), "one-series") or kind == "wide"


def test_ids_split_over_two_columns_are_refused(tmp_path: Path) -> None:
    columns = {"shop": ["N", "N", "S", "S"] * 15, "item": ["a", "b"] * 30, "y": SALES}
    path = write_csv(tmp_path / "t.csv", {"ds": np.repeat(days(15), 4), **columns})
    with pytest.raises(
        DataError, match=r"several rows have the same time, .* so join the columns that do; if"
    ):
        panel_from_file(path)


@pytest.mark.parametrize("library", LIBRARIES)
def test_other_columns_are_not_taken_for_ids(library: str) -> None:
    when = pd.Series(pd.to_datetime(NORTH + SOUTH))
    columns = {
        "ds": when.tolist(),
        "y": [float(cell) for cell in SALES],
        "weather": ["sun", "rain", "rain"] * 20,
        "month": when.dt.month_name().tolist(),
        "promotion": [0] * 20 + [1] * 40,
        "unit": ["piece"] * ROWS,
        "staff": [5 + k // 3 for k in range(ROWS)],
    }
    panel = panel_from_frame(frame_of(library, columns))
    assert len(panel) == 1
    left = 'not used: "weather", "month", "promotion", "unit", "staff"'
    assert note(panel, "unused").startswith(f"{left}; ")


@pytest.mark.parametrize(
    "options",
    [
        {"id_col": "ds"},
        {"time_col": "y"},
        {"target_col": "ds"},
        {"id_col": "a", "target_col": "a"},
        {"target_col": ["a", "a"]},
    ],
)
def test_a_column_in_two_roles_is_refused(tmp_path: Path, options: Any) -> None:
    columns = {"a": ["5", "6"], "ds": days(2), "y": ["1", "2"]}
    with pytest.raises(DataError, match=r"is already .*_col; name another"):
        panel_from_file(write_csv(tmp_path / "t.csv", columns), **options)
    if isinstance(options.get("target_col", ""), str):
        with pytest.raises(DataError, match=r"is already .*_col; name another"):
            panel_from_frame(frame_of("pandas", columns), **options)


def test_ids_of_digits_are_not_taken_for_times(tmp_path: Path) -> None:
    table = {"unique_id": ["101"] * 3 + ["102"] * 3, "when": days(3) * 2, "y": [1.0] * 6}
    pd.DataFrame(table).to_parquet(tmp_path / "t.parquet")
    panel = panel_from_file(tmp_path / "t.parquet")
    assert (panel.ids.tolist(), panel.form.time_col) == (["101", "102"], "when")
    batch = {"batch": [str(1000 + k) for k in range(3)], "when": days(3), "y": [4.0, 1.0, 2.0]}
    pd.DataFrame(batch).to_parquet(tmp_path / "t.parquet")
    assert panel_from_file(tmp_path / "t.parquet").form.time_col == "when"


def test_a_name_in_another_case_is_suggested() -> None:
    frame = frame_of("pandas", {"unique_id": ["a"] * 2, "ds": days(2), "Y": [1.0, 2.0]})
    with pytest.raises(DataError, match=r'found no column "y" \(did you mean "Y"\?\)'):
        panel_from_frame(frame)


@pytest.mark.parametrize(
    ("numbers", "span", "then"),
    [
        ([1960, 1961, 1962], "1 year", 1963),
        ([1990, 1995, 2000], "5 years", 2005),
        ([20200129, 20200130, 20200131], "1 day", 20200201),
        ([20191231, 20200107, 20200114], "1 week", 20200121),
        ([202010, 202011, 202012], "1 month", 202101),
        ([1580428800, 1580515200, 1580601600], "1 day", 1580688000),
        ([1580428800000, 1580432400000], "1 hour", 1580436000000),
    ],
)
@pytest.mark.parametrize("kind", [*LIBRARIES, "file"])
def test_dates_as_numbers_are_read_and_returned_as_numbers(
    tmp_path: Path, kind: str, numbers: list[int], span: str, then: int
) -> None:
    columns = {"ds": numbers, "y": [1.0, 3.0, 2.0][: len(numbers)]}
    if kind == "file":
        panel = panel_from_file(write_csv(tmp_path / "t.csv", columns))
    else:
        panel = panel_from_frame(frame_of(kind, columns))
    assert panel.frequency.words == span
    assert '"ds": whole numbers, read as ' in note(panel, "dates")
    table = forecast_frame(panel, np.zeros((1, 1)))
    if kind == "file":
        assert table["ds"].tolist() == [then]
    else:
        assert table["ds"].dtype == frame_of(kind, columns)["ds"].dtype
        assert table["ds"].to_list() == [then]
    if span == "1 year":
        assert panel_from_frame(frame_of("pandas", columns), freq="Y").frequency.words == span


def test_consecutive_numbers_count_rows() -> None:
    for start in (0, 1, 1000, 500_000, 20_200_101, 202_001):
        frame = frame_of("pandas", {"ds": range(start, start + 40), "y": [1.0] * 40})
        assert panel_from_frame(frame).frequency.words == "1 step"
    years = frame_of("pandas", {"ds": range(1900, 1940), "y": [1.0] * 40})
    assert panel_from_frame(years, freq=1).frequency.words == "1 step"


def test_a_misprint_among_dates_as_numbers_is_refused() -> None:
    dates = WHEN.dt.strftime("%Y%m%d").astype(int).tolist()
    dates[30] = 20200132
    with pytest.raises(DataError, match="found 20200132, expected a date of the form YYYYMMDD"):
        panel_from_frame(frame_of("pandas", {"ds": dates, "y": [1.0] * ROWS}))


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        (["31.12.2013", "01.01.2014"], "have the day first: pass day_first=True"),
        (["12/31/2013", "01/01/2014"], "have the month first: pass day_first=False"),
        (["01-02-2014", "02-02-2014"], "pass day_first=True if the day comes first, day_first=F"),
        (["31/12/2013", "12/31/2013"], "the same order of day and month as in the other rows"),
    ],
)
@pytest.mark.parametrize("kind", [*LIBRARIES, "long", "wide"])
def test_dates_of_unknown_order_are_refused_with_advice(
    tmp_path: Path, kind: str, dates: list[str], said: str
) -> None:
    columns = {"ds": dates, "sales" if kind == "wide" else "y": [1.0, 2.0]}

    def read(**options: Any) -> Any:
        if kind in LIBRARIES:
            return panel_from_frame(frame_of(kind, columns), **options)
        return panel_from_file(write_csv(tmp_path / "t.csv", columns), **options)

    with pytest.raises(DataError) as caught:
        read()
    assert said in caught.value.problem
    assert caught.value.kind == "not-a-date"
    if "order" in said:
        return
    day_first = "day_first=True" in said
    panel = read(day_first=day_first)
    year = panel.last.astype("datetime64[us]").astype("datetime64[Y]").astype(int)
    assert year.tolist() == [44]
    if day_first and dates[0].startswith("31"):
        with pytest.raises(
            DataError, match="expected dates with the month first, because of day_first=F"
        ):
            read(day_first=False)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("%m/%d/%Y %I:%M %p", "looks like a date in an unsupported format"),
        ("%Y.%m.%d at %H", "looks like a date in an unsupported format"),
        ("%d/%b/%Y:%H:%M", "looks like a date in an unsupported format"),
        ("W%V %Y", "looks like a date in an unsupported format; .* weeks such as 2020-W05"),
        ("%Y/kw%V", "looks like a date in an unsupported format"),
        ("Week %V %Y", "looks like a date in an unsupported format"),
    ],
)
def test_dates_in_unsupported_formats_are_refused(tmp_path: Path, written: str, said: str) -> None:
    when = pd.date_range("2024-01-20", periods=ROWS, freq="h")
    path = write_csv(tmp_path / "t.csv", {"at": when.strftime(written), "sales": SALES})
    with pytest.raises(DataError, match=said) as caught:
        panel_from_file(path)
    assert caught.value.column == "at"


def test_a_separate_column_of_times_of_day_is_refused(tmp_path: Path) -> None:
    when = pd.date_range("2024-01-20", periods=ROWS, freq="h")
    columns = {"date": when.date, "time": when.strftime("%H:%M"), "sales": SALES}
    with pytest.raises(DataError, match="the time of day is in a separate column; join it"):
        panel_from_file(write_csv(tmp_path / "t.csv", columns))


def test_a_title_above_the_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Sales\n\ndate,sales\n2024-01-01,1\n2024-01-02,2\n")
    with pytest.raises(DataError, match="is line 1 a title"):
        panel_from_file(tmp_path / "t.csv")


@pytest.mark.parametrize("arrow", [False, True])
def test_ids_of_digits_keep_leading_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrow: bool
) -> None:
    if arrow:
        monkeypatch.setattr(panel_files, "ARROW_BYTES", 0)
        monkeypatch.setattr("memattn.forecast.data.arrow_columns.BYTES_A_COLUMN", 0)
    ids = ["010", "001", "1"]
    columns = {"shop": np.repeat(ids, 9), "ds": [*days(9)] * 3, "y": [5, 7] * 13 + [5]}
    path = write_csv(tmp_path / "t.csv", columns)
    with pytest.raises(
        DataError, match=r'values that repeat \("001", "010", ...\) in blocks of rows;'
    ):
        panel_from_file(path)
    panel = panel_from_file(path, id_col="shop")
    assert panel.ids.tolist() == ["001", "010", "1"]
    table = forecast_frame(panel, np.ones((3, 1)), kind="small")
    assert table["shop"].tolist() == ["001", "010", "1"]
    with path.open("a") as file:
        file.write("001,2024-01-02,99\n")
    with pytest.raises(DataError, match='line 29, column "ds": series "001": found the time'):
        panel_from_file(path, id_col="shop")
