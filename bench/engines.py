"""The cost of an engine on one machine, beside the plain call, and whether the bytes are the same.

    .venv-hosts/dask/bin/python -m bench.engines dask      or ray or spark, each in its environment

Monthly series with text ids are stored in Parquet files. Each fit, of a model with intervals, and
each forecast with 80 % intervals reads them again. The first forecast of an engine starts its
workers' Python, so a second one is measured, too.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.engine_clusters import CLUSTERS
from memattn.forecast import Forecaster

FILES = 8
MEMORY = 2 << 30  # size of Ray's object store


def write_series(folder: Path, count: int, rows: int) -> None:
    """Write series with a season and noise to files."""
    rng = np.random.default_rng(0)
    months = pd.date_range("2015-01-01", periods=rows, freq="MS").to_numpy("datetime64[us]")
    season = 1 + 0.3 * np.sin(np.arange(rows) * np.pi / 6)
    for k, some in enumerate(np.array_split(np.arange(count), FILES)):
        level = rng.lognormal(5, 1, (len(some), 1))
        values = level * season * np.exp(0.1 * rng.normal(size=(len(some), rows)))
        ids = [f"shop {one:07d}" for one in some]
        table = {
            "unique_id": np.repeat(ids, rows),
            "ds": np.tile(months, len(some)),
            "y": values.ravel(),
        }
        pq.write_table(pa.table(table), folder / f"part-{k}.parquet")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of the work and its seconds."""
    begin = time.perf_counter()
    found = work()
    return found, time.perf_counter() - begin


def digest(frame: pd.DataFrame) -> str:
    """Return the first digits of a hash of all numbers' bytes, by series and time."""
    found = frame.sort_values(["unique_id", "ds"])
    state = hashlib.sha256("\n".join(found["unique_id"].astype(str)).encode())
    for name in found.columns[2:]:
        state.update(found[name].to_numpy(np.float64).tobytes())
    return state.hexdigest()[:12]


def line(what: str, *cells: object) -> None:
    """Print a row of the table."""
    print(f"| {what} | " + " | ".join(map(str, cells)) + " |", flush=True)


def main() -> None:
    """Measure one engine."""
    parse = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parse.add_argument("engine", choices=sorted(CLUSTERS))
    parse.add_argument("--series", type=int, default=50_000)
    parse.add_argument("--rows", type=int, default=100)
    parse.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    asked = parse.parse_args()
    line("what", "fit, s", "forecast, s", "again, s", "sha256 of the forecasts")
    line("---", "---", "---", "---", "---")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_series(folder, asked.series, asked.rows)
        fitted, fit = timed(lambda: Forecaster(12).fit(pd.read_parquet(folder)))
        fitted.save(folder / "model", series=False)
        plain = Forecaster.load(folder / "model")
        (folder / "model").unlink()
        times = []
        for _ in range(2):
            found, seconds = timed(lambda: plain.predict(pd.read_parquet(folder), level=[80]))
            times.append(f"{seconds:.1f}")
        line("plain call", f"{fit:.1f}", *times, digest(found))
        for workers in asked.workers:
            cluster = CLUSTERS[asked.engine](workers, MEMORY)
            data = cluster.read(folder)
            there, fit = timed(partial(Forecaster(12).fit, data))
            times = []
            for _ in range(2):
                rows, seconds = timed(partial(there.predict, data, level=[80]))
                times.append(f"{seconds:.1f}")
            line(f"{workers} workers", f"{fit:.1f}", *times, digest(cluster.back(rows)))
            cluster.stop()


if __name__ == "__main__":
    main()
