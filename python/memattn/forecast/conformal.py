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
POWERS = tuple(ROUGHNESS_POWERS)  # of roughness in logs, by which errors are divided
SHARED = SHARED_WINDOWS  # of the windows that overlap with one
FORGOTTEN = 6  # half-lives
CUTOFFS = 64  # at which the errors known by then calibrate anew; half as many in each doubling
OLDEST = 2**62  # rows


@dataclass(frozen=True)
class Domain:
    """What is known of W windows before they begin; arrays are (W,)."""

    # Whether errors are counted in logs: where the known values are all positive and none is more
    # than 1,000 times its neighbour, unless the model does not forecast in logs.
    logs: Flags
    # The mean |change| from one known value to the next, 0 without any; where `logs` of the logs,
    # and that over a season where it is less.
    roughness: Array
    change: Array  # how much rougher the last rows are than all of them
    least: Array  # that a truth can be: 0 where no known value is negative, else -infinity

    def __getitem__(self, chosen: Flags) -> Domain:
        return Domain(*(one[chosen] for one in vars(self).values()))

    def unit(self, power: float) -> Array:
        """The unit of errors; 0 for a constant series."""
        return np.where(self.logs, self.roughness**power, self.roughness) * self.change


def domain_of(panel: Panel, windows: Windows, logs: bool = True) -> Domain:
    """The domain of each window, from the values before it alone; without `logs` in none."""
    start = panel.offsets[windows.series]
    stops = panel.latest[start + windows.ends - 1] + 1 - start  # without a hole at the end
    values = np.ascontiguousarray(panel.filled, np.float64)
    of = np.ascontiguousarray(windows.series, np.int64)
    return Domain(*window_domains(values, panel.offsets, of, stops, panel.season, logs))


@dataclass(frozen=True, eq=False)
class Calibration:
    """The errors of n calibration windows."""

    # (n, K, horizon), in the window's domain: |error| of the forecast, K = 1, or with K trained
    # levels how far the truth lies outside of the ends of each. NaN where there is no truth,
    # infinite where a truth is not positive though all before it was.
    errors: Array
    domain: Domain
    age: Ticks  # (n,), how many rows were known after the window began
    half_life: float  # of the weights of windows, in rows
    levels: tuple[float, ...] = ()  # that were trained, in percent, ascending; none: any can be had
    apart: int = 1  # rows from one window of a series to the next
    _found: dict[tuple[int, bool], ErrorScores] = field(
        default_factory=dict, init=False, repr=False
    )

    def __len__(self) -> int:
        return len(self.errors)

    def before(self, rows: int) -> Calibration:
        """What was known so many rows earlier, without what weighs next to nothing."""
        age = self.age - rows
        known = age[:, None] > np.arange(self.errors.shape[2])
        youngest = age[age > 0].min(initial=OLDEST)
        kept = known[:, 0] & (age - youngest <= FORGOTTEN * self.half_life)
        errors = np.where(known[kept, None], self.errors[kept], np.nan)
        return replace(self, errors=errors, domain=self.domain[kept], age=age[kept])

    def joined(self, other: Calibration, rows: int) -> Calibration:
        """With the errors of windows that became known in the next `rows` rows."""
        pairs = zip(vars(self.domain).values(), vars(other.domain).values(), strict=True)
        return replace(
            self,
            errors=np.concatenate([self.errors, other.errors]),
            domain=Domain(*(np.concatenate(pair) for pair in pairs)),
            age=np.concatenate([self.age + rows, other.age]),
        )

    def half_width(self, domain: Domain, level: float) -> Array:
        """How far the interval of a level, in percent, reaches, in the domain (W, horizon).

        Less than 0 where the ends of a trained level have to come closer. NaN for steps ahead
        without any score. When there are too few for the level, the largest stands in.
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
        """The scores of a domain, in order: found once, for all levels and windows."""
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
    """What forecasts of n windows say about errors to come.

    They are points (n, horizon), or (n, 2 K + 1, horizon) ascending quantiles, the median in the
    middle: the ends of K `levels`, ascending. `logs` is as in `domain_of`, and the windows of a
    series begin `apart` rows from each other. `span` is of a panel of which this one is a part.
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
    """Forecasts (n, quantiles, horizon); points are a single quantile."""
    return forecasts[:, None] if forecasts.ndim == 2 else forecasts


def points_of(forecasts: Array) -> Array:
    """Forecasts (n, horizon): the quantile in the middle."""
    quantiles = quantiles_of(forecasts)
    return quantiles[:, quantiles.shape[1] // 2]


def _distances(domain: Domain, quantiles: Array, truth: Array, low: int, high: int) -> Array:
    """How far the truth lies outside of two quantiles, less than 0 inside (n, horizon)."""
    logs = domain.logs[:, None]
    below, above = quantiles[:, low], quantiles[:, high]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(np.maximum(truth, 0.0))
        relative = np.maximum(np.log(below) - found, found - np.log(above))
        distances = np.where(logs, relative, np.maximum(below - truth, truth - above))
    # Not a number though there is a truth: as wrong as can be.
    return np.where(np.isnan(distances) & ~np.isnan(truth), np.inf, distances)


def conformal_quantile(
    scores: Array, level: float, weights: Array | None = None, apart: int = 1
) -> Array:
    """The weighted quantile of the scores (n, horizon) of each step; NaN is none.

    With equal weights it is, one step ahead, the ceil((n + 1) level / 100)-th smallest. Weights
    (n,) are at most 1, which they are by default; `apart` is as in `calibrate`.
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
    """The two ends (W, horizon) for each level in percent, nested, with the forecast inside.

    `forecasts` are as in `calibrate`, of windows of the domain, and `levels` ascend: some of the
    `trained` ones, whose ends the quantiles are. Without a calibration they are the ends.
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
        # Ends that came closer may cross: not each other, nor those of a lower level.
        inner_low, inner_high = np.minimum(low, inner_low), np.maximum(high, inner_high)
        ends[level] = inner_low, inner_high
    return ends


def between_levels(
    ends: Intervals, points: Array, domain: Domain, levels: Sequence[float]
) -> dict[float, tuple[Array, Array]]:
    """The ends of any levels from those of some: linear in the quantile of the normal distribution.

    Beyond the largest one they go on as between the last two. Where the domain has logs, they are
    linear in these. `points` (W, horizon) are the forecasts, of level 0.
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
    """As `interval_ends`, each window by the errors that were known when it began.

    `age` (W,) is that of the windows, as the calibration counts it; `among` are the ages of all
    windows of which these are some, the same ones by default.
    """
    among = age if among is None else among
    ends = {level: np.empty((2, len(age), forecasts.shape[-1])) for level in levels}
    # By rows since the first cutoff alone: how many are still to come is not known at a cutoff.
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
    """Where the spell begins in which each number of rows lies; later spells are longer."""
    doublings = np.frexp(since // CUTOFFS)[1]
    return np.asarray(since >> doublings << doublings)
