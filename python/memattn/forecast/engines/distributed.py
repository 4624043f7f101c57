"""Fits and forecasts on the tables of an engine, from the driver's side.

The driver receives the value counts of series, the rows of the sample, and notes. The workers
receive the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from memattn.errors import DataError, quoted, refused
from memattn.forecast.data import series_sample
from memattn.forecast.data.long_rows import Note
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.windows import Extent, Least
from memattn.forecast.engines import engine_of
from memattn.forecast.engines.engine import Engine, Job
from memattn.forecast.engines.evaluation import EngineEvaluation
from memattn.forecast.engines.notes import in_its_series, read_notes, read_sums
from memattn.forecast.engines.parts import (
    DATA,
    FUTURE,
    NOTE,
    STATIC,
    TAG,
    Count,
    Forecasting,
    MergeCounts,
    Names,
    RowsOfSample,
    Tagged,
    counted_of,
    counts_schema,
)
from memattn.forecast.engines.windows import (
    Outlines,
    Sent,
    WindowForecasting,
    WindowMeasuring,
    outlines_of,
    outlines_schema,
)
from memattn.forecast.measured import NAIVE, SEASONAL_NAIVE

if TYPE_CHECKING:
    from memattn.forecast.arguments import ForecasterOptions
    from memattn.forecast.backtest import Plan

NO_ROWS = "the table has no rows"
ARGUMENTS = {DATA: "data", FUTURE: "X_df", STATIC: "static_df"}


class Sampled(NamedTuple):
    """The rows of an engine's tables that a fit trains on.

    Attributes
    ----------
    data, static_df : Table
        The rows of the series in the sample, sorted by id and time.
    names : Names
        The columns of the tables.
    is_all : bool
        Whether the sample is all series.
    """

    data: pa.Table
    static_df: pa.Table | None
    names: Names
    is_all: bool


class _Tables(NamedTuple):
    """The caller's tables as one table of the engine; rows of several tables have a tag."""

    engine: Engine
    table: Any
    schema: pa.Schema
    of_data: pa.Schema
    names: Names


def sample_on(where: str, options: ForecasterOptions, data: Any, static_df: Any = None) -> Sampled:
    """Returns the rows of an engine's table that a fit trains on.

    Raises
    ------
    DataError
        If a column is missing or cannot be read, or an option needs all rows in one place.
    """
    found = _tables(where, options, {DATA: data, STATIC: static_df})
    budget = series_sample.BUDGET
    work = Count(found.names, options.seed, budget)
    counts = found.engine.map_parts(found.table, work, found.schema, counts_schema())
    merged = found.engine.merged(counts, MergeCounts(budget), counts_schema())
    read_notes(one for one in merged[NOTE].to_pylist() if one is not None)
    counted = counted_of(merged)
    if not len(counted.hashes):
        raise refused(where, "data", NO_ROWS)
    last = series_sample.last_hash(counted, budget)
    rows = found.table
    if last is not None:
        chosen = RowsOfSample(found.names, options.seed, last)
        rows = found.engine.map_parts(rows, chosen, found.schema, found.schema)
    tables = found.names.split(found.engine.collect(rows, found.schema).combine_chunks())
    order = [(found.names.id_col, "ascending"), (found.names.time_col, "ascending")]
    static = tables.get(STATIC)
    if static is not None:
        static = static.sort_by(found.names.id_col)
    return Sampled(tables[DATA].sort_by(order), static, found.names, last is None)


def in_sample(error: DataError, sampled: Sampled) -> Exception:
    """Returns an error of reading the sample with the series and the row in it."""
    return in_its_series(error, sampled.data, sampled.names, whole=True)


def predict_on(
    where: str,
    options: ForecasterOptions,
    model: bytes,
    data: Any,
    *,
    future: Any,
    static_df: Any,
    levels: list[float],
    h: int,
) -> tuple[Any, tuple[Note, ...]]:
    """Returns the forecasts of an engine's table, as a table of the same engine, and the notes.

    Raises
    ------
    DataError, TypeError, ValueError
        As in `Forecaster.predict`.
    """
    broadcast = None
    if future is not None and options.id_col not in _columns(where, FUTURE, future):
        # Without ids, its rows are for all series.
        times = _time_type(options, engine_of(data).schema(data))  # type: ignore[union-attr]
        broadcast = _on_clock(_collected(where, future), *times)
        future = None
    tables = {DATA: data, FUTURE: future, STATIC: static_df}
    found = _tables(where, options, tables)
    schema = _out(options, found, (), levels)
    given = {"level": levels, "h": h}
    work = Forecasting(type(options), model, found.names, given, schema, broadcast)
    rows, notes = _forecast(found, work, data)
    return rows, read_notes(notes)


class WindowWork(NamedTuple):
    """The forecasts and measures of a backtest on an engine.

    Attributes
    ----------
    where : str
        Name of the calling function, for messages.
    options : ForecasterOptions
        The options of the forecaster.
    data, static_df : tables
        The caller's tables.
    plan : Plan
        The windows.
    """

    where: str
    options: ForecasterOptions
    data: Any
    static_df: Any
    plan: Plan

    def extent(self, like: Panel, least: Least | None = None) -> Extent:
        """Returns the extent of the windows of all series; the panel `like` has some of them.

        Raises
        ------
        DataError
            If all series are bad. For bad series also as in `Forecaster.cross_validation`.
        """
        found, options = self._tables, self.options
        schema = outlines_schema()
        like = like.of_series(np.zeros(0, np.int64))
        given = {"plan": self.plan, "params": options.get_params(), "like": like, "least": least}
        work = Outlines(
            type(options), b"", found.names, given, schema.append(pa.field(NOTE, pa.string()))
        )
        rows, notes = _forecast(found, work, self.data)
        read_notes(notes)
        outlines = found.engine.collect(rows, schema)
        if not outlines.num_rows:
            raise refused(self.where, "data", "all series are bad; pass at least one good series")
        return Extent.of(like, outlines_of(outlines))

    def forecasts(
        self, extent: Extent, models: Sequence[Sent], levels: list[float]
    ) -> tuple[Any, tuple[Note, ...]]:
        """Returns the result of `Forecaster.cross_validation` as the engine's table, and notes."""
        found, names = self._tables, self._tables.names
        times = found.of_data.field(names.time_col)
        more = (times.with_name("cutoff"), found.of_data.field(names.target_col))
        schema = _out(self.options, found, more, levels)
        rows, notes = _forecast(
            found, self._work(WindowForecasting, found, extent, models, levels, schema), self.data
        )
        return rows, read_notes(notes)

    def measures(
        self, extent: Extent, models: Sequence[Sent], levels: list[float], season: int
    ) -> tuple[EngineEvaluation, tuple[Note, ...]]:
        """Returns the result of `Forecaster.backtest`, and notes."""
        found, alias = self._tables, self.options.alias
        fields = [found.of_data.field(found.names.id_col), pa.field("metric", pa.string())]
        names = (alias, SEASONAL_NAIVE, NAIVE)
        fields += [*(pa.field(name, pa.float64()) for name in names), pa.field(NOTE, pa.string())]
        schema = pa.schema(fields)
        rows, notes = _forecast(
            found, self._work(WindowMeasuring, found, extent, models, levels, schema), self.data
        )
        read = read_notes(notes)
        return EngineEvaluation(rows, read_sums(notes), season, levels, alias), read

    @property
    def _tables(self) -> _Tables:
        return _tables(self.where, self.options, {DATA: self.data, STATIC: self.static_df})

    def _work(
        self,
        kind: type[WindowForecasting],
        found: _Tables,
        extent: Extent,
        models: Sequence[Sent],
        levels: list[float],
        schema: pa.Schema,
    ) -> WindowForecasting:
        return kind(
            type(self.options), models[0].model, found.names, {"level": levels}, schema,
            plan=self.plan, extent=extent, models=tuple(models),
        )  # fmt: skip


def _out(
    options: ForecasterOptions, found: _Tables, more: Sequence[pa.Field], levels: list[float]
) -> pa.Schema:
    """Returns the schema of forecasts, with the columns `more` and the column of notes."""
    fields = [found.of_data.field(name) for name in (found.names.id_col, found.names.time_col)]
    fields += [*more, pa.field(options.alias, pa.float64())]
    for level in levels:
        names = (f"{options.alias}-{end}-{level:g}" for end in ("lo", "hi"))
        fields += [pa.field(name, pa.float64()) for name in names]
    return pa.schema([*fields, pa.field(NOTE, pa.string())])


def _forecast(found: _Tables, work: Forecasting, data: Any) -> tuple[Any, list[str]]:
    """Applies `work` to all series; returns its rows, and its notes as text."""
    job = Job(work, found.names.id_col, NOTE, found.schema, work.schema, data)
    rows, notes = found.engine.by_series(found.table, job)
    return rows, notes[NOTE].to_pylist()


def _tables(where: str, options: ForecasterOptions, given: Mapping[int, Any]) -> _Tables:
    """Returns one table of the engine with the needed columns of all tables given."""
    engine = engine_of(given[DATA])
    if engine is None:
        found = type(given[DATA]).__name__
        raise refused(where, "data", f"found {found}, expected a table of an engine")
    target = options.target_col
    if options.id_col is None or not isinstance(target, str):
        problem = "cannot be a wide table or a single series; pass id_col and one target_col"
        raise refused(where, "data", problem)
    wanted: dict[int, list[str]] = {
        DATA: [options.id_col, options.time_col, target],
        FUTURE: [options.id_col, options.time_col, *options.futr_exog_list],
        STATIC: [options.id_col],
    }
    wanted[DATA] += [*options.futr_exog_list, *options.hist_exog_list]
    of_data = engine.schema(given[DATA])
    if not of_data.names:  # Ray knows no columns of a table without rows
        raise refused(where, "data", NO_ROWS)
    times = _time_type(options, of_data)
    tables = {
        tag: _of_engine(where, engine, tag, one, times)
        for tag, one in given.items()
        if one is not None
    }
    schemas = {tag: engine.schema(one) for tag, one in tables.items() if tag != DATA}
    schemas[DATA] = of_data
    beside = schemas[STATIC].names if STATIC in schemas else []
    for name in options.stat_exog_list:
        wanted[STATIC if name in beside else DATA].append(name)
    parts = {}
    for tag, table in tables.items():
        missing = [name for name in wanted[tag] if name not in schemas[tag].names]
        if missing:
            there = ", ".join(map(quoted, schemas[tag].names))
            problem = f"found no column {quoted(missing[0])} among {there}"
            hint = "; convert a wide table to a long one" if tag == DATA else ""
            raise DataError("missing-column", f"{ARGUMENTS[tag]}: {problem}{hint}", function=where)
        schemas[tag] = pa.schema([schemas[tag].field(name) for name in wanted[tag]])
        parts[tag] = engine.select(table, wanted[tag])
    names = Names(
        options.id_col, options.time_col, target, {tag: tuple(wanted[tag]) for tag in parts}
    )
    if len(parts) == 1:
        return _Tables(engine, parts[DATA], schemas[DATA], schemas[DATA], names)
    try:
        schema = pa.unify_schemas(list(schemas.values()), promote_options="permissive")
    except pa.ArrowTypeError as error:
        problem = f"a column has different types in two tables: {error}"
        raise refused(where, "data", problem) from None
    schema = schema.append(pa.field(TAG, pa.int32()))
    tagged = [
        engine.map_parts(one, Tagged(tag, schema), schemas[tag], schema)
        for tag, one in parts.items()
    ]
    return _Tables(engine, engine.union(tagged), schema, schemas[DATA], names)


def _of_engine(
    where: str, engine: Engine, tag: int, table: Any, times: tuple[str, pa.DataType]
) -> Any:
    """Returns a table as one of the engine; sends a local one there, with times like the data's."""
    other = engine_of(table)
    if other is None:
        return engine.from_arrow(_on_clock(_local(where, tag, table), *times))
    if type(other) is not type(engine):
        problem = "found a table of another engine, expected the engine of data, or a data frame"
        raise refused(where, ARGUMENTS[tag], problem)
    return table


def _time_type(options: ForecasterOptions, schema: pa.Schema) -> tuple[str, pa.DataType]:
    """Returns the name and the type of the time column; a null type if it is missing."""
    there = options.time_col in schema.names
    return options.time_col, schema.field(options.time_col).type if there else pa.null()


def _on_clock(table: pa.Table, time_col: str, kind: pa.DataType) -> pa.Table:
    """Returns a local table whose times without a zone have the zone of the data's times.

    Spark's frames lose the zone of their times in pandas.
    """
    if time_col not in table.column_names or not getattr(kind, "tz", None):
        return table
    place = table.column_names.index(time_col)
    if getattr(table.schema.field(place).type, "tz", "") is not None:
        return table
    return table.set_column(place, time_col, pc.assume_timezone(table[time_col], kind.tz))


def _columns(where: str, tag: int, table: Any) -> list[str]:
    engine = engine_of(table)
    schema = _local(where, tag, table).schema if engine is None else engine.schema(table)
    return list(schema.names)


def _collected(where: str, future: Any) -> pa.Table:
    engine = engine_of(future)
    if engine is None:
        return _local(where, FUTURE, future)
    return engine.collect(future, engine.schema(future))


def _local(where: str, tag: int, table: Any) -> pa.Table:
    try:
        frame = nw.from_native(table)
    except TypeError:
        problem = f"found {type(table).__name__}, expected a table of the engine or a data frame"
        raise refused(where, ARGUMENTS[tag], problem) from None
    return (frame.collect() if isinstance(frame, nw.LazyFrame) else frame).to_arrow()
