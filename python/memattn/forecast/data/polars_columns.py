"""The columns of a Polars DataFrame as arrays, and arrays as such columns again, without pandas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError
from memattn.forecast.data.columns import (
    Array,
    FrameErrors,
    Ids,
    Times,
    parse_numbers,
    parse_times,
)
from memattn.forecast.data.time_zones import DAY, FIRST, LAST, Ticks

if TYPE_CHECKING:
    import polars as pl

TICKS_TO_MICROSECONDS = {"ms": 1000, "us": 1}


class PolarsColumns(FrameErrors):
    """The columns of a DataFrame of Polars."""

    def __init__(self, frame: pl.DataFrame, file: Path | None = None):
        super().__init__(file)
        self.library = "polars" if file is None else "csv"  # what forecasts go back as
        self.frame = frame
        self.names = list(frame.columns)
        self.rows = frame.height

    def ids(self, name: str) -> Ids:
        """The column as ids."""
        import polars as pl

        column = self.frame[name]
        if column.null_count():
            row = int(column.is_null().arg_max() or 0)
            raise self.error("missing-id", "found no id, expected one", row, name)
        dtype = column.dtype
        if not (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Date)):
            problem = f"found ids of the type {dtype}, expected text or whole numbers"
            raise DataError("mixed-ids", problem, file=self.file, column=name)
        plain = column.cast(pl.String) if dtype in (pl.Categorical, pl.Enum) else column
        values = plain.unique().sort()
        codes = plain.rank("dense").to_numpy().astype(np.int64) - 1
        ids = np.empty(len(values), dtype=object)
        ids[:] = values.to_list()
        return Ids(codes, ids, dtype)

    def times(self, name: str) -> Times:
        """The column as dates or whole numbers."""
        import polars as pl

        column = self.frame[name]
        if column.null_count():
            row = int(column.is_null().arg_max() or 0)
            raise self.error("not-a-date", "found no time, expected one in every row", row, name)
        dtype = column.dtype
        if isinstance(dtype, pl.Datetime):
            ticks = self._microseconds(column.to_physical().to_numpy(), dtype.time_unit, name)
            zone = ZoneInfo(dtype.time_zone) if dtype.time_zone else None
            return Times(ticks, is_number=False, zone=zone, dtype=dtype)
        if dtype == pl.Date:
            days = column.to_physical().to_numpy().astype(np.int64)
            return Times(self._microseconds(days, "d", name), is_number=False, dtype=dtype)
        if dtype.is_integer():
            return self.whole_numbers(column.to_numpy(), name, dtype)
        if dtype != pl.String:
            problem = f"found the type {dtype}, expected dates or whole numbers"
            raise DataError("not-a-date", problem, file=self.file, column=name)
        codes, cells = self._cells(column, name)
        return parse_times(codes, cells, lambda row, problem: self.error(*problem, row, name))

    def _microseconds(self, ticks: npt.NDArray[Any], unit: str, name: str) -> Ticks:
        if unit == "ns":
            odd = ticks % 1000 != 0
            if odd.any():
                problem = "found a time between two microseconds, expected whole ones"
                raise self.error("not-a-date", problem, int(np.argmax(odd)), name)
            whole: Ticks = ticks // 1000
            return whole
        factor = DAY if unit == "d" else TICKS_TO_MICROSECONDS[unit]
        bad = (ticks < FIRST // factor) | (ticks > LAST // factor)
        if bad.any():
            problem = "found a time far away, expected a year from 1 to 9999"
            raise self.error("not-a-date", problem, int(np.argmax(bad)), name)
        scaled: Ticks = ticks * np.int64(factor)
        return scaled

    def numbers(self, name: str) -> Array:
        """The column as numbers, NaN where Polars has null."""
        import polars as pl

        column = self.frame[name]
        if column.dtype.is_numeric():
            values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            return np.ascontiguousarray(values)
        if column.dtype == pl.Null:
            return np.full(self.rows, np.nan)
        if column.dtype not in (pl.String, pl.Object):
            problem = f"found the type {column.dtype}, expected numbers"
            raise DataError("not-a-number", problem, file=self.file, column=name)
        codes, cells = self._cells(column, name)
        return parse_numbers(codes, cells, lambda row, problem: self.error(*problem, row, name))

    def _cells(self, column: pl.Series, name: str) -> tuple[Ticks, list[Any]]:
        """The different cells in order of appearance, None for null."""
        import polars as pl

        if column.dtype == pl.Object:
            return self.distinct(column.to_list(), name)
        table = column.to_frame("cell")
        cells = table.unique(maintain_order=True).with_row_index("code")
        joined = table.join(cells, on="cell", how="left", nulls_equal=True, maintain_order="left")
        return joined["code"].to_numpy().astype(np.int64), cells["cell"].to_list()

    def is_numeric(self, name: str) -> bool:
        """Whether Polars says that the column holds numbers."""
        return self.frame[name].dtype.is_numeric()

    def find_times(self) -> str | None:
        """The first column of dates, as a type or as text."""
        import polars as pl

        for name in self.names:
            dtype = self.frame[name].dtype
            if dtype.is_temporal():
                return name
            if dtype == pl.String:
                try:
                    self.times(name)
                except DataError:
                    continue
                return name
        return None


def polars_frame(columns: Mapping[str, Any]) -> pl.DataFrame:
    """A DataFrame of columns made by `polars_ids` and `polars_times`, and arrays."""
    import polars as pl

    return pl.DataFrame(dict(columns))


def polars_ids(values: npt.NDArray[Any], dtype: Any) -> pl.Series:
    """Ids of the type that they came with."""
    import polars as pl

    kind = pl.String if dtype in (pl.Categorical, pl.Enum) else dtype
    ids: pl.Series = pl.Series(values.tolist(), dtype=kind).cast(dtype)
    return ids


def polars_times(ticks: Ticks, dtype: Any) -> pl.Series:
    """Times of the type and the zone that they came with.

    Parameters
    ----------
    ticks : array (n,)
        Microseconds since 1970, in UTC where there is a zone.
    dtype : object
        What `Times.dtype` said: a type of Polars, or None for a date that text had said.
    """
    import polars as pl

    moments: pl.Series = pl.Series(ticks.astype("datetime64[us]"))
    if dtype == pl.Date:
        dates: pl.Series = moments.cast(pl.Date)
        return dates
    try:
        plain: pl.Series = moments.cast(pl.Datetime(dtype.time_unit))
    except pl.exceptions.PolarsError:
        plain = moments.cast(pl.Datetime(dtype.time_unit), strict=False)
    if plain.null_count() or not (plain.dt.timestamp("us").to_numpy() == ticks).all():
        problem = f"found times after those that {dtype} can hold, expected the horizon before"
        raise DataError("time-overflow", problem)
    if dtype.time_zone:
        plain = plain.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)
    return plain
