"""Forecast intervals by split conformal prediction.

For each step ahead the interval is the forecast plus and minus a quantile of the absolute errors on
held-out windows: with n of them, the ceil((n + 1) * level)-th smallest. Were the windows
exchangeable, such an interval would hold the truth with at least the probability `level` (Vovk et
al. 2005; Lei et al. 2018). Windows of a time series are only roughly so, which is why the coverage
is measured too, on windows that the quantiles have not seen.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEVELS = (80, 95)  # percent


def half_widths(errors: Array, level: int) -> Array:
    """Half the interval's width for each step ahead (horizon,) from errors (N, horizon).

    With too few windows for the level the largest error stands in; see `windows_needed`.
    """
    count = len(errors)
    rank = min(math.ceil((count + 1) * level / 100), count)
    widths: Array = np.sort(np.abs(errors), axis=0)[rank - 1]
    return widths


def windows_needed(level: int) -> int:
    """The number of held-out windows from which on the quantile is not merely the largest error."""
    return math.ceil(level / (100 - level))


def coverage(errors: Array, widths: Array) -> float:
    """The share of errors (N, horizon) within +- widths (horizon,), in percent."""
    return float(100 * np.mean(np.abs(errors) <= widths))
