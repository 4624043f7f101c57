"""`memattn backtest`: windows of the past, forecast as they would have been forecast then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memattn.cli.documents import accuracy_document, input_document, notes_document
from memattn.cli.fitting import check_outputs, make_forecaster, read, stoppable
from memattn.cli.forecast_options import TrainingOptions
from memattn.cli.output import plain_console, print_json, print_line, write_file
from memattn.cli.progress import training_progress
from memattn.cli.tables import print_accuracy, print_found
from memattn.errors import printable
from memattn.forecast.data.frames import MODEL, cross_validation_frame
from memattn.forecast.data.table_files import check_table_file, for_file, table_bytes


def backtest_command(
    options: TrainingOptions,
    levels: Sequence[float],
    *,
    n_windows: int,
    step_size: int | None,
    refit: bool,
    output: Path,
    as_json: bool,
) -> None:
    """Runs the command; see `memattn backtest --help`. Raises DataError."""
    check_outputs({"--output": output, "--checkpoint": options.checkpoint}, options.data)
    check_table_file(output)
    forecaster = make_forecaster(options, levels)
    panel = read(forecaster, options.data)
    console = plain_console()
    if not as_json:
        print_found(console, str(options.data), panel)
    step_size = options.horizon if step_size is None else step_size
    with training_progress(show=not as_json) as bar, stoppable(options, bar) as how:
        result = forecaster.backtest(panel, n_windows, step_size, refit=refit, level=levels, **how)
    table = cross_validation_frame(
        for_file(panel, output), result.windows, result.forecasts[MODEL], result.intervals
    )
    write_file(output, table_bytes(table))
    if as_json:
        document = {
            "input": input_document(options.data, panel),
            "notes": notes_document(panel.notes),
            "windows": {"count": n_windows, "step_size": step_size, "refit": refit},
            "accuracy": accuracy_document(result),
            "files": {"forecasts": str(output)},
        }
        print_json(document)
        return
    models = "a model for each window" if refit else "one model of what came before them"
    title = f"Accuracy on {len(result):,} windows of {options.horizon:,} rows, by {models}:"
    print_accuracy(console, result, title)
    print_line(console, f"\nwrote {printable(str(output))}", "green")
