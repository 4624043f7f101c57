"""The options that commands share, and the command classes, whose help groups the options."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

FILE = click.Path(path_type=Path)
TABLE = ": .csv, .csv.gz or .parquet, or - for CSV on stdout"
EXIT_CODES = """\b
Exit codes:
  0 success; 1 machine failure (disk, memory); 2 wrong options or data;
  3 doctor found a fault; 70 internal error; 130 Ctrl-C; 143 SIGTERM
"""
GROUPS = ("Data", "Model", "Output", "Other")  # option groups, in the order of the help
Function = TypeVar("Function", bound=Callable[..., Any])


class Number(click.ParamType):  # type: ignore[type-arg]  # older versions are not generic
    """A whole number within bounds, or a percentage. Only the error message states the bounds."""

    name = "number"

    def __init__(self, low: int = 1, high: int = 2**31 - 1, *, percent: bool = False) -> None:
        self.low, self.high, self.percent = low, high, percent

    def convert(self, value: Any, param: Any, ctx: Any) -> int | float:
        """Returns the number; reports a usage error for anything else."""
        expected = f"a whole number from {self.low:,} to {self.high:,}"
        if self.percent:
            expected = "a percentage above 0 and below 100, such as 80"
        try:
            number = float(value) if self.percent else int(value)
        except ValueError:
            number = math.nan
        if not (0 < number < 100 if self.percent else self.low <= number <= self.high):
            self.fail(f"found {value}, expected {expected}", param, ctx)
        return number


class Calendar(click.ParamType):  # type: ignore[type-arg]
    """The value of --calendar: "auto", or a boolean."""

    name = "calendar"

    def convert(self, value: Any, param: Any, ctx: Any) -> bool | str:
        """Returns True, False or "auto"; reports a usage error for anything else."""
        if value == "auto":
            return str(value)
        try:
            return bool(click.BOOL.convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"found {value}, expected no value, or auto", param, ctx)


class Option(click.Option):
    """An option that the help lists in a group."""

    def __init__(self, names: Sequence[str], *, group: str = "Other", **settings: Any) -> None:
        super().__init__(names, **settings)
        self.group = group

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Returns the value of the environment variable named after the command-line option."""
        name = max(self.opts, key=len).lstrip("-").replace("-", "_").upper()
        return os.environ.get(f"{ctx.auto_envvar_prefix}_{name}") or None


def option(*names: str, group: str, **settings: Any) -> Callable[[Function], Function]:
    """Returns a decorator that adds an option to one command, in a group of its help."""
    return click.option(*names, cls=Option, group=group, **settings)


def output_option(default: str, what: str) -> Callable[[Function], Function]:
    """Returns the option `--output`. Without it `output.choose_output` applies `default`."""
    help_text = f"{what}.  [default: {default}, unless another program wrote that file]"
    return option(
        "-o", "--output", "path", type=FILE, metavar="FILE", group="Output", help=help_text
    )


def level_option(what: str) -> Callable[[Function], Function]:
    """Returns the option `--level`, which may be repeated; without it the tuple is empty."""
    return option(
        "--level", "levels", type=Number(percent=True), multiple=True, metavar="PERCENT",
        group="Model", help=f"{what}, in percent; may be repeated.  [default: 80 and 95]",
    )  # fmt: skip


layer_option = option(
    "--layer", "name", metavar="NAME", group="Data",
    help="Name or class of the layer.  [default: the only layer in the file]",
)  # fmt: skip
tokens_option = option(
    "--data", type=FILE, metavar="FILE", group="Data",
    help="""File of typical input tokens: .npy or .npz of shape (N, units) or (B, T, units), or CSV
with a column of numbers for each unit.  [default: standard normal tokens]""",
)  # fmt: skip
second_option = option(
    "--second", type=FILE, metavar="FILE", group="Data",
    help="""The same for the second input of a CrossAttention (source 2) or a HierarchicalAttention
(long).""",
)  # fmt: skip


def _note_json(context: click.Context, parameter: click.Parameter, as_json: bool) -> None:
    """Sets the mode at once, so that errors in later options are JSON too."""
    from memattn.cli import output

    output.mode.json = as_json


COMMON_OPTIONS = [
    Option(
        ["--json"], is_flag=True, is_eager=True, expose_value=False, callback=_note_json,
        group="Output", help="Write one JSON document to stdout, and errors as JSON to stderr.",
    ),
    Option(
        ["-q", "--quiet"], is_flag=True, group="Output",
        help="Print only errors, and the results that --json or -o - writes to stdout.",
    ),
    Option(
        ["--threads"], type=Number(1, 1024), metavar="N",
        help="Number of threads.  [default: all cores, or MEMATTN_NUM_THREADS]",
    ),
]  # fmt: skip


class Command(click.Command):
    """A command with the common options, whose help lists options in groups.

    `examples` are command lines for the help. `needs` is the extra that installs the packages the
    command requires, if any.
    """

    def __init__(self, *, examples: Sequence[str], needs: str = "", **settings: Any) -> None:
        super().__init__(epilog=EXIT_CODES, **settings)
        self.needs = needs
        self.params += COMMON_OPTIONS
        self.examples = examples

    def invoke(self, ctx: click.Context) -> Any:
        """Applies the common options and runs the command."""
        from memattn.cli import output
        from memattn.extras import need

        if self.needs:
            need(str(self.name), self.needs, "rich")
        self.gather(ctx)
        output.mode.quiet = ctx.params.pop("quiet")
        threads = ctx.params.pop("threads")
        if threads is not None:
            from memattn import set_num_threads

            set_num_threads(threads)
        return super().invoke(ctx)

    def gather(self, ctx: click.Context) -> None:
        """Turns the parsed options into the arguments of the command's function."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the description of the command and its examples."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes a section for each group of options."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        for group in GROUPS:
            shown = [one for one in options if getattr(one, "group", "Other") == group]
            if shown:
                with formatter.section(f"{group} options"):
                    formatter.write_dl([one.get_help_record(ctx) or ("", "") for one in shown])


def _frequency(context: click.Context, parameter: click.Parameter, freq: str | None) -> Any:
    """Returns the frequency: an int, the step of numbered rows, if the text is a number."""
    return int(freq) if freq is not None and freq.isascii() and freq.isdigit() else freq


def _prior(context: click.Context, parameter: click.Parameter, prior: str) -> str | None:
    return None if prior == "none" else prior


def _columns(context: click.Context, parameter: click.Parameter, names: Sequence[str]) -> Any:
    return list(names)


def _targets(context: click.Context, parameter: click.Parameter, names: Sequence[str]) -> Any:
    return "y" if not names else names[0] if len(names) == 1 else names


# Each option is named after the argument of Forecaster that it sets.
FORECASTER_OPTIONS = [
    Option(
        ["--horizon"], type=Number(1, 1_000_000), required=True, metavar="N", group="Data",
        help="Steps ahead to forecast: the number of rows for each series.",
    ),
    Option(
        ["--freq"], metavar="TEXT", callback=_frequency, group="Data",
        help="Time between rows, such as h, D, W, MS or 15min; for numbered rows a number."
        "  [default: found from the times]",
    ),
    Option(
        ["--id", "id_col"], default="unique_id", metavar="COLUMN", group="Data",
        help="Column that names the series of a long file.  [default: unique_id]",
    ),
    Option(
        ["--time", "time_col"], default="ds", metavar="COLUMN", group="Data",
        help="Column of times.  [default: ds, else the first column of dates, else row numbers]",
    ),
    Option(
        ["--day-first/--no-day-first"], default=None, group="Data",
        help="Whether dates such as 01/02/2020 have the day first.  [default: refuse such dates]",
    ),
    Option(
        ["--on-bad-series"], type=click.Choice(("raise", "drop")), default="raise", group="Data",
        help="What to do with a series that cannot be used: stop with an error (raise), or leave "
        "it out (drop).  [default: raise]",
    ),
    Option(
        ["--target", "target_col"], multiple=True, metavar="COLUMN", callback=_targets,
        group="Data", help="Column to forecast; may be repeated for a wide file."
        "  [default: y, else all numeric columns]",
    ),
    Option(
        ["--futr-exog", "futr_exog_list"], multiple=True, metavar="COLUMN", callback=_columns,
        group="Data", help="Column of a covariate whose future values are known, such as a "
        "price; may be repeated.",
    ),
    Option(
        ["--hist-exog", "hist_exog_list"], multiple=True, metavar="COLUMN", callback=_columns,
        group="Data", help="Column of a covariate that is known only in the past; may be repeated.",
    ),
    Option(
        ["--stat-exog", "stat_exog_list"], multiple=True, metavar="COLUMN", callback=_columns,
        group="Data", help="Column of a covariate that is constant for each series, such as a "
        "region; may be repeated.",
    ),
    Option(
        ["--calendar"], type=Calendar(), default=False, metavar="[auto]", group="Data",
        help="Use hour, weekday, month and position in the year as covariates; auto: only if they "
        "lower the validation error.",
    ),
    Option(
        ["--country"], metavar="CODE", group="Data",
        help="Country whose public holidays --calendar adds, such as NO or DE-BY.",
    ),
    Option(
        ["--season"], type=Number(), metavar="N", group="Model",
        help="Rows in a season; 1 for none."
        "  [default: from the frequency; for numbered rows from the values]",
    ),
    Option(
        ["--members"], type=Number(1, 10_000), default=1, metavar="N", group="Model",
        help="Models in the ensemble; 10 are more accurate and take ten times as long."
        "  [default: 1]",
    ),
    Option(
        ["--prior"], default="auto", metavar="PATH|none", callback=_prior, group="Model",
        help="Pretrained networks for series that are too short to train on: a file or a folder "
        "of files that memattn pretrain wrote, or none.  [default: the networks of the package]",
    ),
    Option(
        ["--lookback"], type=Number(), metavar="N", group="Model",
        help="Rows in each input window.  [default: from frequency and season]",
    ),
    Option(
        ["--loss"], type=click.Choice(("smape", "mae", "huber", "quantile")), metavar="NAME",
        group="Model", help="Training loss: smape, mae, huber, or quantile, which trains the "
        "interval bounds of each --level.  [default: smape, or huber for many long seasons]",
    ),
    Option(
        ["--steps"], type=Number(), metavar="N", group="Model",
        help="Training steps.  [default: from frequency, season and amount of data]",
    ),
    Option(
        ["--seed"], type=Number(0, 2**64 - 1), default=0, metavar="N", group="Model",
        help="Random seed; the same seed gives the same forecast.  [default: 0]",
    ),
    Option(
        ["--no-intervals"], is_flag=True, group="Model",
        help="Write no intervals, which saves a second training.",
    ),
]  # fmt: skip
static_option = option(
    "--static", type=FILE, metavar="FILE", group="Data",
    help="File with the columns of --stat-exog, one row for each series.  [default: DATA has "
    "them]",
)  # fmt: skip
future_option = option(
    "--future", type=FILE, metavar="FILE", group="Data",
    help="File with the columns of --futr-exog for the rows to forecast.  [default: DATA has "
    "them, in rows without a target value]",
)  # fmt: skip
memory_option = option(
    "--memory", metavar="SIZE", group="Data",
    help="Read DATA, a folder or a pattern of files, in passes that use at most this much memory, "
    "such as 2GiB.  [default: 2GiB for more than 20 million rows in several files, else read all "
    "at once]",
)  # fmt: skip
TRAINING_OPTIONS = [
    Option(
        ["--val-size"], type=Number(0), default=0, metavar="N", group="Model",
        help="Calibrate intervals on the last N rows of each series and do not train on them, "
        "which saves the second training.",
    ),
    Option(
        ["--checkpoint"], type=FILE, metavar="FILE", group="Model",
        help="File for the training state, so that an interrupted training can be resumed.",
    ),
    Option(
        ["--resume"], is_flag=True, group="Model",
        help="Continue the training in --checkpoint; the result equals that of an uninterrupted "
        "training.",
    ),
]  # fmt: skip


class PretrainingCommand(Command):
    """A command with data files and the Forecaster options of a prior, passed as `options`."""

    NAMES = ("horizon", "freq", "id_col", "time_col", "day_first", "on_bad_series", "target_col",
             "season", "members", "lookback", "steps", "seed")  # fmt: skip

    def __init__(self, **settings: Any) -> None:
        super().__init__(needs="forecast", **settings)
        data = click.Argument(["data"], metavar="DATA...", type=FILE, nargs=-1, required=True)
        self.mine = [one for one in FORECASTER_OPTIONS if one.name in self.NAMES]
        self.params = [data, *self.mine, *self.params]

    def gather(self, ctx: click.Context) -> None:
        """Collects the options of the Forecaster in `options`."""
        ctx.params["options"] = {one.name: ctx.params.pop(one.name) for one in self.mine}


class TrainingCommand(Command):
    """A command with DATA and the options of a training, passed as `training`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses as click does, but `--calendar` takes a value only if the next word is auto."""
        end = args.index("--") if "--" in args else len(args)
        words: list[str] = []
        for word in args[:end]:
            if word == "auto" and words[-1:] == ["--calendar=yes"]:
                words[-1] = "--calendar=auto"
            else:
                words.append("--calendar=yes" if word == "--calendar" else word)
        return super().parse_args(ctx, words + args[end:])

    def __init__(self, **settings: Any) -> None:
        super().__init__(needs="forecast", **settings)
        data = click.Argument(["data"], metavar="DATA", type=FILE)
        self.params = [data, *FORECASTER_OPTIONS, *TRAINING_OPTIONS, *self.params]

    def gather(self, ctx: click.Context) -> None:
        """Collects the options in `training`; reports options that exclude each other."""
        from memattn.cli.errors import option_of
        from memattn.cli.training import Training

        options = {one.name: ctx.params.pop(one.name) for one in FORECASTER_OPTIONS}
        options["intervals"] = not options.pop("no_intervals")
        others = {name: ctx.params.pop(name, None) for name in Training.OTHERS}
        if others["resume"] and others["checkpoint"] is None:
            raise click.UsageError("--resume needs --checkpoint", ctx)
        if others["levels"] and not options["intervals"]:
            raise click.UsageError("--level and --no-intervals cannot be used together", ctx)
        for name, argument, given in (
            ("--future", "futr_exog_list", others["future"]),
            ("--static", "stat_exog_list", others["static"]),
            ("--country", "calendar", options["country"]),
        ):
            if given is not None and not options[argument]:
                raise click.UsageError(f"{name} needs {option_of(argument)}", ctx)
        ctx.params["training"] = Training(options, **others)
