"""The command `memattn`: its subcommands, and the function that runs a command line."""

from __future__ import annotations

import os
import sys

import click

from memattn.cli import output
from memattn.cli.backtest_command import backtest
from memattn.cli.convert_command import convert
from memattn.cli.docs_command import docs
from memattn.cli.doctor_command import doctor
from memattn.cli.errors import DONE, MACHINE, WRONG, failed, told
from memattn.cli.forecast_command import forecast
from memattn.cli.inspect_command import inspect
from memattn.cli.options import EXIT_CODES
from memattn.cli.predict_command import predict
from memattn.cli.pretrain_command import pretrain
from memattn.cli.streams import output_error
from memattn.cli.train_command import train

EPILOG = """\b
Examples:
  memattn forecast sales.csv --horizon 14
  memattn doctor model.keras
\n\b
Environment:
  MEMATTN_COMMAND_OPTION  value of an option, e.g. MEMATTN_FORECAST_HORIZON=14
  MEMATTN_NUM_THREADS     number of threads
  MEMATTN_FORCE_ISA       instruction set, such as avx2
  NO_COLOR                if set, text has no colours
"""


def run(arguments: list[str]) -> int:
    """Runs the command line `arguments` and returns the exit code."""
    output.reset()
    # Characters that the terminal's encoding lacks are shown as escapes instead of raising.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # text streams here

    def as_json() -> bool:  # also if parsing failed before it reached --json
        return output.mode.json or "--json" in arguments

    try:
        code = _memattn.main(
            arguments, "memattn", standalone_mode=False, auto_envvar_prefix="MEMATTN"
        )
        sys.stdout.flush()
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        command = next((one for one in arguments[:1] if one in _memattn.commands), "")
        path = context.command_path if context else f"memattn {command}".strip()
        hint = f"try: {path} --help"
        return told("usage", error.format_message(), as_json(), WRONG, hint)
    except BrokenPipeError:  # the process that reads stdout, such as head, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return MACHINE
    except BaseException as error:
        # Polars raises its PanicException as a BaseException.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return failed(error, as_json())
    lost = output_error()
    if lost is not None:
        message = f"cannot write to standard output: {lost.strerror}"
        written = ", ".join(output.mode.written)
        message += f"; wrote {written}" if written else ""
        return told("output-failed", message, as_json(), MACHINE)
    return code if isinstance(code, int) else DONE


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from memattn import __version__

        click.echo(f"memattn {__version__}")
        context.exit()


@click.group(
    "memattn",
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    epilog=f"{EPILOG}\n{EXIT_CODES}",
)
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    allow_from_autoenv=False, help="Show the version and exit.",
)  # fmt: skip
@click.pass_context
def _memattn(context: click.Context, /) -> None:
    """Forecast time series, and inspect, check and convert attention layers with a memory."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (
    *(forecast, train, predict, backtest, pretrain),
    *(convert, inspect, doctor, docs),
):
    _memattn.add_command(_command)
