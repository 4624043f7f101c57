"""An engine for tests that runs in this process; its tables are lists of Arrow tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from memattn.forecast.data.series_sample import hashes_of


class Pieces:
    """A table in parts; `by_series` distributes whole series over `groups` parts."""

    def __init__(self, parts: Sequence[pa.Table], groups: int = 1) -> None:
        self.parts, self.groups = list(parts), groups

    @property
    def whole(self) -> pa.Table:
        return pa.concat_tables(self.parts)

    def frame(self) -> pd.DataFrame:
        return self.whole.to_pandas()


def pieces(frame: pd.DataFrame, parts: int, groups: int, seed: int = 0) -> Pieces:
    """Shuffles the rows of a frame and cuts them into `parts` parts of random sizes."""
    shuffled = pa.Table.from_pandas(frame.sample(frac=1, random_state=seed), preserve_index=False)
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(frame) + 1, parts - 1))
    ends = zip([0, *cuts], [*cuts, len(frame)], strict=True)
    return Pieces([shuffled.slice(a, b - a) for a, b in ends], groups)


class InPieces:
    """Implements the interface `Engine` for `Pieces`."""

    def schema(self, table: Pieces) -> pa.Schema:
        return table.parts[0].schema.remove_metadata()

    def select(self, table: Pieces, names: Sequence[str]) -> Pieces:
        return Pieces([one.select(names) for one in table.parts], table.groups)

    def from_arrow(self, table: pa.Table) -> Pieces:
        return Pieces([table])

    def map_parts(self, table: Pieces, work: Any, before: pa.Schema, after: pa.Schema) -> Pieces:
        return Pieces([work(one.cast(before)) for one in table.parts], table.groups)

    def union(self, tables: Sequence[Pieces]) -> Pieces:
        return Pieces([part for one in tables for part in one.parts], tables[0].groups)

    def merged(self, table: Pieces, merge: Any, schema: pa.Schema) -> pa.Table:
        return merge(table.whole)

    def collect(self, table: Pieces, schema: pa.Schema) -> pa.Table:
        return table.whole.cast(schema)

    def by_series(self, table: Pieces, job: Any) -> tuple[Pieces, pa.Table]:
        ids = table.whole[job.id_col].to_pylist()
        group = hashes_of(ids, 0) % np.uint64(table.groups)
        found = []
        for k in range(table.groups):
            part = table.whole.filter(pa.array(group == np.uint64(k))).cast(job.before)
            found.append(job.work(part))
        notes = pa.concat_tables([one.filter(one[job.note].is_valid()) for one in found])
        rows = [one.filter(one[job.note].is_null()).drop_columns([job.note]) for one in found]
        return Pieces(rows, table.groups), notes


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes forecasters accept `Pieces` like the tables of a real engine."""

    def engine_of(data: object) -> InPieces | None:
        return InPieces() if isinstance(data, Pieces) else None

    monkeypatch.setattr("memattn.forecast.engines.distributed.engine_of", engine_of)
    monkeypatch.setattr(
        "memattn.forecast.forecaster.is_engine_table", lambda data: isinstance(data, Pieces)
    )
