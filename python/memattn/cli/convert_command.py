"""`memattn convert`: checks where it will write, reads one layer, writes it, says what it was."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from memattn import FormatError
from memattn.cli.output import note_written, real_path
from memattn.convert.reading import find_and_read
from memattn.convert.writing import check_target, write
from memattn.errors import DataError, printable, quoted
from memattn.files import check_writable, write_error


def convert_command(*, source: Path, target: Path, layer: str | None, as_json: bool) -> None:
    """Runs the command; see `memattn convert --help`. Raises DataError."""
    try:
        check_target(target)
        if real_path(target) == real_path(source):
            problem = "TARGET: found SOURCE itself, expected another file"
            raise DataError("option", problem, file=target)
        found, read = find_and_read(source, layer)
    except FormatError as error:
        problem = str(error).removeprefix(f"{printable(str(source))}: ")
        raise DataError("format", problem, file=source) from error
    except ModuleNotFoundError as error:
        raise DataError("missing-extra", str(error)) from error
    except FileNotFoundError as error:
        problem = "no such file; expected a file of weights"
        raise DataError("not-found", problem, file=source) from error
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise DataError("unreadable", problem, file=source) from error
    check_writable(target)
    try:
        write(read, target)
    except OSError as error:
        raise write_error(target, error) from error
    note_written(target)
    if as_json:
        document = {"source": str(source), "target": str(target), "layer": asdict(found)}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    name = f"{quoted(found.name)}, " if found.name else ""
    heads = f"{found.num_heads} head{'s' if found.num_heads > 1 else ''}"
    sizes = f"{found.memory_size} slots of {found.units} units, {heads}, {found.dtype}"
    sys.stdout.write(f"wrote {printable(str(target))}: {name}{sizes}\n")
