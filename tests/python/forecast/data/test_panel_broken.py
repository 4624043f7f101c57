"""Data that cannot become a panel are refused with the reason, the row and the column."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.errors import DataError
from memattn.forecast.data.panel import panel_from_file, panel_from_frame

from ..panels import LIBRARIES, days, frame_of, one_series, panel_of, random_table, write_csv

NAN, INF = float("nan"), float("inf")
TEXT = [str(k) for k in range(1, 10)]

# Columns, kind, row (from 1), column, words of the message.
BROKEN: dict[str, tuple[dict[str, Any], str, int | None, str | None, str]] = {
    "infinity": (one_series(days(4), [1, 2, INF, 4]), "not-finite", 3, "y", "found inf"),
    "minus infinity": (one_series(days(4), [-INF, 2, 3, 4]), "not-finite", 1, "y", "found -inf"),
    "too large": (one_series(days(3), [1, 2, 1e101]), "too-large", 3, "y", "found 1e+101"),
    "text": (one_series(days(3), ["1", "two", "3"]), "not-a-number", 2, "y", 'found "two"'),
    "decimal comma": (one_series(days(3), ["1", "2", "3,5"]), "not-a-number", 3, "y", "point"),
    "infinity in text": (one_series(days(3), ["1", "inf", "3"]), "not-finite", 2, "y", '"inf"'),
    "huge text": (one_series(days(3), ["1", "1e999", "3"]), "not-finite", 2, "y", '"1e999"'),
    "booleans": (one_series(days(2), [True, False]), "not-a-number", None, "y", "the type"),
    "dates as values": (
        one_series(days(2), [dt.date(2024, 1, 1)] * 2),
        "not-a-number",
        None,
        "y",
        "expected",
    ),
    "no rows": (one_series([], []), "no-rows", None, None, "the table has no rows"),
    "all missing": (
        one_series(days(3), [NAN] * 3),
        "no-values",
        1,
        "y",
        "none of its rows has a value",
    ),
    "one series all missing": (
        {"unique_id": ["a", "a", "b", "b"], "ds": days(2) * 2, "y": [1.0, 2.0, NAN, NAN]},
        "no-values",
        3,
        "y",
        'series "b"',
    ),
    "no such target column": ({"ds": days(1)}, "no-target", None, None, "no numeric column"),
    "missing id": (
        {"unique_id": ["a", None], "ds": days(2), "y": [1.0, 2.0]},
        "missing-id",
        2,
        "unique_id",
        "the id is missing",
    ),
    "missing time": (
        one_series(["2024-01-01", None], [1, 2]),
        "not-a-date",
        2,
        "ds",
        "the time is missing",
    ),
    "no time": (one_series(["2024-01-01", "soon"]), "not-a-date", 2, "ds", 'found "soon"'),
    "day of two meanings": (one_series(["01/02/2024"] * 2), "not-a-date", 1, "ds", "day_first="),
    "day that is none": (one_series(["2024-02-28", "2024-02-30"]), "not-a-date", 2, "ds", "30"),
    "fractions as times": (one_series([1.0, 2.0]), "not-a-date", None, "ds", "whole numbers"),
    "numbers and dates": (one_series(["1", "2024-01-01"]), "not-a-date", 1, "ds", 'found "1"'),
    "some with zone": (
        one_series(["2024-01-01T00:00", "2024-01-01T01:00Z"]),
        "mixed-zones",
        2,
        "ds",
        "a zone offset",
    ),
    "some without zone": (
        one_series(["2024-01-01T00:00Z", "2024-01-01T01:00"]),
        "mixed-zones",
        2,
        "ds",
        "no zone offset",
    ),
    "one time, two values": (
        one_series([*days(3), "2024-01-02"], [1, 2, 3, 4]),
        "duplicate-time",
        4,
        "ds",
        "2 in row 2 and 4 in row 4",
    ),
    "one time, a value and none": (
        one_series([*days(3), "2024-01-02"], [1, 2, 3, NAN]),
        "duplicate-time",
        4,
        "ds",
        "2 in row 2 and none in row 4",
    ),
    "an hour twice in autumn": (
        one_series([f"2024-10-27 0{hour}:00" for hour in (0, 1, 2, 2, 3)]),
        "duplicate-time",
        4,
        "ds",
        "Local times repeat an hour in autumn",
    ),
    "uneven": (
        one_series([*days(4), "2024-01-04 12:00"]),
        "uneven-time",
        5,
        "ds",
        "a step of 12 hours from row 4 (2024-01-04)",
    ),
    "months and a stray day": (
        one_series(["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-02"]),
        "no-frequency",
        2,
        "ds",
        "the times are not equally spaced",
    ),
    "no order at all": (
        one_series([f"2024-01-01 00:{minute:02d}" for minute in (0, 1, 3, 7, 15, 31)]),
        "no-frequency",
        2,
        "ds",
        "pass freq=",
    ),
    "one row": (one_series(days(1)), "no-frequency", None, None, "every series has a single row"),
    "single rows": (
        {"unique_id": ["a", "b"], "ds": days(2), "y": [1.0, 2.0]},
        "no-frequency",
        None,
        None,
        "pass freq=",
    ),
    "mixed frequencies": (
        {
            "unique_id": ["daily"] * 9 + ["weekly"] * 5,
            "ds": [*days(9), *days(29)[::7]],
            "y": [1.0] * 14,
        },
        "mixed-frequencies",
        10,
        "ds",
        'found a row every week, expected one every day as in series "daily"',
    ),
    "many missing": (
        one_series(days(10), [1, 2, NAN, NAN, NAN, 3, 4, 5, 6, 7]),
        "too-many-missing",
        1,
        "ds",
        "3 of 10 rows",
    ),
    "a large gap": (
        one_series([*days(10), "2024-02-01"]),
        "too-many-missing",
        1,
        "ds",
        "21 of 32 rows",
    ),
    "a gap of ten thousand years": (
        one_series(["0002-01-01 00:00:00", "0002-01-01 00:00:01", "9998-01-01 00:00:00"]),
        "too-many-missing",
        1,
        "ds",
        "missing",
    ),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("case", BROKEN)
def test_broken_frames_are_refused(library: str, case: str) -> None:
    columns, kind, row, column, words = BROKEN[case]
    with pytest.raises(DataError) as caught:
        panel_of(library, columns)
    error = caught.value
    assert words in str(error)
    # The error names the cell in a column of objects, only the column if it has another type.
    found = (error.kind, error.line if row is not None else None, error.column)
    assert found == (kind, row, column)
    assert "{" not in error.problem  # every placeholder was replaced by a name


# Without wide files, and cells that text cannot hold.
NOT_IN_TEXT = {"booleans", "no rows", "dates as values", "fractions as times"}
IN_TEXT = [c for c in BROKEN if {"ds", "y"} <= BROKEN[c][0].keys() and c not in NOT_IN_TEXT]


@pytest.mark.parametrize("case", IN_TEXT)
def test_broken_files_are_refused(tmp_path: Path, case: str) -> None:
    columns, kind, row, column, _ = BROKEN[case]
    cells = {
        name: ["" if cell is None or cell != cell else f'"{cell}"' for cell in column]
        for name, column in columns.items()
    }
    path = write_csv(tmp_path / "broken.csv", cells)
    with pytest.raises(DataError) as caught:
        panel_from_file(path)
    error = caught.value
    assert str(error).startswith(str(path)) or row is None
    assert (error.kind, error.column) == (kind, column) or row is None
    assert error.line == (None if row is None else row + 1)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"freq": "fortnight"}, 'freq: found "fortnight"'),
        ({"freq": ""}, "freq: found"),
        ({"freq": "0D"}, 'found "0D"'),
        ({"freq": "W-JAN"}, 'found "W-JAN"'),
        ({"freq": "D-SUN"}, 'found "D-SUN"'),
        ({"freq": 2.5}, 'found "2.5"'),
        ({"freq": True}, 'found "True"'),
        ({"freq": 0}, "found 0, expected 1 to 1e+15"),
        ({"freq": 10**30}, "found 1000"),
        ({"freq": 1}, "found '1' for times that are dates"),
        ({"season": 0}, "season: found 0"),
        ({"freq": "MS"}, "row 2 (2024-01-02), expected a time of frequency 'MS'"),
        ({"freq": "W-SUN"}, "row 1 (2024-01-01), expected a time of frequency 'W-SUN'"),
        ({"freq": "B"}, "row 6 (2024-01-06), expected a time of frequency 'B'"),
        ({"freq": "2D"}, "found a step of 1 day from row 1"),
        ({"freq": "h"}, "rows missing"),
    ],
)
def test_frequencies_and_seasons_that_do_not_fit_are_refused(
    library: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError) as caught:
        panel_of(library, one_series(days(9)), **options)
    assert words in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_frequency_in_hours_for_numbered_rows_is_refused(library: str) -> None:
    with pytest.raises(DataError, match="times that are whole numbers, expected an integer"):
        panel_of(library, one_series([1, 2, 3]), freq="h")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("seed", range(8))
def test_an_error_names_the_row_of_a_broken_cell(library: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = random_table(seed).sample(frac=1.0, random_state=seed).reset_index(drop=True)
    row = int(rng.integers(len(table)))
    y = table["y"].to_numpy().copy()
    y[row] = rng.choice([INF, -INF, 1e200])
    columns = {"unique_id": table["unique_id"], "ds": table["ds"], "y": y}
    with pytest.raises(DataError) as caught:
        panel_of(library, columns)
    assert (caught.value.line, caught.value.column) == (row + 1, "y")
    assert repr(table["unique_id"][row])[1:-1] in caught.value.problem


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_time_between_microseconds_is_refused(library: str) -> None:
    ds = np.array([0, 1, 2001], dtype="datetime64[ns]")
    with pytest.raises(DataError, match=r"row 2, column \"ds\".*fractions of a microsecond"):
        panel_from_frame(frame_of(library, {"ds": pl.Series(ds), "y": [1, 2, 3]})) if (
            library == "polars"
        ) else panel_of(library, {"ds": ds, "y": [1, 2, 3]})


def test_a_year_after_9999_is_refused() -> None:
    ds = np.array(["2024-01-01", "12024-01-01"], dtype="datetime64[s]")
    with pytest.raises(DataError, match=r"row 2, column \"ds\".*year from 1 to 9999"):
        panel_from_frame(pd.DataFrame({"ds": ds, "y": [1, 2]}))
    far = pl.Series([0, 3 * 10**17]).cast(pl.Datetime("us"))
    with pytest.raises(DataError, match=r"row 2, column \"ds\".*year from 1 to 9999"):
        panel_from_frame(
            pl.DataFrame({"ds": far, "y": [1, 2]}).with_columns(
                pl.col("ds").cast(pl.Datetime("ms"))
            )
        )


def test_ids_of_two_kinds_are_refused() -> None:
    frame = pd.DataFrame({"unique_id": ["a", 1], "ds": days(2), "y": [1, 2]})
    with pytest.raises(
        DataError, match="found ids of the type int and str, expected text or whole numbers"
    ):
        panel_from_frame(frame)
    floats = pl.DataFrame({"unique_id": [1.5, 2.5], "ds": days(2), "y": [1, 2]})
    with pytest.raises(DataError, match="found ids of the type Float64"):
        panel_from_frame(floats)


def test_a_repeated_column_is_refused() -> None:
    frame = pd.DataFrame([["2024-01-01", 1, 2]], columns=["ds", "y", "y"])
    with pytest.raises(DataError, match='there are two columns "y"'):
        panel_from_frame(frame)


@pytest.mark.parametrize(
    "frame", [None, {"ds": [1]}, [1, 2], np.ones(3), pl.Series([1]), Path("a.csv")]
)
def test_arguments_that_are_not_frames_are_type_errors(frame: Any) -> None:
    with pytest.raises(TypeError, match="panel_from_frame: frame: found"):
        panel_from_frame(frame)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("numbers", [[1, -(2**63)], [1, 2**63 - 1], [1, 10**15], [1, 2**64 - 1]])
def test_times_that_are_too_large_are_refused(library: str, numbers: list[int]) -> None:
    dtype = np.uint64 if max(numbers) > 2**63 else np.int64
    ds = np.array(numbers, dtype=dtype)
    column = pl.Series(ds) if library == "polars" else ds
    with pytest.raises(DataError, match=r"row 2, column \"ds\": found .*, expected a magnitude"):
        panel_of(library, {"ds": column, "y": [1, 2]})


@pytest.mark.parametrize("column", ["unique_id", "ds", "y"])
def test_cells_of_several_values_are_refused(column: str) -> None:
    table = {"unique_id": ["a", "b"], "ds": days(2), "y": [1, 2]}
    with pytest.raises(DataError, match=f'column "{column}": found lists or records as cells'):
        panel_of("pandas", {**table, column: [[1], [2]]})
    values = pl.Series([{1}, {2}], dtype=pl.Object)
    with pytest.raises(DataError, match=f'column "{column}": found'):
        panel_of("polars", {**table, column: values})


def test_periods_are_refused_with_advice() -> None:
    frame = pd.DataFrame({"ds": pd.period_range("2024-01", periods=3, freq="M"), "y": [1, 2, 3]})
    with pytest.raises(DataError, match=r"\.dt\.to_timestamp\(\)"):
        panel_from_frame(frame)


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"when": days(3), "label": ["x", "y", "z"]}, "no-target"),
        ({"when": days(3), "a": ["1", "two", "3"]}, "not-a-number"),
        ({"when": [*days(2), "2024-01-02"], "a": [1, 2, 3]}, "duplicate-time"),
        ({"when": days(3), "a": ["", "", ""], "b": [1, 2, 3]}, ""),
        ({"when": days(10), "a": ["1", *[""] * 3, *"234567"]}, "too-many-missing"),
    ],
)
def test_broken_wide_files_are_refused(tmp_path: Path, columns: dict[str, Any], kind: str) -> None:
    path = write_csv(tmp_path / "wide.csv", columns)
    if not kind:  # a column without a number is left out
        assert panel_from_file(path).ids.tolist() == ["b"]
        return
    with pytest.raises(DataError) as caught:
        panel_from_file(path)
    assert caught.value.kind == kind
