"""`memattn forecast` and `memattn train`: train, tell how good it is, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from memattn.cli.documents import (
    accuracy_document,
    forecast_records,
    input_document,
    notes_document,
    settings_document,
)
from memattn.cli.fitting import check_outputs, fit, make_forecaster, read
from memattn.cli.forecast_options import TrainingOptions
from memattn.cli.output import (
    note_written,
    plain_console,
    print_json,
    print_line,
    write_file,
)
from memattn.cli.progress import training_progress
from memattn.cli.tables import print_accuracy, print_found, print_notes, print_settings
from memattn.errors import printable
from memattn.forecast.data.frames import forecast_frame
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.table_files import check_table_file, for_file, table_bytes
from memattn.forecast.evaluation import Evaluation
from memattn.forecast.forecaster import Forecaster


@dataclass(frozen=True)
class Trained:
    """A forecaster, and what a reader wants to know of it."""

    forecaster: Forecaster
    panel: Panel
    seconds: float
    accuracy: Evaluation | None


def forecast_command(
    options: TrainingOptions,
    levels: Sequence[float],
    *,
    output: Path,
    report: Path | None,
    model: Path | None,
    as_json: bool,
) -> None:
    """Runs the command; see `memattn forecast --help`. Raises DataError or Stopped."""
    outputs = {"--output": output, "--report": report, "--model": model}
    check_outputs({**outputs, "--checkpoint": options.checkpoint}, options.data)
    check_table_file(output)
    console = plain_console()
    trained = _train(options, levels, None if as_json else console)
    found = trained.forecaster.forecasts(levels)
    # All is made before anything is written, so that the files come or none of them does.
    table = forecast_frame(for_file(found.panel, output), found.values, found.intervals)
    contents = {output: table_bytes(table)}
    if report is not None:
        page = trained.forecaster.render_report(levels, source=options.data.name)
        contents[report] = page.encode()
    for path, content in contents.items():
        write_file(path, content)
    if model is not None:
        trained.forecaster.save(model)
        note_written(model)
    if as_json:
        files = {"forecast": output, "report": report, "model": model}
        print_json({**_document(options, trained, files), "forecast": forecast_records(found)})
        return
    _print_written(console, *contents, *([] if model is None else [model]))


def train_command(
    options: TrainingOptions, levels: Sequence[float], *, output: Path, as_json: bool
) -> None:
    """Runs the command; see `memattn train --help`. Raises DataError or Stopped."""
    check_outputs({"--output": output, "--checkpoint": options.checkpoint}, options.data)
    console = plain_console()
    trained = _train(options, levels, None if as_json else console)
    trained.forecaster.save(output)
    note_written(output)
    if as_json:
        print_json(_document(options, trained, {"model": output}))
        return
    _print_written(console, output)


def _train(options: TrainingOptions, levels: Sequence[float], console: Console | None) -> Trained:
    """The training, told to the console if there is one."""
    forecaster = make_forecaster(options, levels)
    panel = read(forecaster, options.data)
    if console is not None:
        print_found(console, str(options.data), panel)
    with training_progress(show=console is not None) as progress:
        seconds = fit(forecaster, panel, options, progress)
    result = forecaster.held_out(levels)
    if console is not None:
        print_settings(console, forecaster.settings)
        _print_trained(console, forecaster, panel, seconds)
        if result is not None:
            print_accuracy(console, result, _title(result))
    return Trained(forecaster, panel, seconds, result)


def _print_trained(console: Console, forecaster: Forecaster, panel: Panel, seconds: float) -> None:
    print_line(console, f"\nTrained in {seconds:.1f} s.")
    print_notes(console, [note for note in forecaster.notes if note not in panel.notes])


def _title(result: Evaluation) -> str:
    windows, horizon = len(result), result.truth.shape[1]
    return f"Accuracy on {windows:,} windows of {horizon:,} rows, by a model trained without them:"


def _print_written(console: Console, *paths: Path) -> None:
    print_line(console, "")
    for path in paths:
        print_line(console, f"wrote {printable(str(path))}", "green")


def _document(
    options: TrainingOptions, trained: Trained, files: dict[str, Path | None]
) -> dict[str, Any]:
    forecaster = trained.forecaster
    return {
        "input": input_document(options.data, trained.panel),
        "notes": notes_document(forecaster.notes),
        "settings": settings_document(forecaster.settings),
        "training": {"seconds": round(trained.seconds, 3)},
        "accuracy": accuracy_document(trained.accuracy),
        "files": {name: None if path is None else str(path) for name, path in files.items()},
    }
