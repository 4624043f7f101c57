"""Intervals for many series at once, by split conformal prediction on rolling origins.

A calibration window is forecast by a model that was not trained on it. Its error is the distance of
the actual value from the forecast, in logs if the known values are positive. Errors of all series
are pooled for each step ahead, divided by a unit that makes windows comparable:

- in logs, a power of the series' roughness: the mean |change| from value to value or, if less, over
a season. Errors usually grow more slowly than roughness; the power is chosen so that the panel's
errors become most alike;
- without logs, the roughness, the only unit of such a series.

Roughness is larger if the last rows changed more than the whole history, such as weather in winter.
Recent errors have more weight, which halves with the age of a calibration window.

With n scores of equal weight, the interval of level p is the forecast plus or minus the ceil((n +
1) p)-th smallest score, times the unit of the new window. If calibration windows and future windows
are exchangeable, it contains the actual value with probability p or more (Vovk et al. 2005; Lei et
al. 2018), on average over series, not for each series. The 1 stands for the new window, whose score
is assumed to be the largest; weights are those of Barber et al. (2023). Windows that share values
are worth less, so k steps ahead the new window counts SHARED * k, or less if windows begin more
than a row apart.

A model trained for quantiles has its own bounds for some levels. The error is then the distance of
the actual value outside of these bounds, negative inside, and the bounds are moved outwards or
inwards by the same rank of the errors (conformalised quantile regression, Romano et al. 2019), with
the same guarantee.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from memattn._memattn import (
    ROUGHNESS_POWERS,
    SHARED_WINDOWS,
    ErrorScores,
    ends_between,
    error_scores,
    half_life_of,
    moved_ends,
    window_domains,
)
from memattn._memattn import conformal_quantile as ranked_quantile
from memattn.forecast.data.columns import Array
from memattn.forecast.data.frames import Intervals
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Span, Windows, ages

Flags = npt.NDArray[np.bool_]

# Chosen on M3's validation part and the first half of hourly series: bench.forecast_intervals.
POWERS = tuple(ROUGHNESS_POWERS)  # candidate powers of the roughness, the unit of errors in logs
SHARED = SHARED_WINDOWS  # k steps ahead, the new window counts as SHARED * k windows
FORGOTTEN = 6  # half-lives after which an error is dropped
# Each of the first CUTOFFS rows has its own calibration, on the errors known by then. With each
# doubling of the rows after that, a calibration serves twice as many rows.
CUTOFFS = 64
OLDEST = 2**62  # rows, more than any age


@dataclass(frozen=True)
class Domain:
    """What is known of W windows before they begin; arrays are (W,)."""

    # Whether errors are measured in logs: if all known values are positive and none is more than
    # 1,000 times its neighbour, unless the model does not forecast in logs.
    logs: Flags
    # The mean |change| from one known value to the next, 0 if there is none. With `logs`, that of
    # the logs or, if less, their mean |change| over a season.
    roughness: Array
    change: Array  # roughness of the last rows relative to that of all rows
    least: Array  # lowest possible true value: 0 if no known value is negative, else -infinity

    def __getitem__(self, chosen: Flags) -> Domain:
        return Domain(*(one[chosen] for one in vars(self).values()))

    def unit(self, power: float) -> Array:
        """Returns the unit of errors (W,); 0 for a constant series."""
        return np.where(self.logs, self.roughness**power, self.roughness) * self.change


def domain_of(panel: Panel, windows: Windows, logs: bool = True) -> Domain:
    """Returns the domain of each window, from the values before it alone.

    If `logs` is False, no window is in logs.
    """
    start = panel.offsets[windows.series]
    stops = panel.latest[start + windows.ends - 1] + 1 - start  # without missing rows at the end
    values = np.ascontiguousarray(panel.filled, np.float64)
    of = np.ascontiguousarray(windows.series, np.int64)
    return Domain(*window_domains(values, panel.offsets, of, stops, panel.season, logs))


@dataclass(frozen=True, eq=False)
class Calibration:
    """The errors of n calibration windows."""

    # (n, K, horizon), in the window's domain: the |error| of the forecast with K = 1, or, for K
    # trained levels, the distance of the true value outside the bounds of each. NaN without a true
    # value; infinite if a positive series turned non-positive.
    errors: Array
    domain: Domain
    age: Ticks  # (n,), rows that are known after the window began
    half_life: float  # of the weights of windows, in rows
    levels: tuple[float, ...] = ()  # trained levels in percent, ascending; if empty, any level
    apart: int = 1  # rows between consecutive windows of a series
    _found: dict[tuple[int, bool], ErrorScores] = field(
        default_factory=dict, init=False, repr=False
    )

    def __len__(self) -> int:
        return len(self.errors)

    def before(self, rows: int) -> Calibration:
        """Returns the errors that were known `rows` rows earlier, without those of tiny weight."""
        age = self.age - rows
        known = age[:, None] > np.arange(self.errors.shape[2])
        youngest = age[age > 0].min(initial=OLDEST)
        kept = known[:, 0] & (age - youngest <= FORGOTTEN * self.half_life)
        errors = np.where(known[kept, None], self.errors[kept], np.nan)
        return replace(self, errors=errors, domain=self.domain[kept], age=age[kept])

    def joined(self, other: Calibration, rows: int) -> Calibration:
        """Returns these errors, aged by `rows` rows, together with the newer ones of `other`."""
        pairs = zip(vars(self.domain).values(), vars(other.domain).values(), strict=True)
        return replace(
            self,
            errors=np.concatenate([self.errors, other.errors]),
            domain=Domain(*(np.concatenate(pair) for pair in pairs)),
            age=np.concatenate([self.age + rows, other.age]),
        )

    def half_width(self, domain: Domain, level: float) -> Array:
        """Returns the half-width of the interval of a level, in the domain (W, horizon).

        `level` is in percent. For a trained level, returns how far its bounds move outwards, or a
        negative value if they move inwards. Steps ahead without any score have NaN. If there are
        too few scores for the level, the largest is used.
        """
        place = self.levels.index(level) if self.levels else 0
        widths = np.empty((len(domain.logs), self.errors.shape[2]))
        for logs in (True, False):
            mine = domain.logs == logs
            found = domain[mine]
            scores = self._scores(place, logs)
            widths[mine] = scores.half_widths(found.logs, found.roughness, found.change, level)
        return widths

    def _scores(self, place: int, logs: bool) -> ErrorScores:
        """Returns the sorted scores of a domain, computed once for all levels and windows."""
        if (place, logs) not in self._found:
            domain, age = self.domain, np.ascontiguousarray(self.age)
            of = domain.logs, domain.roughness, domain.change, age
            errors, scale = np.ascontiguousarray(self.errors), (self.half_life, self.apart)
            self._found[place, logs] = error_scores(errors, place, *of, *scale, logs)
        return self._found[place, logs]


def calibrate(
    panel: Panel,
    windows: Windows,
    forecasts: Array,
    logs: bool = True,
    levels: tuple[float, ...] = (),
    apart: int = 1,
    span: Span | None = None,
) -> Calibration:
    """Returns the calibration on the errors of forecasts of n windows.

    `forecasts` are points (n, horizon), or ascending quantiles (n, 2 K + 1, horizon): the bounds of
    K ascending `levels`, with the median in the middle. `logs` is as in `domain_of`. The windows of
    a series begin `apart` rows from each other. If the panel is a part of another one, `span` is
    that of the whole.
    """
    domain = domain_of(panel, windows, logs)
    horizon, middle = forecasts.shape[-1], len(levels)
    truth = windows.truth(panel, horizon)
    quantiles = quantiles_of(forecasts)
    reaches = range(1, middle + 1) if levels else (0,)
    errors = [_distances(domain, quantiles, truth, middle - k, middle + k) for k in reaches]
    age, half_life = ages(panel, windows, span), half_life_of(panel.season, horizon, apart)
    return Calibration(np.stack(errors, axis=1), domain, age, half_life, levels, apart)


def quantiles_of(forecasts: Array) -> Array:
    """Returns forecasts as quantiles (n, quantiles, horizon); points are a single quantile."""
    return forecasts[:, None] if forecasts.ndim == 2 else forecasts


def points_of(forecasts: Array) -> Array:
    """Returns the point forecasts (n, horizon): the quantile in the middle."""
    quantiles = quantiles_of(forecasts)
    return quantiles[:, quantiles.shape[1] // 2]


def _distances(domain: Domain, quantiles: Array, truth: Array, low: int, high: int) -> Array:
    """Returns how far the truth lies outside of two quantiles (n, horizon); negative inside."""
    logs = domain.logs[:, None]
    below, above = quantiles[:, low], quantiles[:, high]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(np.maximum(truth, 0.0))
        relative = np.maximum(np.log(below) - found, found - np.log(above))
        distances = np.where(logs, relative, np.maximum(below - truth, truth - above))
    # NaN although the truth is known: the largest possible error.
    return np.where(np.isnan(distances) & ~np.isnan(truth), np.inf, distances)


def conformal_quantile(
    scores: Array, level: float, weights: Array | None = None, apart: int = 1
) -> Array:
    """Returns the weighted quantile of the scores (n, horizon) for each step ahead; ignores NaN.

    With equal weights, one step ahead, it is the ceil((n + 1) level / 100)-th smallest score.
    `weights` (n,) are at most 1, the default. `apart` is as in `calibrate`.
    """
    weight = np.ones(len(scores)) if weights is None else weights
    return ranked_quantile(np.ascontiguousarray(scores, np.float64), level, weight, apart)


def interval_ends(
    calibration: Calibration | None,
    domain: Domain,
    forecasts: Array,
    levels: Sequence[float],
    trained: tuple[float, ...] = (),
) -> dict[float, tuple[Array, Array]]:
    """Returns the bounds (W, horizon) for each level in percent: nested, around the forecast.

    `forecasts` are as in `calibrate`, for the windows of the domain. `levels` ascend. With
    `trained` levels, the forecasts contain the bounds of these levels, and `levels` are some of
    them. Without a calibration, the bounds are the quantiles in `forecasts`.
    """
    quantiles, points = quantiles_of(forecasts), np.ascontiguousarray(points_of(forecasts))
    inner_low = inner_high = points
    ends = {}
    for level in levels:
        reach = trained.index(level) + 1 if trained else 0
        middle = quantiles.shape[1] // 2
        below = np.ascontiguousarray(quantiles[:, middle - reach])
        above = np.ascontiguousarray(quantiles[:, middle + reach])
        width = None if calibration is None else calibration.half_width(domain, level)
        low, high = moved_ends(domain.logs, domain.least, points, below, above, width)
        # Bounds that move inwards must not cross each other, or the bounds of a lower level.
        inner_low, inner_high = np.minimum(low, inner_low), np.maximum(high, inner_high)
        ends[level] = inner_low, inner_high
    return ends


def between_levels(
    ends: Intervals, points: Array, domain: Domain, levels: Sequence[float]
) -> dict[float, tuple[Array, Array]]:
    """Interpolates the bounds of `levels` from those of other levels.

    The bounds are linear in the quantile of the normal distribution, in logs if the domain has
    them. Beyond the largest level they are extrapolated from the last two. `points` (W, horizon),
    the forecasts, are the bounds of level 0.
    """
    known = sorted(ends)
    pairs = np.array([ends[level] for level in known])
    of = domain.logs, domain.least, np.ascontiguousarray(points), pairs, known
    found = {level: ends_between(*of, level) for level in levels if level not in ends}
    return {level: ends[level] if level in ends else tuple(found[level]) for level in levels}


def rolling_ends(
    calibration: Calibration,
    age: Ticks,
    domain: Domain,
    forecasts: Array,
    levels: Sequence[float],
    trained: tuple[float, ...] = (),
    among: Ticks | None = None,
) -> dict[float, tuple[Array, Array]]:
    """As `interval_ends`, but calibrates each window on the errors known when it began.

    `age` (W,) is the age of each window, counted as in the calibration. `among` has the ages of all
    windows of the backtest, if these W are only some of them. Default: `age`.
    """
    among = age if among is None else among
    ends = {level: np.empty((2, len(age), forecasts.shape[-1])) for level in levels}
    # Only rows since the first cutoff count: a cutoff does not know how many rows follow it.
    oldest = among.max()
    mine_of, all_of = _spells(oldest - age), _spells(oldest - among)
    for k in np.unique(mine_of):
        mine = mine_of == k
        known = calibration.before(int(among[all_of == k].max()))
        found = interval_ends(known, domain[mine], forecasts[mine], levels, trained)
        for level, pair in found.items():
            ends[level][:, mine] = pair
    return {level: (low, high) for level, (low, high) in ends.items()}


def _spells(since: Ticks) -> Ticks:
    """Returns the first row of the spell that each row lies in; a spell shares one calibration."""
    doublings = np.frexp(since // CUTOFFS)[1]
    return np.asarray(since >> doublings << doublings)
