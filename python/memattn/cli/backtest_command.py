"""`memattn backtest`: forecasts past windows with only the rows known at that time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memattn.cli import output
from memattn.cli.options import (
    TABLE,
    Number,
    TrainingCommand,
    level_option,
    option,
    output_option,
    static_option,
)

if TYPE_CHECKING:
    from memattn.cli.training import Training


@click.command(
    "backtest",
    cls=TrainingCommand,
    examples=(
        "memattn backtest sales.csv --horizon 14 --windows 8",
        "memattn backtest sales.csv --horizon 14 --windows 8 --refit -o past.parquet",
    ),
)
@option(
    "--windows", "n_windows", type=Number(), required=True, metavar="K", group="Data",
    help="Number of windows to forecast in each series; the last one ends with the series.",
)  # fmt: skip
@option(
    "--step-size", type=Number(), metavar="N", group="Data",
    help="Rows from one window to the next.  [default: the horizon]",
)  # fmt: skip
@option(
    "--refit", is_flag=True, group="Model",
    help="Train a model for each window, on all rows before it.",
)  # fmt: skip
@static_option
@level_option("Level of an interval")
@output_option("backtest.csv", f"File for the forecasts and the actual values{TABLE}")
def backtest(
    training: Training, n_windows: int, step_size: int | None, refit: bool, path: Path | None
) -> None:
    """Forecast the last windows of each series, without looking ahead.

    DATA and the training options are those of memattn forecast. One model forecasts all windows.
    It is trained on the rows before the first window, which also determine its settings and
    intervals. With --refit, each window gets a model of its own.

    Writes the columns unique_id, ds, cutoff (the time of the last known row), y, memattn, and for
    each level the interval bounds, such as memattn-lo-80 and memattn-hi-80.
    """
    from memattn.cli.documents import accuracy_document, input_document, notes_document
    from memattn.cli.render import print_accuracy
    from memattn.forecast.data.frames import MODEL, cross_validation_frame
    from memattn.forecast.data.table_files import kind_of_file, table_bytes

    path = output.choose_output(path, "backtest.csv")
    kind = kind_of_file(path)
    horizon = training.options["horizon"]
    step_size = horizon if step_size is None else step_size
    windows = {"n_windows": n_windows, "step_size": step_size}
    forecaster, panel = training.begin(windows, output=path)
    with training.running() as how:
        result = forecaster.backtest(
            panel, n_windows, step_size=step_size, refit=refit, level=training.asked_levels, **how
        )
    forecasts = result.forecasts[MODEL]
    table = cross_validation_frame(panel, result.windows, forecasts, result.intervals, kind=kind)
    output.write_file(path, table_bytes(table, path))
    document = {
        "input": input_document(training.data, panel),
        "notes": notes_document(panel.notes),
        "windows": {"count": n_windows, "step_size": step_size, "refit": refit},
        "accuracy": accuracy_document(result),
        "files": {"forecasts": str(path)},
    }
    output.print_json("backtest", document)
    models = "a model for each window" if refit else "one model, trained on the rows before them"
    print_accuracy(result, f"Accuracy on {len(result):,} windows of {horizon:,} rows, by {models}:")
    asked = n_windows * len(panel)
    if missing := asked - len(result.windows):
        note = f"{missing:,} of {asked:,} windows do not exist, because the series are too short"
        output.say_item(f"note: {note}", "yellow")
    output.say("")
    output.say_written()
