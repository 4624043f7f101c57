"""The interface of an engine; all other code is the same for all engines."""

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
        Takes an Arrow table and returns one.
    id_col, note : str
        The column of ids in the input, and of notes in the output.
    before, after : Schema
        The schemas of input and output.
    like : table of the engine
        Columns that it shares with the output keep its types.
    """

    work: Work
    id_col: str
    note: str
    before: pa.Schema
    after: pa.Schema
    like: Any


class Engine(Protocol):
    """An engine and its tables; work is done by its workers, on Arrow tables."""

    def schema(self, table: Any) -> pa.Schema:
        """Returns the columns of a table and their types."""

    def select(self, table: Any, names: Sequence[str]) -> Any:
        """Returns some of the columns of a table."""

    def from_arrow(self, table: pa.Table) -> Any:
        """Returns a small table of the driver as a table of the engine."""

    def map_parts(self, table: Any, work: Work, before: pa.Schema, after: pa.Schema) -> Any:
        """Applies `work` to each part of a table, in any partition.

        `before` and `after` are the schemas of input and output.
        """

    def union(self, tables: Sequence[Any]) -> Any:
        """Returns the rows of all tables, which have one schema."""

    def merged(self, table: Any, merge: Work, schema: pa.Schema) -> pa.Table:
        """Reduces a small table with `merge`, in any number of steps, and collects the result.

        `merge` takes rows and its own earlier results, in any order.
        """

    def collect(self, table: Any, schema: pa.Schema) -> pa.Table:
        """Returns all rows to the driver."""

    def by_series(self, table: Any, job: Job) -> tuple[Any, pa.Table]:
        """Applies the work to parts with whole series now; the engine keeps the result.

        Returns
        -------
        table of the engine, pa.Table
            The rows without a note, without the column of notes; and the rows with a note.
        """
