"""Converts notes and errors of workers to text that travels with their rows, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from memattn.errors import DataError, quoted
from memattn.forecast.data.long_rows import Note, PartNotes, plural

if TYPE_CHECKING:
    import pyarrow as pa

    from memattn.forecast.engines.parts import Names

SUMS = "sums"  # the key of an entry that is no note, but the sums over windows of a part
ROW = re.compile(r"\brow ([0-9,]+)")
OF_DATA_ERROR = ("kind", "column", "line", "argument", "function")


def as_note(said: Note | Exception) -> str:
    """Returns a note or an error as text."""
    if isinstance(said, Note):
        return json.dumps({"note": [said.kind, said.text, said.count]})
    if isinstance(said, DataError):
        more = {name: getattr(said, name) for name in OF_DATA_ERROR}
        return json.dumps({"error": said._problem, **more})
    return json.dumps({"error": str(said), "type": isinstance(said, TypeError)})


def read_notes(texts: Iterable[str]) -> tuple[Note, ...]:
    """Returns the notes of all parts, one of each kind with its count.

    Raises
    ------
    DataError, TypeError, ValueError
        If there are errors, the first one in the order of their texts.
    """
    notes, errors = PartNotes(), []
    for text in sorted(texts):
        found = json.loads(text)
        if "error" in found:
            errors.append(found)
        elif SUMS not in found:
            notes.add([Note(*found["note"])])
    if errors:
        raise _error(errors[0], len(errors) - 1)
    return notes.all()


def read_sums(texts: Iterable[str]) -> list[Any]:
    """Returns the sums of all parts that have any."""
    found = (json.loads(text) for text in texts)
    return [one[SUMS] for one in found if SUMS in one]


def _error(found: dict[str, object], more: int) -> Exception:
    """Returns the error in an entry; its message mentions the errors of `more` other parts."""
    text = str(found["error"])
    if more:
        text += f" (and errors in {plural(more, 'other part')} of the data)"
    if "kind" not in found:
        return TypeError(text) if found["type"] else ValueError(text)
    named = {name: found[name] for name in OF_DATA_ERROR if name != "kind"}
    return DataError(str(found["kind"]), text, **named)  # type: ignore[arg-type]


def in_its_series(error: Exception, data: pa.Table, names: Names, *, whole: bool) -> Exception:
    """Turns an error that names a row of a part into one that names the series and its row.

    Parameters
    ----------
    error : Exception
        An error of reading `data`.
    data : Table
        The part. If `whole`, it has whole series, sorted by id and time.
    names : Names
        The columns of the table.
    whole : bool
        Whether rows are counted within their series. If False, the error has the row's time.
    """
    if not isinstance(error, DataError) or error.argument in ("X_df", "static_df"):
        return error
    line, problem = error.line, error._problem
    if line is None or not 1 <= line <= data.num_rows:
        return error
    name = str(data[names.id_col][line - 1].as_py())
    if not problem.startswith("series "):
        problem = f"series {quoted(name)}: {problem}"
    if whole:
        ids = np.array(data[names.id_col].to_pylist(), dtype=object)
        first = int(np.argmax(ids == data[names.id_col][line - 1].as_py()))
        problem = ROW.sub(lambda row: f"row {_within(row[1], first):,}", problem)
        line -= first
    else:
        time = data[names.time_col][line - 1].as_py()
        problem, line = f"{problem} ({names.time_col}: {time})", None
    found = DataError(error.kind, problem, line=line, column=error.column, argument=error.argument)
    found.function = error.function
    return found


def _within(row: str, first: int) -> int:
    """Returns the row, counted from 1, within a series that begins after `first` rows."""
    return int(row.replace(",", "")) - first
