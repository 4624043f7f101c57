"""What the commands share when they write: lines of text, one JSON document, files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memattn.errors import DataError
from memattn.files import check_writable

if TYPE_CHECKING:
    from rich.console import Console


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
    if path.resolve() in [one.resolve() for one in inputs if one is not None]:
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
