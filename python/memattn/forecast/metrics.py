"""Measures of forecast error. Arrays are (N, horizon): N windows, `horizon` steps ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Accuracy:
    """How far forecasts lie from the truth, averaged over windows and steps ahead.

    Attributes
    ----------
    mae, rmse : float
        Mean absolute and root mean squared error, in units of the series.
    mase : float or None
        MAE over the mean absolute seasonal difference of the training part (Hyndman and Koehler
        2006). Below 1: smaller errors than seasonal-naive made there within one season. A training
        part that repeats exactly gives no scale: then 0 for a perfect forecast, else None.
    smape : float
        Symmetric mean absolute percentage error, 0 to 200 %; a term 0/0 counts as 0.
    """

    mae: float
    rmse: float
    mase: float | None
    smape: float


def accuracy(forecast: Array, truth: Array, scale: float) -> Accuracy:
    """The Accuracy of `forecast` against `truth`, with `scale` from `seasonal_scale`."""
    error = forecast - truth
    mae = float(np.mean(np.abs(error)))
    rmse = float(np.sqrt(np.mean(np.square(error))))
    return Accuracy(mae, rmse, ratio(mae, scale), smape(forecast, truth))


def seasonal_scale(training: Array, season: int) -> float:
    """The mean absolute difference of `training` (n,) to itself one season before."""
    return float(np.mean(np.abs(training[season:] - training[:-season])))


def smape(forecast: Array, truth: Array) -> float:
    """Symmetric mean absolute percentage error in percent; a term 0/0 counts as 0."""
    size = np.abs(forecast) + np.abs(truth)
    terms = np.divide(np.abs(forecast - truth), size, out=np.zeros_like(size), where=size > 0)
    return float(200 * np.mean(terms))


def ratio(value: float, scale: float) -> float | None:
    """Value / scale, where 0/0 is 0 and anything else over 0 is None."""
    if scale > 0:
        return value / scale
    return 0.0 if value == 0 else None


def skill(error: float | None, baseline: float | None) -> float | None:
    """How much smaller `error` is than that of a baseline, in percent; 0 when both are 0."""
    if error is None or baseline is None:
        return None
    share = ratio(error, baseline)
    if share is None:
        return None
    return 0.0 if baseline == 0 else 100 * (1 - share)


def mean_or_none(values: list[float | None]) -> float | None:
    """The mean, or None when a value is None."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
