"""What the commands share when they write: lines of text, one JSON document, files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memattn.errors import DataError
from memattn.files import check_writable, write_atomically

if TYPE_CHECKING:
    from rich.console import Console


# The files of this command, for the case that the lines which name them cannot be printed.
_written: list[Path] = []


def write_file(path: Path, content: bytes) -> None:
    """Writes a file atomically and notes it."""
    write_atomically(path, content)
    note_written(path)


def note_written(path: Path) -> None:
    """Notes a file that is written."""
    _written.append(path)


def written_files() -> list[Path]:
    """The files noted so far."""
    return _written.copy()


def real_path(path: Path) -> Path:
    """Where links lead; a link in a circle, which `Path.resolve` does not take, stays."""
    return Path(os.path.realpath(path))


def plain_console() -> Console:
    """A console for text that may hold anything: nothing in it is markup."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def print_line(console: Console, text: str, style: str = "") -> None:
    """A line that the terminal may break, and we do not."""
    from rich.text import Text

    console.print(Text(text, style=style), soft_wrap=True)


def print_json(document: dict[str, Any]) -> None:
    """One document on stdout; numbers that are not finite are null in it."""
    sys.stdout.write(json.dumps(_plain(document), indent=2, allow_nan=False) + "\n")


def check_output(option: str, path: Path, *inputs: Path | None) -> None:
    """What would fail at the end fails here, before the work.

    Raises
    ------
    DataError
        The path cannot be written, or is that of an input.
    """
    if real_path(path) in [real_path(one) for one in inputs if one is not None]:
        problem = f"{option}: found the input file itself, expected another file"
        raise DataError("option", problem, file=path)
    check_writable(path)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
