"""Reads DATA in passes, and writes forecasts series by series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memattn.cli.documents import note_text
from memattn.cli.output import DASH, mode, noted, say
from memattn.errors import DataError, printable
from memattn.forecast.data.long_rows import plural
from memattn.forecast.file_passes import Passes, Written, read_in_passes
from memattn.forecast.forecaster import Forecaster


def in_passes(data: Path, memory: str | None) -> bool:
    """Returns whether to read DATA in passes. Raises DataError for --memory with standard input."""
    if data != DASH:
        return read_in_passes(data, memory)
    if memory is not None:
        problem = "cannot be used with standard input, which is read at once; name files instead"
        raise DataError("option", problem, argument="memory")
    return False


def passes_over(
    data: Path, forecaster: Forecaster, memory: str | None, static: Path | None
) -> Passes | None:
    """Returns the passes over DATA, or None if it is read at once."""
    if not in_passes(data, memory):
        return None
    return Passes("Forecaster", data, forecaster, memory, static is not None)


def check_of_passes(path: Path, **others: Path | None) -> None:
    """Raises DataError for outputs that need all series in memory."""
    if path == DASH:
        problem = "cannot be - when DATA is read in passes; name a file"
        raise DataError("option", problem, argument="output")
    for name, other in others.items():
        if other is not None:
            problem = "needs all series in memory, but DATA is read in passes; leave it out"
            raise DataError("option", problem, argument=name)


def write_passes(forecaster: Forecaster, path: Path, passes: Passes, **options: Any) -> Written:
    """Writes the forecasts of DATA and prints the notes about its series."""
    show = not (mode.quiet or mode.json)
    with noted(path):
        written = forecaster.write_forecasts(path, passes, progress=show, **options)
    say(f"\n{plural(written.series, 'series', 'series')}, {written.rows:,} rows of forecasts")
    for note in written.notes:
        say(f"  {printable(note_text(note))}")
    return written
