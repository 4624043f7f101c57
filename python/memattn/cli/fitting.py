"""What the forecasting commands share: a forecaster from options, its data, and its training."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memattn import FormatError
from memattn.cli.errors import Stopped
from memattn.cli.forecast_options import TrainingOptions
from memattn.cli.interrupt import stop_on_signals
from memattn.cli.output import check_output, real_path
from memattn.errors import DataError, printable
from memattn.forecast.arguments import checked_levels
from memattn.forecast.data.panel import Panel
from memattn.forecast.forecaster import Forecaster

Progress = Callable[[int, int, float], object]

# What an argument of the library is called here.
OPTIONS = {
    "data": "DATA",
    "id_col": "--id",
    "time_col": "--time",
    "target_col": "--target",
    "n_windows": "--windows",
    **{
        name: f"--{name}"
        for name in ("horizon", "freq", "season", "lookback", "members", "loss", "steps", "seed")
    },
    **{name: f"--{name}" for name in ("level", "checkpoint", "resume")},
}


@contextmanager
def in_words_of_options(file: Path | None = None) -> Iterator[None]:
    """Errors of the library, said in the command line's words.

    Parameters
    ----------
    file : Path, optional
        What is read in the block.
    """
    try:
        yield
    except DataError as error:
        problem = _renamed(error.problem)
        if problem == error.problem:
            raise
        raise type(error)(
            error.kind, problem, file=error.file, line=error.line, column=error.column
        ) from None
    except FormatError as error:
        problem = str(error)
        if file is not None:
            problem = problem.removeprefix(f"{printable(str(file))}: ")
        raise DataError("format", problem, file=file) from None
    except ModuleNotFoundError as error:
        raise DataError("missing-extra", str(error)) from None
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            problem = "no such file; expected one that `memattn train` wrote"
            raise DataError("not-found", problem, file=file) from None
        problem = f"cannot be read: {error.strerror or error}"
        raise DataError("unreadable", problem, file=file) from None
    except ValueError as error:
        refused = re.match(r"(Panel)?Forecaster(Options)?((\.|::)\w+)?: ", str(error))
        if refused is None:
            raise
        raise DataError("option", _renamed(str(error)[refused.end() :])) from None
    except RuntimeError as error:
        if ": the training diverged: " not in str(error):
            raise
        problem = (
            "the training diverged: the values of some series change too much from row to row; "
            "rescale them, or use --loss smape"
        )
        raise DataError("diverged", problem) from None


def _renamed(problem: str) -> str:
    name, colon, rest = problem.partition(":")
    if " * " in name:  # a product of sizes of the model: what the three options make of it
        return f"--horizon, --season and --lookback:{rest}; choose smaller ones"
    problem = OPTIONS.get(name, name) + colon + rest
    problem = re.sub(r"\bfreq=(?=')", "--freq ", problem).replace("freq=", "--freq")
    return re.sub(r"(?<!-)\bresume (?=goes|needs)", "--resume ", problem)


def check_outputs(outputs: dict[str, Path | None], *inputs: Path | None) -> None:
    """What would fail at the end fails here, before the work."""
    seen: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        check_output(option, path, *inputs)
        other = seen.setdefault(real_path(path), option)
        if other != option:
            problem = f"{option}: found the same file as {other}, expected another file"
            raise DataError("option", problem, file=path)


def make_forecaster(training: TrainingOptions, levels: Sequence[float]) -> Forecaster:
    """As the options say; levels are looked at now, for they are used after the training."""
    freq = training.freq
    with in_words_of_options():
        checked_levels("Forecaster", levels)
        return Forecaster(
            training.horizon,
            season=training.season,
            lookback=training.lookback,
            members=training.members,
            loss=training.loss,
            seed=training.seed,
            steps=training.steps,
            freq=int(freq) if freq is not None and freq.isascii() and freq.isdigit() else freq,
            id_col=training.id_col,
            time_col=training.time_col,
            target_col=_targets(training.targets),
            level=levels if training.loss == "quantile" else None,
        )


def _targets(names: tuple[str, ...]) -> str | tuple[str, ...]:
    if not names:
        return "y"
    return names[0] if len(names) == 1 else names


def read(forecaster: Forecaster, data: Path) -> Panel:
    """The series of a file."""
    with in_words_of_options(data):
        return forecaster.panel(data)


def fit(
    forecaster: Forecaster, panel: Panel, options: TrainingOptions, progress: Progress
) -> float:
    """Train, and return the seconds; with a checkpoint, signals end it by Stopped."""
    begin = time.perf_counter()
    with stoppable(options, progress) as how:
        forecaster.fit(panel, **how)
    return time.perf_counter() - begin


@contextmanager
def stoppable(options: TrainingOptions, progress: Progress) -> Iterator[dict[str, Any]]:
    """How to train, as arguments: with a checkpoint, signals end the block by Stopped."""
    if options.checkpoint is None:
        with in_words_of_options():
            yield {"progress": progress}
        return
    checkpoint = options.checkpoint
    with stop_on_signals() as stop, in_words_of_options(checkpoint):

        def check() -> None:
            if stop.number:
                raise Stopped(stop.number, checkpoint)

        def report(step: int, steps: int, loss: float) -> None:
            progress(step, steps, loss)
            check()

        yield {"progress": report, "checkpoint": checkpoint, "resume": options.resume}
        check()
