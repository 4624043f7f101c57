"""Folders of Parquet files in several layouts, and limits that make small ones count as large."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.forecast import Forecaster, file_passes
from memattn.forecast.data import external_sort, file_set, series_parts, series_sample
from memattn.forecast.data.series_sample import Budget

H = 4


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowers the limits on rows, so that small tables need many passes, parts and sorts."""
    monkeypatch.setattr(series_sample, "BUDGET", Budget(600, 3))
    monkeypatch.setattr(file_set, "BATCH_ROWS", 64)
    monkeypatch.setattr(external_sort, "GROUP_ROWS", 64)
    monkeypatch.setattr(series_parts, "MANY_ROWS", 500)
    monkeypatch.setattr(file_passes, "FEWEST_ROWS", 600)
    monkeypatch.setattr(file_passes, "MOST_ROWS", 600)


def table(count: int = 40, rows: int = 40, seed: int = 0) -> pd.DataFrame:
    return _table(count, rows, seed).copy()


@cache
def _table(count: int, rows: int, seed: int) -> pd.DataFrame:
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
    """Splits rows into files of whole series, in the order of their ids."""
    ids = np.array_split(np.sort(rows.unique_id.unique()), files)
    return [rows[rows.unique_id.isin(some)] for some in ids]


def cut(rows: pd.DataFrame, files: int) -> list[pd.DataFrame]:
    """Splits rows in the order of ids into files that cut series."""
    return [rows.iloc[some] for some in np.array_split(np.arange(len(rows)), files)]


def by_time(rows: pd.DataFrame, files: int) -> list[pd.DataFrame]:
    """Splits rows by time, so that each file has rows of all series."""
    rows = rows.sort_values("ds", kind="stable")
    return cut(rows, files)


def mixed(rows: pd.DataFrame, files: int) -> list[pd.DataFrame]:
    """Splits rows into files of whole series, with files and rows in random order."""
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
    """Asserts that two tables of forecasts are equal, up to the order of series."""
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
