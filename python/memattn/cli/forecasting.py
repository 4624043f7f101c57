"""The commands around the forecaster: forecast, train, predict, backtest."""

from __future__ import annotations

from pathlib import Path

import click

from memattn.cli.forecast_options import (
    FILE,
    LEVELS,
    TrainingOptions,
    json_option,
    level_option,
    training_options,
)

EXIT_CODES = """\b
Exit codes:
  0 done; 1 a failure of the machine (disk, memory), or of doctor: the layer is ill;
  2 wrong options or data; 130 Ctrl-C; 143 SIGTERM
"""
EXAMPLES = """\b
Examples:
  memattn forecast sales.csv --horizon 14
  memattn forecast weather.csv --horizon 48 --target newark --report report.html
  memattn forecast shops.parquet --horizon 12 --members 10 --output next.parquet
  memattn forecast load.csv --horizon 96 --season 96 --json > forecast.json
"""


@click.command("forecast", epilog=f"{EXAMPLES}\n{EXIT_CODES}")
@training_options
@level_option("Level of an interval, in percent")
@click.option(
    "--output", type=FILE, default=Path("forecast.csv"), show_default=True, metavar="FILE",
    help="Where to write the forecast: .csv or .parquet.",
)  # fmt: skip
@click.option(
    "--report", type=FILE, metavar="FILE",
    help="Where to write an HTML page with figures: forecasts, accuracy, memory.",
)  # fmt: skip
@click.option(
    "--model", type=FILE, metavar="FILE",
    help="Where to keep what was learned, for memattn predict.",
)  # fmt: skip
@json_option
def forecast(
    training: TrainingOptions,
    levels: tuple[float, ...],
    output: Path,
    report: Path | None,
    model: Path | None,
    as_json: bool,
) -> None:
    """Forecast the series in a file.

    DATA is CSV or Parquet, by its name. Long: one row for each series and time, with the columns
    unique_id, ds and y, or those that --id, --time and --target name. Wide: a column for each
    series. Rows may be unsorted and missing; what is found and done is said.

    A small model built on the memory layer is trained on all series. How good such a model is, is
    measured on the last rows by one that has not seen them, beside naive forecasts; its errors make
    the intervals.

    Columns of the forecast: unique_id, ds, memattn, then for each level memattn-lo-80 and
    memattn-hi-80.
    """
    from memattn.cli.forecast_command import forecast_command

    forecast_command(
        training, levels or LEVELS, output=output, report=report, model=model, as_json=as_json
    )


@click.command("train", epilog=EXIT_CODES)
@training_options
@click.option(
    "--output", type=FILE, default=Path("model.safetensors"), show_default=True, metavar="FILE",
    help="Where to keep what was learned, the series included.",
)  # fmt: skip
@level_option("Level of an interval whose coverage is measured, in percent")
@json_option
def train(
    training: TrainingOptions, levels: tuple[float, ...], output: Path, as_json: bool
) -> None:
    """Train on the series in a file, for memattn predict.

    As memattn forecast, without the forecast.
    """
    from memattn.cli.forecast_command import train_command

    train_command(training, levels or LEVELS, output=output, as_json=as_json)


@click.command("predict", epilog=EXIT_CODES)
@click.argument("model", metavar="MODEL", type=FILE)
@click.argument("data", metavar="[DATA]", type=FILE, required=False)
@level_option("Level of an interval, in percent")
@click.option(
    "--output", type=FILE, default=Path("forecast.csv"), show_default=True, metavar="FILE",
    help="Where to write the forecast: .csv or .parquet.",
)  # fmt: skip
@json_option
def predict(
    model: Path, data: Path | None, levels: tuple[float, ...], output: Path, as_json: bool
) -> None:
    """Forecast with a model that is trained already.

    MODEL is what memattn train has written. What is forecast are the rows after the series that it
    was trained on, or after those in DATA: other series, or the same ones grown longer, with the
    same columns and distance of rows.
    """
    from memattn.cli.predict_command import predict_command

    predict_command(model=model, data=data, levels=levels, output=output, as_json=as_json)


@click.command("backtest", epilog=EXIT_CODES)
@training_options
@click.option(
    "--windows", "n_windows", type=click.IntRange(min=1), required=True, metavar="K",
    help="How many windows of each series to forecast; the last one ends with it.",
)  # fmt: skip
@click.option(
    "--step-size", type=click.IntRange(min=1), metavar="N",
    help="Rows from one window to the next.  [default: the horizon]",
)  # fmt: skip
@click.option(
    "--refit", is_flag=True,
    help="Train a model for each window, on all that was known then.",
)  # fmt: skip
@level_option("Level of an interval, in percent")
@click.option(
    "--output", type=FILE, default=Path("backtest.csv"), show_default=True, metavar="FILE",
    help="Where to write the forecasts beside what came: .csv or .parquet.",
)  # fmt: skip
@json_option
def backtest(
    training: TrainingOptions,
    n_windows: int,
    step_size: int | None,
    refit: bool,
    levels: tuple[float, ...],
    output: Path,
    as_json: bool,
) -> None:
    """Forecast windows of the past, without looking ahead.

    They are the last ones of each series.

    One model is trained on what was known before the first window of each series; its settings and
    intervals come from there, too.
    """
    from memattn.cli.backtest_command import backtest_command

    backtest_command(
        training,
        levels or LEVELS,
        n_windows=n_windows,
        step_size=step_size,
        refit=refit,
        output=output,
        as_json=as_json,
    )
