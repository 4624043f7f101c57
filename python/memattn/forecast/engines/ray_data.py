"""The engine for Ray's datasets, whose blocks are processed as Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data.dataset import MaterializedDataset

from memattn.forecast.data.series_sample import hashes_of
from memattn.forecast.engines.parts import ids_of

if TYPE_CHECKING:
    from memattn.forecast.engines.engine import Engine, Job, Work

BUCKET = "__memattn_bucket"
BUCKET_BYTES = 16 << 20  # approximate size of the series in a bucket, which are forecast together
BUCKETS = 4  # buckets for each core, if the size of the data is not known


def engine_for(_table: Any) -> Engine:
    """Returns the engine of a table."""
    return RayData()


@dataclass(frozen=True)
class Bucketed:
    """Adds the bucket of each row, by a hash of its id."""

    id_col: str
    buckets: int

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns all rows; those without an id, an error later, are in the first bucket."""
        known = table[self.id_col].is_valid().to_numpy()
        bucket = np.zeros(table.num_rows, np.int64)
        if known.any():
            ids = ids_of(table.filter(pa.array(known)), self.id_col)
            of_ids = hashes_of(ids.values, 0) % np.uint64(self.buckets)
            bucket[known] = of_ids.astype(np.int64)[ids.codes]
        return table.append_column(BUCKET, pa.array(bucket))


@dataclass(frozen=True)
class InTypes:
    """Applies work to columns of the schema's types; all-missing columns of a block may differ."""

    work: Work
    schema: pa.Schema

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns the result of the work on a block."""
        return self.work(table.select(self.schema.names).cast(self.schema))


@dataclass(frozen=True)
class Rows:
    """Selects the rows with a note, or those without."""

    note: str
    wanted: bool

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns the selected rows; those without a note lose the column of notes."""
        is_note = table[self.note].is_valid()
        if self.wanted:
            return table.filter(is_note)
        return table.filter(table[self.note].is_null()).drop_columns([self.note])


class RayData:
    """An `Engine` for Ray's datasets."""

    def schema(self, table: Any) -> pa.Schema:
        """Returns the columns and their types in Arrow."""
        found = table.schema()
        if found is None:
            return pa.schema([])
        if isinstance(found.base_schema, pa.Schema):
            return found.base_schema.remove_metadata()
        return pa.Schema.from_pandas(table.limit(1000).to_pandas(), preserve_index=False)

    def select(self, table: Any, names: Sequence[str]) -> Any:
        """Returns some of the columns."""
        return table.select_columns(list(names))

    def from_arrow(self, table: pa.Table) -> Any:
        """Returns a local table as a dataset."""
        return ray.data.from_arrow(table)

    def map_parts(self, table: Any, work: Work, before: pa.Schema, after: pa.Schema) -> Any:
        """Applies `work` in a task for each block, or for several small ones."""
        return _each(table, InTypes(work, before))

    def union(self, tables: Sequence[Any]) -> Any:
        """Returns the blocks of all tables."""
        return tables[0].union(*tables[1:])

    def merged(self, table: Any, merge: Work, schema: pa.Schema) -> pa.Table:
        """Merges all blocks in one worker."""
        return merge(_rows(_each(table.repartition(1), InTypes(merge, schema)), schema))

    def collect(self, table: Any, schema: pa.Schema) -> pa.Table:
        """Returns the rows of all blocks, in their order."""
        return _rows(table, schema)

    def by_series(self, table: Any, job: Job) -> tuple[Any, pa.Table]:
        """Groups the rows into buckets by a hash of their ids, and applies the work to each."""
        typed = InTypes(job.work, job.before)

        def forecasts(bucket: pa.Table) -> pa.Table:  # Ray shows the name of this function
            return typed(bucket)

        cores = int(ray.cluster_resources().get("CPU", 1))
        buckets = BUCKETS * cores
        if isinstance(job.like, MaterializedDataset):  # other datasets would be read for their size
            buckets = max(cores, int(job.like.size_bytes()) // BUCKET_BYTES)
        by_bucket = _each(table, Bucketed(job.id_col, buckets)).groupby(BUCKET, buckets)
        found = by_bucket.map_groups(forecasts, batch_format="pyarrow").materialize()
        notes = _rows(_each(found, Rows(job.note, wanted=True)), job.after)
        return _each(found, Rows(job.note, wanted=False)).materialize(), notes


def _each(table: Any, work: Work) -> Any:
    return table.map_batches(work, batch_format="pyarrow", batch_size=None)


def _rows(table: Any, schema: pa.Schema) -> pa.Table:
    blocks = [one for one in ray.get(table.to_arrow_refs()) if one.num_rows]
    return pa.concat_tables(
        [schema.empty_table(), *(one.select(schema.names).cast(schema) for one in blocks)]
    )
