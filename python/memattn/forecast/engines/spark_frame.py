"""The engine for Spark's data frames, whose partitions are processed as Arrow batches."""

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
    """Returns the engine of a table."""
    return SparkFrames(table.sparkSession)


@dataclass(frozen=True)
class Stream:
    """Applies work to the batches of a partition, about `rows` rows at a time.

    With `id_col`, the batches must be sorted by id, and no series is cut.
    """

    work: Work
    schema: pa.Schema
    id_col: str | None = None
    rows: int = CHUNK

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yields the result of the work on a partition, in batches."""
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
    """An `Engine` for the data frames of one Spark session."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def schema(self, table: Any) -> pa.Schema:
        """Returns the columns and their types in Arrow; times have the zone of the session."""
        return table.limit(0).toArrow().schema.remove_metadata()

    def select(self, table: Any, names: Sequence[str]) -> Any:
        """Returns some of the columns."""
        return table.select(*(f"`{name.replace('`', '``')}`" for name in names))

    def from_arrow(self, table: pa.Table) -> Any:
        """Returns a local table as a data frame of the session."""
        return self._session.createDataFrame(table, _types(table.schema))

    def map_parts(self, table: Any, work: Work, before: pa.Schema, after: pa.Schema) -> Any:
        """Applies `work` in a task for each partition."""
        return self._each(table, Stream(work, before), after)

    def union(self, tables: Sequence[Any]) -> Any:
        """Returns the partitions of all tables."""
        found = tables[0]
        for one in tables[1:]:
            found = found.union(one)
        return found

    def merged(self, table: Any, merge: Work, schema: pa.Schema) -> pa.Table:
        """Merges all rows in one worker, chunk by chunk, and the results in the driver."""
        chunks = self._each(table.repartition(1), Stream(merge, schema), schema)
        return merge(self.collect(chunks, schema))

    def collect(self, table: Any, schema: pa.Schema) -> pa.Table:
        """Returns all rows to the driver."""
        return table.toArrow().cast(schema)

    def by_series(self, table: Any, job: Job) -> tuple[Any, pa.Table]:
        """Shuffles and sorts the rows by id, and applies the work to each partition."""
        name = f"`{job.id_col.replace('`', '``')}`"
        ordered = table.repartition(name).sortWithinPartitions(name)
        found = self._each(ordered, Stream(job.work, job.before, job.id_col), job.after).persist()
        notes = self.collect(found.where(f"`{job.note}` IS NOT NULL"), job.after)
        return found.where(f"`{job.note}` IS NULL").drop(job.note), notes

    def _each(self, table: Any, work: Stream, schema: pa.Schema) -> Any:
        return table.mapInArrow(work.__call__, _types(schema))


def _types(schema: pa.Schema) -> StructType:
    """Returns the types of columns in Spark; times without a zone stay without one."""
    return from_arrow_schema(schema, prefer_timestamp_ntz=True)
