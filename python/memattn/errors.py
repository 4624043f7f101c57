"""What commands and readers say when their input cannot be used."""

from __future__ import annotations

from pathlib import Path

from memattn import _memattn


class DataError(ValueError):
    """A file or an option cannot be used: where, what was found, and what was expected.

    Parameters
    ----------
    kind : str
        A short name of the problem for programs, such as ``"missing-column"`` or ``"gap-in-time"``.
    problem : str
        What was found and what was expected, for people.
    file, line, column : optional
        The place: path, line number counted from 1 (without a file: row number), column name.
    """

    def __init__(
        self,
        kind: str,
        problem: str,
        *,
        file: Path | None = None,
        line: int | None = None,
        column: str | None = None,
    ) -> None:
        self.kind = kind
        self.problem = problem
        self.file = file
        self.line = line
        self.column = column
        super().__init__(self._message())

    def _message(self) -> str:
        place = [printable(str(self.file))] if self.file is not None else []
        if self.line is not None:
            place.append(f"{'row' if self.file is None else 'line'} {self.line}")
        if self.column is not None:
            place.append(f"column {quoted(self.column)}")
        return f"{', '.join(place)}: {self.problem}" if place else self.problem


def printable(text: str) -> str:
    """`text` with all that could steer a terminal or hide from a reader written as escapes.

    These are control characters, formatting marks such as those of writing direction, unusual
    spaces, private code points and bytes that are no text. The library's messages use the same.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")  # the bytes of a path that is not UTF-8
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
    return _memattn.printable(data)


def quoted(text: str, limit: int = 60) -> str:
    """`text` in double quotes, printable and shortened."""
    shown = printable(text)
    return f'"{shown if len(shown) <= limit else shown[: limit - 3] + "..."}"'
