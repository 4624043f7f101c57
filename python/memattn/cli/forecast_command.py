"""`memattn forecast`: trains a model, prints its accuracy and writes forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memattn.cli import output
from memattn.cli.options import (
    FILE,
    TABLE,
    TrainingCommand,
    future_option,
    level_option,
    memory_option,
    option,
    output_option,
    static_option,
)

if TYPE_CHECKING:
    from memattn.cli.training import Training


@click.command(
    "forecast",
    cls=TrainingCommand,
    examples=(
        "memattn forecast sales.csv --horizon 14",
        "memattn forecast weather.csv --horizon 48 --target newark --report report.html",
        "memattn forecast shop.csv --horizon 14 --futr-exog price --future prices.csv",
        "memattn forecast shops.parquet --horizon 12 --members 10 -o next.parquet",
        "memattn forecast 'sales/*.parquet' --horizon 12 --memory 2GiB -o next.parquet",
        "gunzip -c load.csv.gz | memattn forecast - --horizon 96 -o - > next.csv",
    ),
)
@static_option
@future_option
@memory_option
@level_option("Level of an interval")
@output_option("forecast.csv", f"File for the forecasts{TABLE}")
@option(
    "--report", type=FILE, metavar="FILE", group="Output",
    help="File for an HTML report with figures of the forecasts, their accuracy and the memory.",
)  # fmt: skip
@option(
    "--model", type=FILE, metavar="FILE", group="Output",
    help="File for the trained model and its series, for memattn predict.",
)  # fmt: skip
def forecast(
    training: Training, path: Path | None, report: Path | None, model: Path | None
) -> None:
    """Forecast the series in a file.

    DATA is a CSV or Parquet file, or - for stdin. A long file has one row for each series and time,
    in the columns unique_id, ds and y, or those that --id, --time and --target name. A wide file
    has a column for each series. Rows may be missing or out of order. DATA may also be a folder or
    a pattern of files that together exceed memory: see --memory.

    Trains one small model, built on the memory layer, on all series together. Its accuracy is
    measured on held-out rows and compared with naive forecasts. The errors on these rows also
    calibrate the intervals.

    Writes the columns unique_id, ds, memattn, and for each level the interval bounds, such as
    memattn-lo-80 and memattn-hi-80.
    """
    from memattn.cli.documents import forecast_records, notes_document
    from memattn.cli.passes import check_of_passes, write_passes
    from memattn.cli.training import train
    from memattn.extras import need
    from memattn.forecast.data.frames import forecast_frame
    from memattn.forecast.data.table_files import kind_of_file, table_bytes

    path = output.choose_output(path, "forecast.csv")
    kind = kind_of_file(path)
    if report is not None:
        need("--report", "forecast", "jinja2", "markupsafe", "matplotlib")
    outputs = {"output": path, "report": report, "model": model}
    if training.in_passes:
        check_of_passes(path, report=report)
    forecaster, document, passes = train(training, forecasts=True, **outputs)
    document["files"] = {
        name: None if file is None else str(file)
        for name, file in (("forecast", path), ("report", report), ("model", model))
    }
    if passes is not None:
        more = {"X_df": training.future, "static_df": training.static}
        written = write_passes(forecaster, path, passes, level=training.asked_levels, **more)
        if model is not None:
            with output.noted(model):
                forecaster.save(model)
        document["notes"] += notes_document(written.notes)
        output.print_json("forecast", {**document, "forecast": None})
        output.say_written()
        return
    found = forecaster.forecasts(level=training.asked_levels)
    # All contents are made before anything is written, so that a failure leaves no partial output.
    table = forecast_frame(found.panel, found.values, found.intervals, kind=kind)
    contents = {path: table_bytes(table, path)}
    if report is not None:
        page = forecaster.render_report(training.asked_levels, source=training.data.name)
        contents[report] = page.encode()
    for file, content in contents.items():
        output.write_file(file, content)
    if model is not None:
        with output.noted(model):
            forecaster.save(model)
    output.print_json("forecast", {**document, "forecast": forecast_records(found)})
    output.say("")
    output.say_written()
