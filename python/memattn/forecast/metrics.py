"""Measures of forecast error. Arrays are (N, horizon): N windows, `horizon` steps ahead.

`window_errors` measures each window by itself, with the scales of `series_scales`; `mean_defined`
then averages over windows. All measures are defined for values of zero.
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
    """The scales that divide the errors of each series (N,)."""

    absolute: Array  # the mean absolute seasonal difference, for MASE
    squared: Array  # the mean squared seasonal difference, for RMSSE


@dataclass(frozen=True)
class WindowErrors:
    """The errors of each window (W,); NaN if undefined.

    Attributes
    ----------
    mae, smape : array (W,)
        Mean absolute error, and sMAPE in percent, 0 to 200.
    mase, rmsse : array (W,)
        The MAE over the mean absolute seasonal difference before the windows (Hyndman and Koehler
        2006), and the root of the mean squared error over the mean squared seasonal difference
        (Makridakis et al. 2022). Without a scale, 0 for a perfect forecast, else NaN.
    """

    mae: Array
    smape: Array
    mase: Array
    rmsse: Array


@dataclass(frozen=True)
class Total:
    """An exact sum of numbers: sums of parts add up to the sum of all, in any order.

    Attributes
    ----------
    units : int
        The sum of the finite numbers in units of 2**-1074, the smallest float above 0.
    count : int
        How many numbers there are.
    infinite : int
        How many of them are infinite.
    """

    units: int = 0
    count: int = 0
    infinite: int = 0

    @staticmethod
    def of(values: Array) -> Total:
        """Returns the total of numbers of at least 0; NaN is ignored."""
        known = values[~np.isnan(values)]
        finite = known[np.isfinite(known)]
        mantissas, exponents = np.frexp(finite)
        # Split into halves of 27 and 26 bits: sums of 2**26 halves are exact.
        high, low = np.divmod(np.ldexp(mantissas, 53), 2.0**26)
        units = 0
        for part in range(0, len(finite), 1 << 26):
            some = slice(part, part + (1 << 26))
            powers, place = np.unique(exponents[some], return_inverse=True)
            sums = (np.bincount(place, weights=half[some]) for half in (high, low))
            for power, upper, lower in zip(powers, *sums, strict=True):
                shift = int(power) - 53 + 1074
                whole = (int(upper) << 26) + int(lower)
                units += whole << shift if shift >= 0 else whole >> -shift
        return Total(units, len(known), len(known) - len(finite))

    def __add__(self, other: Total) -> Total:
        return Total(
            self.units + other.units, self.count + other.count, self.infinite + other.infinite
        )

    @property
    def mean(self) -> float | None:
        """The mean, rounded once; None without numbers."""
        if not self.count:
            return None
        return math.inf if self.infinite else self.units / (self.count << 1074)


def mean_error(values: Array, group: Integers) -> tuple[Array, int]:
    """Returns the standard error of the mean over the last axis, and the number of groups.

    `group` (n,) is the group of each value. Values of one group, such as overlapping windows, have
    correlated errors, so only the sums of groups count as independent.
    """
    groups = int(group.max()) + 1
    sums = (values - values.mean(axis=-1, keepdims=True)) @ (group[:, None] == np.arange(groups))
    return np.sqrt(np.square(sums).sum(axis=-1)) / len(group), groups


def series_scales(values: Array, offsets: Integers, season: int, ends: Integers) -> Scales:
    """Returns the scales of N series, from the first ``ends[k]`` values of each series k.

    Series k is ``values[offsets[k]:offsets[k + 1]]``; NaN is a missing value. If a series has no
    two values a season apart, or repeats exactly, its scale is that of the differences from value
    to value. A constant series has the scale 0.
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
    """Returns the mean absolute and the mean squared difference of values `lag` rows apart (N,)."""
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
    """Returns the errors of W windows (W, horizon), with the scales of their series (W,).

    Steps whose actual value is NaN are ignored. The errors of a window are NaN if a forecast at
    another step is NaN, or if no actual value is known.
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
    """Returns value / scale; 0/0 is 0, and any other value over 0 is NaN."""
    without = np.where(value == 0, 0.0, np.nan)
    return np.divide(value, scale, out=without, where=scale > 0)


def mean_defined(values: Array) -> tuple[float | None, int]:
    """Returns the mean of the values that are not NaN, or None, and the number of NaN values."""
    total = Total.of(values)
    return total.mean, len(values) - total.count


def skill(error: float | None, baseline: float | None) -> float | None:
    """Returns how much smaller `error` is than `baseline`, in percent; 0 if both are 0."""
    if error is None or baseline is None:
        return None
    if baseline > 0:
        return 100 * (1 - error / baseline)
    return 0.0 if error == 0 else None


def fixed(value: float | None, digits: int) -> str:
    """Returns the value with `digits` digits after the point; "-" for None and NaN."""
    return "-" if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def significant(value: float | None, digits: int = 4) -> str:
    """Returns the value with `digits` significant digits; "-" for None and non-finite values.

    Very small and very large values have an exponent.
    """
    if value is None or not math.isfinite(value):
        return "-"
    if value != 0 and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    whole = int(f"{value:.{digits - 1}e}".partition("e")[2])  # of the rounded value
    return f"{value:,.{max(digits - 1 - whole, 0)}f}"
