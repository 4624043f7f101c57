"""The forecaster's speed at other sizes: one prediction, all of M3, fifty thousand series."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.m3 import FREQUENCIES, load, peak_mib
from memattn._memattn import PanelForecaster
from memattn.forecast import Forecaster, Panel
from memattn.forecast.data.frequency import Frequency as Spacing
from memattn.forecast.data.panel import Form
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.windows import Windows, last_windows, rolling_windows

MANY, LONG = 50_000, 100  # series, and values of each
WINDOWS = 10  # of a rolling backtest


def panel_of(values: npt.NDArray[np.float64], offsets: npt.NDArray[np.int64], season: int) -> Panel:
    """Return series with numbered rows."""
    count = len(offsets) - 1
    ids = np.empty(count, dtype=object)
    ids[:] = [f"s{k:05d}" for k in range(count)]
    return Panel(
        ids=ids,
        values=values,
        offsets=offsets,
        frequency=Spacing(Unit.NUMBER, 1),
        season=season,
        last=np.diff(offsets),
        day=np.zeros(count, dtype=np.int64),
        zone=None,
        notes=(),
        form=Form("pandas", id_dtype=np.dtype(object), time_dtype=np.dtype(np.int64)),
    )


def _seconds(call: Callable[[], object], rounds: int) -> float:
    """Return the median seconds of several calls."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def speed(say: Callable[[str], None]) -> dict[str, str]:
    """Return the measurements as text with units."""
    table = arrays = backtest = 0.0
    windows = 0
    for frequency in FREQUENCIES:
        series = load(frequency, validate=False)
        panel = panel_of(series.values, series.offsets, frequency.season)
        forecaster = Forecaster(frequency.horizon, members=10, steps=2).fit(panel)
        engine = forecaster._state("speed").model.engine
        table += _seconds(partial(forecaster.predict, level=[80, 95]), 3)
        arrays += _seconds(_call(engine, panel, last_windows(panel)), 3)
        rolled = rolling_windows(panel, frequency.horizon, WINDOWS)
        windows += len(rolled)
        backtest += _seconds(_call(engine, panel, rolled), 3)
        say(f"speed: {frequency.name}")
    frequency = FREQUENCIES[2]
    series = load(frequency, validate=False)
    first = panel_of(series.values[: series.offsets[1]], series.offsets[:2], frequency.season)
    one = Forecaster(frequency.horizon, steps=2).fit(first)
    alone = _seconds(partial(one.predict, data=first), 200)
    say(f"speed: {MANY:,} series of {LONG} values")
    command = [sys.executable, "-m", "bench.forecast_speed"]
    root = Path(__file__).resolve().parents[1]
    many = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {
        "all 3,003 series, ten models, as a table with two levels": f"{table:.2f} s",
        "all 3,003 series, ten models, arrays": f"{arrays:.2f} s",
        f"{windows:,} rolling windows of them, ten models, one pass": f"{backtest:.2f} s",
        "one monthly series, one model, as a table": f"{1e3 * alone:.2f} ms",
        f"fit of {MANY:,} series of {LONG} values, one model": many.strip(),
    }


def _call(engine: PanelForecaster, panel: Panel, windows: Windows) -> Callable[[], object]:
    """Return a call of the engine that forecasts windows."""
    return partial(engine.predict, panel.values, panel.offsets, windows.series, windows.ends)


def _many() -> None:
    """Fit fifty thousand series; print the seconds and the peak memory of the whole process."""
    rng = np.random.default_rng(0)
    steps = 0.1 * rng.normal(size=(MANY, LONG))
    values = np.exp(steps.cumsum(axis=1)).ravel()
    panel = panel_of(values, np.arange(MANY + 1) * LONG, 12)
    start = time.perf_counter()
    Forecaster(12).fit(panel)
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} s, peak {peak_mib():,.0f} MiB")


if __name__ == "__main__":
    _many()
