"""Rows on the grid of their series: what is missing at the ends is cut off, inside it is NaN.

A hole is a row without a value or a row that the frequency asks for and the table has not. A series
that lacks too much is refused. `Panel.filled` fills holes, from what is known at each cutoff.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memattn.forecast.data.columns import Array
from memattn.forecast.data.long_rows import LongRows, plural
from memattn.forecast.data.spacing import Spacing
from memattn.forecast.data.time_zones import Ticks

Flags = npt.NDArray[np.bool_]

MAX_MISSING_SHARE = 0.2  # of the rows of a series between its first and its last value
MOST_MISSING = 10_000_000  # where that is no limit


def fill(rows: LongRows, spacing: Spacing, counted: Flags) -> tuple[Array, Ticks, Ticks]:
    """The values (n,), the offsets (N + 1,) and the last time of each series (N,).

    Of all rows, those `counted` may lack no more than `MAX_MISSING_SHARE`.

    Raises
    ------
    DataError
        A series without any value, or one that lacks too many.
    """
    known = ~np.isnan(rows.values)
    row_offsets = rows.offsets
    counts = np.add.reduceat(known.astype(np.int64), row_offsets[:-1])
    if np.any(counts == 0):
        row = int(row_offsets[np.argmax(counts == 0)])
        raise rows.error("no-values", "found no value in any of its rows, expected some", row)
    code, step = rows.codes[known], spacing.steps[known]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    first, last = offsets[:-1], offsets[1:] - 1
    start = step[first]
    lengths = step[last] - start + 1
    _check_share(rows, known, spacing.steps, counted)
    _note_ends(rows, known)
    new_offsets = np.concatenate([[0], np.cumsum(lengths)])
    place = new_offsets[:-1][code] + (step - start[code])
    values, ticks = rows.values[known], rows.ticks[known]
    if len(place) < new_offsets[-1]:
        _note_holes(rows, known, spacing, int(new_offsets[-1] - len(place)))
        values = np.full(new_offsets[-1], np.nan)
        values[place] = rows.values[known]
    return np.ascontiguousarray(values), new_offsets.astype(np.int64), ticks[last]


def _check_share(rows: LongRows, known: Flags, steps: Ticks, counted: Flags) -> None:
    """Before the memory for what is missing is taken."""
    missing, lengths = _missing(rows, known & counted, steps)
    too_many = np.flatnonzero(missing > MAX_MISSING_SHARE * lengths)
    most = f"{MAX_MISSING_SHARE:.0%}"
    if not len(too_many):
        missing, lengths = _missing(rows, known, steps)
        if missing.sum() > MOST_MISSING:
            too_many = np.flatnonzero(missing > MAX_MISSING_SHARE * lengths)
        most = f"{MOST_MISSING:,} in all series"
    if not len(too_many):
        return
    code = int(too_many[0])
    problem = (
        f"found {missing[code]:,} of {lengths[code]:,} rows missing or without a value between its "
        f"first and its last value, expected at most {most}; fill them, cut the series, or "
        "pass {freq} if the rows are further apart"
    )
    start, end = rows.offsets[code], rows.offsets[code + 1]
    given = np.flatnonzero(~np.isnan(rows.values[start:end]))
    row = int(start + given[0])
    raise rows.error("too-many-missing", problem, row, of_time=True, argument="freq")


def _missing(rows: LongRows, used: Flags, steps: Ticks) -> tuple[Ticks, Ticks]:
    """How many rows of each series are missing between the used ones, and are there in all (N,)."""
    code, step = rows.codes[used], steps[used]
    lengths = np.zeros(len(rows.ids), np.int64)
    series, first, counts = np.unique(code, return_index=True, return_counts=True)
    lengths[series] = step[first + counts - 1] - step[first] + 1
    return lengths - np.bincount(code, minlength=len(lengths)), lengths


def _note_ends(rows: LongRows, known: Flags) -> None:
    """Rows without a value before the first value of a series, or after its last."""
    index = np.arange(len(known))
    starts = rows.offsets[:-1]
    lengths = np.diff(rows.offsets)
    first = np.minimum.reduceat(np.where(known, index, len(known)), starts)
    last = np.maximum.reduceat(np.where(known, index, -1), starts)
    for where, outside in (
        ("before the first", index < np.repeat(first, lengths)),
        ("after the last", index > np.repeat(last, lengths)),
    ):
        count = int(outside.sum())
        if count:
            place = rows.row(int(np.argmax(outside)))
            series = len(np.unique(rows.codes[outside]))
            rows.note(
                "ends",
                f"{plural(count, 'row')} without a value {where} value of "
                f"{plural(series, 'series', 'series')}, first {place}: cut off",
                count,
            )


def _note_holes(
    rows: LongRows,
    known: Flags,
    spacing: Spacing,
    missing: int,
) -> None:
    """Says how many rows were without a value, how many were not there, and where first."""
    at = np.flatnonzero(known)
    same = rows.codes[at][1:] == rows.codes[at][:-1]
    between = same & (np.diff(at) > 1)
    empty = int((np.diff(at) - 1)[between].sum())
    how = "filled on the straight line between their neighbours"
    if empty:
        place = rows.row(int(at[np.argmax(between)]) + 1)
        text = f"{plural(empty, 'row')} without a value, first {place}: {how}"
        rows.note("missing-values", text, empty)
    if missing > empty:
        gap = rows.inner & (np.diff(spacing.steps) > 1)
        gap &= _inside(rows, known)
        count, series = missing - empty, len(np.unique(rows.codes[1:][gap]))
        before = rows.row(int(np.argmax(gap)))
        text = (
            f"{plural(count, 'row')} missing from the grid of "
            f"{plural(series, 'series', 'series')}, first after {before}: {how}"
        )
        rows.note("gaps", text, count)


def _inside(rows: LongRows, known: Flags) -> Flags:
    """For each row but the first, whether a value comes before it and one from it on."""
    seen = np.cumsum(known)
    starts = rows.offsets[:-1]
    lengths = np.diff(rows.offsets)
    before: Ticks = np.repeat(seen[starts] - known[starts], lengths)
    total = np.repeat(seen[rows.offsets[1:] - 1], lengths)
    inside: Flags = (seen[:-1] > before[:-1]) & (seen[:-1] < total[:-1])
    return inside
