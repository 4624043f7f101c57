"""The time and memory for many series; each measurement runs in its own process.

python -m bench.scaling --update                 an update of 50,000 fitted series by a row each
python -m bench.scaling --folder                 a million series of 100 rows in 40 files
python -m bench.scaling --folder --layout time   the same, each file with rows of all of them
python -m bench.scaling --folder --kind csv      the same in CSV files
python -m bench.scaling                          tables against series, rows and threads
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

import memattn
from bench.many_series import FIRST, LAYOUTS, many_series, temporary, values
from memattn.forecast import Forecaster

UPDATED, ROWS, ROUNDS = 50_000, 60, 7
HORIZON, LEVEL = 12, 80
EVERY = 0.02  # seconds between two samples of the memory
COUNTS = (1_000, 10_000, 100_000, 1_000_000)
LENGTHS = (50, 100, 200, 400)  # rows of each of 100,000 series


def update() -> None:
    """Print the median time of several updates."""
    series, rows = np.arange(UPDATED), ROWS + ROUNDS
    y = values(series, rows)
    ids = np.array([f"store-{one:09d}" for one in series.tolist()])
    for library in (pl, pd):

        def months(begin: int, end: int, library: Any = library) -> Any:
            ds = (FIRST + np.arange(begin, end)).astype("datetime64[us]")
            return library.DataFrame(
                {
                    "unique_id": np.repeat(ids, end - begin),
                    "ds": np.tile(ds, UPDATED),
                    "y": y[:, begin:end].ravel(),
                }
            )

        options: dict[str, Any] = {"steps": 2, "intervals": False, "prior": None}
        fitted = Forecaster(HORIZON, **options).fit(months(0, ROWS))
        seconds = []
        for row in range(ROWS, rows):
            month = months(row, row + 1)
            start = time.perf_counter()
            fitted.update(month)
            seconds.append(time.perf_counter() - start)
        middle = 1e3 * float(np.median(seconds))
        print(f"{library.__name__}: {UPDATED:,} series, a row each: {middle:.0f} ms")


def one(folder: str, out: str, memory: str | None, threads: int) -> None:
    """Fit and forecast a folder, and print the cost; without `memory`, all at once."""
    memattn.set_num_threads(threads)
    begin, cpu = time.perf_counter(), time.process_time()
    forecaster = Forecaster(HORIZON)
    if memory is None:
        forecaster.fit(folder)
        fitted = time.perf_counter()
        table = forecaster.predict(level=LEVEL)
        pl.from_pandas(table).write_parquet(out)
    else:
        forecaster.fit(folder, memory=memory)
        fitted = time.perf_counter()
        forecaster.write_forecasts(out, folder, level=LEVEL, memory=memory)
    end = time.perf_counter()
    found = {"fit": fitted - begin, "predict": end - fitted, "cpu": time.process_time() - cpu}
    print(json.dumps(found))


def measured(folder: Path, out: Path, memory: str | None, threads: int) -> dict[str, float]:
    """Return the results of `one`, and the peak memory of the process and its children in MiB."""
    words = [sys.executable, "-m", "bench.scaling", "--one", str(folder), str(out)]
    words += ["--threads", str(threads), *(["--memory", memory] if memory else [])]
    peak = 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_resident, _tree(process.pid))))
            time.sleep(EVERY)
        assert process.stdout is not None
        text = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"the measurement ended with {process.returncode}")
    found: dict[str, float] = json.loads(text)
    return found | {"peak": peak / 2**20}


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _same(found: Path, other: Path) -> bool:
    frames = (pl.read_parquet(path).sort("unique_id", "ds") for path in (found, other))
    first, second = frames
    return first.equals(second.cast(dict(zip(first.columns, first.dtypes, strict=True))))


def _line(what: str, found: dict[str, float]) -> str:
    whole = found["fit"] + found["predict"]
    times = f"{found['fit']:.1f} | {found['predict']:.1f} | {whole:.1f} | {found['cpu']:.1f}"
    return f"| {what} | {times} | {found['peak']:,.0f} |"


HEAD = "fit (s) | predict and write (s) | together (s) | processor (s) | peak memory (MiB) |"


def folder(count: int, files: int, layout: str, kind: str, memory: str, check: bool) -> None:
    """Measure a folder of series of 100 rows; with `check`, compare the bits with one table's."""
    with temporary() as name:
        source = many_series(Path(name) / "in", count, 100, files, layout, kind)
        out = Path(name) / "out.parquet"
        threads = len(os.sched_getaffinity(0))
        print(f"| series | {HEAD}\n|---|---|---|---|---|---|")
        print(
            _line(f"{count:,}, {layout}, {kind}", measured(source, out, memory, threads)),
            flush=True,
        )
        if check:
            other = Path(name) / "other.parquet"
            print(_line("at once", measured(source, other, None, threads)))
            print("the same bits" if _same(out, other) else "OTHER BITS")


def growth(millions: Sequence[float], seconds: Sequence[float]) -> str:
    """Return the least-squares line of processor time, and the largest distance from it."""
    slope, start = np.polyfit(millions, seconds, 1)
    off = np.abs(np.polyval([slope, start], millions) - np.asarray(seconds)).max()
    line = f"{start:.1f} s and {slope:.3f} s for a million rows"
    return f"processor time: {line}; no measurement is off by more than {off:.1f} s"


def tables() -> None:
    """Print time and memory against series, rows and threads."""
    threads = len(os.sched_getaffinity(0))
    millions, seconds = [], []
    print(f"| series, rows, threads | {HEAD}\n|---|---|---|---|---|---|")
    for count, rows, used in (
        *((count, 100, threads) for count in COUNTS),
        *((100_000, rows, threads) for rows in LENGTHS if rows != 100),
        (100_000, 100, 1),
    ):
        with temporary() as name:
            source = many_series(Path(name) / "in", count, rows, min(40, count // 250))
            found = measured(source, Path(name) / "out.parquet", "2GiB", used)
        print(_line(f"{count:,}, {rows}, {used}", found), flush=True)
        if used == threads:
            millions.append(count * rows / 1e6)
            seconds.append(found["cpu"])
    print(growth(millions, seconds))


def _main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--folder", action="store_true")
    parser.add_argument("--series", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--layout", choices=LAYOUTS, default="series")
    parser.add_argument("--kind", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--memory")
    parser.add_argument("--check", action="store_true", help="compare with a fit of one table")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        source, out = asked.one
        one(source, out, asked.memory, asked.threads)
    elif asked.update:
        update()
    elif asked.folder:
        memory = asked.memory or "2GiB"
        folder(asked.series, asked.files, asked.layout, asked.kind, memory, asked.check)
    else:
        tables()


if __name__ == "__main__":
    _main()
