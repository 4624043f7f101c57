"""The engine for Dask's data frames, whose pandas partitions are processed as Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dask
import dask.dataframe as dd
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from memattn.forecast.engines.engine import Engine, Job, Work

FAN = 16  # parts merged at once


def engine_for(_table: Any) -> Engine:
    """Returns the engine of a table."""
    return DaskFrames()


def as_arrow(part: pd.DataFrame) -> pa.Table:
    """Returns a partition as an Arrow table, without its index."""
    return pa.Table.from_pandas(part, preserve_index=False).replace_schema_metadata()


def worked(work: Work, schema: pa.Schema, part: Any) -> pa.Table:
    """Applies `work` to a part, with its columns cast to the types of a schema."""
    return work(as_arrow(part).cast(schema))


def joined(work: Work, parts: Sequence[pa.Table]) -> pa.Table:
    """Applies `work` to several parts together."""
    return work(pa.concat_tables(parts))


def noted(part: pa.Table, note: str) -> pa.Table:
    """Returns the rows of a part that are notes."""
    return part.filter(part[note].is_valid())


def in_types_of(meta: pd.DataFrame, part: pa.Table, note: str) -> pd.DataFrame:
    """Returns the rows of a part that are no notes, in the types of `meta`."""
    frame = part.filter(part[note].is_null()).drop_columns([note]).to_pandas()
    other = {name: dtype for name, dtype in meta.dtypes.items() if frame[name].dtype != dtype}
    known = {name: dtype for name, dtype in other.items() if str(dtype) != "category"}
    return frame.astype(known)


def exact(part: pa.Table) -> pd.DataFrame:
    """Returns an Arrow table as a frame that keeps its types, even with missing values."""
    return part.to_pandas(types_mapper=pd.ArrowDtype)


class Parts:
    """Arrow tables of one schema that are not computed yet."""

    def __init__(self, parts: Sequence[Any], schema: pa.Schema) -> None:
        self.parts = list(parts)
        self.schema = schema


class DaskFrames:
    """An `Engine` for Dask's frames; intermediate results are `Parts`."""

    def schema(self, table: Any) -> pa.Schema:
        """Returns the columns and their types, as pandas converts them."""
        return as_arrow(_with_index(table)._meta_nonempty).schema

    def select(self, table: Any, names: Sequence[str]) -> Any:
        """Returns some of the columns."""
        return _with_index(table)[list(names)]

    def from_arrow(self, table: pa.Table) -> Any:
        """Returns a local table as a frame of one partition."""
        return dd.from_pandas(table.to_pandas(), npartitions=1)

    def map_parts(self, table: Any, work: Work, before: pa.Schema, after: pa.Schema) -> Parts:
        """Applies `work` in a task for each partition."""
        return Parts(_each(_frame(table), work, before), after)

    def union(self, tables: Sequence[Parts]) -> Parts:
        """Returns the parts of all tables."""
        return Parts([part for one in tables for part in one.parts], tables[0].schema)

    def merged(self, table: Parts, merge: Work, schema: pa.Schema) -> pa.Table:
        """Merges the parts in a tree."""
        parts, run = table.parts, dask.delayed(joined)
        while True:
            parts = [run(merge, parts[k : k + FAN]) for k in range(0, len(parts), FAN)]
            if len(parts) == 1:
                return dask.compute(*parts)[0]

    def collect(self, table: Any, schema: pa.Schema) -> pa.Table:
        """Returns the rows of all parts, in their order."""
        if isinstance(table, Parts):
            return pa.concat_tables(dask.compute(*table.parts))
        parts = dask.compute(*_with_index(table).to_delayed())
        return pa.concat_tables([as_arrow(part).cast(schema) for part in parts])

    def by_series(self, table: Any, job: Job) -> tuple[Any, pa.Table]:
        """Shuffles the rows by id and applies the work to each partition."""
        frame, note = _frame(table), job.note
        if frame.npartitions > 1:
            frame = frame.shuffle(on=job.id_col)
        parts = dask.persist(*_each(frame, job.work, job.before))
        notes = dask.compute(*[dask.delayed(noted)(part, note) for part in parts])
        meta = job.after.empty_table().drop_columns([note]).to_pandas()
        given = _with_index(job.like)._meta.dtypes
        meta = meta.astype({name: given[name] for name in meta.columns if name in given})
        typed = dask.delayed(in_types_of)
        rows = [typed(meta, part, note) for part in parts]
        return dd.from_delayed(rows, meta=meta, verify_meta=False), pa.concat_tables(notes)


def _frame(table: Any) -> Any:
    """Returns a table as a frame of Dask."""
    if not isinstance(table, Parts):
        return table
    meta = exact(table.schema.empty_table())
    parts = [dask.delayed(exact)(part) for part in table.parts]
    return dd.from_delayed(parts, meta=meta, verify_meta=False)


def _each(frame: Any, work: Work, schema: pa.Schema) -> list[Any]:
    """Applies `work` to each partition; the graph contains `work` only once."""
    once, run = dask.delayed(work, traverse=False), dask.delayed(worked)
    return [run(once, schema, part) for part in frame.to_delayed()]


def _with_index(table: Any) -> Any:
    """Returns a frame whose index, if it has a name, is a column."""
    return table if table.index.name is None else table.reset_index()
