"""The best length and learning rate of a training that starts from the weights of an earlier fit.

python -m bench.start_from      M3's validation set (requirements/forecasting.txt), and generated

A forecaster is fitted to the values known earlier, then trained further on all values known now
(`fit(start_from=...)`), for several numbers of steps and learning rates. Its forecasts are compared
with those of a new fit and of the earlier weights without training, by the sMAPE of the next
horizon, averaged over several seeds. The values known earlier are either all but the last horizon
of all series ("grown"), or half of the series ("others": training and forecasts then use all). M3's
test values are not used.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np

from bench import m3
from bench.sample_size import generated, long_table, m3_series, smape_of
from bench.series_generator import Array
from bench.tables import markdown
from memattn.forecast import Forecaster, forecaster_settings

STEPS = (30, 100, 300, 1000)
RATES = (1e-4, 3e-4, 1e-3)
GENERATED = 2_000  # series
HEAD = ("series", "known before", "training", "steps", "rate", "time, s", "sMAPE", "deviation")
Run = tuple[str, int, float]  # its name, steps and learning rate


def measure(
    histories: Sequence[Array], known: Sequence[Array], truth: Array, season: int, seed: int
) -> Iterator[tuple[Run, float, float]]:
    """Yield each training with its seconds and sMAPE; `known` is the data of the first fit."""
    horizon = truth.shape[1]
    options: dict[str, Any] = {"freq": 1, "season": season, "intervals": False, "prior": None}
    before, rows = long_table(known), long_table(histories)
    first = Forecaster(horizon, seed=seed, **options).fit(before)
    yield ("none", 0, 0.0), 0.0, smape_of(first.forecasts(rows).values, truth)
    begin = time.perf_counter()
    fresh = Forecaster(horizon, seed=seed, **options).fit(rows)
    seconds = time.perf_counter() - begin
    steps = int(fresh.settings["steps"].value)
    yield ("a new fit", steps, 0.0), seconds, smape_of(fresh.forecasts().values, truth)
    for rate in RATES:
        for steps in STEPS:
            begin = time.perf_counter()
            with patch.object(forecaster_settings, "STARTED_RATE", rate):
                on = Forecaster(horizon, seed=seed, steps=steps, **options)
                on.fit(rows, start_from=first)
            seconds = time.perf_counter() - begin
            yield ("goes on", steps, rate), seconds, smape_of(on.forecasts().values, truth)


def rows_of(
    name: str, histories: list[Array], truth: Array, season: int, seeds: int
) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table for some series."""
    horizon = truth.shape[1]
    earlier = {
        "grown": [one[:-horizon] for one in histories],
        "others": histories[::2],
    }
    for kind, known in earlier.items():
        found: dict[Run, list[tuple[float, float]]] = {}
        for seed in range(seeds):
            for run, seconds, error in measure(histories, known, truth, season, seed):
                found.setdefault(run, []).append((seconds, error))
        for (what, steps, rate), some in found.items():
            seconds, error = np.mean(some, axis=0)
            spread = float(np.std([one for _, one in some]))
            shown = f"{steps:,}" if steps else "", f"{rate:.0e}" if rate else ""
            yield name, kind, what, *shown, f"{seconds:.2f}", f"{error:.3f}", f"{spread:.3f}"


def main() -> None:
    """Measure what the command line requests."""
    parse = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parse.add_argument("--seeds", type=int, default=3)
    seeds = parse.parse_args().seeds
    sets = [(one.name, *m3_series(one), one.season) for one in m3.FREQUENCIES]
    sets.append(("generated months", *generated(GENERATED, 18), 12))
    table = []
    for name, histories, truth, season in sets:
        for row in rows_of(name, histories, truth, season, seeds):
            table.append(row)
            print(*row, sep=", ", flush=True)
    print(markdown(HEAD, table))


if __name__ == "__main__":
    main()
