"""The local clock of a time zone for whole arrays: a table of its changes, then binary search.

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
# Before this no zone has ever changed: clocks showed the sun's time.
NO_CHANGE_BEFORE = (datetime(1800, 1, 1, tzinfo=timezone.utc) - EPOCH_UTC) // MICROSECOND
# Two days from either end of what `datetime` can say, so that every offset fits.
FIRST = (datetime(1, 1, 3, tzinfo=timezone.utc) - EPOCH_UTC) // MICROSECOND
LAST = (datetime(9999, 12, 29, tzinfo=timezone.utc) - EPOCH_UTC) // MICROSECOND


@dataclass(frozen=True)
class Clock:
    """When a zone's distance from UTC changes, and to what.

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
        """What the clock shows at `utc`."""
        local: Ticks = utc + self.offsets[np.searchsorted(self.changes, utc, side="right")]
        return local

    def to_utc(self, local: Ticks) -> Ticks:
        """When the clock shows `local`: of two moments the first, of none the hour after."""
        # The offset before a change holds up to where the new one can be meant only: in spring
        # the end of the hour that is left out, in autumn that of the hour that comes twice.
        until = self.changes + np.maximum(self.offsets[:-1], self.offsets[1:])
        utc: Ticks = local - self.offsets[np.searchsorted(until, local, side="right")]
        return utc


def clock_of(zone: tzinfo, times: Ticks) -> Clock:
    """The clock of `zone`, good for `times` in UTC or local, at least one."""
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
    """How much later the clock shows each time, at least one: 0 but for times that it left out."""
    clock = clock_of(zone, local)
    return clock.to_local(clock.to_utc(local)) - local


def _offset(zone: tzinfo, utc: int) -> int:
    offset = (EPOCH_UTC + timedelta(microseconds=utc)).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // MICROSECOND


def _change(zone: tzinfo, before: int, after: int, offset: int) -> int:
    """The first whole second after `before` at which the zone's offset is not `offset`."""
    low, high = before // SECOND, -(-after // SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle * SECOND) == offset:
            low = middle
        else:
            high = middle
    return high * SECOND
