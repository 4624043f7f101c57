"""A million rows as tables: seconds and memory to read a panel from them, and to write forecasts.

Each measurement runs in its own process, with 1,000 series of 1,000 rows. The seconds are CPU time
without imports, the least of --runs, and the memory is the peak of the process:

    python -m bench.forecast_tables --runs 3

`--text` stores times as text instead of a time type.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from memattn.forecast.data.frames import forecast_frame
from memattn.forecast.data.panel import Panel, panel_from_file, panel_from_frame
from memattn.forecast.data.table_files import kind_of_file, table_bytes

SERIES, ROWS = 1000, 1000
SOURCES = ("pandas", "polars", "csv", "parquet")


def columns(text: bool) -> dict[str, Any]:
    """Return the columns of the table, in order."""
    days = np.datetime64("2020-01-01", "us") + np.timedelta64(1, "D") * np.arange(ROWS)
    ds: Any = np.tile(days, SERIES)
    return {
        "unique_id": np.repeat([f"series-{k:04d}" for k in range(SERIES)], ROWS).tolist(),
        "ds": np.datetime_as_string(ds, unit="D").tolist() if text else ds,
        "y": 100 + np.random.default_rng(0).normal(size=SERIES * ROWS),
    }


def make_files(folder: Path, text: bool) -> None:
    """Write the table as a CSV and as a Parquet file."""
    import polars as pl

    table = pl.DataFrame(columns(text))
    days = pl.col("ds").cast(pl.String).str.slice(0, 10)
    for name, rows in (("small", pl.concat([table[:5], table[ROWS : ROWS + 5]])), ("table", table)):
        rows.write_parquet(folder / f"{name}.parquet")
        rows.with_columns(days).write_csv(folder / f"{name}.csv")


def read(source: str, folder: Path, name: str) -> tuple[Panel, float]:
    """Return the panel from a source, and the seconds to read it."""
    if source in ("csv", "parquet"):
        begin = time.process_time()
        panel = panel_from_file(folder / f"{name}.{source}")
    else:
        frame = read_frame(source, folder / f"{name}.parquet")
        begin = time.process_time()
        panel = panel_from_frame(frame)
    return panel, time.process_time() - begin


def read_frame(library: str, path: Path) -> Any:
    """Return the table as a frame of a library."""
    if library == "polars":
        import polars as pl

        return pl.read_parquet(path)
    import pandas as pd

    return pd.read_parquet(path)


def write(source: str, panel: Panel, forecasts: Any) -> float:
    """Return the seconds to write the table of forecasts, in the library or as a file."""
    begin = time.process_time()
    if source in ("csv", "parquet"):
        path = Path(f"forecast.{source}")
        table_bytes(forecast_frame(panel, forecasts, kind=kind_of_file(path)), path)
    else:
        forecast_frame(panel, forecasts)
    return time.process_time() - begin


def measure(source: str, folder: Path) -> dict[str, float]:
    """Measure one source in this process."""
    small, _ = read(source, folder, "small")  # so that imports are not measured
    write(source, small, small.values.reshape(2, 5))
    panel, reading = read(source, folder, "table")
    read_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    forecasts = panel.values.reshape(SERIES, ROWS)
    writing = write(source, panel, forecasts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"read": reading, "write": writing, "read_MiB": read_peak / 1024, "MiB": peak / 1024}


def main() -> None:
    """Measure every source in separate processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--text", action="store_true", help="store times as text")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.folder)))
        return
    print(f"{'':8} {'read s':>8} {'write s':>8} {'read MiB':>9} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder), options.text)
        for source in SOURCES:
            command = [sys.executable, "-m", "bench.forecast_tables"]
            command += ["--measure", source, "--folder", folder]
            runs = [json.loads(subprocess.check_output(command)) for _ in range(options.runs)]
            best = {key: min(run[key] for run in runs) for key in runs[0]}
            print(f"{source:8} {best['read']:8.2f} {best['write']:8.2f}", end=" ")
            print(f"{best['read_MiB']:9.0f} {best['MiB']:9.0f}")


if __name__ == "__main__":
    main()
