"""Opens closed standard streams, and records write errors instead of raising them.

A command continues when stdout cannot be written, since the files that it is about to write may
have taken an hour to compute. `output_error` returns the error afterwards.

This module is loaded before the signal handlers are installed, so it imports next to nothing.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Output(io.FileIO):
    """Writes to a descriptor, and keeps the first error instead of raising it.

    A closed pipe on stdout still raises BrokenPipeError, since nothing reads the rest.
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
    """Opens closed streams, and replaces `sys.stdout` and `sys.stderr`."""
    global _output
    # Otherwise a file opened later would get the number of a closed stream, and everything that is
    # printed to it. Stdout is opened for reading, so that writing to it still fails.
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # gets the lowest number that is free
    _output = _Output(1, "wb", closefd=False)
    sys.stdout = _text(_output, sys.stdout, line_buffering=_output.isatty())
    sys.stderr = _text(_Output(2, "wb", closefd=False), sys.stderr, line_buffering=True)


def output_error() -> OSError | None:
    """Returns the first error of writing to stdout, or None."""
    return None if _output is None else _output.error


def _text(raw: io.FileIO, before: Any, line_buffering: bool) -> io.TextIOWrapper:
    encoding = getattr(before, "encoding", None) or "utf-8"
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=line_buffering)
