"""Coverage and interval score of the forecaster's intervals on M3, and the choice of their scaling.

    python -m bench.forecast_intervals          # on the validation set: compares candidates
    python -m bench.forecast_intervals --test   # M3's own test: only the chosen way
    ... --hourly ETTh1.csv                      # also on hourly series, 48 hours ahead

The interval score (Gneiting and Raftery 2007) is the width plus 2 / (1 - level) times the distance
by which the truth lies outside, here in logarithms. Less is better, and neither narrow nor wide
intervals alone improve it. Candidates are compared by the geometric mean over frequencies.

Hourly series are those of data/ and of the given file. They are measured on windows that the
forecaster held out and on the last 60 windows of 48 hours of each series; without --test, only the
first half of each series is used. Their scores are in standard deviations of a series.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.forecast_speed import panel_of
from bench.forecasting import ROOT, exit_code, say, write_results
from bench.m3 import FREQUENCIES, Array, Frequency, load, smape
from bench.tables import markdown
from memattn.forecast import Forecaster, fitting, panel_from_file
from memattn.forecast.conformal import (
    POWERS,
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
HOURS, WINDOWS = 48, 60
TEMPERATURES = ROOT / "data" / "new_york_temperature.csv"


@dataclass(frozen=True)
class Score:
    """The score of one kind of interval, on one frequency and level."""

    coverage: float
    width: float
    score: float
    count: int


def scored(low: Array, high: Array, truth: Array, level: float) -> Score:
    """Return the score of intervals of logarithms."""
    outside = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    width = float(np.mean(high - low))
    score = width + 2 / (1 - level / 100) * float(np.mean(outside))
    inside = float(100 * np.mean((low <= truth) & (truth <= high)))
    return Score(inside, width, score, truth.size)


@dataclass(frozen=True)
class Fit:
    """A forecaster of one frequency, and its forecasts of the windows after its series."""

    panel: Panel
    truth: Array
    fitted: Fitted
    found: WindowForecasts


def fit(frequency: Frequency, validate: bool, members: int, loss: str | None) -> Fit:
    """Train on the values before the windows."""
    series = load(frequency, validate)
    panel = panel_of(series.values, series.offsets, frequency.season)
    if frequency.name in MONTHS:  # the forecaster's rules depend on the frequency
        panel = replace(panel, frequency=Spacing(Unit.MONTH, MONTHS[frequency.name]))
    forecaster = Forecaster(frequency.horizon, members=members, loss=loss)
    fitted = forecaster.fit(panel, progress=lambda *_: None)._state("bench")
    found = forecast(fitted.model, panel, last_windows(panel))
    return Fit(panel, series.truth, fitted, found)


def ways(one: Fit) -> Iterator[tuple[str, list[Score]]]:
    """Yield the scores of each kind of interval: trained, calibrated, or conformal."""
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
    """Yield scores of ways to pool errors: which windows, which roughness, which power of it."""
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
    """Return the windows of the calibration."""
    horizon, min_history = (one.fitted.settings[name].value for name in ("horizon", "min_history"))
    reach, windows = fitting._calibration_size(one.panel, horizon, min_history)
    return fitting.some_windows(rolling_windows(one.panel, 1, reach + windows - 1))


def _pooled(one: Fit, errors: Array, past: Domain, coming: Domain, power: float) -> Iterator[Score]:
    divisor, unit = past.unit(power), coming.unit(power)
    points = np.log(one.found.points)
    for level in LEVELS:
        width = unit[:, None] * conformal_quantile(errors / divisor[:, None], level)
        yield scored(points - width, points + width, np.log(one.truth), level)


def rows(scores: dict[str, list[list[Score]]]) -> list[list[str]]:
    """Return a row for each way: coverages by frequency and over all values, and the mean score."""
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


def hourly(path: Path, test: bool, loss: str | None) -> Iterator[list[str]]:
    """Yield coverages and scores of an hourly file, on held-out windows and in a backtest."""
    read = panel_from_file(path, time_col="time" if path == TEMPERATURES else "date")
    panel = panel_of(read.values, read.offsets, read.season)  # backtests return frames
    if not test:
        panel = panel.until(panel.lengths // 2)
    deviation = np.array([panel.series(k).std() for k in range(len(panel))])

    def row(
        what: str, unit: Array, truth: Array, ends: dict[float, tuple[Array, Array]]
    ) -> list[str]:
        cells = [f"{path.stem}, {what}, {loss or 'smape'}"]
        for level, (low, high) in ends.items():
            known = ~np.isnan(low + truth)
            low, high, came = ((each / unit)[known] for each in (low, high, truth))
            one = scored(low, high, came, level)
            cells += [f"{one.coverage:.1f}", f"{one.score:.3f}"]
        return cells

    forecaster = Forecaster(HOURS, loss=loss, level=LEVELS if loss else None)
    result = forecaster.fit(panel).held_out(LEVELS)
    assert result is not None
    unit = np.broadcast_to(deviation[result.windows.series][:, None], result.truth.shape)
    yield row("held out", unit, result.truth, dict(result.intervals))
    table = forecaster.cross_validation(panel, n_windows=WINDOWS, step_size=HOURS, level=LEVELS)
    owner = dict(zip(panel.ids, deviation, strict=True))
    unit = np.array([owner[name] for name in table["unique_id"]])
    names = {level: (f"memattn-lo-{level:g}", f"memattn-hi-{level:g}") for level in LEVELS}
    ends = {
        level: (np.array(table[low]), np.array(table[high])) for level, (low, high) in names.items()
    }
    yield row("backtest", unit, np.array(table["y"]), ends)


def run_hourly(paths: list[Path], test: bool) -> None:
    """Measure and print the hourly series."""
    found = [
        row for path in paths for loss in (None, "quantile") for row in hourly(path, test, loss)
    ]
    header = [f"{name} {level:g}" for level in LEVELS for name in ("coverage", "score")]
    print("\n" + markdown(["hourly, 48 ahead", *header], found))


def run(test: bool, members: int) -> None:
    """Fit, score and print."""
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
    """Run the command; return 130 if interrupted."""
    parse = argparse.ArgumentParser("python -m bench.forecast_intervals", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument(
        "--test", action="store_true", help="read M3's test, with the chosen way only"
    )
    parse.add_argument("--members", type=int, default=1)
    parse.add_argument(
        "--hourly", type=Path, metavar="ETTh1.csv", help="also measure hourly series"
    )
    options = parse.parse_args()

    def work() -> None:
        run(options.test, options.members)
        if options.hourly:
            run_hourly([TEMPERATURES, options.hourly], options.test)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
