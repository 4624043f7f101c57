"""The options that the forecasting commands share, in one place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

FILE = click.Path(path_type=Path)
LEVELS = (80.0, 95.0)
Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Write one JSON document to stdout, and errors as JSON to stderr.",
)


def level_option(help_text: str) -> Callable[[Command], Command]:
    """`--level`, which may be repeated; none given is an empty tuple."""
    return click.option(
        "--level",
        "levels",
        type=click.FloatRange(0, 100, min_open=True, max_open=True),
        multiple=True,
        metavar="PERCENT",
        help=f"{help_text}; may be repeated.  [default: 80 and 95]",
    )


@dataclass(frozen=True)
class TrainingOptions:
    """What the command line says of data and training; None is for the forecaster to choose."""

    data: Path
    horizon: int
    id_col: str
    time_col: str
    targets: tuple[str, ...]
    freq: str | None
    season: int | None
    members: int
    lookback: int | None
    loss: str | None
    steps: int | None
    seed: int
    checkpoint: Path | None = None
    resume: bool = False


DATA_OPTIONS = [
    click.option(
        "--id", "id_col", default="unique_id", metavar="COLUMN",
        help="Column that names the series of a long file.  [default: unique_id]",
    ),
    click.option(
        "--time", "time_col", default="ds", metavar="COLUMN",
        help="Column of times.  [default: ds, else the first of dates, else rows are counted]",
    ),
    click.option(
        "--target", "targets", multiple=True, metavar="COLUMN",
        help="Column to forecast; in a wide file may be repeated."
        "  [default: y, else all columns of numbers]",
    ),
    click.option(
        "--freq", metavar="TEXT",
        help="Distance of rows, such as h, D, W, MS, 15min; of numbered rows a number."
        "  [default: from the times]",
    ),
]  # fmt: skip
MODEL_OPTIONS = [
    click.option(
        "--season", type=click.IntRange(min=1), metavar="N",
        help="Rows after which the values repeat; 1: none."
        "  [default: usual for the distance; of numbered rows what the values show]",
    ),
    click.option(
        "--members", type=click.IntRange(1, 10_000), default=1, show_default=True, metavar="N",
        help="Models in the ensemble; ten are more accurate and take ten times as long.",
    ),
    click.option(
        "--lookback", type=click.IntRange(min=1), metavar="N",
        help="Rows that every member sees.  [default: by distance and season]",
    ),
    click.option(
        "--loss", type=click.Choice(("smape", "mae", "huber", "quantile")),
        help="What training makes small; quantile: the ends of each --level.  [default: smape]",
    ),
    click.option(
        "--steps", type=click.IntRange(min=1), metavar="N",
        help="Training steps.  [default: by distance, season and number of values]",
    ),
    click.option(
        "--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, metavar="N",
        help="Of weights and training; the same seed gives the same forecast.",
    ),
    click.option(
        "--checkpoint", type=FILE, metavar="FILE",
        help="Where training keeps its state. Ctrl-C then stops it and loses nothing.",
    ),
    click.option(
        "--resume", is_flag=True,
        help="Go on from --checkpoint; the result is that of a training never stopped.",
    ),
]  # fmt: skip


def training_options(command: Command) -> Command:
    """Gives a command DATA, `--horizon` and all that says how to train, as `training`."""
    options = [
        click.argument("data", metavar="DATA", type=FILE),
        click.option(
            "--horizon", type=click.IntRange(1, 1_000_000), required=True, metavar="N",
            help="How many rows to forecast.",
        ),
        *DATA_OPTIONS,
        *MODEL_OPTIONS,
    ]  # fmt: skip

    @functools.wraps(command)
    def gather(**given: Any) -> Any:
        names = [name for name in TrainingOptions.__dataclass_fields__ if name in given]
        training = TrainingOptions(**{name: given.pop(name) for name in names})
        if training.resume and training.checkpoint is None:
            found = "found no --checkpoint to go on from, expected one"
            raise click.UsageError(f"--resume: {found}", click.get_current_context())
        return command(training=training, **given)

    for option in reversed(options):
        gather = option(gather)
    return gather  # type: ignore[return-value]  # one that click calls
