"""Panels and long tables for tests: as frames of pandas and Polars, and as CSV files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from memattn.forecast import Forecaster
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.panel import Form, Panel, panel_from_frame
from memattn.forecast.data.time_axis import Unit

LIBRARIES = ("pandas", "polars")


def frame_of(library: str, columns: Mapping[str, Any]) -> Any:
    if library == "pandas":
        return pd.DataFrame(dict(columns))
    return pl.DataFrame({name: _polars_series(column) for name, column in columns.items()})


def _polars_series(column: Any) -> pl.Series:
    if isinstance(column, pl.Series):
        return column
    cells = list(column)
    if any(isinstance(cell, float) for cell in cells):  # with a NaN, all cells must be floats
        return pl.Series([None if cell is None else float(cell) for cell in cells])
    return pl.Series(cells)


def panel_of(library: str, columns: Mapping[str, Any], **options: Any) -> Panel:
    return panel_from_frame(frame_of(library, columns), **options)


def random_table(seed: int, freq: str = "D", zone: str | None = None) -> pd.DataFrame:
    """Returns positive series of several lengths and ends, sorted by id and time."""
    rng = np.random.default_rng(seed)
    step = pd.offsets.MonthEnd() if freq == "ME" else freq  # pandas knows "ME" since 2.2
    parts = []
    for k in rng.permutation(40)[:9]:
        start = pd.Timestamp("2019-03-01") + pd.Timedelta(days=int(rng.integers(0, 400)))
        ds = pd.date_range(start, periods=int(rng.integers(3, 40)), freq=step, tz=zone)
        parts.append(
            pd.DataFrame({"unique_id": f"s{k:02d}", "ds": ds, "y": rng.gamma(2.0, size=len(ds))})
        )
    table = pd.concat(parts, ignore_index=True).sort_values(["unique_id", "ds"])
    return table.reset_index(drop=True)


def as_library(library: str, table: pd.DataFrame) -> Any:
    return table if library == "pandas" else pl.from_pandas(table)


def one_series(ds: Sequence[Any], y: Sequence[Any] | None = None) -> dict[str, Any]:
    return {
        "ds": list(ds),
        "y": list(y) if y is not None else [float(k + 1) for k in range(len(ds))],
    }


def days(count: int, start: str = "2024-01-01") -> list[str]:
    return [str(day) for day in np.datetime64(start) + np.arange(count)]


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    rows = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def assert_same(found: Panel, expected: Panel) -> None:
    assert found.ids.tolist() == expected.ids.tolist()
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.last, expected.last)
    np.testing.assert_array_equal(found.day, expected.day)
    assert (found.frequency, found.season) == (expected.frequency, expected.season)


def note(noted: Panel | Forecaster, kind: str) -> str:
    """Returns the text of the only note of this kind, or "" if there is none."""
    texts = [note.text for note in noted.notes if note.kind == kind]
    assert len(texts) <= 1
    return texts[0] if texts else ""


def flat_panel(series: Sequence[np.ndarray], season: int = 1) -> Panel:
    """Returns a panel of series with numbered rows, which all end with row 1,000."""
    count = len(series)
    ids = np.empty(count, dtype=object)
    ids[:] = [f"s{k:05d}" for k in range(count)]
    return Panel(
        ids=ids,
        values=np.concatenate(series),
        offsets=np.cumsum([0, *map(len, series)]).astype(np.int64),
        frequency=Frequency(Unit.NUMBER, 1),
        season=season,
        last=np.full(count, 1000),
        day=np.zeros(count, dtype=np.int64),
        zone=None,
        notes=(),
        form=Form("pandas", id_dtype=np.dtype(object), time_dtype=np.dtype(np.int64)),
    )


def assert_holds(path: Path, expected: pd.DataFrame) -> None:
    """Asserts that a CSV file has the values of a table, to the bit."""
    found = pd.read_csv(path, parse_dates=[c for c in ("ds", "cutoff") if c in expected])
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
