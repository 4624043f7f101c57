"""Reads the columns of a data frame, of any library that narwhals knows, as arrays.

Frames of pandas, Polars and PyArrow are read as they are. A lazy frame (a Polars LazyFrame, a
DuckDB relation) is collected first; a pandas-like frame (Modin, cuDF) is converted to pandas.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import narwhals as nw
import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted
from memattn.forecast.data.column_types import kept_dtype, kept_zone
from memattn.forecast.data.columns import (
    BOOLEAN,
    CATEGORY,
    NUMBER,
    TEXT,
    Array,
    Columns,
    Ids,
    Times,
    distinct,
    first_rounded,
    mostly_dates,
    sorted_ids,
)
from memattn.forecast.data.time_zones import FIRST, LAST, Ticks
from memattn.forecast.data.times import MAX_NUMBER

TICK = {"s": 1_000_000, "ms": 1000, "us": 1}  # in microseconds
_INDEX = re.compile(r"__index_level_\d+__", re.ASCII)
_NUMBERS = {np.dtype(code).name for code in np.typecodes["AllInteger"] + "efd"}
IDS = "text or whole numbers; convert the column to text"
TIMES = "dates or whole numbers; convert periods with .dt.to_timestamp(), numbers to integers"


def frame_columns(frame: Any, wanted: Sequence[str] = (), file: Path | None = None) -> FrameColumns:
    """Returns the columns of a data frame.

    Parameters
    ----------
    frame : DataFrame, LazyFrame, Table or relation
        Of pandas, Polars, PyArrow, DuckDB, or another library that narwhals reads.
    wanted : sequence of str
        Names of times, ids and values. Index levels of a pandas frame with these names count as
        columns, and so does an index of dates if there is no column of times.
    file : Path, optional
        Where the frame was read from, for messages.

    Raises
    ------
    TypeError
        If `frame` is not a data frame.
    DataError
        If two columns have the same name.
    """
    if nw.dependencies.is_pandas_like_dataframe(frame):
        if not all(isinstance(name, str) for name in frame.columns):
            frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        frame = _with_index(frame, wanted)
    try:
        found = nw.from_native(frame)
    except nw.exceptions.DuplicateError:
        names = [str(name) for name in getattr(frame, "column_names", frame.columns)]
        twice = next(name for name in names if names.count(name) > 1)
        problem = f"there are two columns {quoted(twice)}; rename or remove one"
        raise DataError("duplicate-column", problem, file=file, column=twice) from None
    if isinstance(found, nw.LazyFrame):
        found = found.collect()
    if found.implementation.value not in ("pandas", "polars", "pyarrow"):
        found = nw.from_native(found.to_pandas())
    if file is not None:  # an index that pandas wrote to the file
        found = found.select([name for name in found.columns if not _INDEX.fullmatch(name)])
    return FrameColumns(found, file)


def _with_index(frame: Any, wanted: Sequence[str]) -> Any:
    """Returns a pandas frame whose index levels are columns, as in `frame_columns`."""
    index = frame.index
    levels = set(wanted).intersection(index.names).difference(frame.columns)
    is_dates, is_periods = hasattr(index, "tz"), hasattr(index, "start_time")
    if not levels and wanted and wanted[0] not in frame and (is_dates or is_periods):
        # Periods get the name of the times, so that they are refused with advice.
        usual = is_periods or index.name is None or index.name in frame.columns
        levels = {wanted[0] if usual else index.name}
        frame = frame.set_axis(index.rename(*levels))
    return frame.reset_index(level=list(levels)) if levels else frame


class FrameColumns(Columns):
    """The columns of a data frame of pandas, Polars or PyArrow."""

    def __init__(self, frame: nw.DataFrame[Any], file: Path | None = None) -> None:
        super().__init__()
        self.library = str(frame.implementation.value) if file is None else "csv"
        self.names = list(frame.columns)
        self.rows = len(frame)
        self._file = file
        self._frame = frame

    @property
    def frame(self) -> nw.DataFrame[Any]:
        """The data frame."""
        return self._frame

    def error(self, kind: str, problem: str, row: int, column: str) -> DataError:
        """Returns the DataError for a cell; its message counts rows from 1."""
        if self._file is None:
            return DataError(kind, problem, line=row + 1, column=column)
        # Only text has lines, so the message names the row.
        return DataError(kind, f"row {row + 1}: {problem}", file=self._file, column=column)

    def place(self, row: int) -> str:
        """Returns the position of a row, such as "row 7"."""
        return f"row {row + 1:,}"

    def ids(self, name: str) -> Ids:
        """Returns the column as ids: text or whole numbers, plain or as categories."""
        self._check_single(name)
        column = self._filled(name, "missing-id", "the id is missing")
        if not (column.dtype.is_integer() or column.dtype == nw.Object or _is_text(column.dtype)):
            self._refuse("mixed-ids", f"ids of the type {self._dtype(name)}", name, IDS)
        codes, cells = self.cells(name)
        kinds = set(map(type, cells))
        values = cells if kinds == {str} else [_plain_id(cell) for cell in cells]
        kinds = set(map(type, values))
        if not (kinds <= {str} or kinds <= {int}):
            found = " and ".join(sorted(kind.__name__ for kind in kinds))
            self._refuse("mixed-ids", f"ids of the type {found}", name, IDS)
        try:
            "".join(values if kinds == {str} else ()).encode()
        except UnicodeEncodeError:
            self._refuse("mixed-ids", "ids with half a surrogate pair", name, "Unicode text")
        return sorted_ids(codes, values, kept_dtype(self._dtype(name), values))

    def times(self, name: str, day_first: bool | None = None) -> Times:
        """Returns the column as dates or whole numbers."""
        self._check_single(name)
        column = self._filled(name, "not-a-date", "the time is missing")
        kind, dtype = column.dtype, self._dtype(name)
        if isinstance(kind, nw.Datetime):
            given = getattr(dtype, "tz", None) or kind.time_zone  # pandas' own, or a text
            try:
                zone = kept_zone(given)
            except ValueError:
                expected = "one with a name that this machine knows, or a fixed offset"
                self._refuse("unknown-zone", f"the time zone {quoted(str(given))}", name, expected)
            ticks = self._microseconds(column.cast(nw.Int64).to_numpy(), kind.time_unit, name)
            return Times(ticks, is_number=False, zone=zone, dtype=kept_dtype(dtype, zone=zone))
        if kind == nw.Date:
            ticks = self._microseconds(column.dt.timestamp("ms").to_numpy(), "ms", name)
            return Times(ticks, is_number=False, dtype=dtype)
        if kind.is_integer():
            return self._whole_numbers(column, name)
        if not (kind == nw.Object or _is_text(kind)):
            self._refuse("not-a-date", f"the type {dtype}", name, TIMES)
        times = super().times(name, day_first)
        return replace(times, dtype=dtype) if kind == nw.String else times

    def _whole_numbers(self, column: nw.Series[Any], name: str) -> Times:
        """Returns times that are whole numbers. Raises DataError if later ones could overflow."""
        values = _integers(column)
        bad = (values > MAX_NUMBER) | (values < -MAX_NUMBER)
        if bad.any():
            row = int(np.argmax(bad))
            problem = f"found {values[row]}, expected a magnitude of at most {MAX_NUMBER:g}"
            raise self.error("too-large", problem, row, name)
        dtype = kept_dtype(self._dtype(name))
        return Times(values.astype(np.int64), is_number=True, dtype=dtype)

    def _microseconds(self, ticks: Ticks, unit: str, name: str) -> Ticks:
        if unit == "ns":
            bad = ticks % 1000 != 0
            if bad.any():
                problem = "the time has fractions of a microsecond; round it"
                raise self.error("not-a-date", problem, int(np.argmax(bad)), name)
            return np.asarray(ticks // 1000, dtype=np.int64)
        tick = TICK[unit]
        first, last = FIRST // tick, LAST // tick
        if len(ticks) and (ticks.min() < first or ticks.max() > last):
            row = int(np.argmax((ticks < first) | (ticks > last)))
            problem = "the time is out of range, expected a year from 1 to 9999"
            raise self.error("not-a-date", problem, row, name)
        return np.asarray(ticks if tick == 1 else ticks * np.int64(tick), dtype=np.int64)

    def numbers(self, name: str, booleans: bool = False) -> Array:
        """Returns the column as numbers, NaN for missing ones."""
        self._check_single(name)
        column = self._column(name)
        kind = column.dtype
        if kind.is_integer():
            whole = _integers(column)
            values = whole.astype(np.float64)
            self.rounded[name] = first_rounded(values, lambda row: int(whole[row]))
            if column.null_count():
                values[column.is_null().to_numpy()] = np.nan
            return values
        if kind.is_numeric() or (booleans and kind == nw.Boolean):
            return np.ascontiguousarray(column.cast(nw.Float64).to_numpy(), dtype=np.float64)
        if column.null_count() == self.rows:  # the column has no type
            return np.full(self.rows, np.nan)
        if not (kind == nw.Object or _is_text(kind)):
            self._refuse("not-a-number", f"the type {self._dtype(name)}", name, "numbers")
        return super().numbers(name)

    def kind(self, name: str) -> str:
        """Returns the kind of a column by its type. Raises DataError for dates, spans and lists."""
        self._check_single(name)
        kind = self._column(name).dtype
        if kind.is_numeric() or self._column(name).null_count() == self.rows:
            return NUMBER
        if kind == nw.Boolean:
            return BOOLEAN
        if not (kind == nw.Object or _is_text(kind)):
            found, expected = f"the type {self._dtype(name)}", "numbers, booleans or text"
            self._refuse("not-a-covariate", found, name, expected)
        # The text of a Parquet file is read as categories, whatever it was.
        return TEXT if kind in (nw.String, nw.Object) or self._file is not None else CATEGORY

    def number_type(self, name: str) -> str | None:
        """Returns the NumPy type of a column of numbers; None for other types."""
        kind = str(self._column(name).dtype).lower()
        return kind if kind in _NUMBERS else None

    def is_numeric(self, name: str) -> bool:
        """Returns whether the column has a numeric type."""
        return self._column(name).dtype.is_numeric()

    def find_times(self, names: Sequence[str]) -> str | None:
        """Returns the first column of dates, by its type or its text."""
        for name in names:
            kind = self._column(name).dtype
            if kind in (nw.Datetime, nw.Date):
                return name
            if kind == nw.Object or _is_text(kind):
                try:
                    if mostly_dates(*self.cells(name)):
                        return name
                except DataError:  # cells that hold several values
                    continue
        return None

    def _dtype(self, name: str) -> Any:
        """Returns the type in the frame's own library."""
        column = self._frame[name]
        native = column.to_native()
        return native.type if column.implementation.is_pyarrow() else native.dtype

    def _column(self, name: str) -> nw.Series[Any]:
        """Returns a column, converted to a type that narwhals knows if possible."""
        column = self._frame[name]
        if column.dtype != nw.Unknown:
            return column
        native, text = column.to_native(), str(self._dtype(name))
        if text == "date64[ms]":
            native = native.cast("timestamp[ms]")
        elif text == "date64[ms][pyarrow]":
            native = native.astype("timestamp[ms][pyarrow]")
        elif text.startswith("Sparse["):
            native = native.sparse.to_dense()
        elif text.startswith("datetime64["):  # in a zone that zoneinfo does not have
            native = native.dt.tz_convert("UTC")
        return nw.from_native(native, series_only=True)

    def _check_single(self, name: str) -> None:
        if self._column(name).dtype.is_nested():
            raise self._several(name)

    def _several(self, name: str) -> DataError:
        problem = "found lists or records as cells, expected single values"
        return DataError("not-a-value", problem, file=self._file, column=name)

    def _filled(self, name: str, kind: str, problem: str) -> nw.Series[Any]:
        """Returns a column. Raises DataError if a cell is missing."""
        column = self._column(name)
        if column.null_count():
            raise self.error(kind, problem, int(np.argmax(column.is_null().to_numpy())), name)
        return column

    def cells(self, name: str) -> tuple[Ticks, list[Any]]:
        """Returns for each row the index of its cell, and the distinct cells, None if missing."""
        column = self._column(name)
        native = column.to_native()
        if column.dtype == nw.Object:
            missing = column.is_null().to_list()
            cells = [None if none else cell for none, cell in zip(missing, column, strict=True)]
            try:  # 1 and True are equal, but not the same cell
                codes, pairs = distinct([(type(cell), cell) for cell in cells])
            except TypeError:
                raise self._several(name) from None
            return codes, [cell for _, cell in pairs]
        codes, cells = _FACTORS[column.implementation.value](native)
        if (codes < 0).any():
            codes = np.where(codes < 0, len(cells), codes)
            cells.append(None)
        return codes, cells

    def _refuse(self, kind: str, found: str, name: str, expected: str) -> NoReturn:
        problem = f"found {found}, expected {expected}"
        raise DataError(kind, problem, file=self._file, column=name)


def _is_text(kind: nw.dtypes.DType) -> bool:
    """Returns whether cells are text, plain or as categories."""
    return kind in (nw.String, nw.Categorical, nw.Enum)


def _integers(column: nw.Series[Any]) -> npt.NDArray[Any]:
    """Returns a column of whole numbers, 0 for missing ones."""
    if column.dtype in (nw.Int128, nw.UInt128):  # NumPy has no such type
        return np.array([cell or 0 for cell in column], dtype=object)
    return column.fill_null(0).to_numpy()


def _plain_id(cell: Any) -> Any:
    """Returns text as str and whole numbers as int; other cells unchanged."""
    if isinstance(cell, str):
        return str.__str__(cell)
    return int(cell) if isinstance(cell, int | np.integer) and not isinstance(cell, bool) else cell


def _pandas_factors(column: Any) -> tuple[Ticks, list[Any]]:
    import pandas as pd

    codes, cells = pd.factorize(column)
    return np.asarray(codes, dtype=np.int64), cells.tolist()


def _polars_factors(column: Any) -> tuple[Ticks, list[Any]]:
    import polars as pl

    text = column.dtype in (pl.Categorical, pl.Enum)
    table = (column.cast(pl.String) if text else column).to_frame("cell")
    cells = table.drop_nulls().unique(maintain_order=True).with_row_index("code")
    joined = table.join(cells, on="cell", how="left", maintain_order="left")
    codes = joined["code"].cast(pl.Int64).fill_null(-1).to_numpy()
    return codes, cells["cell"].to_list()


def _arrow_factors(column: Any) -> tuple[Ticks, list[Any]]:
    kind = getattr(column.type, "value_type", column.type)  # of a dictionary
    # Not combined into one chunk, which could not hold 2 GiB of text.
    chunks = column.cast(kind).dictionary_encode().unify_dictionaries().chunks
    codes = [chunk.indices.fill_null(-1).to_numpy() for chunk in chunks]
    cells = chunks[0].dictionary.to_pylist() if chunks else []
    return np.concatenate([np.empty(0, np.int64), *codes]).astype(np.int64), cells


_FACTORS = {"pandas": _pandas_factors, "polars": _polars_factors, "pyarrow": _arrow_factors}
