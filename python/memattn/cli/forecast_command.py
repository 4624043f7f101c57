"""`memattn forecast`: checks where it will write, forecasts, writes, and tells how good it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from memattn.cli.output import check_output, plain_console, print_json
from memattn.cli.render import print_heading, print_outcome, to_document
from memattn.csv_reader import read_csv
from memattn.errors import DataError
from memattn.files import write_atomically
from memattn.forecast.output import forecast_csv_text
from memattn.forecast.pipeline import Progress as ProgressCallback
from memattn.forecast.pipeline import execute
from memattn.forecast.plan import make_plan


def forecast_command(
    *,
    data: Path,
    horizon: int,
    time: str | None,
    targets: tuple[str, ...],
    lookback: int | None,
    season: int | None,
    epochs: int | None,
    seed: int,
    output: Path,
    report: Path | None,
    as_json: bool,
) -> None:
    """Runs the command; see `memattn forecast --help`. Raises DataError."""
    table = read_csv(data)
    _check_outputs(data, output, report)
    plan = make_plan(
        table,
        horizon,
        time=time,
        targets=targets,
        lookback=lookback,
        season=season,
        epochs=epochs,
        seed=seed,
    )
    console = plain_console()
    if not as_json:
        print_heading(console, plan)
    with _training_progress(show=not as_json) as progress:
        result = execute(plan, progress)
    # All is rendered before anything is written, so that both files come or neither.
    contents = {output: forecast_csv_text(result).encode()}
    if report is not None:
        from memattn.forecast.first_report import render_report

        contents[report] = render_report(result).encode()
    for path, content in contents.items():
        write_atomically(path, content)

    if as_json:
        print_json(to_document(result, data, output, report))
        return
    print_outcome(console, result, list(contents))


def _check_outputs(data: Path, output: Path, report: Path | None) -> None:
    """What would fail at the end fails here, before the training."""
    for path, option in ((output, "--output"), (report, "--report")):
        if path is not None:
            check_output(option, path, data)
    if report is not None and report.resolve() == output.resolve():
        problem = "--report: found the same file as --output, expected another file"
        raise DataError("option", problem, file=report)


@contextmanager
def _training_progress(show: bool) -> Iterator[ProgressCallback]:
    """A progress bar on stderr; without a terminal there, none."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
        console=console,
        disable=not (show and console.is_terminal),
        transient=True,
    )
    with bar:
        task = bar.add_task("training", total=None, loss=float("nan"))

        def update(step: int, steps: int, loss: float) -> None:
            bar.update(task, completed=step, total=steps, loss=loss)

        yield update
