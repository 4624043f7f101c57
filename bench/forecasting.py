"""The accuracy and the time of the forecaster and its peers on M3's 3,003 series.

    pip install -r requirements/forecasting.txt   # into an environment with memattn
    python -m bench.forecasting --validate        # the validation that chose the settings
    python -m bench.forecasting                   # M3's own test: the last horizon of each
    python -m bench.forecasting --peers           # also its peers on the same series, in one run

The protocol is the competition's: the last 6, 8, 18 and 8 values of yearly, quarterly, monthly and
other series are forecast from the values before them, and sMAPE is the mean over all forecast
values. With --validate the test values are not read: the last horizon of the rest takes their
place.

Progress goes to stderr, tables to stdout, and all numbers to a file in bench/results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.forecast_peers import PEERS
from bench.forecast_speed import speed
from bench.m3 import FREQUENCIES, Array, Frequency, Series, load, smape
from bench.machine import commit, describe
from bench.tables import markdown
from memattn._memattn import PanelForecaster
from memattn.forecast.forecaster_settings import MONTHLY, OTHER, QUARTERLY, YEARLY

ROOT = Path(__file__).resolve().parents[1]
RULES = {"yearly": YEARLY, "quarterly": QUARTERLY, "monthly": MONTHLY, "other": OTHER}
SEEDS = 2  # members for each lookback


@dataclass(frozen=True)
class Result:
    """Results of one frequency: sMAPE of Naive2, of each member and of the ensemble, and times."""

    naive2: float
    members: list[float]
    ensemble: float
    ensemble_bfloat16: float  # with memory layers that multiply in bfloat16
    fit_seconds: float
    fit_cpu_seconds: float
    predict_seconds: float
    forecasts: int


def measure(frequency: Frequency, series: Series, seed: int, overrides: dict[str, Any]) -> Result:
    """Train and forecast."""
    rule = RULES[frequency.name]
    options: dict[str, Any] = {
        "horizon": frequency.horizon,
        "season": frequency.season,
        "lookbacks": list(rule.lookbacks),
        "seeds": SEEDS,
        "min_history": rule.min_history,
        "steps": rule.steps,
        "seed": seed,
    }
    forecaster = PanelForecaster(**(options | overrides))
    origins = (np.arange(len(series), dtype=np.int64), np.diff(series.offsets))

    def forecast(member: int = -1, half: bool = False) -> Array:
        result: Array = forecaster.predict(
            series.values, series.offsets, *origins, member, half=half
        )
        return result[:, 0]

    naive2 = smape(forecast(), series.truth)  # an untrained model forecasts Naive2
    start, used = time.perf_counter(), time.process_time()
    # With a callback, Python handles signals while the engine trains, so Ctrl-C ends it.
    forecaster.fit(series.values, series.offsets, lambda *_: None)
    fitted, spent = time.perf_counter(), time.process_time() - used
    together = forecast()
    done = time.perf_counter()
    members = [smape(forecast(member), series.truth) for member in range(forecaster.members)]
    return Result(
        naive2,
        members,
        smape(together, series.truth),
        smape(forecast(half=True), series.truth),
        fitted - start,
        spent,
        done - fitted,
        series.truth.size,
    )


def _overall(values: Sequence[float], weights: Sequence[int]) -> float:
    return float(np.average(values, weights=weights))


def rows(results: Sequence[Result]) -> list[list[str]]:
    """Return the table: a column for each frequency, and all of them weighted by their values."""
    weights = [result.forecasts for result in results]

    def row(name: str, values: list[float]) -> list[str]:
        return [name, *(f"{value:.2f}" for value in [*values, _overall(values, weights)])]

    def seconds(name: str, values: list[float]) -> list[str]:
        return [name, *(f"{value:.2f}" for value in [*values, sum(values)])]

    members = np.array([result.members for result in results])  # (frequencies, members)
    singles = np.average(members, axis=0, weights=weights)
    each = [*members, singles]
    return [
        row("Naive2", [r.naive2 for r in results]),
        row("one model, mean", [float(np.mean(r.members)) for r in results]),
        ["one model, range", *(f"{min(one):.2f} to {max(one):.2f}" for one in each)],
        row("all models", [r.ensemble for r in results]),
        [
            "all models, bfloat16: change",
            *(f"{one.ensemble_bfloat16 - one.ensemble:+.4f}" for one in results),
            f"{_overall([r.ensemble_bfloat16 - r.ensemble for r in results], weights):+.4f}",
        ],
        seconds("training, s", [r.fit_seconds for r in results]),
        seconds("training, CPU s", [r.fit_cpu_seconds for r in results]),
        seconds("forecasting, s", [r.predict_seconds for r in results]),
    ]


def run_peer(key: str, frequency: Frequency) -> dict[str, Any]:
    """Run one peer on one frequency, in a process that ends with this one."""
    command = [sys.executable, "-m", "bench.forecast_peers", key, frequency.name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    if done.returncode != 0:
        text = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RuntimeError(f"{' '.join(command[1:])}: {text[-1] if text else done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def peer_rows(
    ours: Sequence[Result], single: Sequence[Result], peers: dict[str, list[dict[str, Any]]]
) -> list[list[str]]:
    """Return rows with the accuracy, elapsed and CPU seconds of memattn and its peers."""
    weights = [result.forecasts for result in ours]
    table = []

    def row(name: str, errors: list[float], seconds: list[float], cpu: list[float]) -> None:
        numbers = [f"{value:.2f}" for value in [*errors, _overall(errors, weights)]]
        table.append([name, *numbers, f"{sum(seconds):.1f}", f"{sum(cpu):.1f}"])

    row("Naive2", [r.naive2 for r in ours], [], [])
    table[-1][-2:] = ["", ""]
    for peer in PEERS:
        found = peers[peer.key]
        if len(found) < len(ours):  # interrupted
            continue
        row(
            f"{peer.library} {found[0]['version']}: {peer.label}",
            [one["smape"] for one in found],
            [one["seconds"] for one in found],
            [one["cpu_seconds"] for one in found],
        )
    for name, results in (("memattn, one model", single), ("memattn, ten models", ours)):
        row(
            name,
            [r.ensemble for r in results],
            [r.fit_seconds + r.predict_seconds for r in results],
            [r.fit_cpu_seconds for r in results],
        )
    return table


def write_results(name: str, results: dict[str, Any]) -> Path:
    """Write the numbers with machine and commit as JSON; return the path."""
    folder = ROOT / "bench" / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    whole = {"machine": describe(), "commit": commit(ROOT), **results}
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return path


def say(text: str) -> None:
    """Print progress to stderr."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> None:
    """Run all requested measurements; Ctrl-C during the peers ends with the results so far."""
    overrides: dict[str, Any] = {"layers": 0} if options.no_memory else {}
    overrides |= {name: json.loads(value) for name, value in options.set}
    header = [*(f.name for f in FREQUENCIES), "overall"]
    results, singles = [], []
    for frequency in FREQUENCIES:
        series = load(frequency, options.validate)
        results.append(measure(frequency, series, options.seed, overrides))
        say(f"{frequency.name}: ten models, sMAPE {results[-1].ensemble:.2f}")
        if options.peers:
            middle = RULES[frequency.name].lookbacks[2]
            alone = overrides | {"lookbacks": [middle], "seeds": 1}
            singles.append(measure(frequency, series, options.seed, alone))
    print(markdown(["sMAPE", *header], rows(results)), flush=True)
    found: dict[str, Any] = {"memattn": [asdict(result) for result in results]}
    if not options.peers:
        say(f"written: {write_results('forecasting-alone', found)}")
        return
    measured = speed(say)
    print(
        "\n" + markdown(["what", "measured"], [list(item) for item in measured.items()]), flush=True
    )
    peers: dict[str, list[dict[str, Any]]] = {peer.key: [] for peer in PEERS}
    found |= {
        "single": [asdict(result) for result in singles],
        "speed": measured,
        "uses": {peer.key: peer.use for peer in PEERS},
        "peers": peers,
    }
    try:
        for peer in PEERS:
            for frequency in FREQUENCIES:
                one = run_peer(peer.key, frequency)
                peers[peer.key].append(one)
                said = f"sMAPE {one['smape']:.2f} in {one['seconds']:.0f} s"
                path = write_results("forecasting-peers", found)
                say(f"{peer.label}, {frequency.name}: {said}, {one['cpu_seconds']:.0f} s of CPU")
    finally:
        columns = ["sMAPE", *header, "seconds", "CPU seconds"]
        print("\n" + markdown(columns, peer_rows(results, singles, peers)))
    say(f"written: {path}")


def exit_code(work: Callable[[], object]) -> int:
    """Return the exit code of a command that does this work: 130 if interrupted."""
    try:
        work()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected NAME=JSON")
    return name, value


def main() -> int:
    """Run the command; return 130 if interrupted."""
    parse = argparse.ArgumentParser("python -m bench.forecasting", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument(
        "--validate", action="store_true", help="hold out values of the training part"
    )
    parse.add_argument("--no-memory", action="store_true", help="the same without memory layers")
    parse.add_argument(
        "--peers", action="store_true", help="also run statsforecast and neuralforecast"
    )
    parse.add_argument("--seed", type=int, default=0)
    parse.add_argument(
        "--set", action="append", default=[], type=_pair, metavar="NAME=JSON",
        help="an option of PanelForecaster, for all frequencies",
    )  # fmt: skip
    options = parse.parse_args()
    if options.peers and options.validate:
        parse.error("--peers: found --validate, expected M3's own test")
    return exit_code(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
