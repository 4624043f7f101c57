"""Puts rows on the grid of their series: cuts off missing ends, marks other holes by NaN.

A hole is a row without a value, or a row of the grid that the table lacks. A series with too many
holes is refused. `Panel.filled` and `known_before` fill holes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariate_rows import future_rows
from memattn.forecast.data.flat_rows import offsets_of
from memattn.forecast.data.long_rows import LongRows, plural
from memattn.forecast.data.spacing import Spacing
from memattn.forecast.data.time_zones import Ticks

Flags = npt.NDArray[np.bool_]

MAX_MISSING_SHARE = 0.2  # share of the rows from a series' first to its last value
MOST_MISSING = 10_000_000  # in all series, if no share is exceeded


def fill(rows: LongRows, spacing: Spacing, counted: Flags) -> tuple[Array, Ticks, Ticks]:
    """Returns the values (n,), the offsets (N + 1,) and the last time of each series (N,).

    No more than `MAX_MISSING_SHARE` of the rows marked in `counted` may be missing.

    Raises
    ------
    DataError
        If a series has no value, or lacks too many.
    """
    known, steps = ~np.isnan(rows.values), spacing.steps
    counts = np.add.reduceat(known.astype(np.int64), rows.offsets[:-1])
    if np.any(counts == 0):
        row = int(rows.offsets[np.argmax(counts == 0)])
        raise rows.error("no-values", "none of its rows has a value", row)
    at, (first, last) = np.flatnonzero(known), rows.ends()
    _check_share(rows, known, steps, counted, first)
    lengths = steps[last] - steps[first] + 1
    offsets = offsets_of(lengths)
    values = rows.values[at]
    _note_missing(rows, known, steps, first, last)
    if len(at) < offsets[-1]:
        code = rows.codes[at]
        values = np.full(offsets[-1], np.nan)
        values[offsets[code] + steps[at] - steps[first][code]] = rows.values[at]
    return values, offsets, rows.ticks[last]


def _check_share(rows: LongRows, known: Flags, steps: Ticks, counted: Flags, first: Ticks) -> None:
    """Checks how many rows are missing, before memory for them is allocated.

    `first` has the row of the first value of each series (N,).
    """
    most = f"{MAX_MISSING_SHARE:.0%}"
    missing, lengths = _missing(rows, known & counted, steps)
    if not np.any(missing > MAX_MISSING_SHARE * lengths):
        most = f"{MOST_MISSING:,} in all series"
        missing, lengths = _missing(rows, known, steps)
        if missing.sum() <= MOST_MISSING:
            return
    too_many = np.flatnonzero(missing > MAX_MISSING_SHARE * lengths)
    if not len(too_many):
        return
    code = int(too_many[0])
    problem = (
        f"found {missing[code]:,} of {lengths[code]:,} rows missing or without a value between its "
        f"first and its last value, expected at most {most}; fill them, cut the series, or "
        "pass {freq} if the rows are further apart"
    )
    row = int(first[code])
    raise rows.error("too-many-missing", problem, row, of_time=True, argument="freq")


def _missing(rows: LongRows, used: Flags, steps: Ticks) -> tuple[Ticks, Ticks]:
    """Returns how many rows each series lacks between its used ones, and how many it spans (N,)."""
    code, step = rows.codes[used], steps[used]
    lengths = np.zeros(len(rows.ids), np.int64)
    series, first, counts = np.unique(code, return_index=True, return_counts=True)
    lengths[series] = step[first + counts - 1] - step[first] + 1
    return lengths - np.bincount(code, minlength=len(lengths)), lengths


def _note_missing(rows: LongRows, known: Flags, steps: Ticks, first: Ticks, last: Ticks) -> None:
    """Notes what is cut off and what is filled.

    `first` and `last` have the rows of the first and last value of each series (N,).
    """
    index = np.arange(len(known))
    before, future = index < first[rows.codes], future_rows(rows, steps)
    after = (index > last[rows.codes]) & ~future
    if count := int(future.sum()):
        series = plural(len(np.unique(rows.codes[future])), "series", "series")
        text = f"{plural(count, 'row')} after the last value of {series}, first "
        text += f"{rows.row(int(np.argmax(future)))}: used for covariates over the horizon"
        rows.note("future-rows", text, count)
    for where, cut in (("before the first", before), ("after the last", after)):
        if count := int(cut.sum()):
            series = plural(len(np.unique(rows.codes[cut])), "series", "series")
            text = f"{plural(count, 'row')} without a value {where} value of {series}"
            rows.note("ends", f"{text}, first {rows.row(int(np.argmax(cut)))}: removed", count)
    how = "filled by linear interpolation"
    empty = ~(known | before | after | future)
    if count := int(empty.sum()):
        place = rows.row(int(np.argmax(empty)))
        text = f"{plural(count, 'row')} without a value, first {place}: {how}"
        rows.note("missing-values", text, count)
    distance = np.diff(steps)
    gap = rows.inner & (distance > 1) & ~before[:-1] & ~(after | future)[1:]
    if gap.any():
        count = int((distance[gap] - 1).sum())
        series = plural(len(np.unique(rows.codes[1:][gap])), "series", "series")
        text = f"{plural(count, 'row')} missing from the grid of {series}"
        place = rows.row(int(np.argmax(gap)))
        rows.note("gaps", f"{text}, first after {place}: {how}", count)
