"""The work on parts of tables: functions from Arrow tables to Arrow tables, for any engine.

Each function is an object that can be pickled and has no state: the same rows give the same result,
so parts can be computed again, or twice at once. A worker does not raise errors of the data. It
returns them as rows with a note, which the caller gets as a DataError.
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
TAG = "__memattn_table"  # the column that says which of the caller's tables a row is from
DATA, FUTURE, STATIC = 0, 1, 2
CHUNK = 1_000_000  # rows processed at once
HASH, VALUES = "hash", "values"


@dataclass(frozen=True)
class Names:
    """The columns that the work needs.

    Attributes
    ----------
    id_col, time_col, target_col : str
        As in `Forecaster`.
    tables : mapping
        The columns of each table, by tag.
    """

    id_col: str
    time_col: str
    target_col: str
    tables: dict[int, tuple[str, ...]]

    def split(self, table: pa.Table) -> dict[int, pa.Table]:
        """Splits a part with rows of several tables into the caller's tables, by tag."""
        if TAG not in table.column_names:
            return {DATA: table.select(self.tables[DATA])}
        tags = table[TAG].to_numpy()
        return {
            tag: table.filter(_mask(tags == tag)).select(names)
            for tag, names in self.tables.items()
        }


@dataclass(frozen=True)
class Tagged:
    """Adds the tag of a table to its rows, and the columns of other tables."""

    tag: int
    schema: pa.Schema

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns the rows with the columns of all tables."""
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
    """Returns the schema of the result of `Count`."""
    return pa.schema([(HASH, pa.int64()), (VALUES, pa.int64()), (NOTE, pa.string())])


@dataclass(frozen=True)
class Count:
    """Counts the values of the first series of a part, in the order of their hashes."""

    names: Names
    seed: int
    budget: Budget

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns a row for each series, or a note."""
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
    """Merges results of `Count`; keeps one of several notes."""

    budget: Budget

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns a row for each series, and at most one note."""
        notes = sorted(one for one in table[NOTE].to_pylist() if one is not None)
        return _counts(shortest(counted_of(table), self.budget), notes[:1])


def counted_of(table: pa.Table) -> Counted:
    """Returns the counts in a result of `Count`, without the notes."""
    kept = table.filter(table[NOTE].is_null())
    hashes = kept[HASH].to_numpy().astype(np.int64).view(np.uint64)
    return Counted(hashes, kept[VALUES].to_numpy().astype(np.int64))


def _counts(counted: Counted, notes: Sequence[str] = ()) -> pa.Table:
    """Returns counts and notes as a table of `counts_schema`."""
    found = [counted.hashes.view(np.int64), counted.values]
    rows = pa.table([*found, pa.nulls(len(found[0]), pa.string())], schema=counts_schema())
    more = [np.zeros(len(notes), np.int64)] * 2
    return pa.concat_tables([rows, pa.table([*more, pa.array(notes, pa.string())], rows.schema)])


@dataclass(frozen=True)
class RowsOfSample:
    """Selects the rows of the series in the sample; `last` is the largest hash in it."""

    names: Names
    seed: int
    last: int

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns the rows of the sample; drops rows of `X_df` and `static_df` without an id."""
        table = table.filter(table[self.names.id_col].is_valid())
        if not table.num_rows:
            return table
        ids = ids_of(table, self.names.id_col)
        inside = hashes_of(ids.values, self.seed) <= np.uint64(self.last)
        return table.filter(_mask(inside[ids.codes]))


def ids_of(table: pa.Table, id_col: str) -> Ids:
    """Returns the column of ids, as a panel reads it."""
    return columns_of_frame("data", table.select([id_col]), [id_col]).ids(id_col)


@dataclass
class Forecasting:
    """Forecasts whole series, as `Forecaster.predict` does.

    Attributes
    ----------
    kind : type
        The class of the forecaster.
    model : bytes
        The file of the forecaster, without series.
    names : Names
        The columns of the tables.
    options : dict
        The options `level` and `h` of `Forecaster.predict`.
    schema : Schema
        The schema of the forecasts, with the column of notes.
    future : Table, optional
        Rows of `X_df` for all series.
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
        """Returns the forecaster in a file."""
        loaded = self.kind.__new__(self.kind)
        loaded.__setstate__({"options": {"horizon": 1}, "fitted": model})
        return loaded

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns the rows of the forecasts, and notes."""
        parts = [self._forecast(one) for one in whole_series(table, self.names.id_col, CHUNK)]
        return pa.concat_tables(parts) if parts else self.schema.empty_table()

    def _forecast(self, table: pa.Table) -> pa.Table:
        tables = self.names.split(table)
        data = tables[DATA]
        if not data.num_rows:  # series that only X_df or static_df have
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
        """Returns the rows without the column of notes, and the notes as text."""
        more = {"X_df": tables.get(FUTURE, self.future), "static_df": tables.get(STATIC)}
        found = self.forecaster.forecasts(tables[DATA], **more, **self.options)
        alias = self.forecaster.alias
        frame = forecast_frame(found.panel, found.values, found.intervals, model=alias)
        return frame, as_notes(found.panel.notes)

    def _said(self, tables: dict[int, pa.Table], error: Exception) -> list[str]:
        """Returns the error as a note; if bad series are dropped, that of a part with no others."""
        data = tables[DATA]
        ordered = data.sort_by(
            [(self.names.id_col, "ascending"), (self.names.time_col, "ascending")]
        )
        try:  # repeated with sorted rows, so that the error counts rows in the order of time
            self._of({**tables, DATA: ordered})
        except (ValueError, TypeError) as again:
            error = again
        found = in_its_series(error, ordered, self.names, whole=True)
        if isinstance(error, BadSeriesError) and isinstance(found, DataError):
            return [as_note(BadSeriesError(found, error.count).note)]
        return [as_note(found)]

    def _noted(self, notes: Sequence[str]) -> pa.Table:
        """Returns rows with only a note."""
        nothing = [pa.nulls(len(notes), one.type) for one in self.schema if one.name != NOTE]
        return pa.table([*nothing, pa.array(notes, pa.string())], schema=self.schema)


def as_notes(notes: Sequence[Note]) -> list[str]:
    """Returns the notes about the data as text."""
    return [as_note(one) for one in notes if one.kind not in OF_EVERY_PART]


def whole_series(table: pa.Table, id_col: str, rows: int) -> Iterator[pa.Table]:
    """Yields a table in parts of about `rows` rows that have whole series."""
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
    """Returns the indices of rows that are followed by a row of another series."""
    ids = table[id_col].combine_chunks()
    if len(ids) < 2:
        return np.zeros(0, np.int64)
    differ = pc.fill_null(pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)), True)
    return np.flatnonzero(differ.to_numpy(zero_copy_only=False)).astype(np.int64)


def _mask(flags: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(flags)
