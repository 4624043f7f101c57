"""What many series cost.

python -m bench.scaling --update     a row each for 50,000 fitted series
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from memattn.forecast import Forecaster

UPDATED, ROWS, ROUNDS = 50_000, 60, 7


def monthly(count: int, begin: int, end: int, library: Any) -> Any:
    """The months from `begin` to `end` of so many series."""
    rng = np.random.default_rng(0)
    months = np.datetime64("2000-01") + np.arange(begin, end)
    return library.DataFrame(
        {
            "unique_id": np.repeat([f"series-{k:08d}" for k in range(count)], end - begin),
            "ds": np.tile(months.astype("datetime64[us]"), count),
            "y": rng.gamma(5, 10, count * (end - begin)),
        }
    )


def update() -> None:
    """The time of an update, the median of some."""
    for library in (pl, pd):
        options: dict[str, Any] = {"steps": 2, "intervals": False, "prior": None}
        fitted = Forecaster(12, **options).fit(monthly(UPDATED, 0, ROWS, library))
        seconds = []
        for rows in range(ROWS, ROWS + ROUNDS):
            month = monthly(UPDATED, rows, rows + 1, library)
            start = time.perf_counter()
            fitted.update(month)
            seconds.append(time.perf_counter() - start)
        middle = 1e3 * float(np.median(seconds))
        print(f"{library.__name__}: {UPDATED:,} series, a row each: {middle:.0f} ms")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--update", action="store_true", help="the time of Forecaster.update")
    if parser.parse_args().update:
        update()


if __name__ == "__main__":
    _main()
