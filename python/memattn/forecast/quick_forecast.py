"""Forecasts of one series from an array, in less than a millisecond, without training.

>>> from memattn.forecast import quick
>>> quick([112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118], horizon=3).mean.shape
(3,)
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from memattn._memattn import QuickForecaster
from memattn.errors import refused
from memattn.forecast.arguments import Levels, checked_levels, checked_prior, whole_number
from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariates import MAX_MAGNITUDE
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.season_search import season_of_values
from memattn.forecast.data.series import without_holes
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.prior_files import AUTO, check_season, file_of, identity

ROWS = Frequency(Unit.NUMBER, 1)
WHERE = "quick"


@dataclass(frozen=True, eq=False)
class QuickForecast:
    """A forecast of the rows after a series.

    Attributes
    ----------
    mean : array (horizon,)
        The forecast, a median.
    low, high : mapping of float to array (horizon,)
        The interval bounds of each level in percent, trained in the prior.
    season : int
        Rows in the season that was used; 1 for none.
    """

    mean: Array
    low: Mapping[float, Array]
    high: Mapping[float, Array]
    season: int


def quick(
    y: npt.ArrayLike,
    horizon: int,
    season: int | None = None,
    level: Levels = (80, 95),
    *,
    prior: str = AUTO,
) -> QuickForecast:
    """Forecast one series with pretrained networks.

    Parameters
    ----------
    y : array (n,)
        The values, oldest first, equally spaced. NaN is a missing value; missing values at the ends
        are ignored.
    horizon : int
        Steps ahead, at most the horizon of the prior for the season.
    season : int, optional
        Rows in a season, 1 for none. Default: found in the values. With 1, the networks are those
        for numbered rows; only a `Forecaster` uses the package's networks for years.
    level : float or list of float, optional
        Levels of the intervals in percent, from 1 to below 100. They are not calibrated and
        guarantee no coverage; use `Forecaster.fit` for calibrated intervals if the series is long
        enough.
    prior : str
        As in `Forecaster`.

    Returns
    -------
    QuickForecast
        The forecast that `Forecaster(horizon, prior=prior)` makes by the prior alone. Fewer than
        three values are forecast by the last value, with NaN for bounds. A constant series is
        forecast by its value, which is also its bounds.

    Raises
    ------
    TypeError, ValueError
        If `y` is not an array of numbers or has no value, if an option is invalid, or if the prior
        does not have the horizon or the season.
    """
    steps = whole_number(WHERE, "horizon", horizon, 1)
    levels = checked_levels(WHERE, level)
    asked = checked_prior(WHERE, prior)
    if asked is None:
        raise refused(WHERE, "prior", 'found None, expected "auto" or the path of a prior')
    values = _values(y)
    if season is None:
        found = season_of_values(values, np.array([0, len(values)]))
        # Without a prior for the season that was found, forecast without a season.
        path, _ = file_of(WHERE, asked, found, ROWS)
        season = found if path is not None else 1
    season = whole_number(WHERE, "season", season, 1)
    path, why_not = file_of(WHERE, asked, season, ROWS)
    if path is None:
        raise refused(WHERE, "season", f"found {season}, but {why_not}; pass season=1")
    networks = _networks(*identity(path))
    check_season(WHERE, path, networks.season, season)
    if steps > networks.horizon:
        expected = f"expected at most {networks.horizon}, the horizon of the prior"
        raise refused(WHERE, "horizon", f"found {steps}, {expected}")
    mean, ends = networks.forecast(values, steps, levels)
    low, high = (
        MappingProxyType({one: ends[k, side] for k, one in enumerate(levels)}) for side in (0, 1)
    )
    return QuickForecast(mean, low, high, season)


def _values(y: npt.ArrayLike) -> Array:
    """Return the values from the first to the last known value, with missing values filled."""
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{WHERE}: y: found {type(y).__name__}, expected numbers") from None
    if values.ndim != 1:
        raise refused(WHERE, "y", f"found an array of shape {values.shape}, expected (n,)")
    there = np.flatnonzero(~np.isnan(values))
    if not len(there):
        problem = "every value is NaN" if len(values) else "found no values"
        raise refused(WHERE, "y", f"{problem}; pass at least one number")
    values = values[there[0] : there[-1] + 1]
    large = np.abs(values) > MAX_MAGNITUDE
    if large.any():
        place = int(np.argmax(large)) + int(there[0])
        expected = f"expected finite numbers up to {MAX_MAGNITUDE:g}"
        raise refused(WHERE, "y", f"found {values[large][0]} at {place}, {expected}")
    return np.ascontiguousarray(without_holes(values))


@functools.lru_cache(maxsize=32)
def _networks(path: str, changed: int, size: int) -> QuickForecaster:
    """Return the networks in a file; cached until the file changes; thread-safe."""
    return QuickForecaster.load(path)
