"""The steps that the training commands share: options to forecaster, data, training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memattn.cli.documents import (
    accuracy_document,
    input_document,
    passes_document,
    training_document,
)
from memattn.cli.errors import Stopped
from memattn.cli.interrupt import stop_on_signals
from memattn.cli.output import check_outputs, mode, reading
from memattn.cli.passes import in_passes, passes_over
from memattn.cli.render import print_accuracy, print_found, print_passes, print_trained
from memattn.files import errors_of_reading
from memattn.forecast.arguments import LEVELS, check_val_size, checked_levels
from memattn.forecast.data.panel import Panel
from memattn.forecast.file_passes import Passes
from memattn.forecast.forecaster import Forecaster
from memattn.forecast.progress import training_progress


@dataclass(frozen=True)
class Training:
    """The command-line options about data and training."""

    # Names of the options that are not arguments of the Forecaster; not all commands have them.
    OTHERS = (
        *("data", "levels", "val_size", "checkpoint", "resume", "static", "future", "start_from"),
        "memory",
    )

    options: dict[str, Any]  # arguments of the Forecaster
    data: Path
    levels: tuple[float, ...]  # empty for the defaults, see `asked_levels`
    val_size: int
    checkpoint: Path | None
    resume: bool
    static: Path | None
    future: Path | None
    start_from: Path | None
    memory: str | None

    @property
    def asked_levels(self) -> list[float]:
        """The levels of the intervals to write; empty without intervals."""
        quantiles = self.options["loss"] == "quantile"
        usual = LEVELS if self.options["intervals"] or quantiles else ()
        return checked_levels("Forecaster", self.levels or usual)

    def begin(
        self,
        windows: Mapping[str, int] | None = None,
        /,
        *,
        forecasts: bool = False,
        **outputs: Path | None,
    ) -> tuple[Forecaster, Panel]:
        """Checks all options and outputs, reads DATA and prints a summary of it.

        `windows` are the backtest arguments of `Forecaster.panel`. With `forecasts`, the rows after
        the series will be forecast, so their covariates must be known.
        """
        forecaster = self.forecaster(**outputs)
        with reading(self.data) as file:
            panel = forecaster.panel(file, static_df=self.static, **windows or {})
            if forecasts:
                panel = forecaster.with_future(panel, self.future)
        print_found(self.data, panel)
        return forecaster, panel

    def forecaster(self, **outputs: Path | None) -> Forecaster:
        """Checks all options and outputs, and returns the forecaster."""
        inputs = self.data, self.static, self.future, self.start_from
        check_outputs({**outputs, "checkpoint": self.checkpoint}, *inputs)
        levels = self.asked_levels
        check_val_size("Forecaster.fit", self.val_size, self.options["horizon"])
        trained = levels if self.options["loss"] == "quantile" else None
        return Forecaster(**self.options, level=trained)

    @property
    def in_passes(self) -> bool:
        """Whether DATA is read in passes."""
        return in_passes(self.data, self.memory)

    @contextmanager
    def running(self) -> Iterator[dict[str, Any]]:
        """Yields the arguments of `fit`. With a checkpoint, signals raise Stopped in the block."""
        with training_progress(show=not (mode.quiet or mode.json)) as progress:
            how: dict[str, Any] = {"progress": progress, "val_size": self.val_size}
            if self.start_from is not None:
                with errors_of_reading(self.start_from, "a file that memattn train wrote"):
                    how["start_from"] = Forecaster.load(self.start_from)
            checkpoint = self.checkpoint
            if checkpoint is None:
                yield how
                return
            with stop_on_signals() as stop, errors_of_reading(checkpoint, "a checkpoint"):

                def check() -> None:
                    if stop.number:
                        raise Stopped(stop.number, checkpoint)

                def report(step: int, steps: int, loss: float) -> None:
                    progress(step, steps, loss)
                    check()

                yield how | {"progress": report, "checkpoint": checkpoint, "resume": self.resume}
                check()


def train(
    training: Training, *, forecasts: bool = False, **outputs: Path | None
) -> tuple[Forecaster, dict[str, Any], Passes | None]:
    """Trains with the given options and prints the accuracy on held-out windows.

    `forecasts` is as in `Training.begin`.

    Returns the forecaster, its part of the JSON document, and the passes over DATA, or None if DATA
    was read at once.
    """
    data: Panel | Passes | None = None
    if training.in_passes:
        forecaster = training.forecaster(**outputs)
        data = passes_over(training.data, forecaster, training.memory, training.static)
    if data is None:
        forecaster, data = training.begin(forecasts=forecasts, **outputs)
    begin = time.perf_counter()
    with training.running() as how:
        if isinstance(data, Passes):
            how["static_df"] = training.static
        forecaster.fit(data, **how)
    seconds = time.perf_counter() - begin
    result = forecaster.held_out(training.asked_levels)
    if isinstance(data, Panel):
        found = input_document(training.data, data)
        print_trained(forecaster, data.notes, seconds)
    else:
        found = passes_document(training.data, data, forecaster)
        print_passes(training.data, data)
        print_trained(forecaster, (), seconds)
    if result is not None:
        windows, horizon = len(result), result.truth.shape[1]
        how_many = f"{windows:,} held-out windows of {horizon:,} rows"
        print_accuracy(result, f"Accuracy on {how_many}, by a model trained without them:")
    document = {
        "input": found,
        **training_document(forecaster, seconds),
        "accuracy": accuracy_document(result),
    }
    return forecaster, document, data if isinstance(data, Passes) else None
