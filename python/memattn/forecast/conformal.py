"""Intervals for many series at once, by split conformal prediction on rolling origins.

A calibration window is forecast by a model that has not seen it; how far the truth was from the
forecast is its error, in logs where the known values are positive, else as it is. Errors of all
series are pooled, step by step ahead, after division by what makes series alike:

- in logs the root of the series' roughness, the mean |change| from value to value. Not by the
  roughness itself: a forecast's error grows more slowly than that from smooth series to rough ones,
  and the root gave narrower intervals of the same coverage on all of M3's frequencies;
- else the roughness, the only unit that such a series has.

The interval of n such scores at level p is the forecast give or take the ceil((n + 1) p)-th
smallest, times the divisor of the window at hand. If calibration windows and those to come are
exchangeable, it holds the truth with probability p or more (Vovk et al. 2005; Lei et al. 2018):
on average over series, not for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memattn.forecast.baselines import Windows
from memattn.forecast.columns import Array
from memattn.forecast.panel import Panel
from memattn.forecast.time_zones import Ticks

Flags = npt.NDArray[np.bool_]

SMOOTHEST = 0.005  # added to roughness in logs: what stands still may begin to move
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
        The mean |change| from one known value to the next, in logs where `logs`; 0 without any.
    """

    logs: Flags
    roughness: Array


def domain_of(panel: Panel, windows: Windows, logs: bool = True) -> Domain:
    """The domain of each window, from the values before it alone; without `logs` in none."""
    start = panel.offsets[windows.series]
    stop = start + windows.ends
    bad = np.concatenate([[0], np.cumsum(panel.values <= 0)])
    positive = (bad[stop] == bad[start]) & logs
    with np.errstate(divide="ignore", invalid="ignore"):
        in_logs = np.log(np.where(panel.values > 0, panel.values, 1.0))
    roughness = np.where(
        positive, _mean_change(in_logs, start, stop), _mean_change(panel.values, start, stop)
    )
    return Domain(positive, roughness)


def _mean_change(values: Array, start: Ticks, stop: Ticks) -> Array:
    """The mean |difference| of neighbours among values[start:stop], of each pair."""
    change = np.concatenate([np.abs(np.diff(values)), [0.0, 0.0]])
    # Sums from start to stop - 1 and, thrown away, from there to the next start. Not differences of
    # running sums: in those a large series would swallow a small one after it.
    pairs = np.stack([start, stop - 1], axis=1).ravel()
    if not len(pairs):
        return np.zeros(0)
    sums = np.add.reduceat(change, pairs)[::2]
    several = stop - start > 1
    mean: Array = np.where(several, sums, 0.0) / np.maximum(stop - start - 1, 1)
    return mean


@dataclass(frozen=True, eq=False)
class Calibration:
    """The errors of n calibration windows.

    Attributes
    ----------
    errors : array (n, horizon)
        |error| in the window's domain, NaN where there is no truth, infinite where a truth is not
        positive though all before it was.
    domain : Domain
        Of the windows.
    """

    errors: Array
    domain: Domain

    def __len__(self) -> int:
        return len(self.errors)

    def half_widths(self, domain: Domain, levels: Sequence[float]) -> list[Array]:
        """For each level, in percent, how far the interval reaches, in the domain (W, horizon).

        NaN for steps ahead without any score. When there are too few for a level, the largest
        stands in.
        """
        logs, additive = self._scores(True), self._scores(False)
        divisor = domain.roughness + SMOOTHEST
        divisor = np.sqrt(divisor) if logs.by_root else divisor
        widths = []
        for level in levels:
            log_width = divisor[:, None] * conformal_quantile(logs.scores, level)
            # An infinite score times a roughness of 0.
            quantile = conformal_quantile(additive.scores, level)
            plain = np.multiply(
                domain.roughness[:, None],
                quantile,
                out=np.zeros((len(domain.roughness), len(quantile))),
                where=domain.roughness[:, None] > 0,
            )
            widths.append(np.where(domain.logs[:, None], log_width, plain))
        return widths

    def _scores(self, logs: bool) -> _Scores:
        own = self.domain.logs == logs
        usable = self.domain.logs | (self.domain.roughness > 0)
        if (own & usable).sum() >= ENOUGH or not (~own & usable).any():
            chosen = own & usable
            roughness = self.domain.roughness[chosen]
            divisor = np.sqrt(roughness + SMOOTHEST) if logs else roughness
            return _Scores(self.errors[chosen] / divisor[:, None], logs)
        roughness = self.domain.roughness + np.where(self.domain.logs, SMOOTHEST, 0.0)
        return _Scores(self.errors[usable] / roughness[usable, None], False)


@dataclass(frozen=True)
class _Scores:
    """Scores (m, horizon), and whether the root of roughness has divided them."""

    scores: Array
    by_root: bool


def calibrate(panel: Panel, windows: Windows, forecasts: Array, logs: bool = True) -> Calibration:
    """What forecasts (n, horizon) of windows say about errors to come."""
    domain = domain_of(panel, windows, logs)
    truth = windows.truth(panel, forecasts.shape[1])
    return Calibration(_errors(domain, forecasts, truth), domain)


def _errors(domain: Domain, forecasts: Array, truth: Array) -> Array:
    logs = domain.logs[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(np.log(np.maximum(truth, 0.0)) - np.log(forecasts))
    errors = np.where(logs, relative, np.abs(truth - forecasts))
    # Not a number though there is a truth: as wrong as can be.
    return np.where(np.isnan(errors) & ~np.isnan(truth), np.inf, errors)


def conformal_quantile(scores: Array, level: float) -> Array:
    """The ceil((n + 1) level / 100)-th smallest score of each step (horizon,); NaN without any.

    Parameters
    ----------
    scores : array (n, horizon)
        Not negative; NaN is none.
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
    calibration: Calibration, domain: Domain, forecasts: Array, levels: Sequence[float]
) -> dict[float, tuple[Array, Array]]:
    """The two ends (W, horizon) for each level in percent, nested, with the forecast inside."""
    logs = domain.logs[:, None]
    ends = {}
    for level, width in zip(levels, calibration.half_widths(domain, levels), strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            factor = np.exp(np.where(logs, width, 0.0))
            low = np.where(logs, forecasts / factor, forecasts - width)
            high = np.where(logs, forecasts * factor, forecasts + width)
        ends[level] = (low, high)
    return ends
