"""The accuracy of the forecaster on electricity prices a day ahead, with covariates of that day.

    python -m bench.prices NP.csv BE.csv PJM.csv --validate     # chose the settings
    python -m bench.prices NP.csv BE.csv PJM.csv                # the test
    python -m bench.prices NP.csv --intervals                   # trained quantiles: coverage, CRPS
    python -m bench.prices NP.csv --validate --candidates       # each kind of network alone;
                                              # the MLP needs PyTorch (requirements/forecasting.txt)

The files are those of the benchmark of Lago et al. 2021 (epftoolbox): hours of six years, with the
price and two forecasts that are known the day before. The protocol is its own: the last 728 days
are the test, each is forecast at midnight, and the error is the mean absolute error over all hours.
With --validate the 364 days before them are forecast, and nothing after them is read. The
forecaster's models are trained again every 91 days, the published ones every day.

Beside the error is the probability that forecasts no better than the values of the same hour a week
before would do as well (Diebold and Mariano 1995, one-sided, of the daily errors).
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.forecasting import exit_code
from bench.tables import markdown
from memattn.forecast import Forecaster, fitting
from memattn.forecast.data.panel import Panel
from memattn.forecast.evaluation import Evaluation
from memattn.forecast.forecaster_settings import MEMORY_LAYERS, Setting, Settings
from memattn.forecast.layer_choice import Train

Array = npt.NDArray[np.float64]

DAY, WEEK = 24, 7 * 24
TEST_DAYS, VALIDATION_DAYS, REFIT_DAYS = 728, 364, 91
# Test MAE of the forecasts that epftoolbox publishes, all calibrated again every day.
PUBLISHED = {
    "LEAR, ensemble": {"NP": 1.738, "BE": 6.140, "PJM": 3.013},
    "DNN, ensemble": {"NP": 1.683, "BE": 5.870, "PJM": 2.862},
}


def load(path: Path, validate: bool) -> pd.DataFrame:
    """Return the table with nixtla's names; with `validate`, without the test."""
    frame = pd.read_csv(path)
    frame.columns = ["ds", "exog1", "exog2", "y"]
    frame["ds"] = pd.to_datetime(frame["ds"])
    return frame[: -DAY * TEST_DAYS] if validate else frame


def diebold_mariano(ours: Array, theirs: Array) -> float:
    """Return the probability of daily errors (D,) this far below equally good ones."""
    difference = theirs - ours
    deviation = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return math.erfc(float(difference.mean()) / deviation / math.sqrt(2)) / 2


def crps(truth: Array, quantiles: Array, levels: Array) -> float:
    """Return twice the mean pinball loss over quantiles (Q, ...): the CRPS, if there are many."""
    error = truth - quantiles
    tail = levels.reshape(-1, *[1] * truth.ndim)
    return float(2 * np.maximum(tail * error, (tail - 1) * error).mean())


def measure(frame: pd.DataFrame, days: int, options: dict[str, Any]) -> tuple[Evaluation, float]:
    """Return the forecasts of the last days, and their seconds."""
    forecaster = Forecaster(horizon=DAY, futr_exog_list=["exog1", "exog2"], **options)
    begin = time.perf_counter()
    level = list(forecaster.trained_levels) or None
    found = forecaster.backtest(frame, n_windows=days, step_size=DAY, refit=REFIT_DAYS, level=level)
    return found, time.perf_counter() - begin


def row(
    market: str,
    found: Evaluation,
    seconds: float,
    frame: pd.DataFrame,
    published: Sequence[str],
) -> list[str]:
    """Return the table's row of one market."""
    truth, forecasts = found.truth, found.forecasts["memattn"]
    values = frame["y"].to_numpy()
    start = len(values) - truth.size
    week_before = values[start - WEEK : len(values) - WEEK].reshape(truth.shape)
    ours, theirs = (np.abs(one - truth).mean(axis=1) for one in (forecasts, week_before))
    cells = [market, f"{ours.mean():.3f}", f"{theirs.mean():.3f}"]
    cells.append(f"{diebold_mariano(ours, theirs):.1e}")
    for name in published:
        cells.append(f"{PUBLISHED[name][market]:.3f}" if market in PUBLISHED[name] else "")
    if found.intervals:
        ends = sorted(found.intervals.items(), reverse=True)
        low, high = [pair[0] for _, pair in ends], [pair[1] for _, pair in reversed(ends)]
        tails = np.array([(100 - level) / 200 for level, _ in ends])
        levels = np.concatenate([tails, [0.5], 1 - tails[::-1]])
        cells.append(f"{crps(truth, np.stack([*low, forecasts, *high]), levels):.3f}")
        cells += [f"{found.coverage(level):.1f}" for level in sorted(found.intervals)]
    return [*cells, f"{seconds:.0f}"]


def forced(layers: int | tuple[int, ...]) -> Any:
    """Return a context in which validation chooses this kind of network, and all covariates."""

    def choose(panel: Panel, settings: Settings, rows: int, train: Train) -> Settings:
        chosen = {"layers": Setting(layers, "forced"), "left_out": Setting((), "forced")}
        return {**settings, **chosen}

    return mock.patch.object(fitting, "choose_layers", choose)


def compare(options: argparse.Namespace) -> None:
    """Print the validation MAE of each kind of network alone, for the mean of its members."""
    from bench import price_mlp

    asked = {"members": options.members, "seed": options.seed, "intervals": False}
    rows = []
    for path in options.files:
        frame = load(path, validate=True)
        truth = frame["y"].to_numpy()[-DAY * VALIDATION_DAYS :].reshape(-1, DAY)
        cells = [path.stem]
        for layers in (0, MEMORY_LAYERS, (0, MEMORY_LAYERS)):
            with forced(layers):
                found = measure(frame, VALIDATION_DAYS, asked)[0].forecasts["memattn"]
            cells.append(f"{np.abs(found - truth).mean():.3f}")
        seeds = range(options.seed, options.seed + options.members)
        for depth in (0, MEMORY_LAYERS):
            found = np.mean(
                [price_mlp.forecast(frame, VALIDATION_DAYS, REFIT_DAYS, depth, k) for k in seeds],
                axis=0,
            )
            cells.append(f"{np.abs(found - truth).mean():.3f}")
        print(*cells, file=sys.stderr)
        rows.append(cells)
    header = ["market", "linear", "memory", "mean of both", "linear in PyTorch", "MLP in PyTorch"]
    print(markdown(header, rows))


def run(options: argparse.Namespace) -> None:
    """Measure all markets, and print their table."""
    if options.candidates:
        compare(options)
        return
    days = VALIDATION_DAYS if options.validate else TEST_DAYS
    asked: dict[str, Any] = {"members": options.members, "seed": options.seed}
    published = () if options.validate else tuple(PUBLISHED)  # they are for the test
    header = ["market", "MAE", "a week before", "DM, p", *published]
    if options.intervals:
        asked |= {"loss": "quantile", "level": options.level}
        header += ["CRPS", *(f"in {level:g} %" for level in options.level)]
    rows = []
    for path in options.files:
        frame = load(path, options.validate)
        found, seconds = measure(frame, days, asked)
        rows.append(row(path.stem, found, seconds, frame, published))
        print(*rows[-1], file=sys.stderr)
    print(markdown([*header, "s"], rows))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 130 if interrupted."""
    parse = argparse.ArgumentParser("python -m bench.prices", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument("files", type=Path, nargs="+", help="NP.csv and so on")
    parse.add_argument("--validate", action="store_true", help="do not read the test part")
    parse.add_argument("--candidates", action="store_true", help="compare kinds of networks")
    parse.add_argument("--members", type=int, default=5)
    parse.add_argument("--seed", type=int, default=0)
    parse.add_argument("--intervals", action="store_true", help="train quantiles")
    parse.add_argument("--level", type=float, nargs="+", default=[80, 95])
    options = parse.parse_args(arguments)
    if options.candidates and not options.validate:
        parse.error("--candidates compares networks on validation; add --validate")
    return exit_code(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
