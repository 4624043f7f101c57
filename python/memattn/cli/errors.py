"""Exit codes, and the error messages that commands write to stderr."""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

DONE, MACHINE, WRONG, ILL, INTERNAL = 0, 1, 2, 3, 70
SCHEMA = 1  # version of the JSON documents, docs/json.md; removing or changing a key makes it 2
STDIN = Path("<stdin>")  # the file name of standard input in messages
# Python argument -> its name on the command line.
OPTIONS = {
    **{
        "data": "DATA",
        "h": "--horizon",
        "target": "TARGET",
        "first": "--data",
        "intervals": "--no-intervals",
    },
    **{"id_col": "--id", "time_col": "--time", "target_col": "--target", "n_windows": "--windows"},
    **{"futr_exog_list": "--futr-exog", "hist_exog_list": "--hist-exog"},
    **{"stat_exog_list": "--stat-exog", "X_df": "--future", "static_df": "--static"},
}
NAMESAKES = (
    *(
        "horizon",
        "freq",
        "season",
        "lookback",
        "members",
        "loss",
        "steps",
        "seed",
        "level",
        "layer",
    ),
    *("refit", "checkpoint", "resume", "output", "report", "model", "picture", "repair", "second"),
    *("val_size", "step_size", "day_first", "on_bad_series", "calendar", "country", "prior"),
    *("start_from", "memory"),
)


class Stopped(Exception):  # noqa: N818  # a request to stop, not an error
    """Signal `number` has stopped training; `checkpoint` exists if training had begun."""

    def __init__(self, number: int, checkpoint: Path) -> None:
        super().__init__(number, checkpoint)
        self.number, self.checkpoint = number, checkpoint


def option_of(argument: str) -> str:
    """Returns the command-line name of a Python argument, or the argument if it has none."""
    same = f"--{argument.replace('_', '-')}" if argument in NAMESAKES else argument
    return OPTIONS.get(argument, same)


def told(kind: str, message: str, as_json: bool, code: int, hint: str = "", **place: Any) -> int:
    """Writes an error to stderr and returns the exit code."""
    if not as_json:
        sys.stderr.write(f"memattn: {message}\n" + (f"{hint}\n" if hint else ""))
        return code
    from memattn import __version__

    error = {"kind": kind, "message": message, "file": None, "line": None, "column": None} | place
    document = {"memattn": __version__, "schema": SCHEMA, "error": error}
    sys.stderr.write(json.dumps(document) + "\n")
    return code


def failed(error: BaseException, as_json: bool) -> int:
    """Writes the error that ended a command to stderr and returns the exit code.

    A DataError is about options or data and knows its file, line and column. Other errors are
    about the machine or environment variables, or are bugs of memattn.
    """
    from memattn import FormatError
    from memattn.errors import DataError, printable

    if isinstance(error, Stopped):
        return _stopped(error, as_json, printable)
    text = printable(str(error))
    if isinstance(error, DataError):
        place: dict[str, Any] = {"line": error.line, "column": error.column}
        if error.file is not None:
            place["file"] = "-" if error.file == STDIN else str(error.file)
        message = error.said(option_of) if as_json else error.message(option_of)
        code = MACHINE if error.kind == "write-failed" else WRONG
        return told(error.kind, message, as_json, code, **place)
    if isinstance(error, MemoryError):
        return told("memory", "not enough memory for this much data", as_json, MACHINE)
    if isinstance(error, FormatError):
        return told("format", text, as_json, WRONG)
    if isinstance(error, ModuleNotFoundError) and "pip install" in text:
        return told("missing-extra", text, as_json, WRONG)
    if isinstance(error, ImportError) and not (error.name or "").startswith("memattn"):
        # For example PyArrow 26 with NumPy 1, a conflict that its package metadata does not state.
        return told("broken-package", f"a package cannot be imported: {text}", as_json, WRONG)
    _, variable, problem = text.partition("MEMATTN_")  # drops the name of the function before it
    if variable and isinstance(error, RuntimeError | ValueError):
        return told("environment", variable + problem, as_json, WRONG)
    if isinstance(error, OSError):
        file = f"{printable(str(error.filename))}: " if error.filename is not None else ""
        return told("system", f"{file}{error.strerror or text}", as_json, MACHINE)
    message = f"internal error: {type(error).__name__}: {text}"
    if sys.flags.dev_mode and not as_json:
        traceback.print_exception(error)
    hint = "to report this bug, run the same command as: python -X dev -m memattn.cli ..."
    return told("internal", message, as_json, INTERNAL, hint)


def _stopped(error: Stopped, as_json: bool, printable: Callable[[str], str]) -> int:
    from memattn.cli.interrupt import MESSAGES

    name, code = MESSAGES[signal.Signals(error.number)], 128 + error.number
    if not error.checkpoint.exists():
        message = f"{name} before the first training step; nothing was written"
        return told(name, message, as_json, code)
    message = f"{name}; to continue the training, add --resume to the same command"
    if not as_json:
        message += f" (--checkpoint {printable(str(error.checkpoint))})"
    return told(name, message, as_json, code, file=str(error.checkpoint))
