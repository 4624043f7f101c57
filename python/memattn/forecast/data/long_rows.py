"""The rows of a panel in order: by series, then by time, each time once, every value usable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted
from memattn.forecast.data.columns import Array, Columns, Ids, Times
from memattn.forecast.data.covariate_columns import TableCovariates
from memattn.forecast.data.covariates import MAX_MAGNITUDE
from memattn.forecast.data.time_zones import DAY, Ticks, clock_of
from memattn.forecast.data.times import NUMBERS

OF_EVERY_PART = ("frequency", "season", "unsorted")  # notes that say nothing about the data


@dataclass(frozen=True)
class Note:
    """A note on something done to the data, or on something that users of the forecast should know.

    Attributes
    ----------
    kind : str
        Short name for programs, such as ``"duplicates"`` or ``"gaps"``.
    text : str
        What was done, with the first row or series concerned.
    count : int
        Number of rows or series concerned.
    """

    kind: str
    text: str
    count: int = 0

    def __str__(self) -> str:
        return self.text


class PartNotes:
    """Merges the notes of parts of the data: each kind once, with the total count."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, int, int]] = {}  # the first text, the count, the parts

    def add(self, notes: Iterable[Note]) -> None:
        """Adds the notes of a part, except kinds that say nothing about the data."""
        for note in notes:
            if note.kind not in OF_EVERY_PART:
                text, count, parts = self._found.get(note.kind, (note.text, 0, 0))
                self._found[note.kind] = text, count + note.count, parts + 1

    def all(self) -> tuple[Note, ...]:
        """Returns one note of each kind."""
        return tuple(
            Note(kind, text if parts == 1 else _of_parts(text, count, parts), count)
            for kind, (text, count, parts) in self._found.items()
        )


def _of_parts(text: str, count: int, parts: int) -> str:
    return f"{count:,} in {parts:,} parts of the data; in one of them: {text}"


@dataclass(frozen=True)
class Names:
    """The names of the columns of ids, times and values."""

    ids: str | None
    times: str | None
    values: tuple[str, ...]


@dataclass
class LongRows:
    """Rows of a long table and where they came from.

    Attributes
    ----------
    columns : Columns
        The table.
    names : Names
        The names of its columns; if several hold values, series k is column k.
    names_out : Names
        The names of these columns in forecasts.
    ids : array (N,)
        The id of each series.
    id_dtype : object
        The type of ids in the caller's library, None for text.
    times : Times
        The column of times, in the order of the table; `ticks` are in the order of the rows.
    codes, ticks, values, source : array (n,)
        For each row the index of its series in `ids`, its time, its value (NaN: missing) and its
        row in the table, from 0.
    notes : list of Note
        What was done.
    covariates : TableCovariates
        The columns of the table that hold covariates; `source` has the rows in them.
    """

    columns: Columns
    names: Names
    names_out: Names
    ids: npt.NDArray[np.object_]
    id_dtype: object
    times: Times
    codes: Ticks
    ticks: Ticks
    values: Array
    source: Ticks
    notes: list[Note] = field(default_factory=list)
    covariates: TableCovariates = field(default_factory=TableCovariates)

    @property
    def offsets(self) -> Ticks:
        """Series k has rows offsets[k] to offsets[k + 1] - 1, once the rows are in order."""
        return np.searchsorted(self.codes, np.arange(len(self.ids) + 1)).astype(np.int64)

    @property
    def inner(self) -> npt.NDArray[np.bool_]:
        """Whether each row but the first belongs to the same series as the row before (n - 1,)."""
        same: npt.NDArray[np.bool_] = self.codes[1:] == self.codes[:-1]
        return same

    def ends(self) -> tuple[Ticks, Ticks]:
        """Returns the first and last row with a value of each series (N,), once rows are in order.

        Every series needs a value.
        """
        known, starts = np.flatnonzero(~np.isnan(self.values)), self.offsets
        bounds = np.searchsorted(known, starts)
        return known[bounds[:-1]], known[bounds[1:] - 1]

    def clock(self) -> Ticks:
        """Returns the times on the local clock, on which days and months are counted."""
        if self.times.zone is None:
            return self.ticks
        return clock_of(self.times.zone, self.ticks).to_local(self.ticks)

    def select(self, keep: npt.NDArray[np.bool_] | Ticks) -> LongRows:
        """Returns the rows that `keep` selects, a mask or indices."""
        return replace(
            self,
            codes=self.codes[keep],
            ticks=self.ticks[keep],
            values=self.values[keep],
            source=self.source[keep],
        )

    def alone(self, keep: npt.NDArray[np.bool_]) -> LongRows:
        """Returns the rows where `keep` is True and the series that have any, without notes."""
        codes, present = self.codes[keep], np.zeros(len(self.ids), dtype=bool)
        present[codes] = True
        kept, codes = np.flatnonzero(present), (np.cumsum(present) - 1)[codes]
        columns = self.names.values
        if len(columns) > 1:
            columns = tuple(columns[code] for code in kept)
        names = replace(self.names, values=columns)
        return replace(self.select(keep), names=names, ids=self.ids[kept], codes=codes, notes=[])

    def error(
        self,
        kind: str,
        problem: str,
        row: int,
        of_time: bool = False,
        argument: str | None = None,
        column: str | None = None,
    ) -> DataError:
        """Returns the DataError for a row; `column` is the column of values by default."""
        code, source = int(self.codes[row]), int(self.source[row])
        if of_time and self.names.times is not None:
            column = self.names.times
        if column is None:
            column = self.names.values[code if len(self.names.values) > 1 else 0]
        where = "" if self.names.ids is None else f"series {self.series(code)}: "
        error = self.columns.error(kind, where + problem, source, column)
        error.argument = argument
        return error

    def series(self, code: int) -> str:
        """Returns the id of a series, quoted."""
        return quoted(str(self.ids[code]))

    def row(self, row: int) -> str:
        """Describes a row by its position in the table and its time."""
        place = self.columns.place(int(self.source[row]))
        return f"{place} ({self.when(int(self.ticks[row]))})"

    def when(self, tick: int) -> str:
        """Returns a time as text, as `say_time` does."""
        return say_time(tick, self.times)

    def note(self, kind: str, text: str, count: int) -> None:
        """Adds a note on what was done."""
        self.notes.append(Note(kind, text, count))


def say_time(tick: int, times: Times) -> str:
    """Returns a time as text, in UTC if there is a zone."""
    if times.is_number:
        return str(tick)
    text = str(np.datetime64(tick, "us"))
    text = text.removesuffix(".000000").removesuffix(":00")
    if times.zone is not None:
        return text + "Z"
    return text.removesuffix("T00:00") if tick % DAY == 0 else text


def plural(count: int, noun: str, many: str = "") -> str:
    """Returns a number with its noun, such as "2 rows"."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def read_rows(
    columns: Columns,
    names: Names,
    times: Times,
    names_out: Names,
    notes: list[Note],
    read: Mapping[str, Array] | None = None,
) -> LongRows:
    """Reads the rows of a long or a wide table, in the order of the table.

    `notes` says how the columns were chosen; `read` has columns of values that were read already.

    Raises
    ------
    DataError
        If an id is missing, or text is not a number.
    """
    count, width, read = columns.rows, len(names.values), read or {}
    rows = np.arange(count)
    if names.ids is not None:
        ids = columns.ids(names.ids)
    else:
        ids = Ids(np.repeat(np.arange(width), count), np.array(names.values, dtype=object))
    values = [read[name] if name in read else columns.numbers(name) for name in names.values]
    found = LongRows(
        columns,
        names,
        names_out,
        ids.values,
        ids.dtype,
        times,
        codes=ids.codes,
        ticks=times.ticks if width == 1 else np.tile(times.ticks, width),
        values=np.concatenate(values),
        source=rows if width == 1 else np.tile(rows, width),
        notes=notes,
    )
    if times.note:
        kind = "zones" if times.style is None or times.style.kind not in NUMBERS else "dates"
        found.note(kind, f"{quoted(names.times or '')}: {times.note}", count)
    return found


def check_values(rows: LongRows) -> None:
    """Raises DataError if a value is infinite or too large."""
    bad = np.abs(rows.values) > MAX_MAGNITUDE  # False for NaN
    if not bad.any():
        return
    row = int(np.argmax(bad))
    value = float(rows.values[row])
    if np.isinf(value):
        raise rows.error("not-finite", f"found {value}, expected a finite number", row)
    problem = f"found {value:g}, expected a magnitude of at most {MAX_MAGNITUDE:g}; rescale it"
    raise rows.error("too-large", problem, row)


def put_in_order(rows: LongRows) -> LongRows:
    """Returns the rows sorted by series and time, and notes those that were out of order."""
    backwards = rows.inner & (np.diff(rows.ticks) < 0)
    if np.any(np.diff(rows.codes) < 0):
        rows = rows.select(np.argsort(rows.codes, kind="stable"))
        backwards = rows.inner & (np.diff(rows.ticks) < 0)
    if backwards.any():
        first = rows.row(int(np.argmax(backwards)) + 1)
        count = int(backwards.sum())
        earlier = plural(count, "row") + (" is" if count == 1 else " are") + " earlier"
        rows.note("unsorted", f"{earlier} than the row above, first {first}: sorted", count)
        rows = rows.select(np.lexsort((rows.ticks, rows.codes)))
    return rows


def each_time_once(rows: LongRows) -> LongRows:
    """Returns the rows with each time once, and notes repeated rows with the same value.

    Raises
    ------
    DataError
        If a time occurs twice in a series with different values or covariates.
    """
    double = rows.inner & (np.diff(rows.ticks) == 0)
    if not double.any():
        return rows
    before, after = rows.values[:-1], rows.values[1:]
    differ = double & ~((before == after) | (np.isnan(before) & np.isnan(after)))
    if differ.any():
        row = int(np.argmax(differ)) + 1
        values = [
            "none" if v != v else f"{v:.10g}" for v in rows.values[row - 1 : row + 1].tolist()
        ]
        places = [rows.columns.place(int(k)) for k in rows.source[row - 1 : row + 1]]
        what = f"different values, {values[0]} in {places[0]} and {values[1]} in {places[1]}"
        raise _twice(rows, row, what)
    for column, cells in zip(rows.covariates.columns, rows.covariates.values, strict=True):
        before, after = cells[rows.source[:-1]], cells[rows.source[1:]]
        differ = double & ~((before == after) | (np.isnan(before) & np.isnan(after)))
        if differ.any():
            row = int(np.argmax(differ)) + 1
            places = [rows.columns.place(int(k)) for k in rows.source[row - 1 : row + 1]]
            what = f"different cells of {quoted(column.name)} in {places[0]} and {places[1]}"
            raise _twice(rows, row, what)
    count = int(double.sum())
    first = rows.row(int(np.argmax(double)) + 1)
    rows.note(
        "duplicates",
        f"{plural(count, 'row')} with the same time and value as another row of the series, first "
        f"{first}: dropped",
        count,
    )
    return rows.select(np.concatenate([[True], ~double]))


def _twice(rows: LongRows, row: int, what: str) -> DataError:
    """Returns the DataError for a time that occurs twice in a series."""
    problem = (
        f"found the time {rows.when(int(rows.ticks[row]))} twice with {what}; expected one row"
    )
    if not rows.times.is_number and rows.times.zone is None and rows.ticks[row] % DAY:
        problem += ". Local times repeat an hour in autumn: write them with a zone or in UTC"
    return rows.error("duplicate-time", problem, row, of_time=True)
