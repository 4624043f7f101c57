"""Writes folders of Parquet or CSV files with a given number of monthly series."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

LAYOUTS = ("series", "time")  # a file has whole series, or some months of all series
BLOCK = 25_000  # series generated at once
FIRST = np.datetime64("2010-01")


def many_series(
    folder: Path, count: int, rows: int, files: int, layout: str = "series", kind: str = "parquet"
) -> Path:
    """Write a reproducible folder of `count` series of `rows` months, in `files` files."""
    folder.mkdir(parents=True)
    if layout == "series":
        for k, some in enumerate(np.array_split(np.arange(count), files)):
            table = _table(some, 0, rows, values(some, rows))
            with _writer(folder / f"part-{k:04d}.{kind}", table.schema) as writer:
                writer.write_table(_as_written(table, kind))
        return folder
    writers: list[pq.ParquetWriter | csv.CSVWriter] = []
    cuts = np.linspace(0, rows, files + 1).astype(int)
    for start in range(0, count, BLOCK):
        some = np.arange(start, min(start + BLOCK, count))
        y = values(some, rows)
        for k, (begin, end) in enumerate(itertools.pairwise(cuts)):
            table = _table(some, begin, end, y[:, begin:end])
            if len(writers) <= k:
                writers.append(_writer(folder / f"part-{k:04d}.{kind}", table.schema))
            writers[k].write_table(_as_written(table, kind))
    for one in writers:
        one.close()
    return folder


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter | csv.CSVWriter:
    if path.suffix == ".parquet":
        return pq.ParquetWriter(path, schema)
    days = schema.set(1, pa.field("ds", pa.date32()))  # without the time of day
    return csv.CSVWriter(path, days, write_options=csv.WriteOptions(quoting_style="none"))


def _as_written(table: pa.Table, kind: str) -> pa.Table:
    return table if kind == "parquet" else table.set_column(1, "ds", table["ds"].cast(pa.date32()))


def values(series: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.float64]:
    """Return the values (N, rows) of some series: a level that wanders, a season, noise."""
    found = np.empty((len(series), rows))
    for start in range(0, len(series), BLOCK):
        some = series[start : start + BLOCK, None]
        rng = np.random.default_rng(int(some[0, 0]))
        level = np.exp(rng.normal(4, 1, some.shape))
        season = 1 + 0.3 * np.sin(2 * np.pi * (np.arange(rows) / 12 + rng.random(some.shape)))
        wander = 0.02 * rng.normal(size=(len(some), rows)).cumsum(axis=1)
        noise = 0.05 * rng.normal(size=(len(some), rows))
        found[start : start + BLOCK] = level * season * np.exp(wander + noise)
    return found


def _table(
    series: npt.NDArray[np.int64], begin: int, end: int, y: npt.NDArray[np.float64]
) -> pa.Table:
    ids = pa.array([f"store-{one:09d}" for one in series.tolist()])
    codes = np.repeat(np.arange(len(series), dtype=np.int32), end - begin)
    months = (FIRST + np.arange(begin, end)).astype("datetime64[us]")
    return pa.table(
        {
            "unique_id": pa.DictionaryArray.from_arrays(codes, ids).cast(pa.string()),
            "ds": np.tile(months, len(series)),
            "y": y.ravel(),
        }
    )


def temporary() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder for them, removed after its block."""
    return tempfile.TemporaryDirectory(prefix="memattn-bench-")
