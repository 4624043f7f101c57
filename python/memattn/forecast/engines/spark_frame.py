"""Spark's data frames: partitions that come to Python as batches of Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_schema

from memattn.forecast.engines.parts import CHUNK, last_rows

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

    from memattn.forecast.engines.engine import Engine, Job, Work


def engine_for(table: Any) -> Engine:
    """The engine of a table."""
    return SparkFrames(table.sparkSession)


@dataclass(frozen=True)
class Stream:
    """Does work on the batches of a partition, so many rows at a time.

    With `id_col` the batches are in the order of ids, and no series is cut.
    """

    work: Work
    schema: pa.Schema
    id_col: str | None = None
    rows: int = CHUNK

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """What the work makes of a partition, in batches."""
        kept: list[pa.RecordBatch] = []
        count = 0
        for batch in batches:
            kept.append(batch)
            count += batch.num_rows
            if count >= self.rows:
                table = self._table(kept)
                stop = count
                if self.id_col is not None:
                    ends = last_rows(table, self.id_col)
                    stop = int(ends[-1]) + 1 if len(ends) else 0
                yield from self.work(table.slice(0, stop)).to_batches()
                kept, count = table.slice(stop).to_batches(), count - stop
        if count:
            yield from self.work(self._table(kept)).to_batches()

    def _table(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        return pa.Table.from_batches(batches).select(self.schema.names).cast(self.schema)


class SparkFrames:
    """An `Engine`; all of its tables are data frames of one session."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def schema(self, table: Any) -> pa.Schema:
        """The types of the columns in Arrow; times have the zone of the session."""
        return table.limit(0).toArrow().schema.remove_metadata()

    def select(self, table: Any, names: Sequence[str]) -> Any:
        """Some columns."""
        return table.select(*(f"`{name.replace('`', '``')}`" for name in names))

    def from_arrow(self, table: pa.Table) -> Any:
        """A frame of rows that the driver sends."""
        return self._session.createDataFrame(table, _types(table.schema))

    def map_parts(self, table: Any, work: Work, before: pa.Schema, after: pa.Schema) -> Any:
        """A task for each partition."""
        return self._each(table, Stream(work, before), after)

    def union(self, tables: Sequence[Any]) -> Any:
        """The partitions side by side."""
        found = tables[0]
        for one in tables[1:]:
            found = found.union(one)
        return found

    def merged(self, table: Any, merge: Work, schema: pa.Schema) -> pa.Table:
        """In one worker, chunk by chunk."""
        chunks = self._each(table.repartition(1), Stream(merge, schema), schema)
        return merge(self.collect(chunks, schema))

    def collect(self, table: Any, schema: pa.Schema) -> pa.Table:
        """All rows, as Arrow sends them."""
        return table.toArrow().cast(schema)

    def by_series(self, table: Any, job: Job) -> tuple[Any, pa.Table]:
        """After a shuffle by the ids, in their order."""
        name = f"`{job.id_col.replace('`', '``')}`"
        ordered = table.repartition(name).sortWithinPartitions(name)
        found = self._each(ordered, Stream(job.work, job.before, job.id_col), job.after).persist()
        notes = self.collect(found.where(f"`{job.note}` IS NOT NULL"), job.after)
        return found.where(f"`{job.note}` IS NULL").drop(job.note), notes

    def _each(self, table: Any, work: Stream, schema: pa.Schema) -> Any:
        return table.mapInArrow(work.__call__, _types(schema))


def _types(schema: pa.Schema) -> StructType:
    """The types of columns in Spark; times without a zone stay so."""
    return from_arrow_schema(schema, prefer_timestamp_ntz=True)
