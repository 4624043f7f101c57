"""Rows of series that lie one after the other in one array."""

from __future__ import annotations

import numpy as np

from memattn.forecast.data.time_zones import Ticks


def offsets_of(lengths: Ticks) -> Ticks:
    """Returns where each series begins, and the number of all rows (N + 1,); `lengths` are (N,)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def rows_from(starts: Ticks, lengths: Ticks) -> Ticks:
    """Returns for each k the lengths[k] numbers starts[k], starts[k] + 1, and so on."""
    before = offsets_of(lengths)
    return np.asarray(np.arange(before[-1]) + np.repeat(starts - before[:-1], lengths))
