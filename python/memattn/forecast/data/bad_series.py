"""Puts rows on the grid of their series; bad series raise an error, or are left out and noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError
from memattn.forecast.data.columns import Array
from memattn.forecast.data.frequency import Asked
from memattn.forecast.data.long_rows import (
    LongRows,
    Note,
    check_values,
    each_time_once,
    plural,
    put_in_order,
)
from memattn.forecast.data.spacing import Spacing
from memattn.forecast.data.time_zones import Ticks

RAISE, DROP = "raise", "drop"
SAMPLE = 100  # series in which the commonest frequency is looked for
SHOWN = 5  # series named in the note

OnGrid: TypeAlias = tuple[LongRows, Spacing, tuple[Array, Ticks, Ticks]]
Arrange: TypeAlias = Callable[[LongRows, Asked | None], OnGrid]
Flags: TypeAlias = npt.NDArray[np.bool_]
Seen: TypeAlias = Callable[[LongRows, Asked | None], Flags]


class BadSeriesError(DataError):
    """Leaving out bad series leaves none; has the message of the first bad one.

    Attributes
    ----------
    count : int
        Number of series.
    """

    def __init__(self, first: DataError, count: int) -> None:
        self._first = first
        more = {name: getattr(first, name) for name in ("file", "line", "column", "argument")}
        super().__init__(first.kind, first._problem, function=first.function, **more)
        self.count = count

    def __reduce__(self) -> tuple[Any, ...]:
        return BadSeriesError, (self._first, self.count), self.__dict__

    @property
    def note(self) -> Note:
        """The note to keep if other parts of the data have good series."""
        series = plural(self.count, "series", "series")
        return Note("bad-series", f"{series} left out; the first: {self}", self.count)


def check_on_bad(on_bad_series: object) -> None:
    """Raises DataError unless the option is "raise" or "drop"."""
    if not isinstance(on_bad_series, str) or on_bad_series not in (RAISE, DROP):
        problem = f"found {on_bad_series!r}, expected {RAISE!r} or {DROP!r}"
        raise DataError("option", problem, argument="on_bad_series")


def on_grid(
    rows: LongRows,
    asked: Asked | None,
    on_bad_series: str,
    arrange: Arrange,
    seen: Seen | None = None,
) -> OnGrid:
    """Returns the rows in order, their spacing, and the result of `fill`.

    Parameters
    ----------
    rows : LongRows
        The rows as they were read.
    asked : Asked, optional
        The frequency, if the caller gives it.
    on_bad_series : str
        ``"raise"``, or ``"drop"`` to leave out bad series with a note, as long as one is left.
    arrange : callable
        Computes the result from rows in order and the frequency asked for, if any.
    seen : callable, optional
        Returns which rows are known before the first window of a backtest. Bad rows after it are
        left out alone, since they are no reason to leave out the earlier rows of their series.

    Raises
    ------
    DataError
        If a series is bad, or all series together are.
    BadSeriesError
        If ``"drop"`` leaves no series.
    """
    if on_bad_series == RAISE:
        check_values(rows)
    rows = put_in_order(rows)
    before = list(rows.notes)
    try:
        return _checked(rows, asked, arrange)
    except DataError:
        if on_bad_series == RAISE:
            raise
        known = asked or _commonest(rows, arrange)
        if known is None:
            raise
    bad = _find_bad(rows, np.arange(len(rows.ids)), known, arrange)
    if seen is not None:
        count = len(rows.codes)
        rows = _without_later(rows, list(bad), seen(rows, known), known, arrange)
        if count := count - len(rows.codes):
            text = f"{plural(count, 'bad row')} after the first cutoff left out"
            before.append(Note("bad-rows", text, count))
            bad = _find_bad(rows, np.arange(len(rows.ids)), known, arrange)
    kept = np.setdiff1d(np.arange(len(rows.ids)), list(bad))
    if not len(kept):
        raise BadSeriesError(next(iter(bad.values())), len(bad))
    some = [(rows.series(code), error) for code, error in list(bad.items())[:SHOWN]]
    shown = [f"{series} ({_reason(error, series)})" for series, error in some]
    more = f" and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
    text = f"{plural(len(bad), 'series', 'series')} left out: {', '.join(shown)}{more}"
    good = rows.alone(np.isin(rows.codes, kept))
    try:
        found = _checked(good, asked, arrange)
    except DataError:
        good.notes.clear()
        found = _checked(good, known, arrange)
    found[0].notes[:0] = before
    if bad:
        found[0].note("bad-series", text, len(bad))
    return found


def _checked(rows: LongRows, asked: Asked | None, arrange: Arrange) -> OnGrid:
    check_values(rows)
    return arrange(each_time_once(rows), asked)


def _commonest(rows: LongRows, arrange: Arrange) -> Asked | None:
    """Returns the frequency with the most rows in up to `SAMPLE` series; None if all are bad."""
    places = np.unique(np.linspace(0, len(rows.ids) - 1, SAMPLE).astype(np.int64))
    found: Counter[Asked] = Counter()
    for code in places:
        try:
            part, spacing, _ = _checked(rows.alone(rows.codes == code), None, arrange)
        except DataError:
            continue
        frequency = spacing.frequency
        found[Asked(frequency.words, frequency)] += len(part.codes)
    return found.most_common(1)[0][0] if found else None


def _find_bad(rows: LongRows, codes: Ticks, asked: Asked, arrange: Arrange) -> dict[int, DataError]:
    """Finds the bad series by halving, so that few bad series take few trials."""
    try:
        _checked(rows.alone(np.isin(rows.codes, codes)), asked, arrange)
    except DataError as error:
        if len(codes) == 1:
            return {int(codes[0]): error}
        half = len(codes) // 2
        first, second = codes[:half], codes[half:]
        found = _find_bad(rows, first, asked, arrange)
        return found | _find_bad(rows, second, asked, arrange)
    return {}


def _without_later(
    rows: LongRows, codes: list[int], seen: Flags, asked: Asked, arrange: Arrange
) -> LongRows:
    """Drops the bad rows among those not `seen`, in series whose seen rows are good."""

    def is_good(part: LongRows) -> bool:
        return not _find_bad(part, np.zeros(1, np.int64), asked, arrange)

    def with_good(own: LongRows, kept: Flags, more: Ticks) -> Flags:
        """Adds the good rows of `more` to the rows `kept`, by halving."""
        trial: Flags = kept.copy()
        trial[more] = True
        if is_good(own.select(trial)):
            return trial
        if len(more) == 1:
            return kept
        half = len(more) // 2
        return with_good(own, with_good(own, kept, more[:half]), more[half:])

    keep = np.ones(len(rows.codes), dtype=bool)
    for code in codes:
        mine = rows.codes == code
        own = rows.alone(mine)
        kept = seen[mine]
        if kept.any() and not kept.all() and is_good(own.select(kept)):
            keep[mine] = with_good(own, kept, np.flatnonzero(~kept))
    return rows.select(keep)


def _reason(error: DataError, series: str) -> str:
    """Returns what is wrong with a series, without its name and without what to do."""
    text = error.problem
    for start in (f"{error.argument}: ", f"series {series}: ", "found "):
        text = text.removeprefix(start)
    for end in (", expected ", "; expected ", "; pass "):
        text = text.partition(end)[0]
    return text
