"""A panel: many series as flat, equally spaced numbers, made from people's data.

>>> from memattn.forecast.data.panel import panel_from_frame
>>> panel = panel_from_frame(frame)  # unique_id, ds, y; of pandas or Polars  # doctest: +SKIP
>>> panel.notes  # what was found and done  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted, refused
from memattn.extras import need
from memattn.forecast.data.column_choice import (
    ID_COL,
    SHOWN,
    TARGET_COL,
    TIME_COL,
    Choice,
    choose_of_file,
)
from memattn.forecast.data.columns import Array, Columns
from memattn.forecast.data.filling import fill
from memattn.forecast.data.frequency import (
    CALENDAR,
    COUNTED,
    Frequency,
    clock_at,
    parse_frequency,
    positions_of,
)
from memattn.forecast.data.long_rows import LongRows, Names, Note, plural, put_in_order, read_rows
from memattn.forecast.data.season_search import season_of_values
from memattn.forecast.data.spacing import find_spacing
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import DAY, FIRST, LAST, Ticks, clock_of
from memattn.forecast.data.times import Style

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

RESERVED = ("cutoff", "memattn")  # columns of forecasts and backtests
Flags = npt.NDArray[np.bool_]
Data: TypeAlias = "IntoFrame | Panel | str | os.PathLike[str]"


@dataclass(frozen=True)
class Form:
    """How the data came, so that forecasts can go back alike.

    Attributes
    ----------
    library : str
        ``"pandas"``, ``"polars"``, ``"pyarrow"``, or ``"csv"`` for a file.
    id_col, time_col, target_col : str
        The names of the columns that go out.
    id_dtype, time_dtype : object
        The library's types; None for its usual ones.
    style : Style, optional
        How times in text are written; None for times that were not text.
    number_type : str, optional
        The type of the values in NumPy; None for text.
    """

    library: str
    id_col: str = ID_COL
    time_col: str = TIME_COL
    target_col: str = TARGET_COL
    id_dtype: object = None
    time_dtype: object = None
    style: Style | None = None
    number_type: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Panel:
    """N equally spaced series of one frequency, one after the other.

    Attributes
    ----------
    ids : array (N,)
        Their names, all different; of a long table in ascending order.
    values : array (n,)
        All values, finite. Series k is ``values[offsets[k]:offsets[k + 1]]``.
    offsets : array (N + 1,)
        Where each series begins, and n; every series has at least one value.
    frequency : Frequency
        The distance between rows.
    season : int
        Rows after which the series may repeat, 1 for none.
    last : array (N,)
        The time of the last row: microseconds since 1970, in UTC where there is a `zone`; or the
        number that counts the rows.
    day : array (N,)
        With months, the day of the month on which a series' rows lie, 31 for the last one; else 0.
    zone : tzinfo, optional
        On whose clock days and months are counted.
    notes : tuple of Note
        What was found and done.
    form : Form
        How the data came.
    """

    ids: npt.NDArray[np.object_]
    values: Array
    offsets: Ticks
    frequency: Frequency
    season: int
    last: Ticks
    day: Ticks
    zone: tzinfo | None
    notes: tuple[Note, ...]
    form: Form

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return (
            f"Panel({plural(len(self), 'series', 'series')}, {len(self.values):,} values, one "
            f"every {self.frequency.words}, season {self.season})"
        )

    @property
    def lengths(self) -> Ticks:
        """The number of values of each series (N,)."""
        return np.diff(self.offsets)

    @property
    def positive(self) -> Flags:
        """Which series have values above 0 only, and so a logarithm (N,)."""
        positive: Flags = np.minimum.reduceat(self.values, self.offsets[:-1]) > 0
        return positive

    @property
    def constant(self) -> Flags:
        """Which series have one value all the time (N,)."""
        low = np.minimum.reduceat(self.values, self.offsets[:-1])
        constant: Flags = low == np.maximum.reduceat(self.values, self.offsets[:-1])
        return constant

    def shorter_than(self, rows: int) -> Flags:
        """Which series have less than `rows` values (N,): too short for a model that needs them."""
        return self.lengths < rows

    def series(self, k: int) -> Array:
        """The values of series k."""
        return self.values[self.offsets[k] : self.offsets[k + 1]]

    def times(self, series: Ticks, ahead: Ticks) -> Ticks:
        """Times on the grids of series, as `last` counts them.

        Parameters
        ----------
        series : array (m,)
            Places of series.
        ahead : array (m,)
            Rows after the last one of the series: 1 is the first one to be forecast, 0 the last
            known one, -1 the one before.

        Raises
        ------
        DataError
            A time after the year 9999 or before the year 1.
        """
        unit, zone = self.frequency.unit, self.zone
        last = self.last[series]
        if zone is not None and unit in CALENDAR and len(last):
            last = clock_of(zone, last).to_local(last)
        reach = self.frequency.step * int(np.max(np.abs(ahead), initial=0))
        limit = _LONGEST.get(unit, 2**62)
        if reach > limit:
            raise self._overflow()
        position = positions_of(unit, last) + self.frequency.step * ahead
        if unit is Unit.MONTH and np.any((position < _FIRST_MONTH) | (position > _LAST_MONTH)):
            raise self._overflow()
        ticks = clock_at(unit, position, self.day[series], last % DAY)
        is_number = unit in COUNTED
        if not is_number and np.any((ticks < FIRST) | (ticks > LAST)):
            raise self._overflow()
        if zone is not None and unit in CALENDAR and len(ticks):
            ticks = clock_of(zone, ticks).to_utc(ticks)
        return ticks

    def future(self, horizon: int) -> Ticks:
        """The times of the `horizon` rows after the last one of each series (N, horizon)."""
        series = np.repeat(np.arange(len(self)), horizon)
        ahead = np.tile(np.arange(1, horizon + 1), len(self))
        return self.times(series, ahead).reshape(len(self), horizon)

    def past(self) -> Ticks:
        """The times of all values (n,)."""
        series = np.repeat(np.arange(len(self)), self.lengths)
        ahead = np.arange(len(self.values)) - (self.offsets[1:] - 1)[series]
        return self.times(series, ahead)

    def until(self, ends: Ticks) -> Panel:
        """The panel as it was when only the first ``ends[k]`` values of series k were known (N,).

        Series of which none is known are left out.
        """
        kept = np.flatnonzero(ends > 0)
        lengths = ends[kept]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        place = np.arange(offsets[-1]) + np.repeat(self.offsets[kept] - offsets[:-1], lengths)
        return replace(
            self,
            ids=self.ids[kept],
            values=self.values[place],
            offsets=offsets,
            last=self.times(kept, lengths - self.lengths[kept]),
            day=self.day[kept],
        )

    def _overflow(self) -> DataError:
        problem = "found times beyond the years 1 to 9999, expected the horizon within them"
        return DataError("time-overflow", problem, column=self.form.time_col)


_FIRST_MONTH, _LAST_MONTH = -12 * 1969, 12 * (9999 - 1970) + 11
# In units, so that no product or sum overflows: all of ten thousand years.
_LONGEST = {
    Unit.MONTH: 120_000,
    Unit.DAY: 3_660_000,
    Unit.BUSINESS_DAY: 2_620_000,
    Unit.MICROSECOND: LAST - FIRST,
}


def panel_from_frame(
    frame: IntoFrame,
    *,
    id_col: str = ID_COL,
    time_col: str = TIME_COL,
    target_col: str | Sequence[str] = TARGET_COL,
    freq: str | int | None = None,
    season: int | None = None,
) -> Panel:
    """A panel from a data frame, long or wide as in `panel_from_file`.

    Parameters
    ----------
    frame : DataFrame, LazyFrame, Table or relation
        Of pandas, Polars, PyArrow, DuckDB, or another library that narwhals reads. Index levels of
        pandas with one of the names count as columns, and so does an index of dates where there
        is no column `time_col`. Rows may be in any order. Forecasts go back in the same library,
        those of a LazyFrame as a DataFrame, those of a DuckDB relation as a PyArrow table.
    id_col, time_col, target_col : str
        The names of the columns.
    freq : str or int, optional
        The frequency, an alias of pandas or Polars or, for times that are whole numbers, the step.
        Default: the coarsest one that fits all rows.
    season : int, optional
        Rows after which the series repeat. Default: the usual one of the frequency; of numbered
        rows the one that the first two thirds of the values show.

    Returns
    -------
    Panel

    Raises
    ------
    DataError
        The data cannot be used; a ValueError that names row and column.
    TypeError
        `frame` is no data frame.
    ModuleNotFoundError
        narwhals is not installed.
    """
    targets = (target_col,) if isinstance(target_col, str) else tuple(target_col)
    columns = _frame_columns(frame, (id_col, time_col, *targets))
    choice = choose_of_file(columns, id_col, time_col, target_col)
    return _panel(read_rows(columns, choice.names, choice.times), choice, freq, season)


def panel_from_file(
    path: str | Path,
    *,
    id_col: str = ID_COL,
    time_col: str = TIME_COL,
    target_col: str | Sequence[str] = TARGET_COL,
    freq: str | int | None = None,
    season: int | None = None,
) -> Panel:
    """A panel from a CSV or Parquet file (by its name), long or wide.

    A file with the column `id_col`, or with `time_col` and `target_col`, is long, as in
    `panel_from_frame`. Any other is wide: every column of numbers is a series, or those that
    `target_col` names. Times are in `time_col`, else in the first column of dates; in a wide file
    without any the rows are counted.

    Raises
    ------
    DataError
        The file cannot be used; a ValueError that names file, line and column.
    ModuleNotFoundError
        A Parquet file, and narwhals or what reads the file is not installed.
    """
    from memattn.forecast.data.panel_files import errors_of_file, read_columns

    path = Path(path)
    try:
        with errors_of_file(path):
            columns = read_columns(path)
            choice = choose_of_file(columns, id_col, time_col, target_col)
            rows = read_rows(columns, choice.names, choice.times)
        return _panel(rows, choice, freq, season)
    except DataError as error:
        if error.file is None and error.kind != "option":
            error.file = path
        raise


def _frame_columns(frame: Any, wanted: tuple[str, ...]) -> Columns:
    """The columns of a data frame; TypeError for what is none."""
    found = f"{type(frame).__module__}.{type(frame).__qualname__}"
    msg = f"panel_from_frame: frame: found {found}, expected a data frame or the path of a file"
    if type(frame).__module__ in ("builtins", "numpy"):
        raise TypeError(msg)
    need("a data frame", "forecast", "narwhals")
    from memattn.forecast.data.frame_columns import frame_columns

    try:
        return frame_columns(frame, wanted)
    except TypeError:
        raise TypeError(msg) from None


def panel_of(where: str, data: Data, *, season: int | None, **options: Any) -> Panel:
    """The panel of whatever a caller has; `where` is who asks.

    Parameters
    ----------
    where : str
        For messages.
    data : DataFrame, path or Panel
        A panel stays as it is, but for a season that is given.
    season, options
        As in `panel_from_file`.
    """
    if isinstance(data, Panel):
        if not len(data):
            raise refused(where, "data", "found a panel of no series, expected some")
        return data if season is None else replace(data, season=season)
    if isinstance(data, str | os.PathLike):
        return panel_from_file(Path(data), season=season, **options)
    return panel_from_frame(data, season=season, **options)


def _panel(rows: LongRows, choice: Choice, freq: str | int | None, season: int | None) -> Panel:
    if season is not None and season < 1:
        raise DataError("option", f"found {season}, expected at least 1", argument="season")
    _check_names(choice.names_out)
    asked = None if freq is None else parse_frequency(freq)
    rows.notes[:0] = choice.notes
    _note_columns(rows, choice)
    rows = put_in_order(rows)
    spacing = find_spacing(rows, asked)
    values, offsets, last = fill(rows, spacing)
    frequency = spacing.frequency
    how = "as given" if asked is not None else "from the times"
    rows.note("frequency", f"one row every {frequency.words} ({how})", len(rows.ids))
    season, why = _season(frequency, values, offsets) if season is None else (season, "as given")
    rows.note("season", f"season: {season} ({why})", len(rows.ids))
    panel = Panel(
        ids=rows.ids,
        values=values,
        offsets=offsets,
        frequency=frequency,
        season=int(season),
        last=last,
        day=spacing.day,
        zone=choice.times.zone,
        notes=(),
        form=_form(rows, choice.names_out),
    )
    _note_marks(panel, rows)
    return replace(panel, notes=tuple(rows.notes))


def _season(frequency: Frequency, values: Array, offsets: Ticks) -> tuple[int, str]:
    """The usual rows in a season and why; numbered rows have none, and what they show counts."""
    if frequency.unit in (Unit.NUMBER, Unit.ROW):
        season = season_of_values(values, offsets)
        return season, "the values repeat so" if season > 1 else "the values show none"
    usual = frequency.season
    return usual, "usual for this frequency" if usual > 1 else "none is usual for this frequency"


def _form(rows: LongRows, names: Names) -> Form:
    kinds = {rows.columns.number_type(name) for name in rows.names.values}
    return Form(
        library=rows.columns.library,
        id_col=names.ids or ID_COL,
        time_col=names.times or TIME_COL,
        target_col=names.values[0],
        id_dtype=rows.id_dtype,
        time_dtype=rows.times.dtype,
        style=rows.times.style,
        number_type=kinds.pop() if len(kinds) == 1 else None,
    )


def _check_names(names: Names) -> None:
    """Refuse names that would stand twice in a table of forecasts."""
    roles = {"id_col": names.ids or ID_COL, "time_col": names.times, "target_col": names.values[0]}
    seen: dict[str | None, str] = {}
    for argument, name in roles.items():
        other = seen.setdefault(name, argument)
        if other != argument:
            problem = f"found the column {quoted(str(name))}, which {other} has too"
            raise DataError("option", f"{problem}; name another column", argument=argument)
        if name in RESERVED or str(name).startswith("memattn-"):
            problem = f"found the column {quoted(str(name))}, which tables of forecasts have anyway"
            raise DataError("option", f"{problem}; rename the column", argument=argument)


def _note_columns(rows: LongRows, choice: Choice) -> None:
    """Says which columns are not used, and whose numbers are not exact."""
    names, columns = rows.names, rows.columns
    used = {names.ids, names.times, *names.values}
    unused = [quoted(name) for name in columns.names if name not in used]
    if unused and all(note.kind != "wide" for note in choice.notes):
        more = f" and {len(unused) - SHOWN:,} more" if len(unused) > SHOWN else ""
        rows.note("unused", f"not used: {', '.join(unused[:SHOWN])}{more}", len(unused))
    for name, row in columns.rounded.items():
        if row is not None:
            text = f"{quoted(name)} has whole numbers beyond 2**53, first {columns.place(row)}"
            rows.note("rounded", f"{text}: rounded to the nearest that float64 holds", 1)


def _note_marks(panel: Panel, rows: LongRows) -> None:
    """Says which series will be treated apart."""
    for kind, marked, text in (
        ("not-positive", ~panel.positive, "with zeros or negative values: no logarithms there"),
        ("constant", panel.constant & (panel.lengths > 1), "with one value all the time"),
        ("short", panel.lengths < 2, "with a single value: forecast by that value"),
    ):
        count = int(marked.sum())
        if count:
            first = rows.series(int(np.argmax(marked)))
            rows.note(
                kind, f"{plural(count, 'series', 'series')} {text}; the first is {first}", count
            )
