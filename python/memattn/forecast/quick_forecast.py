"""A forecast of one series from an array, in about a millisecond, without training.

>>> from memattn.forecast import quick
>>> quick([112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118], horizon=3).mean.shape
(3,)
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn.errors import refused
from memattn.forecast.arguments import Levels, checked_levels, whole_number
from memattn.forecast.conformal import between_levels, interval_ends
from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariates import MAX_MAGNITUDE
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.panel import Form, Panel
from memattn.forecast.data.season_search import season_of_values
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.windows import last_windows
from memattn.forecast.fitting import forecast
from memattn.forecast.forecaster_settings import ALONE, Setting, trained_levels, with_prior
from memattn.forecast.model import Model, model_of
from memattn.forecast.prior import Prior
from memattn.forecast.prior_files import AUTO, prior_of

ROWS = Frequency(Unit.NUMBER, 1)
WHERE = "quick"


@dataclass(frozen=True, eq=False)
class QuickForecast:
    """A forecast of the rows after a series.

    Attributes
    ----------
    mean : array (horizon,)
        The forecast, the median of what is to be expected.
    low, high : mapping of float to array (horizon,)
        The bounds of the interval of each level in percent, as the prior learned them.
    season : int
        Rows after which the series was taken to repeat.
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
    """Forecast one series with networks that were trained on others.

    Parameters
    ----------
    y : array (n,)
        The values, oldest first, at equal distances. NaN is a missing value; those at the ends are
        left out.
    horizon : int
        Rows ahead, at most those that the prior has for the season.
    season : int, optional
        Rows after which the series repeats, 1 for never. Default: what the values show.
    level : float or list of float, optional
        Levels of the intervals in percent, from 1 to below 100. They promise no coverage: `fit` of
        a `Forecaster` calibrates intervals where the series is long enough.
    prior : str
        As in `Forecaster`.

    Returns
    -------
    QuickForecast
        As `Forecaster(horizon, prior=prior)` forecasts the series by the prior alone. Of fewer than
        three values it is the last one, with NaN for bounds; of values that stand still it is the
        last one, and so are the bounds.

    Raises
    ------
    TypeError, ValueError
        `y` is no array of numbers or has no value; an impossible option; a horizon that is too long
        for the prior, or a season that it has not.
    """
    steps = whole_number(WHERE, "horizon", horizon, 1)
    levels = checked_levels(WHERE, level)
    values = _values(y)
    if season is None:
        filled = _panel(values, 1).filled
        found = season_of_values(filled, np.array([0, len(filled)]))
        # What repeats after rows that no prior is for is forecast as what does not.
        chosen, _ = prior_of(WHERE, prior, found, ROWS)
        season = found if chosen is not None else 1
    season = whole_number(WHERE, "season", season, 1)
    chosen, why_not = prior_of(WHERE, prior, season, ROWS)
    if chosen is None:
        raise refused(WHERE, "season", f"found {season}, but {why_not}; pass season=1")
    if steps > chosen.horizon:
        expected = f"expected at most {chosen.horizon}, those of the prior of season {season}"
        raise refused(WHERE, "horizon", f"found {steps}, {expected}")
    panel = _panel(values, season)
    model = _model(chosen, steps)
    made = forecast(model, panel, last_windows(panel))
    trained = trained_levels(model.settings)
    ends = interval_ends(None, made.domain, made.quantiles, trained, trained)
    ends = between_levels(ends, made.points, made.domain, levels)
    low, high = ({one: pair[side][0] for one, pair in ends.items()} for side in (0, 1))
    return QuickForecast(made.points[0], MappingProxyType(low), MappingProxyType(high), season)


def _values(y: npt.ArrayLike) -> Array:
    """The values between the first and the last one that is given."""
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{WHERE}: y: found {type(y).__name__}, expected numbers") from None
    if values.ndim != 1:
        raise refused(WHERE, "y", f"found an array of shape {values.shape}, expected (n,)")
    there = np.flatnonzero(~np.isnan(values))
    if not len(there):
        raise refused(WHERE, "y", f"found no value in {len(values)} rows, expected some")
    values = values[there[0] : there[-1] + 1]
    large = np.abs(values) > MAX_MAGNITUDE
    if large.any():
        place = int(np.argmax(large)) + int(there[0])
        expected = f"expected finite numbers up to {MAX_MAGNITUDE:g}"
        raise refused(WHERE, "y", f"found {values[large][0]} at {place}, {expected}")
    return values


def _panel(values: Array, season: int) -> Panel:
    return replace(_frame(), values=values, offsets=np.array([0, len(values)]), season=season)


@functools.cache
def _frame() -> Panel:
    """A panel of one series, for its values to be put into."""
    name = np.empty(1, dtype=object)
    name[0] = "y"
    none = np.zeros(1, dtype=np.int64)
    parts: dict[str, Any] = {"zone": None, "notes": (), "form": Form("csv")}
    return Panel(name, np.zeros(1), np.array([0, 1]), ROWS, 1, none, none, **parts)


@functools.lru_cache(maxsize=64)
def _model(prior: Prior, horizon: int) -> Model:
    """The networks of a prior for a horizon; it is used by any number of threads."""
    own = dict(prior.settings) | {"horizon": Setting(horizon, "as given")}
    settings = with_prior(own, prior.settings, ALONE, "it forecasts by itself")
    return model_of(settings, _frame(), prior.weights)
