"""The columns of a pandas DataFrame as arrays, and arrays as such columns again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError
from memattn.forecast.data.columns import (
    Array,
    FrameErrors,
    Ids,
    Times,
    first_places,
    parse_numbers,
    parse_times,
    sorted_ids,
)
from memattn.forecast.data.time_zones import FIRST, LAST, Ticks

if TYPE_CHECKING:
    import pandas as pd

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class PandasColumns(FrameErrors):
    """The columns of a DataFrame; index levels with one of the wanted names count as columns."""

    def __init__(self, frame: pd.DataFrame, wanted: tuple[str, ...], file: Path | None = None):
        super().__init__(file)
        self.library = "pandas" if file is None else "csv"  # what forecasts go back as
        levels = [name for name in frame.index.names if name in wanted]
        if levels:
            frame = frame.reset_index(level=[n for n in levels if n not in frame.columns])
        self.frame = frame
        self.names = [str(name) for name in frame.columns]
        self.rows = len(frame)
        self._index = first_places(self.names)

    def _column(self, name: str) -> pd.Series:
        return self.frame.iloc[:, self._index[name]]

    def ids(self, name: str) -> Ids:
        """The column as ids."""
        import pandas as pd

        column = self._column(name)
        missing = column.isna().to_numpy()
        if missing.any():
            raise self.error("missing-id", "found no id, expected one", _first(missing), name)
        try:
            codes, values = pd.factorize(column)
        except TypeError:
            problem = "found a cell that holds several values, expected single ones"
            raise DataError("not-a-value", problem, file=self.file, column=name) from None
        cells = [str(v) if isinstance(v, np.str_) else v for v in values.tolist()]
        try:
            return sorted_ids(np.asarray(codes, dtype=np.int64), cells, column.dtype)
        except TypeError:
            kinds = sorted({type(cell).__name__ for cell in cells})
            problem = f"found ids of {' and '.join(kinds)}, expected one kind that can be sorted"
            raise DataError("mixed-ids", problem, file=self.file, column=name) from None

    def times(self, name: str) -> Times:
        """The column as dates or whole numbers."""
        import pandas as pd

        column = self._column(name)
        missing = column.isna().to_numpy()
        if missing.any():
            problem = "found no time, expected one in every row"
            raise self.error("not-a-date", problem, _first(missing), name)
        dtype = column.dtype
        if isinstance(dtype, pd.ArrowDtype) and dtype.kind == "M":
            column = column.dt.as_unit("us") if hasattr(column.dt, "as_unit") else column
            column = pd.Series(pd.DatetimeIndex(column))
        if pd.api.types.is_datetime64_any_dtype(column.dtype):
            index = pd.DatetimeIndex(column)
            ticks = self._microseconds(index.asi8, index.unit, name)
            return Times(ticks, is_number=False, zone=index.tz, dtype=dtype)
        if pd.api.types.is_integer_dtype(dtype):
            values = column.to_numpy()
            if values.dtype.kind not in "iu":  # nullable ones
                values = column.to_numpy(dtype=np.int64)
            return self.whole_numbers(values, name, dtype)
        if pd.api.types.is_numeric_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
            advice = "convert periods with .dt.to_timestamp(), numbers to integers"
            problem = f"found the type {dtype}, expected dates or whole numbers; {advice}"
            raise DataError("not-a-date", problem, file=self.file, column=name)
        codes, cells = self._cells(column, name)
        return parse_times(codes, cells, lambda row, problem: self.error(*problem, row, name))

    def _microseconds(self, ticks: Ticks, unit: str, name: str) -> Ticks:
        per_second = PER_SECOND[unit]
        if per_second > 10**6:
            odd = ticks % 1000 != 0
            if odd.any():
                problem = "found a time between two microseconds, expected whole ones"
                raise self.error("not-a-date", problem, _first(odd), name)
            return ticks // 1000
        factor = 10**6 // per_second
        bad = (ticks < FIRST // factor) | (ticks > LAST // factor)
        if bad.any():
            problem = "found a time far away, expected a year from 1 to 9999"
            raise self.error("not-a-date", problem, _first(bad), name)
        return ticks * factor

    def numbers(self, name: str) -> Array:
        """The column as numbers, NaN where pandas says that there is none."""
        import pandas as pd

        column = self._column(name)
        dtype = column.dtype
        if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
            raise self._no_numbers(name, dtype)
        if pd.api.types.is_numeric_dtype(dtype):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            return np.ascontiguousarray(values)
        if not (pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)):
            raise self._no_numbers(name, dtype)
        codes, cells = self._cells(column, name)
        return parse_numbers(codes, cells, lambda row, problem: self.error(*problem, row, name))

    def _cells(self, column: pd.Series, name: str) -> tuple[Ticks, list[Any]]:
        """The different cells, None for missing ones."""
        missing = column.isna().to_numpy()
        cells = column.to_numpy(dtype=object)
        if missing.any():
            cells = np.where(missing, None, cells)
        return self.distinct(cells, name)

    def _no_numbers(self, name: str, dtype: object) -> DataError:
        problem = f"found the type {dtype}, expected numbers"
        return DataError("not-a-number", problem, file=self.file, column=name)

    def is_numeric(self, name: str) -> bool:
        """Whether pandas says that the column holds numbers."""
        import pandas as pd

        dtype = self._column(name).dtype
        return bool(pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype))

    def find_times(self) -> str | None:
        """The first column of dates, as a type or as text."""
        import pandas as pd

        for name in self.names:
            column = self._column(name)
            if pd.api.types.is_datetime64_any_dtype(column.dtype):
                return name
            if pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(
                column.dtype
            ):
                try:
                    self.times(name)
                except DataError:
                    continue
                return name
        return None


def _first(where: npt.NDArray[np.bool_]) -> int:
    return int(np.argmax(where))


def pandas_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """A DataFrame of columns made by `pandas_ids` and `pandas_times`, and arrays."""
    import pandas as pd

    return pd.DataFrame(dict(columns))


def pandas_ids(values: npt.NDArray[Any], dtype: Any) -> pd.Series:
    """Ids of the type that they came with."""
    import pandas as pd

    return pd.Series(values, dtype=object).astype(dtype)


def pandas_times(ticks: Ticks, zone: Any, dtype: Any) -> pd.Series:
    """Times of the type and the zone that they came with.

    Parameters
    ----------
    ticks : array (n,)
        Microseconds since 1970, in UTC where there is a zone.
    zone : tzinfo, optional
        The zone of the panel.
    dtype : object
        What `Times.dtype` said: a type of pandas, or a class of Python's dates.
    """
    import pandas as pd

    moments = pd.Series(ticks.astype("datetime64[us]"))
    if dtype is date:
        return moments.dt.date.astype(object)
    if zone is not None:
        moments = moments.dt.tz_localize("UTC").dt.tz_convert(zone)
    if isinstance(dtype, type):  # datetime objects: a column of moments, as pandas would make it
        return moments
    try:
        return moments.astype(dtype)
    except (pd.errors.OutOfBoundsDatetime, OverflowError):
        problem = f"found times after those that {dtype} can hold, expected the horizon before"
        raise DataError("time-overflow", problem) from None
