"""Coverage and interval score of the forecaster's intervals on M3, and what chose their scaling.

    python -m bench.forecast_intervals          # on the validation part: candidates side by side
    python -m bench.forecast_intervals --test   # M3's own test: what the forecaster has, no more

The interval score (Gneiting and Raftery 2007) is the width plus 2 / (1 - level) times how far the
truth lies outside, here of logarithms: less is better, and no width or coverage can be had for
nothing. Between candidates the mean over frequencies is the geometric one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bench.forecast_speed import panel_of
from bench.forecasting import exit_code, say, write_results
from bench.m3 import FREQUENCIES, Array, Frequency, load, smape
from bench.tables import markdown
from memattn.forecast import Forecaster, fitting
from memattn.forecast.conformal import (
    SMOOTHEST,
    Calibration,
    Domain,
    calibrate,
    conformal_quantile,
    domain_of,
    interval_ends,
)
from memattn.forecast.data.frequency import Frequency as Spacing
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.windows import Windows, last_windows, rolling_windows
from memattn.forecast.fitting import Fitted, WindowForecasts, forecast

LEVELS = (80.0, 95.0)
MONTHS = {"yearly": 12, "quarterly": 3, "monthly": 1}
POWERS = (0.0, 0.5, 2 / 3, 0.75, 0.85, 1.0)


@dataclass(frozen=True)
class Score:
    """Of one way to make intervals, on one frequency and level."""

    coverage: float
    width: float
    score: float
    count: int


def scored(low: Array, high: Array, truth: Array, level: float) -> Score:
    """The score of intervals of logarithms."""
    outside = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    width = float(np.mean(high - low))
    score = width + 2 / (1 - level / 100) * float(np.mean(outside))
    inside = float(100 * np.mean((low <= truth) & (truth <= high)))
    return Score(inside, width, score, truth.size)


@dataclass(frozen=True)
class Fit:
    """A forecaster of one frequency, and what it says of the windows after its series."""

    panel: Panel
    truth: Array
    fitted: Fitted
    found: WindowForecasts


def fit(frequency: Frequency, validate: bool, members: int, loss: str | None) -> Fit:
    """Train on all that comes before the windows."""
    series = load(frequency, validate)
    panel = panel_of(series.values, series.offsets, frequency.season)
    if frequency.name in MONTHS:  # the forecaster's rules go by the frequency
        panel = replace(panel, frequency=Spacing(Unit.MONTH, MONTHS[frequency.name]))
    forecaster = Forecaster(frequency.horizon, members=members, loss=loss)
    fitted = forecaster.fit(panel, progress=lambda *_: None)._state("bench")
    found = forecast(fitted.engine, fitted.settings, panel, last_windows(panel))
    return Fit(panel, series.truth, fitted, found)


def ways(one: Fit) -> Iterator[tuple[str, list[Score]]]:
    """What the forecaster has, of the quantiles as they are and moved, or of the errors."""
    levels = one.fitted.calibration.levels if one.fitted.calibration else ()
    kinds: dict[str, Calibration | None] = {"quantiles as trained": None} if levels else {}
    kinds |= {"calibrated" if levels else "conformal": one.fitted.calibration}
    for name, calibration in kinds.items():
        ends = interval_ends(calibration, one.found.domain, one.found.quantiles, LEVELS, levels)
        yield (
            name,
            [
                scored(np.log(ends[level][0]), np.log(ends[level][1]), np.log(one.truth), level)
                for level in LEVELS
            ],
        )


def candidates(one: Fit) -> Iterator[tuple[str, list[Score]]]:
    """Ways to pool errors: which windows, which roughness, which power of it."""
    calibration, held_out = one.fitted.calibration, one.fitted.held_out
    assert calibration is not None
    assert held_out is not None
    plain = replace(one.panel, season=1)
    after = last_windows(one.panel)
    whole = calibrate(one.panel, held_out.windows, held_out.forecasts)
    for where, windows, errors in (
        ("one horizon before the end", held_out.windows, whole.errors[:, 0]),
        ("every held-out row", _windows_of(one), calibration.errors[:, 0]),
    ):
        for kind, panel in (("roughness", plain), ("the less of it and a season's", one.panel)):
            past, coming = domain_of(panel, windows), domain_of(panel, after)
            for power in POWERS:
                name = f"{where}, {kind}, power {power:.2f}"
                yield name, list(_pooled(one, errors, past, coming, power))


def _windows_of(one: Fit) -> Windows:
    """The calibration's windows."""
    horizon, min_history = (one.fitted.settings[name].value for name in ("horizon", "min_history"))
    reach, windows = fitting._calibration_size(one.panel, horizon, min_history)
    return fitting._some_windows(rolling_windows(one.panel, 1, reach + windows - 1))


def _pooled(one: Fit, errors: Array, past: Domain, coming: Domain, power: float) -> Iterator[Score]:
    divisor = (past.roughness + SMOOTHEST) ** power
    unit = (coming.roughness + SMOOTHEST) ** power
    points = np.log(one.found.points)
    for level in LEVELS:
        width = unit[:, None] * conformal_quantile(errors / divisor[:, None], level)
        yield scored(points - width, points + width, np.log(one.truth), level)


def rows(scores: dict[str, list[list[Score]]]) -> list[list[str]]:
    """A row a way: coverages by frequency and over all values, and the mean score."""
    first = np.array([[one.score for one in each] for each in next(iter(scores.values()))])
    table = []
    for name, by_frequency in scores.items():
        cells = [name]
        for place in range(len(LEVELS)):
            these = [each[place] for each in by_frequency]
            cells += [f"{one.coverage:.1f}" for one in these]
            counts = [one.count for one in these]
            cells.append(f"{np.average([one.coverage for one in these], weights=counts):.1f}")
        ratio = np.array([[one.score for one in each] for each in by_frequency]) / first
        table.append([*cells, f"{np.exp(np.log(ratio).mean()):.3f}"])
    return table


def run(test: bool, members: int) -> None:
    """Fit, score, print."""
    found: dict[str, list[list[Score]]] = {}
    chosen: dict[str, list[list[Score]]] = {}
    medians: dict[str, list[float]] = {}
    for frequency in FREQUENCIES:
        for loss in (None, "quantile"):
            one = fit(frequency, not test, members, loss)
            label = loss or "smape"
            medians.setdefault(label, []).append(smape(one.found.points, one.truth))
            for name, scores in ways(one):
                chosen.setdefault(f"{label}: {name}", []).append(scores)
            if not test and loss is None:
                for name, scores in candidates(one):
                    found.setdefault(name, []).append(scores)
        say(f"{frequency.name}: done")
    names = [frequency.name for frequency in FREQUENCIES]
    header = [f"{name} {level:g}" for level in LEVELS for name in [*names, "all"]]
    if found:
        print(markdown(["pooled errors", *header, "score"], rows(found)))
        print()
    print(markdown(["intervals", *header, "score"], rows(chosen)))
    print()
    table = [[name, *(f"{value:.2f}" for value in values)] for name, values in medians.items()]
    print(markdown(["sMAPE of the forecast", *names], table))
    kept = {
        name: [[vars(score) for score in each] for each in by_frequency]
        for name, by_frequency in (found | chosen).items()
    }
    part = "test" if test else "validation"
    say(f"written: {write_results(f'forecast-intervals-{part}-{members}', {'scores': kept})}")


def main() -> int:
    """The command; 130 when interrupted."""
    parse = argparse.ArgumentParser("python -m bench.forecast_intervals", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument("--test", action="store_true", help="read M3's test, for what was chosen")
    parse.add_argument("--members", type=int, default=1)
    options = parse.parse_args()
    return exit_code(lambda: run(options.test, options.members))


if __name__ == "__main__":
    sys.exit(main())
