"""Intervals for many series at once, by split conformal prediction on rolling origins.

A calibration window is forecast by a model that has not seen it; how far the truth was from the
forecast is its error, in logs where the known values are positive, else as it is. Errors of all
series are pooled, step by step ahead, after division by a unit that makes windows alike:

- in logs a power of the series' roughness, the mean |change| from value to value or, where that is
  less, over a season. A forecast's error grows with roughness from smooth series to rough ones,
  mostly more slowly; the power is the one that makes the panel's own errors most alike;
- else the roughness, the only unit that such a series has.

Roughness is larger where the last rows moved more than the whole history: weather is rougher in
winter. Recent errors count more, too: the weight of a calibration window halves with its age.

The interval of n such scores of equal weight at level p is the forecast give or take the
ceil((n + 1) p)-th smallest, times the unit of the window at hand. If calibration windows and those
to come are exchangeable, it holds the truth with probability p or more (Vovk et al. 2005; Lei et
al. 2018): on average over series, not for each of them. The 1 is the window at hand, whose score is
taken to be the largest; weights are those of Barber et al. (2023). Windows that share values say
less than others, so that k steps ahead the window at hand counts SHARED * k, or less where windows
begin more than a row apart.

A model that was trained for quantiles has ends of its own for some levels. There the error is how
far the truth lies outside of them, less than 0 inside, and the ends are moved by the same rank of
it, outwards or inwards (conformalised quantile regression, Romano et al. 2019): same promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from memattn.forecast.data.columns import Array
from memattn.forecast.data.frames import Intervals
from memattn.forecast.data.frequency import COUNTED
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Windows

Flags = npt.NDArray[np.bool_]

# Chosen on M3's validation part and the first half of hourly series: bench.forecast_intervals.
POWERS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0)  # of roughness in logs, by which errors are divided
RECENT_ROWS, RECENT_SEASONS = 168, 7  # the larger of them: the last rows, and the half-life
HALF_LIFE_HORIZONS = 3.5  # at least
FORGOTTEN = 6  # half-lives
FEWEST_IN_HALF_LIFE = 60  # windows a series, where they begin more than a row apart
SHARED = 0.5  # of the windows that overlap with one
RECENT_RANGE = 4.0  # by which the last rows may be rougher than the history, or smoother
CUTOFFS = 64  # at which the errors known by then calibrate anew; half as many in each doubling
LARGEST_STEP = 1000.0  # in logs, as the engine has it
LEAST_SEASONAL = 0.01  # of the roughness from value to value: a season that repeats exactly, too
OLDEST = 2**62  # rows
ENOUGH = 20  # scores of a domain; with fewer the other domain's are taken to help


@dataclass(frozen=True)
class Domain:
    """What is known of W windows before they begin; arrays are (W,)."""

    # Whether errors are counted in logs: where the known values are all positive and none is more
    # than LARGEST_STEP times its neighbour, unless the model does not forecast in logs.
    logs: Flags
    # The mean |change| from one known value to the next, 0 without any; where `logs` of the logs,
    # and that over a season where it is less.
    roughness: Array
    change: Array  # how much rougher the last rows are than all of them
    least: Array  # that a truth can be: 0 where no known value is negative, else -infinity

    def __getitem__(self, chosen: Flags) -> Domain:
        return Domain(*(one[chosen] for one in vars(self).values()))

    def unit(self, power: float) -> Array:
        """What errors are divided by; 0 for what stands still."""
        return np.where(self.logs, self.roughness**power, self.roughness) * self.change


def domain_of(panel: Panel, windows: Windows, logs: bool = True) -> Domain:
    """The domain of each window, from the values before it alone; without `logs` in none."""
    values, season = panel.filled, panel.season
    start = panel.offsets[windows.series]
    stop = panel.latest[start + windows.ends - 1] + 1  # without a hole at the end
    fit = values > 0
    in_logs = np.log(np.where(fit, values, 1.0))
    fit[1:] &= np.abs(np.diff(in_logs)) <= np.log(LARGEST_STEP)
    fit[panel.offsets[:-1]] = values[panel.offsets[:-1]] > 0  # no step leads to a first value
    positive = (_count(~fit, start, stop) == 0) & logs
    least = np.where(_count(values < 0, start, stop) == 0, 0.0, -np.inf)
    found = []
    for these in (in_logs, values):
        nearest = _mean_change(these, start, stop, 1)
        seasonal = _mean_change(these, start, stop, season)
        seasonal = np.where(stop - start > season, seasonal, nearest)
        recent = np.maximum(start, stop - max(RECENT_ROWS, RECENT_SEASONS * season))
        change = np.ones(len(windows))
        for lag, whole in ((1, nearest), (season, seasonal)):
            late = _mean_change(these, recent, stop, lag)
            known = (recent > start) & (whole > 0)
            change *= np.divide(late, whole, out=np.ones(len(windows)), where=known)
        change = np.clip(change, RECENT_RANGE**-2, RECENT_RANGE**2) ** 0.25
        if these is in_logs:
            nearest = np.minimum(nearest, np.maximum(seasonal, LEAST_SEASONAL * nearest))
        found.append((nearest, change))
    roughness, change = (np.where(positive, *both) for both in zip(*found, strict=True))
    return Domain(positive, roughness, change, least)


def _count(flags: Flags, start: Ticks, stop: Ticks) -> Ticks:
    """How many of flags[start:stop] are set, of each pair."""
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(flags)])
    return np.asarray(sums[stop] - sums[start])


def _mean_change(values: Array, start: Ticks, stop: Ticks, lag: int) -> Array:
    """The mean |difference| to `lag` values before among values[start:stop], of each pair."""
    change = np.zeros(len(values) + 1)
    change[: max(len(values) - lag, 0)] = np.abs(values[lag:] - values[:-lag])
    # Sums from start to stop - lag and, thrown away, from there to the next start. Not differences
    # of running sums: in those a large series would swallow a small one after it.
    count = np.maximum(stop - start - lag, 0)
    pairs = np.stack([start, start + count], axis=1).ravel()
    if not len(pairs):
        return np.zeros(0)
    sums = np.add.reduceat(change, pairs)[::2]
    return np.asarray(np.where(count > 0, sums, 0.0) / np.maximum(count, 1))


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
        widths = np.empty((len(domain.logs), self.errors.shape[2]))
        for logs in (True, False):
            quantile, power = self._quantile(level, logs)
            mine = domain.logs == logs
            unit = domain.unit(power)[mine, None]
            # An infinite score times a unit of 0 is no width, but none is none.
            quantile = np.broadcast_to(quantile, widths[mine].shape)
            still = np.where(np.isnan(quantile), np.nan, 0.0)
            widths[mine] = np.multiply(unit, quantile, out=still, where=unit > 0)
        return widths

    def _quantile(self, level: float, logs: bool) -> tuple[Array, float]:
        """The quantile of scores for a domain (horizon,), and the power of its units.

        Kept, for forecasts that are made part by part: sorting the scores takes longer than those.
        """
        if (level, logs) not in self._quantiles:
            place = self.levels.index(level) if self.levels else 0
            youngest = self.age.min(initial=OLDEST)
            weights = 0.5 ** ((self.age - youngest) / self.half_life)
            scores, these, power = self._scores(self.errors[:, place], logs)
            quantile = conformal_quantile(scores, level, weights[these], self.apart)
            self._quantiles[level, logs] = quantile, power
        return self._quantiles[level, logs]

    @cached_property
    def _quantiles(self) -> dict[tuple[float, bool], tuple[Array, float]]:
        return {}

    def _scores(self, errors: Array, logs: bool) -> tuple[Array, Flags, float]:
        """Scores (m, horizon) for a domain, their windows, and the power that has divided them."""
        usable = self.domain.roughness > 0
        own = usable & (self.domain.logs == logs)
        if own.sum() < ENOUGH and own.sum() < usable.sum():
            return errors[usable] / self.domain.unit(1.0)[usable, None], usable, 1.0
        power = self._power(errors, own) if logs else 1.0
        return errors[own] / self.domain.unit(power)[own, None], own, power

    def _power(self, errors: Array, own: Flags) -> float:
        """The power of roughness that makes errors likeliest, if their law is Laplace's."""
        known = np.isfinite(errors[own])
        sizes, count = np.where(known, np.abs(errors[own]), 0.0), np.maximum(known.sum(axis=0), 1)
        costs = {}
        for power in POWERS:
            unit = self.domain.unit(power)[own, None]
            mean = (sizes / unit).sum(axis=0) / count
            costs[power] = (np.log(unit) * known).sum(axis=0) @ (1 / count)
            costs[power] += np.log(mean[mean > 0]).sum()
        return min(POWERS, key=lambda power: costs[power])


def calibrate(
    panel: Panel,
    windows: Windows,
    forecasts: Array,
    logs: bool = True,
    levels: tuple[float, ...] = (),
    apart: int = 1,
) -> Calibration:
    """What forecasts of n windows say about errors to come.

    They are points (n, horizon), or (n, 2 K + 1, horizon) ascending quantiles, the median in the
    middle: the ends of K `levels`, ascending. `logs` is as in `domain_of`, and the windows of a
    series begin `apart` rows from each other.
    """
    domain = domain_of(panel, windows, logs)
    horizon, middle = forecasts.shape[-1], len(levels)
    truth = windows.truth(panel, horizon)
    quantiles = quantiles_of(forecasts)
    reaches = range(1, middle + 1) if levels else (0,)
    errors = [_distances(domain, quantiles, truth, middle - k, middle + k) for k in reaches]
    age, half_life = ages(panel, windows), half_life_of(panel.season, horizon, apart)
    return Calibration(np.stack(errors, axis=1), domain, age, half_life, levels, apart)


def half_life_of(season: int, horizon: int, apart: int = 1) -> float:
    """In how many rows the weight of a calibration window halves."""
    rows = max(RECENT_ROWS, RECENT_SEASONS * season, HALF_LIFE_HORIZONS * horizon)
    return rows if apart == 1 else max(rows, FEWEST_IN_HALF_LIFE * apart)


def ages(panel: Panel, windows: Windows) -> Ticks:
    """How many rows there are in the panel after each window begins (W,).

    Series that end earlier have none for the rows in between. Numbers that begin alike count the
    rows of each series.
    """
    last = panel.positions()
    first = last - panel.frequency.step * (panel.lengths - 1)
    if panel.frequency.unit in COUNTED and (first == first[0]).all():
        last = np.zeros_like(last)
    missed = (last.max() - last) // panel.frequency.step
    return np.asarray((panel.lengths + missed)[windows.series] - windows.ends)


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
    if not len(scores):
        return np.full(scores.shape[1], np.nan)
    order = np.argsort(scores, axis=0)
    weight = np.ones(len(scores)) if weights is None else weights
    sums = np.cumsum(weight[order] * ~np.isnan(np.take_along_axis(scores, order, 0)), axis=0)
    # Of the window at hand, the largest score.
    own = np.maximum(1.0, SHARED * np.arange(1, scores.shape[1] + 1) / apart)
    # 1e-9: the sum may lie a rounding error below the share.
    below = (sums < (sums[-1] + own) * level / 100 - 1e-9).sum(axis=0)
    count = np.count_nonzero(~np.isnan(scores), axis=0)
    place = np.minimum(below, np.maximum(count, 1) - 1)
    return np.asarray(scores[order[place, np.arange(len(place))], np.arange(len(place))])


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
    logs = domain.logs[:, None]
    quantiles = quantiles_of(forecasts)
    inner_low = inner_high = points_of(forecasts)
    ends = {}
    for level in levels:
        reach = trained.index(level) + 1 if trained else 0
        middle = quantiles.shape[1] // 2
        low, high = quantiles[:, middle - reach], quantiles[:, middle + reach]
        if calibration is not None:
            width = calibration.half_width(domain, level)
            with np.errstate(over="ignore", invalid="ignore"):
                factor = np.exp(np.where(logs, width, 0.0))
                low = np.where(logs, low / factor, low - width)
                high = np.where(logs, high * factor, high + width)
            # Also above what has no logarithm: no error is too large.
            high = np.where(width == np.inf, np.inf, high)
        low = np.maximum(low, np.minimum(domain.least[:, None], points_of(forecasts)))
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
    normal = NormalDist()
    places = np.array([0.0, *(normal.inv_cdf(0.5 + level / 200) for level in known)])
    logs = domain.logs[:, None]
    found = {}
    for level in levels:
        if level in ends:
            found[level] = ends[level]
            continue
        place = normal.inv_cdf(0.5 + level / 200)
        above = int(np.clip(np.searchsorted(places, place), 1, len(places) - 1))
        share = (place - places[above - 1]) / (places[above] - places[above - 1])
        pair = []
        for side in (0, 1):
            near = points if above == 1 else ends[known[above - 2]][side]
            far = ends[known[above - 1]][side]
            in_logs = logs & (near > 0) & (far > 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = near * (far / near) ** share
                straight = np.where(np.isfinite(far), near + share * (far - near), far)
            end = np.where(in_logs & np.isfinite(far), ratio, straight)
            pair.append(np.maximum(end, np.minimum(domain.least[:, None], points)))
        found[level] = pair[0], pair[1]
    return found


def rolling_ends(
    calibration: Calibration,
    age: Ticks,
    domain: Domain,
    forecasts: Array,
    levels: Sequence[float],
    trained: tuple[float, ...] = (),
) -> dict[float, tuple[Array, Array]]:
    """As `interval_ends`, each window by the errors that were known when it began.

    `age` (W,) is that of the windows, as the calibration counts it.
    """
    ends = {level: np.empty((2, len(age), forecasts.shape[-1])) for level in levels}
    # By rows since the first cutoff alone: how many are still to come is not known at a cutoff.
    since = age.max() - age
    doublings = np.frexp(since // CUTOFFS)[1]
    group = since >> doublings << doublings
    for k in np.unique(group):
        mine = group == k
        known = calibration.before(int(age[mine].max()))
        found = interval_ends(known, domain[mine], forecasts[mine], levels, trained)
        for level, pair in found.items():
            ends[level][:, mine] = pair
    return {level: (low, high) for level, (low, high) in ends.items()}
