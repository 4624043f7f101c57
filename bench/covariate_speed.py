"""The cost of covariates: fit and forecasts of ten thousand series with ten, and one prediction."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from bench.m3 import peak_mib
from memattn.forecast import Forecaster

SERIES, ROWS, HORIZON, COVARIATES = 10_000, 200, 28, 10
ROUNDS = 100  # repetitions of the prediction


def frames(count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return daily series with covariates, and the rows after each of them."""
    rng = np.random.default_rng(0)
    rows = ROWS + HORIZON
    names = [f"x{k}" for k in range(COVARIATES)]
    known = pd.DataFrame(rng.normal(size=(count * rows, COVARIATES)), columns=names)
    days = pd.date_range("2024-01-01", periods=rows)
    known.insert(0, "ds", np.tile(days.to_numpy(), count))
    known.insert(0, "unique_id", np.repeat([f"s{k:05d}" for k in range(count)], rows))
    level = np.repeat(rng.normal(3, 1, count), rows)
    known["y"] = np.exp(level + 0.1 * known["x0"] + 0.1 * rng.normal(size=count * rows))
    past = np.tile(np.arange(rows) < ROWS, count)
    return known[past], known[~past].drop(columns="y")


def _main() -> None:
    data, ahead = frames(SERIES)
    before = peak_mib()
    futr = [f"x{k}" for k in range(COVARIATES)]
    forecaster = Forecaster(HORIZON, "D", futr_exog_list=futr)
    start = time.perf_counter()
    forecaster.fit(data)
    fitted = time.perf_counter()
    forecaster.predict(X_df=ahead)
    end = time.perf_counter()
    print(f"fit {fitted - start:.1f} s, predict {end - fitted:.2f} s")
    print(f"peak {peak_mib():,.0f} MiB, of which the data frames {before:,.0f} MiB")
    one, rows = frames(1)
    small = Forecaster(HORIZON, "D", futr_exog_list=futr, steps=2).fit(one)
    small.predict(X_df=rows)
    start = time.perf_counter()
    for _ in range(ROUNDS):
        small.predict(X_df=rows)
    print(f"one series {1e3 * (time.perf_counter() - start) / ROUNDS:.2f} ms")


if __name__ == "__main__":
    _main()
