"""Errors about files and arguments, for Python and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from memattn import _memattn


def keyword(name: str) -> str:
    """Returns an argument as written in Python, such as ``freq=``."""
    return f"{name}="


class DataError(ValueError):
    """A file or an argument cannot be used. The message has the place and the problem.

    Parameters
    ----------
    kind : str
        Short name of the problem for programs, such as ``"missing-column"`` or ``"gap-in-time"``.
    problem : str
        What is wrong and what to do, as text. The name of `argument` in braces is replaced by the
        argument, as in ``"pass {freq}"``; without it, the argument precedes the problem.
    file, line, column : optional
        The place: path, line number counted from 1 (without a file: row number), column name.
    argument : str, optional
        Python name of the argument that is wrong or that solves the problem.
    function : str, optional
        The public function that has the argument.
    """

    def __init__(
        self,
        kind: str,
        problem: str,
        *,
        file: Path | None = None,
        line: int | None = None,
        column: str | None = None,
        argument: str | None = None,
        function: str | None = None,
    ) -> None:
        self.kind = kind
        self.file = file
        self.line = line
        self.column = column
        self.argument = argument
        self.function = function
        self._problem = problem
        super().__init__(kind, problem)

    def __str__(self) -> str:
        return self.message()

    @property
    def problem(self) -> str:
        """The problem without its place, with arguments as written in Python."""
        return self.said()

    def said(self, name_of: Callable[[str], str] = keyword) -> str:
        """Returns the problem without its place; `name_of` returns the name of an argument."""
        if self.argument is None:
            return self._problem
        name, token = name_of(self.argument), f"{{{self.argument}}}"
        if token in self._problem:
            # A switch of the command line has no value: resume=True becomes --resume.
            switch = self._problem.replace(f"{token}True", name)
            switch = switch.replace(f"{token}False", f"--no-{name.removeprefix('--')}")
            return (self._problem if name.endswith("=") else switch).replace(token, name)
        return f"{name.removesuffix('=')}: {self._problem}"

    def message(self, name_of: Callable[[str], str] | None = None) -> str:
        """Returns the problem with its place; by default with arguments as written in Python.

        The column is left out of the place if the problem names it.
        """
        place = [printable(str(self.file))] if self.file is not None else []
        if self.line is not None:
            place.append(f"{'row' if self.file is None else 'line'} {self.line}")
        said = self.said(name_of or keyword)
        if self.column is not None and (self.line is not None or quoted(self.column) not in said):
            place.append(f"column {quoted(self.column)}")
        function = [self.function] if self.function and name_of is None else []
        return ": ".join([*function, *([", ".join(place)] if place else []), said])


def refused(function: str, argument: str, problem: str) -> DataError:
    """Returns the error for an argument of a public function."""
    return DataError("option", problem, argument=argument, function=function)


def printable(text: str) -> str:
    """Returns `text` with control characters and invisible characters as escapes.

    Escaped are control characters, formatting marks such as those of writing direction, unusual
    spaces, private code points and bytes that are not valid text. The C++ library does the same.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")  # restores the bytes of a non-UTF-8 path
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
    return _memattn.printable(data)


def quoted(text: str, limit: int = 60) -> str:
    """Returns `text` in double quotes, printable and shortened."""
    shown = printable(text)
    return f'"{shown if len(shown) <= limit else shown[: limit - 3] + "..."}"'
