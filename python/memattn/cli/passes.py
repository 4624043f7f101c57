"""DATA that is read in passes, and forecasts that are written as they come."""

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
    """Whether DATA is to be read in passes; DataError for memory where that cannot be."""
    if data != DASH:
        return read_in_passes(data, memory)
    if memory is not None:
        problem = "found it for standard input, which is read at once"
        raise DataError("option", problem, argument="memory")
    return False


def passes_over(
    data: Path, forecaster: Forecaster, memory: str | None, static: Path | None
) -> Passes | None:
    """DATA, where it is to be read in passes; None where it is read at once."""
    if not in_passes(data, memory):
        return None
    return Passes("Forecaster", data, forecaster, memory, static is not None)


def check_of_passes(path: Path, **others: Path | None) -> None:
    """DataError for outputs that need all series in memory."""
    if path == DASH:
        problem = (
            "found -, expected a file: DATA is read in passes, and a file is whole or not there"
        )
        raise DataError("option", problem, argument="output")
    for name, other in others.items():
        if other is not None:
            problem = "needs all series in memory, and DATA is read in passes; leave it out"
            raise DataError("option", problem, argument=name)


def write_passes(forecaster: Forecaster, path: Path, passes: Passes, **options: Any) -> Written:
    """Writes the forecasts of DATA, and tells what was found on the way."""
    show = not (mode.quiet or mode.json)
    with noted(path):
        written = forecaster.write_forecasts(path, passes, progress=show, **options)
    say(f"\n{plural(written.series, 'series', 'series')}, {written.rows:,} rows of forecasts")
    for note in written.notes:
        say(f"  {printable(note_text(note))}")
    return written
