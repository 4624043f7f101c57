"""`memattn train`: trains a model, prints its accuracy and saves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memattn.cli import output
from memattn.cli.options import (
    FILE,
    TrainingCommand,
    level_option,
    memory_option,
    option,
    output_option,
    static_option,
)

if TYPE_CHECKING:
    from memattn.cli.training import Training


@click.command(
    "train",
    cls=TrainingCommand,
    examples=(
        "memattn train sales.csv --horizon 14 -o sales.safetensors",
        "memattn train sales.csv --horizon 14 --members 10 --checkpoint state",
        "memattn train sales.csv --horizon 14 --members 10 --checkpoint state --resume",
        "memattn train more.csv --horizon 14 --start-from old.safetensors -o new",
    ),
)
@option(
    "--start-from", type=FILE, metavar="MODEL", group="Model",
    help="File that memattn train wrote with the same options: training starts from its weights "
    "and takes fewer steps.",
)  # fmt: skip
@static_option
@memory_option
@level_option("Level of an interval to measure the coverage of, or to train with quantile loss")
@output_option("model.safetensors", "File for the trained model and its series")
def train(training: Training, path: Path | None) -> None:
    """Train on the series in a file, for memattn predict.

    DATA and the training options are those of memattn forecast.
    """
    from memattn.cli.training import train as train_model

    path = output.choose_output(path, "model.safetensors")
    forecaster, document, _ = train_model(training, model=path)
    with output.noted(path):
        forecaster.save(path)
    output.print_json("train", document | {"files": {"model": str(path)}})
    output.say("")
    output.say_written()
