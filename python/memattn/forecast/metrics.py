"""Measures of forecast error. Arrays are (N, horizon): N windows, `horizon` steps ahead.

Each window is measured by itself, vectorised: `window_errors` with the scales of `series_scales`,
then `mean_defined`. All measures are defined for values of zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scales:
    """The scales that the errors of each series are divided by (N,)."""

    absolute: Array  # the mean absolute seasonal difference, of MASE
    squared: Array  # the mean squared one, of RMSSE


@dataclass(frozen=True)
class WindowErrors:
    """The errors of each window (W,); NaN if undefined.

    Attributes
    ----------
    mae, smape : array (W,)
        Mean absolute error, and sMAPE in percent, 0 to 200.
    mase, rmsse : array (W,)
        MAE over the mean absolute, and the root of the mean squared error over the mean squared,
        seasonal difference before the windows (Hyndman and Koehler 2006; Makridakis et al. 2022).
        Without a scale 0 for a perfect forecast, else NaN.
    """

    mae: Array
    smape: Array
    mase: Array
    rmsse: Array


def mean_error(values: Array, group: Integers) -> tuple[Array, int]:
    """The standard error of the mean over the last axis, and the number of groups.

    Values of one group (n,), windows that overlap say, err alike: the error of a mean is that of
    sums over groups of them.
    """
    groups = int(group.max()) + 1
    sums = (values - values.mean(axis=-1, keepdims=True)) @ (group[:, None] == np.arange(groups))
    return np.sqrt(np.square(sums).sum(axis=-1)) / len(group), groups


def series_scales(values: Array, offsets: Integers, season: int, ends: Integers) -> Scales:
    """The scales of N series, from their first `ends` values each.

    Series k is ``values[offsets[k]:offsets[k + 1]]``; NaN is not known. A series without two values
    a season apart, or that repeats exactly, is measured by the differences from value to value; a
    constant one has the scale 0.
    """
    absolute, squared = _mean_differences(values, offsets, season, ends)
    if season > 1:
        nearest = _mean_differences(values, offsets, 1, ends)
        without = absolute == 0
        absolute = np.where(without, nearest[0], absolute)
        squared = np.where(without, nearest[1], squared)
    return Scales(absolute, squared)


def _mean_differences(
    values: Array, offsets: Integers, lag: int, ends: Integers
) -> tuple[Array, Array]:
    count = len(ends)
    owner = np.repeat(np.arange(count), np.diff(offsets))[lag:]
    row = np.arange(lag, len(values)) - offsets[owner]
    difference = np.abs(values[lag:] - values[:-lag])
    used = (row >= lag) & (row < ends[owner]) & ~np.isnan(difference)
    difference, owner = difference[used], owner[used]
    pairs = np.maximum(np.bincount(owner, minlength=count), 1)
    absolute = np.bincount(owner, weights=difference, minlength=count) / pairs
    squared = np.bincount(owner, weights=np.square(difference), minlength=count) / pairs
    return absolute, squared


def window_errors(
    forecast: Array, truth: Array, absolute_scale: Array, squared_scale: Array
) -> WindowErrors:
    """The errors of W windows (W, horizon), with the scales of their series (W,).

    A truth that is NaN is not known and left out; a forecast that is NaN makes its window's errors
    NaN, and so does a window without any truth.
    """
    known = ~np.isnan(truth)
    count = np.where(known.any(axis=1), known.sum(axis=1), np.nan)

    def mean(terms: Array) -> Array:
        return np.asarray(np.where(known, terms, 0).sum(axis=1) / count)

    size = np.abs(forecast) + np.abs(truth)
    shares = np.divide(np.abs(forecast - truth), size, out=np.zeros_like(size), where=size != 0)
    mae = mean(np.abs(forecast - truth))
    mse = mean(np.square(forecast - truth))
    return WindowErrors(
        mae=mae,
        smape=mean(200 * shares),
        mase=_ratios(mae, absolute_scale),
        rmsse=np.sqrt(_ratios(mse, squared_scale)),
    )


def _ratios(value: Array, scale: Array) -> Array:
    """Value / scale; 0/0 is 0, anything else over 0 is NaN."""
    without = np.where(value == 0, 0.0, np.nan)
    return np.divide(value, scale, out=without, where=scale > 0)


def mean_defined(values: Array) -> tuple[float | None, int]:
    """The mean of the values that are not NaN, None for none, and how many were left out."""
    known = values[~np.isnan(values)]
    return (float(np.mean(known)) if len(known) else None), len(values) - len(known)


def interval_coverage(truth: Array, low: Array, high: Array) -> float | None:
    """The share of known truths from `low` to `high`, in percent; None without any.

    Truths that are NaN are not known; an end that is NaN covers nothing.
    """
    known = ~np.isnan(truth)
    if not known.any():
        return None
    return float(100 * np.mean(((low <= truth) & (truth <= high))[known]))


def skill(error: float | None, baseline: float | None) -> float | None:
    """How much smaller `error` is than that of a baseline, in percent; 0 when both are 0."""
    if error is None or baseline is None:
        return None
    if baseline > 0:
        return 100 * (1 - error / baseline)
    return 0.0 if error == 0 else None


def fixed(value: float | None, digits: int) -> str:
    """So many digits after the point; "-" for none."""
    return "-" if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def significant(value: float | None, digits: int = 4) -> str:
    """So many significant digits, without an exponent where that reads well; "-" for none."""
    if value is None or not math.isfinite(value):
        return "-"
    if value != 0 and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    whole = int(f"{value:.{digits - 1}e}".partition("e")[2])  # of the rounded value
    return f"{value:,.{max(digits - 1 - whole, 0)}f}"
