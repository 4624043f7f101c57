"""Converts arrays of times to and from local time, by binary search in a zone's changes.

Times are whole microseconds since 1970, in UTC or as the local clock shows them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

import numpy as np
import numpy.typing as npt

Ticks = npt.NDArray[np.int64]

SECOND = 1_000_000
DAY = 86_400 * SECOND
WEEK = 7 * DAY
EPOCH_UTC = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
# No zone changed before this time: clocks showed solar time.
NO_CHANGE_BEFORE = (datetime(1800, 1, 1, tzinfo=timezone.utc) - EPOCH_UTC) // MICROSECOND
# Two days from either end of the range of `datetime`, so that every offset fits.
FIRST = (datetime(1, 1, 3, tzinfo=timezone.utc) - EPOCH_UTC) // MICROSECOND
LAST = (datetime(9999, 12, 29, tzinfo=timezone.utc) - EPOCH_UTC) // MICROSECOND


@dataclass(frozen=True)
class Clock:
    """The changes of a zone's offset from UTC.

    Attributes
    ----------
    changes : array (K,)
        The moments of change, in UTC, ascending.
    offsets : array (K + 1,)
        Local minus UTC before the first change, after it, and so on.
    """

    changes: Ticks
    offsets: Ticks

    def to_local(self, utc: Ticks) -> Ticks:
        """Returns the local time at `utc`."""
        local: Ticks = utc + self.offsets[np.searchsorted(self.changes, utc, side="right")]
        return local

    def to_utc(self, local: Ticks) -> Ticks:
        """Returns when the clock shows `local`, or showed it first.

        A time that the clock skips, as in spring, is moved later by the length of the gap.
        """
        # The offset before a change is used until only the new one is possible: up to the end of
        # the hour that is skipped in spring, or that comes twice in autumn.
        until = self.changes + np.maximum(self.offsets[:-1], self.offsets[1:])
        utc: Ticks = local - self.offsets[np.searchsorted(until, local, side="right")]
        return utc


def clock_of(zone: tzinfo, times: Ticks) -> Clock:
    """Returns the clock of `zone` for the range of `times` (at least one), in UTC or local."""
    first = max(int(times.min()) - WEEK, NO_CHANGE_BEFORE)
    last = max(min(int(times.max()) + WEEK, LAST), first)
    samples = [*range(first, last, WEEK), last]
    changes, offsets = [], [_offset(zone, first)]
    for before, after in itertools.pairwise(samples):
        reached = _offset(zone, after)
        if reached != offsets[-1]:
            changes.append(_change(zone, before, after, offsets[-1]))
            offsets.append(reached)
    return Clock(np.array(changes, dtype=np.int64), np.array(offsets, dtype=np.int64))


def moved_by(zone: tzinfo, local: Ticks) -> Ticks:
    """Returns how much later the clock shows each time, of one or more: 0 unless it skips it."""
    clock = clock_of(zone, local)
    return clock.to_local(clock.to_utc(local)) - local


def _offset(zone: tzinfo, utc: int) -> int:
    offset = (EPOCH_UTC + timedelta(microseconds=utc)).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // MICROSECOND


def _change(zone: tzinfo, before: int, after: int, offset: int) -> int:
    """Returns the first whole second after `before` at which the zone's offset is not `offset`."""
    low, high = before // SECOND, -(-after // SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle * SECOND) == offset:
            low = middle
        else:
            high = middle
    return high * SECOND
