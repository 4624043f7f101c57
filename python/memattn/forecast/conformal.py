"""Intervals for many series at once, by split conformal prediction on rolling origins.

A calibration window is forecast by a model that has not seen it; how far the truth was from the
forecast is its error, in logs where the known values are positive, else as it is. Errors of all
series are pooled, step by step ahead, after division by a unit that makes series alike:

- in logs a power of the series' roughness, the mean |change| from value to value or, where that is
  less, over a season. Power 3/4, between the root and the roughness itself: a forecast's error
  grows more slowly than roughness from smooth series to rough ones. Of the powers 0, 1/2, 2/3, 3/4,
  0.85 and 1, with and without the season, it has the best interval score on M3's validation part
  (`python -m bench.forecast_intervals`);
- else the roughness, the only unit that such a series has.

The interval of n such scores at level p is the forecast give or take the ceil((n + 1) p)-th
smallest, times the unit of the window at hand. If calibration windows and those to come are
exchangeable, it holds the truth with probability p or more (Vovk et al. 2005; Lei et al. 2018):
on average over series, not for each of them.

A model that was trained for quantiles has ends of its own for some levels. There the error is how
far the truth lies outside of them, less than 0 inside, and the ends are moved by the same rank of
it, outwards or inwards (conformalised quantile regression, Romano et al. 2019): same promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memattn.forecast.data.columns import Array
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Windows

Flags = npt.NDArray[np.bool_]

SMOOTHEST = 0.005  # added to roughness in logs: what stands still may begin to move
POWER = 0.75  # of roughness in logs, by which errors are divided
LEAST_SEASONAL = 0.01  # of the roughness from value to value: a season that repeats exactly, too
ENOUGH = 20  # scores of a domain; with fewer the other domain's are taken to help


@dataclass(frozen=True)
class Domain:
    """What is known of W windows before they begin.

    Attributes
    ----------
    logs : array (W,)
        Whether errors are counted in logs: where the known values are all positive, unless the
        model does not forecast in logs.
    roughness : array (W,)
        The mean |change| from one known value to the next, 0 without any; where `logs` of the
        logs, and that over a season where it is less.
    """

    logs: Flags
    roughness: Array

    @property
    def unit(self) -> Array:
        """What errors are divided by (W,); 0 for what stands still at or below 0."""
        return np.where(self.logs, (self.roughness + SMOOTHEST) ** POWER, self.roughness)


def domain_of(panel: Panel, windows: Windows, logs: bool = True) -> Domain:
    """The domain of each window, from the values before it alone; without `logs` in none."""
    values, start = panel.filled, panel.offsets[windows.series]
    stop = panel.latest[start + windows.ends - 1] + 1  # without a hole at the end
    bad = np.concatenate([[0], np.cumsum(values <= 0)])
    positive = (bad[stop] == bad[start]) & logs
    with np.errstate(divide="ignore", invalid="ignore"):
        in_logs = np.log(np.where(values > 0, values, 1.0))
    nearest = _mean_change(in_logs, start, stop, 1)
    seasonal = _mean_change(in_logs, start, stop, panel.season)
    seasonal = np.where(stop - start > panel.season, seasonal, nearest)
    relative = np.minimum(nearest, np.maximum(seasonal, LEAST_SEASONAL * nearest))
    plain = _mean_change(values, start, stop, 1)
    return Domain(positive, np.where(positive, relative, plain))


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
    mean: Array = np.where(count > 0, sums, 0.0) / np.maximum(count, 1)
    return mean


@dataclass(frozen=True, eq=False)
class Calibration:
    """The errors of n calibration windows.

    Attributes
    ----------
    errors : array (n, K, horizon)
        In the window's domain; NaN where there is no truth, infinite where a truth is not positive
        though all before it was. |error| of the forecast, K = 1, or with K trained levels how far
        the truth lies outside of the ends of each.
    domain : Domain
        Of the windows.
    levels : tuple of float
        Those that were trained, in percent, ascending; none: any level can be had.
    """

    errors: Array
    domain: Domain
    levels: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.errors)

    def half_width(self, domain: Domain, level: float) -> Array:
        """How far the interval of a level, in percent, reaches, in the domain (W, horizon).

        Less than 0 where the ends of a trained level have to come closer. NaN for steps ahead
        without any score. When there are too few for the level, the largest stands in.
        """
        place = self.levels.index(level) if self.levels else 0
        widths = np.empty((len(domain.logs), self.errors.shape[2]))
        for logs in (True, False):
            scores, with_power = self._scores(self.errors[:, place], logs)
            mine = domain.logs == logs
            roughness = domain.roughness[mine]
            unit = domain.unit[mine] if with_power else roughness + (SMOOTHEST if logs else 0)
            # An infinite score times a unit of 0 is no width.
            quantile = np.broadcast_to(conformal_quantile(scores, level), widths[mine].shape)
            still = np.zeros_like(quantile)
            widths[mine] = np.multiply(unit[:, None], quantile, out=still, where=unit[:, None] > 0)
        return widths

    def _scores(self, errors: Array, logs: bool) -> tuple[Array, bool]:
        """Scores (m, horizon) for a domain, and whether its own unit has divided them."""
        own = self.domain.logs == logs
        usable = self.domain.logs | (self.domain.roughness > 0)
        if (own & usable).sum() >= ENOUGH or not (~own & usable).any():
            chosen = own & usable
            return errors[chosen] / self.domain.unit[chosen, None], True
        roughness = self.domain.roughness + np.where(self.domain.logs, SMOOTHEST, 0.0)
        return errors[usable] / roughness[usable, None], False


def calibrate(
    panel: Panel,
    windows: Windows,
    forecasts: Array,
    logs: bool = True,
    levels: tuple[float, ...] = (),
) -> Calibration:
    """What forecasts of windows say about errors to come.

    Parameters
    ----------
    panel : Panel
        Of the windows.
    windows : Windows
        n of them.
    forecasts : array (n, horizon) or (n, 2 K + 1, horizon)
        Of them: points, or ascending quantiles, the median in the middle.
    logs : bool
        As in `domain_of`.
    levels : tuple of float
        The K levels whose ends the quantiles are, ascending.
    """
    domain = domain_of(panel, windows, logs)
    truth = windows.truth(panel, forecasts.shape[-1])
    quantiles = quantiles_of(forecasts)
    if not levels:
        return Calibration(_distances(domain, quantiles, truth, 0, 0)[:, None], domain)
    middle = len(levels)
    errors = [
        _distances(domain, quantiles, truth, middle - k, middle + k) for k in range(1, middle + 1)
    ]
    return Calibration(np.stack(errors, axis=1), domain, levels)


def quantiles_of(forecasts: Array) -> Array:
    """Forecasts (n, quantiles, horizon); points are a single quantile."""
    return forecasts[:, None] if forecasts.ndim == 2 else forecasts


def points_of(forecasts: Array) -> Array:
    """Forecasts (n, horizon): the quantile in the middle."""
    quantiles = quantiles_of(forecasts)
    points: Array = quantiles[:, quantiles.shape[1] // 2]
    return points


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


def conformal_quantile(scores: Array, level: float) -> Array:
    """The ceil((n + 1) level / 100)-th smallest score of each step (horizon,); NaN without any.

    Parameters
    ----------
    scores : array (n, horizon)
        NaN is none.
    level : float
        In percent.
    """
    count = np.count_nonzero(~np.isnan(scores), axis=0)
    if not len(scores):
        return np.full(scores.shape[1], np.nan)
    # 1e-9: (n + 1) * level / 100 may lie a rounding error above a whole number.
    rank = np.ceil((count + 1) * level / 100 - 1e-9).astype(np.int64)
    place = np.clip(rank, 1, np.maximum(count, 1)) - 1
    chosen: Array = np.take_along_axis(np.sort(scores, axis=0), place[None, :], axis=0)[0]
    return chosen


def interval_ends(
    calibration: Calibration | None,
    domain: Domain,
    forecasts: Array,
    levels: Sequence[float],
    trained: tuple[float, ...] = (),
) -> dict[float, tuple[Array, Array]]:
    """The two ends (W, horizon) for each level in percent, nested, with the forecast inside.

    Parameters
    ----------
    calibration : Calibration or None
        None: the ends are trained quantiles as they are.
    domain : Domain
        Of the windows.
    forecasts : array (W, horizon) or (W, 2 K + 1, horizon)
        Points, or ascending quantiles.
    levels : sequence of float
        Ascending; with `trained` levels, some of them.
    trained : tuple of float
        The K levels whose ends the quantiles are, ascending.
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
        # Ends that came closer may cross: not each other, nor those of a lower level.
        inner_low, inner_high = np.minimum(low, inner_low), np.maximum(high, inner_high)
        ends[level] = inner_low, inner_high
    return ends
