"""Standard streams that a command can rely on: each is open, and a full one raises nothing.

A command goes on when its output cannot be written, for what it writes to files may have taken an
hour to compute. `output_error` says afterwards what went wrong.

This module is loaded before signals are in hand, so it imports next to nothing.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Output(io.FileIO):
    """Writes to a descriptor, and keeps the first error instead of raising it.

    A pipe whose reader has gone is told apart on stdout: nobody waits for the rest.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and self.fileno() == 1:
                raise
            self.error = self.error or error
            return len(memoryview(data).cast("B"))


_output: _Output | None = None


def prepare_streams() -> None:
    """Opens what is closed, and replaces `sys.stdout` and `sys.stderr`."""
    global _output
    # A file opened later would get the number of a closed stream, and what is printed in it. For
    # stdout, nothing is written to a descriptor for reading, and the error is that of a closed one.
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # gets the lowest number that is free
    _output = _Output(1, "wb", closefd=False)
    sys.stdout = _text(_output, sys.stdout, line_buffering=_output.isatty())
    sys.stderr = _text(_Output(2, "wb", closefd=False), sys.stderr, line_buffering=True)


def output_error() -> OSError | None:
    """Why something that was written to stdout has not arrived, if it has not."""
    return None if _output is None else _output.error


def _text(raw: io.FileIO, before: Any, line_buffering: bool) -> io.TextIOWrapper:
    encoding = getattr(before, "encoding", None) or "utf-8"
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=line_buffering)
