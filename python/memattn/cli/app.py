"""The commands and their options, and how errors leave the program.

Exit codes: 0 done, 1 a failure of the machine (disk, memory), or of doctor: the layer is ill,
2 wrong options or data, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import click

from memattn.cli.errors import Stopped
from memattn.cli.forecast_options import json_option
from memattn.cli.forecasting import EXAMPLES, EXIT_CODES, backtest, forecast, predict, train
from memattn.cli.interrupt import MESSAGES
from memattn.cli.streams import output_error
from memattn.errors import printable


def run(arguments: list[str]) -> int:
    """Runs the command line `arguments` and returns the exit code."""
    # A name that the terminal's encoding lacks is shown as an escape, and is no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # text streams here
    as_json = "--json" in arguments
    try:
        code = _memattn.main(arguments, prog_name="memattn", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        command = context.command_path if context else "memattn"
        problem = {"kind": "usage", "message": error.format_message()}
        return _fail(problem, as_json, hint=f"try: {command} --help")
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Stopped as error:
        return _stopped(error, as_json)
    except Exception as error:
        return _failed(error, as_json)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Polars, and no Exception
            raise
        return _failed(error, as_json)
    lost = output_error()
    if lost is not None:
        return _lost_output(lost, as_json)
    return code if isinstance(code, int) else 0


def _failed(error: BaseException, as_json: bool) -> int:
    """Says what has ended a command; returns the exit code.

    Errors of options and data come as DataError, with their place. The others are those of the
    machine, of the environment's variables, and faults of this program.
    """
    from memattn import FormatError
    from memattn.errors import DataError

    if isinstance(error, DataError):
        _fail(
            {
                "kind": error.kind,
                "message": str(error) if not as_json else error.problem,
                "file": str(error.file) if error.file is not None else None,
                "line": error.line,
                "column": error.column,
            },
            as_json,
        )
        return 1 if error.kind == "write-failed" else 2
    text = printable(str(error))
    if isinstance(error, MemoryError):
        _fail({"kind": "memory", "message": "found no memory left for this much data"}, as_json)
        return 1
    if isinstance(error, FormatError):
        return _fail({"kind": "format", "message": text}, as_json)
    if isinstance(error, ModuleNotFoundError):
        return _fail({"kind": "missing-extra", "message": text}, as_json)
    variable = re.search(r"\bMEMATTN_[A-Z_]+: .*", text)
    if variable is not None:
        return _fail({"kind": "environment", "message": variable[0]}, as_json)
    if isinstance(error, OSError):
        place = "" if error.filename is None else f"{printable(str(error.filename))}: "
        _fail({"kind": "system", "message": f"{place}{error.strerror or text}"}, as_json)
        return 1
    if sys.flags.dev_mode:
        raise error
    found = f"internal error: {type(error).__name__}: {text}"
    hint = "for a report of this fault, run python -X dev -m memattn.cli with the same words"
    _fail({"kind": "internal", "message": found}, as_json, hint)
    return 1


def _lost_output(error: OSError, as_json: bool) -> int:
    """Says that stdout has not got everything, and what is written nevertheless."""
    from memattn.cli.output import written_files

    files = ", ".join(printable(str(path)) for path in written_files())
    message = f"cannot write to standard output: {error.strerror}"
    message += f"; wrote {files}" if files else ""
    _fail({"kind": "output-failed", "message": message}, as_json)
    return 1


def _fail(problem: dict[str, Any], as_json: bool, hint: str = "") -> int:
    """Says what is wrong on stderr; returns the exit code of wrong options and data."""
    if as_json:
        error = {"kind": None, "message": None, "file": None, "line": None, "column": None}
        sys.stderr.write(json.dumps({"error": error | problem}) + "\n")
    else:
        sys.stderr.write(f"memattn: {problem['message']}\n" + (f"{hint}\n" if hint else ""))
    return 2


def _stopped(error: Stopped, as_json: bool) -> int:
    """Says where a stopped training can be gone on with; returns the exit code of the signal."""
    name = MESSAGES[signal.Signals(error.number)]
    told = f"{name} before the first step, nothing was written"
    problem: dict[str, Any] = {"kind": name, "message": told}
    if error.checkpoint.exists():
        told = "where training stands is kept, go on with the same command and --resume"
        where = "" if as_json else f" (--checkpoint {printable(str(error.checkpoint))})"
        problem |= {"message": f"{name}; {told}{where}", "file": str(error.checkpoint)}
    _fail(problem, as_json)
    return 128 + error.number


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from memattn import __version__

        click.echo(f"memattn {__version__}")
        context.exit()


@click.group(
    "memattn",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{EXAMPLES}\n{EXIT_CODES}",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Show the version and exit.",
)  # fmt: skip
def _memattn() -> None:
    """Attention over a learned memory: its weights, a look into it, and forecasts of series."""


@_memattn.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--layer",
    metavar="NAME",
    help="The memory layer to take.  [default: the only one in SOURCE]",
)
@json_option
def _convert(source: Path, target: Path, layer: str | None, as_json: bool) -> None:
    """Move the weights of a memory layer from one format to another.

    SOURCE is a model or its weights: .keras, .weights.h5 or .h5 of Keras 2 and 3, .npz of NumPy,
    a state_dict of PyTorch (.pt, .pth), or .safetensors. It is data: nothing in it is executed.

    The ending of TARGET says what is written: .safetensors, .weights.h5, .npz, .pt, .pth or .onnx.
    """
    from memattn.cli.convert_command import convert_command

    convert_command(source=source, target=target, layer=layer, as_json=as_json)


for _command in (forecast, train, predict, backtest):
    _memattn.add_command(_command)


DATA_HELP = """What the layer reads in use: .npy or .npz of tokens (N, units) or (B, T, units),
or a CSV file with one column of numbers for each unit.  [default: standard normal tokens]"""
LAYER_HELP = "The memory layer to look at.  [default: the only one in FILE]"


@_memattn.command("inspect")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--layer", "name", metavar="NAME", help=LAYER_HELP)
@click.option("--data", type=click.Path(path_type=Path), metavar="DATA", help=DATA_HELP)
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to draw what is read of which slot: .svg or .png.",
)
@json_option
def _inspect(
    file: Path, name: str | None, data: Path | None, picture: Path | None, as_json: bool
) -> None:
    """Show what is in a layer, and how much of its memory is read.

    FILE is a layer's file or a model's, of any format that memattn convert reads. Shown are the
    layer's options, its size and cost, how selectively each head reads, and for each slot its norm,
    the share of reading that goes to it, and the slot that it is most like.
    """
    from memattn.cli.inspect_command import inspect_command

    inspect_command(file=file, name=name, data=data, picture=picture, as_json=as_json)


@_memattn.command("doctor")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--layer", "name", metavar="NAME", help=LAYER_HELP)
@click.option("--data", type=click.Path(path_type=Path), metavar="DATA", help=DATA_HELP)
@click.option(
    "--repair",
    "output",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Where to write the layer with slots that were alike told apart; never FILE itself.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Of the repair's jitter; the same seed gives the same file.",
)
@json_option
def _doctor(
    file: Path,
    name: str | None,
    data: Path | None,
    output: Path | None,
    seed: int,
    as_json: bool,
) -> int:
    """Say whether a layer is ill, what that means and what to do.

    It looks for NaN, slots that are identical, attention that is uniform, slots that are not read,
    heads that do nothing, and logits that explode. The exit code is 0 when the layer is healthy, 1
    when it is ill, 2 when it could not be examined.

    FILE is a layer's file or a model's, of any format that memattn convert reads.

    With --repair, slots that are alike get a random jitter, so that training can tell them apart
    again; it changes the output by at most a thousandth. OUT gets this one layer, in the format
    that its name's ending says. The exit code is then that of the repaired layer, and 2 when there
    was nothing that a jitter could repair.
    """
    from memattn.cli.doctor_command import doctor_command

    return doctor_command(
        file=file, name=name, data=data, output=output, seed=seed, as_json=as_json
    )
