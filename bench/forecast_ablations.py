"""The contribution of each part of the forecaster on M3, and its spread over seeds.

    python -m bench.forecast_ablations            # on the validation set
    python -m bench.forecast_ablations --test     # on M3's own test, which chooses nothing

Each run trains ten models, as in bench.forecasting, for three seeds, or one seed in PyTorch: the
model as it is, without memory layers, with the memory started at zeros, and with each memory layer
replaced by an MLP as large as the folded layer (bench.forecast_mlp, PyTorch). PyTorch's network
without layers appears beside the engine's without memory, which shows the difference between the
two programs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.forecast_mlp import LAYERS, fit_predict, windows_of
from bench.forecasting import RULES, SEEDS, exit_code, measure, say, write_results
from bench.m3 import FREQUENCIES, Array, Frequency, Series, load, smape
from bench.tables import markdown

Errors = tuple[float, list[float]]  # of the ensemble, and of each model


def engine(overrides: dict[str, Any]) -> Callable[[Frequency, Series, int], Errors]:
    """Return a function that measures the engine with other options."""

    def errors(frequency: Frequency, series: Series, seed: int) -> Errors:
        result = measure(frequency, series, seed, overrides)
        return result.ensemble, result.members

    return errors


def in_torch(layers: int) -> Callable[[Frequency, Series, int], Errors]:
    """Return a function that measures the network of bench.forecast_mlp with this many MLPs."""

    def errors(frequency: Frequency, series: Series, seed: int) -> Errors:
        rule = RULES[frequency.name]
        logs: list[Array] = []
        for lookback in rule.lookbacks:
            shape = (series, frequency.season, lookback, rule.min_history)
            train, test = windows_of(*shape, train=True), windows_of(*shape, train=False)
            for _ in range(SEEDS):
                logs.append(fit_predict(train, test, rule.steps, 1000 * seed + len(logs), layers))
        each = [smape(np.exp(one), series.truth) for one in logs]
        return smape(np.exp(np.mean(logs, axis=0)), series.truth), each

    return errors


IN_TORCH = "PyTorch"  # in the names of slow variants
VARIANTS: dict[str, Callable[[Frequency, Series, int], Errors]] = {
    "as it is": engine({}),
    "without memory layers": engine({"layers": 0}),
    "memory from zeros": engine({"zero_memory": True}),
    "MLPs of the same size, PyTorch": in_torch(LAYERS),
    "without memory layers, PyTorch": in_torch(0),
}


def run(test: bool, seeds: int) -> None:
    """Measure all variants and seeds; print a table of ensembles and one of single models."""
    together: dict[str, list[list[float]]] = {name: [] for name in VARIANTS}
    singles: dict[str, list[list[float]]] = {name: [] for name in VARIANTS}
    weights = []
    for frequency in FREQUENCIES:
        series = load(frequency, not test)
        weights.append(series.truth.size)
        for name, errors in VARIANTS.items():
            count = 1 if name.endswith(IN_TORCH) else seeds
            found = [errors(frequency, series, seed) for seed in range(count)]
            together[name].append([one for one, _ in found])
            singles[name].append([each for _, members in found for each in members])
            said = ", ".join(f"{one:.2f}" for one, _ in found)
            say(f"{frequency.name}, {name}: {said}")
    names = [*(frequency.name for frequency in FREQUENCIES), "overall"]
    for title, kept in (("ten models", together), ("one model", singles)):
        rows = []
        for name, by_frequency in kept.items():
            table = np.array(by_frequency)  # (frequencies, runs)
            table = np.vstack([table, np.average(table, axis=0, weights=weights)])
            cells = [f"{row.mean():.2f} ({row.min():.2f} to {row.max():.2f})" for row in table]
            rows.append([name, *cells])
        print(markdown([f"sMAPE, {title}", *names], rows))
        print()
    kept_all = {"together": together, "singles": singles, "weights": weights}
    name = "ablations-" + ("test" if test else "validation")
    say(f"written: {write_results(name, kept_all)}")


def main() -> int:
    """Run the command; return 130 if interrupted."""
    parse = argparse.ArgumentParser("python -m bench.forecast_ablations", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument("--test", action="store_true", help="M3's own test")
    parse.add_argument("--seeds", type=int, default=3)
    options = parse.parse_args()
    return exit_code(lambda: run(options.test, options.seeds))


if __name__ == "__main__":
    sys.exit(main())
