"""Input and output of the commands: files, standard streams, lines of text, the JSON document."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from memattn.cli.errors import SCHEMA, STDIN
from memattn.errors import DataError, printable
from memattn.files import check_writable, errors_of_reading, is_stream, write_atomically

if TYPE_CHECKING:
    from rich.console import Console

DASH = Path("-")  # stdin or stdout
INDENT = 2
HEAD_BYTES = 1 << 16  # read from a file to see whether memattn wrote it
MAX_STDIN_BYTES = 1 << 30  # the same limit as for a named pipe


@dataclass
class Mode:
    """The output options of the running command, and the files that it has written."""

    json: bool = False
    quiet: bool = False
    table_to_stdout: bool = False
    written: list[str] = field(default_factory=list)


mode = Mode()


def reset() -> None:
    """Resets the mode before a command."""
    vars(mode).update(vars(Mode()))  # other modules have imported the object


def stream() -> TextIO:
    """Returns the stream for text: stdout, or stderr if the table goes to stdout."""
    return sys.stderr if mode.table_to_stdout else sys.stdout


def console() -> Console:
    """Returns a console that prints markup in text unchanged."""
    from rich.console import Console

    silent = mode.quiet or mode.json
    return Console(file=stream(), quiet=silent, markup=False, highlight=False, emoji=False)


def say(text: str, style: str = "") -> None:
    """Prints one line without wrapping it. The text must be printable."""
    if style and (stream().isatty() or os.environ.get("FORCE_COLOR")):
        from rich.text import Text

        console().print(Text(text, style=style), soft_wrap=True)
    elif not (mode.quiet or mode.json):
        stream().write(f"{text}\n")


def say_item(text: str, style: str = "") -> None:
    """Prints an indented line, wrapped between words on a terminal only."""
    from rich.padding import Padding
    from rich.text import Text

    shown, target = Text(printable(text), style=style), console()
    if target.is_terminal:
        target.print(Padding(shown, (0, 0, 0, INDENT), expand=False))
    else:
        target.print(Text(INDENT * " ") + shown, soft_wrap=True)


def print_json(command: str, document: dict[str, Any]) -> None:
    """Prints the JSON document if --json was given; non-finite numbers become null."""
    if mode.json:
        from memattn import __version__

        head = {"memattn": __version__, "schema": SCHEMA, "command": command}
        sys.stdout.write(json.dumps(_plain(head | document), indent=2, allow_nan=False) + "\n")


def choose_output(path: Path | None, default: str) -> Path:
    """Returns the path of the main output, - for stdout.

    Raises DataError if the default file was written by another program, or for - with --json.
    """
    if path == DASH:
        if mode.json:
            problem = "cannot be - with --json, which writes to standard output too; name a file"
            raise DataError("option", problem, argument="output")
        mode.table_to_stdout = True
    if path is not None:
        return path
    path = Path(default)
    if path.is_file() and not _is_ours(path):
        problem = "exists and was not written by memattn; to replace it, name it with {output}"
        raise DataError("exists", problem, file=path, argument="output")
    return path


def _is_ours(path: Path) -> bool:
    """Returns whether the head of a file contains "memattn", as our tables and models do."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:  # writing it will raise the error
        return True
    return not head or b"memattn" in head


def check_outputs(outputs: Mapping[str, Path | None], *inputs: Path | None) -> None:
    """Raises DataError for output paths that cannot be written or are used twice.

    `outputs` maps the name of an option to its path; `inputs` must not be overwritten.
    """
    seen = {real_path(one): "the input" for one in inputs if one is not None}
    for name, path in outputs.items():
        if path is None or (name == "output" and path == DASH):
            continue
        if path == DASH or is_stream(path):
            wanted = "a file, or - for standard output" if name == "output" else "a file"
            raise DataError("option", f"found {path}, expected {wanted}", argument=name)
        other = seen.setdefault(real_path(path), f"--{name}")
        if other != f"--{name}":
            problem = f"{printable(str(path))} is also {other}; choose another file"
            raise DataError("option", problem, argument=name)
        check_writable(path)


def real_path(path: Path) -> Path:
    """Resolves symbolic links. Unlike `Path.resolve`, accepts circular links."""
    return Path(os.path.realpath(path))


def write_file(path: Path, content: bytes) -> None:
    """Writes a file atomically and records it; - is stdout."""
    if path == DASH:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    with noted(path):
        write_atomically(path, content)


@contextmanager
def noted(path: Path) -> Iterator[None]:
    """Records that the block writes a file, for `say_written` and for errors on stdout."""
    replaced = " (replaced)" if path.exists() else ""
    yield
    mode.written.append(printable(str(path)) + replaced)


def say_written() -> None:
    """Prints the names of the files that the command has written."""
    for name in mode.written:
        say(f"wrote {name}", "green")


def name_of_data(data: Path) -> str:
    """Returns the name of DATA for messages."""
    return str(STDIN) if data == DASH else printable(str(data))


@contextmanager
def reading(data: Path) -> Iterator[Path]:
    """Yields the path to read for DATA. Stdin gets a path of its own; errors name it <stdin>.

    The content of stdin is kept in memory, since Parquet is read from its end.
    """
    if data != DASH:
        yield data
        return
    # Opened by number, since sys.stdin is None if it was closed.
    with errors_of_reading(STDIN, "rows"), os.fdopen(0, "rb", closefd=False) as stdin:
        content = stdin.read(MAX_STDIN_BYTES + 1)
    if len(content) > MAX_STDIN_BYTES:
        problem = f"has more than {MAX_STDIN_BYTES:,} bytes; save the data to a file"
        raise DataError("too-large", problem, file=STDIN)
    with os.fdopen(os.memfd_create("memattn", os.MFD_CLOEXEC), "wb") as file:
        file.write(content)
        file.flush()
        path = Path(f"/proc/self/fd/{file.fileno()}")
        try:
            yield path
        except DataError as error:
            error.file = STDIN if error.file == path else error.file
            raise


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if hasattr(value, "tolist"):  # an array, or a number of NumPy
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
