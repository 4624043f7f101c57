"""The work on parts of tables: functions from Arrow tables to Arrow tables, for any engine.

Each is an object that can be pickled, has no state of its own, and gives the same rows whenever it
is given the same: parts can be computed again, or twice at once. What is wrong with the data is not
raised in a worker; it goes out as a row with a note, which the caller gets as a DataError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from memattn.errors import DataError
from memattn.forecast.data.bad_series import BadSeriesError
from memattn.forecast.data.columns import Ids
from memattn.forecast.data.frames import forecast_frame
from memattn.forecast.data.long_rows import OF_EVERY_PART, Note
from memattn.forecast.data.series_sample import Budget, Counted, hashes_of, shortest
from memattn.forecast.data.sources import columns_of_frame
from memattn.forecast.engines.notes import as_note, in_its_series

NOTE = "__memattn_note"  # the column of notes
TAG = "__memattn_table"  # the column that says which of the caller's tables a row is of
DATA, FUTURE, STATIC = 0, 1, 2
CHUNK = 1_000_000  # rows that are worked on at once
HASH, VALUES = "hash", "values"


@dataclass(frozen=True)
class Names:
    """The columns that the work needs.

    Attributes
    ----------
    id_col, time_col, target_col : str
        As in `Forecaster`.
    tables : mapping
        For each tag the columns of that table.
    """

    id_col: str
    time_col: str
    target_col: str
    tables: dict[int, tuple[str, ...]]

    def split(self, table: pa.Table) -> dict[int, pa.Table]:
        """The caller's tables, of a part with rows of all of them."""
        if TAG not in table.column_names:
            return {DATA: table.select(self.tables[DATA])}
        tags = table[TAG].to_numpy()
        return {
            tag: table.filter(_mask(tags == tag)).select(names)
            for tag, names in self.tables.items()
        }


@dataclass(frozen=True)
class Tagged:
    """Adds the columns that a table lacks, and its tag."""

    tag: int
    schema: pa.Schema

    def __call__(self, table: pa.Table) -> pa.Table:
        """The rows in the columns of all tables."""
        rows = table.num_rows
        columns = [
            table[one.name].cast(one.type)
            if one.name in table.column_names
            else pa.nulls(rows, one.type)
            for one in self.schema
            if one.name != TAG
        ]
        return pa.table([*columns, pa.array(np.full(rows, self.tag, np.int32))], schema=self.schema)


def counts_schema() -> pa.Schema:
    """The schema of what `Count` gives."""
    return pa.schema([(HASH, pa.int64()), (VALUES, pa.int64()), (NOTE, pa.string())])


@dataclass(frozen=True)
class Count:
    """The first series of a part in the order of their hashes, and how many values each has."""

    names: Names
    seed: int
    budget: Budget

    def __call__(self, table: pa.Table) -> pa.Table:
        """A row for each series, or a note."""
        data = self.names.split(table)[DATA]
        if not data.num_rows:
            return counts_schema().empty_table()
        try:
            columns = columns_of_frame("data", data, data.column_names)
            ids = columns.ids(self.names.id_col)
            values = columns.numbers(self.names.target_col)
        except (ValueError, TypeError) as error:
            note = as_note(in_its_series(error, data, self.names, whole=False))
            return _counts(Counted(np.zeros(1, np.uint64), np.zeros(1, np.int64)), [note])
        known = np.bincount(ids.codes[~np.isnan(values)], minlength=len(ids.values))
        counted = Counted(hashes_of(ids.values, self.seed), known.astype(np.int64))
        return _counts(shortest(counted, self.budget))


@dataclass(frozen=True)
class MergeCounts:
    """Merges what `Count` gave; of several notes one is enough."""

    budget: Budget

    def __call__(self, table: pa.Table) -> pa.Table:
        """A row for each series, and at most one note."""
        notes = sorted(one for one in table[NOTE].to_pylist() if one is not None)
        return _counts(shortest(counted_of(table), self.budget), notes[:1])


def counted_of(table: pa.Table) -> Counted:
    """What `Count` gave, without the notes."""
    kept = table.filter(table[NOTE].is_null())
    hashes = kept[HASH].to_numpy().astype(np.int64).view(np.uint64)
    return Counted(hashes, kept[VALUES].to_numpy().astype(np.int64))


def _counts(counted: Counted, notes: Sequence[str] = ()) -> pa.Table:
    found = [counted.hashes.view(np.int64), counted.values]
    rows = pa.table([*found, pa.nulls(len(found[0]), pa.string())], schema=counts_schema())
    more = [np.zeros(len(notes), np.int64)] * 2
    return pa.concat_tables([rows, pa.table([*more, pa.array(notes, pa.string())], rows.schema)])


@dataclass(frozen=True)
class RowsOfSample:
    """The rows of the series in the sample; `last` is the hash of its last one."""

    names: Names
    seed: int
    last: int

    def __call__(self, table: pa.Table) -> pa.Table:
        """Some of the rows; none without an id, which only tables beside the data may have."""
        table = table.filter(table[self.names.id_col].is_valid())
        if not table.num_rows:
            return table
        ids = ids_of(table, self.names.id_col)
        inside = hashes_of(ids.values, self.seed) <= np.uint64(self.last)
        return table.filter(_mask(inside[ids.codes]))


def ids_of(table: pa.Table, id_col: str) -> Ids:
    """The column of ids, as a panel reads it."""
    return columns_of_frame("data", table.select([id_col]), [id_col]).ids(id_col)


@dataclass
class Forecasting:
    """Forecasts of whole series, as `Forecaster.predict` gives them.

    Attributes
    ----------
    kind : type
        The class of the forecaster.
    model : bytes
        The file of the forecaster, without series.
    names : Names
        The columns of the tables.
    options : dict
        Of `Forecaster.predict`: level and h.
    schema : Schema
        Of the forecasts, with the column of notes.
    future : Table, optional
        Rows that hold for all series.
    """

    kind: Any
    model: bytes
    names: Names
    options: dict[str, Any]
    schema: pa.Schema
    future: pa.Table | None = None
    _loaded: list[Any] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loaded": []}

    @property
    def forecaster(self) -> Any:
        """The forecaster, loaded once in each worker that has this object."""
        if not self._loaded:
            self._loaded.append(self.load(self.model))
        return self._loaded[0]

    def load(self, model: bytes) -> Any:
        """The forecaster in a file."""
        loaded = self.kind.__new__(self.kind)
        loaded.__setstate__({"options": {"horizon": 1}, "fitted": model})
        return loaded

    def __call__(self, table: pa.Table) -> pa.Table:
        """The rows of the forecasts, and notes."""
        parts = [self._forecast(one) for one in whole_series(table, self.names.id_col, CHUNK)]
        return pa.concat_tables(parts) if parts else self.schema.empty_table()

    def _forecast(self, table: pa.Table) -> pa.Table:
        tables = self.names.split(table)
        data = tables[DATA]
        if not data.num_rows:  # a series of which others speak
            return self.schema.empty_table()
        try:
            found, notes = self._of(tables)
        except (ValueError, TypeError) as error:
            return self._noted(self._said(tables, error))
        columns = [found[one.name].cast(one.type) for one in self.schema if one.name != NOTE]
        columns.append(pa.nulls(found.num_rows, pa.string()))
        rows = pa.table(columns, schema=self.schema)
        return pa.concat_tables([rows, self._noted(notes)])

    def _of(self, tables: dict[int, pa.Table]) -> tuple[pa.Table, list[str]]:
        """The rows, without the column of notes, and notes as text."""
        more = {"X_df": tables.get(FUTURE, self.future), "static_df": tables.get(STATIC)}
        found = self.forecaster.forecasts(tables[DATA], **more, **self.options)
        alias = self.forecaster.alias
        frame = forecast_frame(found.panel, found.values, found.intervals, model=alias)
        return frame, as_notes(found.panel.notes)

    def _said(self, tables: dict[int, pa.Table], error: Exception) -> list[str]:
        """The error as a note; with bad series to be left out, those of which all rows are."""
        data = tables[DATA]
        ordered = data.sort_by(
            [(self.names.id_col, "ascending"), (self.names.time_col, "ascending")]
        )
        try:  # again, so that rows are counted in the order of time
            self._of({**tables, DATA: ordered})
        except (ValueError, TypeError) as again:
            error = again
        found = in_its_series(error, ordered, self.names, whole=True)
        if isinstance(error, BadSeriesError) and isinstance(found, DataError):
            return [as_note(BadSeriesError(found, error.count).note)]
        return [as_note(found)]

    def _noted(self, notes: Sequence[str]) -> pa.Table:
        nothing = [pa.nulls(len(notes), one.type) for one in self.schema if one.name != NOTE]
        return pa.table([*nothing, pa.array(notes, pa.string())], schema=self.schema)


def as_notes(notes: Sequence[Note]) -> list[str]:
    """The notes that say something of the data, as text."""
    return [as_note(one) for one in notes if one.kind not in OF_EVERY_PART]


def whole_series(table: pa.Table, id_col: str, rows: int) -> Iterator[pa.Table]:
    """The rows of a table in parts of about so many rows, none of which cuts a series."""
    if table.num_rows <= rows:
        if table.num_rows:
            yield table
        return
    table = table.sort_by(id_col)
    ends = np.append(last_rows(table, id_col) + 1, table.num_rows)
    start = 0
    while start < table.num_rows:
        place = int(np.searchsorted(ends, start + rows))
        stop = int(ends[min(place, len(ends) - 1)])
        yield table.slice(start, stop - start)
        start = stop


def last_rows(table: pa.Table, id_col: str) -> npt.NDArray[np.int64]:
    """The rows that are followed by one of another series."""
    ids = table[id_col].combine_chunks()
    if len(ids) < 2:
        return np.zeros(0, np.int64)
    differ = pc.fill_null(pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)), True)
    return np.flatnonzero(differ.to_numpy(zero_copy_only=False)).astype(np.int64)


def _mask(flags: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(flags)
