"""What an engine has to do; everything else is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

    Work: TypeAlias = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class Job:
    """Work on whole series.

    Attributes
    ----------
    work : callable
        From an Arrow table to one.
    id_col, note : str
        The columns of ids, before, and of notes, after.
    before, after : Schema
        Of the tables.
    like : table of the engine
        Columns of it that are in what comes out, too, keep their type.
    """

    work: Work
    id_col: str
    note: str
    before: pa.Schema
    after: pa.Schema
    like: Any


class Engine(Protocol):
    """An engine and the tables that it holds; work is done in its workers, on Arrow tables."""

    def schema(self, table: Any) -> pa.Schema:
        """The columns of a table and their types."""

    def select(self, table: Any, names: Sequence[str]) -> Any:
        """Some of the columns of a table."""

    def from_arrow(self, table: pa.Table) -> Any:
        """A small table that the driver has, as one of the engine."""

    def map_parts(self, table: Any, work: Work, before: pa.Schema, after: pa.Schema) -> Any:
        """What `work` makes of each part of a table, as the parts lie; the schemas of both."""

    def union(self, tables: Sequence[Any]) -> Any:
        """The rows of tables of one schema."""

    def merged(self, table: Any, merge: Work, schema: pa.Schema) -> pa.Table:
        """A small table, of which `merge` makes a smaller one, in any number of steps; collected.

        `merge` is given what it made before, beside other rows, in any order.
        """

    def collect(self, table: Any, schema: pa.Schema) -> pa.Table:
        """All rows, in the driver."""

    def by_series(self, table: Any, job: Job) -> tuple[Any, pa.Table]:
        """What work makes of parts with whole series; computed now, and kept by the engine.

        Returns
        -------
        table of the engine, pa.Table
            The rows whose column of notes is null, without it; and the other rows.
        """
