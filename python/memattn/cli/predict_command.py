"""`memattn predict`: forecasts with a saved model; imports little, since scripts run it often."""

from __future__ import annotations

from pathlib import Path

import click

from memattn.cli import output
from memattn.cli.options import (
    FILE,
    TABLE,
    Command,
    Number,
    future_option,
    level_option,
    memory_option,
    option,
    output_option,
    static_option,
)


@click.command(
    "predict",
    cls=Command,
    examples=(
        "memattn predict sales.safetensors",
        "memattn predict sales.safetensors new_shops.csv --level 90 -o next.parquet",
        "memattn predict sales.safetensors --future prices.csv",
        "memattn predict sales.safetensors sales/ --memory 2GiB -o next.parquet",
    ),
)
@click.argument("model", metavar="MODEL", type=FILE)
@click.argument("data", metavar="[DATA]", type=FILE, required=False)
@option(
    "--horizon", "h", type=Number(1, 1_000_000), metavar="N", group="Data",
    help="Steps ahead to forecast, at most the horizon of the training.  [default: that horizon]",
)  # fmt: skip
@future_option
@static_option
@memory_option
@level_option("Level of an interval")
@output_option("forecast.csv", f"File for the forecasts{TABLE}")
def predict(
    model: Path,
    data: Path | None,
    h: int | None,
    future: Path | None,
    static: Path | None,
    memory: str | None,
    levels: tuple[float, ...],
    path: Path | None,
) -> None:
    """Forecast with a trained model.

    MODEL is a file that memattn train or memattn forecast --model wrote. Without DATA, the series
    in MODEL are forecast. DATA, a file or - for stdin, has other series, or the same series with
    more rows. It must have the columns and the frequency of the training data.
    """
    from memattn.cli.documents import (
        forecast_records,
        input_document,
        note_text,
        notes_document,
        passes_document,
    )
    from memattn.cli.passes import check_of_passes, passes_over, write_passes
    from memattn.errors import printable
    from memattn.files import errors_of_reading
    from memattn.forecast.data.frames import forecast_frame
    from memattn.forecast.data.long_rows import plural
    from memattn.forecast.data.table_files import kind_of_file, table_bytes
    from memattn.forecast.forecaster import Forecaster

    path = output.choose_output(path, "forecast.csv")
    output.check_outputs({"output": path}, model, data, future, static)
    kind = kind_of_file(path)
    with errors_of_reading(model, "a file that memattn train wrote"):
        forecaster = Forecaster.load(model)
    panel = None
    levels = levels or forecaster.available_levels
    passes = None if data is None else passes_over(data, forecaster, memory, static)
    if memory is not None and data is None:
        raise click.UsageError("--memory needs DATA")
    if data is not None and passes is not None:
        check_of_passes(path)
        more = {"X_df": future, "static_df": static, "level": levels, "h": h}
        written = write_passes(forecaster, path, passes, **more)
        document = {
            "model": str(model),
            "input": passes_document(data, passes, forecaster),
            "notes": notes_document(written.notes),
            "files": {"forecast": str(path)},
            "forecast": None,
        }
        output.print_json("predict", document)
        output.say_written()
        return
    if data is not None:
        with output.reading(data) as file:
            panel = forecaster.panel(file, static_df=static)
    elif static is not None:
        raise click.UsageError("--static needs DATA: MODEL already has the table of its series")
    found = forecaster.forecasts(panel, X_df=future, level=levels, h=h)
    table = forecast_frame(found.panel, found.values, found.intervals, kind=kind)
    output.write_file(path, table_bytes(table, path))
    document = {
        "model": str(model),
        "input": input_document(model if data is None else data, found.panel),
        "notes": notes_document(found.panel.notes),
        "files": {"forecast": str(path)},
        "forecast": forecast_records(found),
    }
    output.print_json("predict", document)
    name = printable(str(model)) if data is None else output.name_of_data(data)
    count = plural(len(found.panel), "series", "series")
    output.say(f"{name}: {count}, {found.values.shape[1]:,} steps ahead")
    for note in found.panel.notes:
        output.say(f"  {printable(note_text(note))}")
    output.say_written()
