"""The number of values that a fit needs: the accuracy of training samples of several sizes.

    python -m bench.sample_size                  M3, validation part: requirements/forecasting.txt
    python -m bench.sample_size --generated N    N monthly series drawn at random (200,000)

Each fit trains on a sample of this many values, drawn by `memattn.forecast.data.series_sample`, and
forecasts all series; the result is sMAPE, the mean over several seeds. Networks are trained on
these series alone (`prior=None`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl

from bench import m3
from bench.series_generator import Array, Family, generate
from bench.tables import markdown
from memattn.forecast import Forecaster
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget

MONTHS = Family(12, 48, 160)
AT_ONCE = 10_000  # series generated together
SIZES = (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)


def long_table(histories: Sequence[Array]) -> pl.DataFrame:
    """Return a table of numbered series with numbered rows."""
    lengths = np.array([len(one) for one in histories])
    ends = np.cumsum(lengths)
    rows = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    ids = np.repeat(np.arange(len(histories)), lengths)
    return pl.DataFrame({"unique_id": ids, "ds": rows, "y": np.concatenate(histories)})


def m3_series(frequency: m3.Frequency) -> tuple[list[Array], Array]:
    """Return the histories of M3's series of one frequency, and the values after them."""
    found = m3.load(frequency, validate=True)
    return np.split(found.values, found.offsets[1:-1]), found.truth


def generated(count: int, horizon: int) -> tuple[list[Array], Array]:
    """Return `count` series without their last values, and these values."""
    series: list[Array] = []
    for seed in range(-(-count // AT_ONCE) + count // 20_000 + 1):
        if len(series) < count:
            series += generate(MONTHS, AT_ONCE, np.random.default_rng(seed))
    series = series[:count]
    return [one[:-horizon] for one in series], np.array([one[-horizon:] for one in series])


def measure(
    histories: list[Array], truth: Array, season: int, sizes: Sequence[int], seeds: int
) -> Iterator[list[str]]:
    """Yield a row per size: values, series, seconds of fit, sMAPE and its deviation over seeds."""
    rows = long_table(histories)
    total = len(rows)
    horizon = truth.shape[1]
    for size in (*(one for one in sizes if one < total), total):
        errors, seconds, series = [], [], []
        for seed in range(seeds):
            with patch.object(series_sample, "BUDGET", Budget(size, 1)):
                begin = time.perf_counter()
                options: dict[str, Any] = {
                    "freq": 1,
                    "season": season,
                    "intervals": False,
                    "prior": None,
                }
                fitted = Forecaster(horizon, seed=seed, **options).fit(rows)
            seconds.append(time.perf_counter() - begin)
            found = fitted.forecasts().values
            errors.append(smape_of(found, truth))
            one = fitted.settings.get("sample")
            series.append(len(histories) if one is None else one.value)
        spread = f"{np.std(errors):.3f}"
        cells = [f"{size:,}", f"{np.mean(series):,.0f}", f"{np.mean(seconds):.1f}"]
        yield [*cells, f"{np.mean(errors):.3f}", spread]


def smape_of(found: Array, truth: Array) -> float:
    """Return M3's measure for values that may be 0."""
    if (truth > 0).all():
        return m3.smape(found, truth)
    size = np.abs(found) + np.abs(truth)
    return float(np.mean(200 * np.abs(found - truth) / np.where(size > 0, size, 1)))


def main() -> None:
    """Measure what the command line requests."""
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("--generated", type=int, nargs="?", const=200_000)
    parse.add_argument("--seeds", type=int, default=3)
    asked = parse.parse_args()
    head = ["values", "series", "fit, s", "sMAPE", "deviation over seeds"]
    if asked.generated:
        sets = [("generated months", *generated(asked.generated, 18), 12)]
    else:
        sets = [(one.name, *m3_series(one), one.season) for one in m3.FREQUENCIES]
    for name, histories, truth, season in sets:
        rows = []
        for row in measure(histories, truth, season, SIZES, asked.seeds):
            rows.append(row)
            print(name, *row, flush=True)
        print(f"\n{name}\n\n{markdown(head, rows)}\n", flush=True)


if __name__ == "__main__":
    main()
