"""Forecasts from the last row of each series on, where its last rows have no value.

A `Forecaster` forecasts the rows after the last value of a series. Other libraries expect those
after its last row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from memattn.forecast.data.long_rows import plural
from memattn.forecast.data.series import Panel
from memattn.forecast.forecaster import Forecaster

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class RowForecasts(NamedTuple):
    """Forecasts (N, steps) of N series, and bounds (lower, upper) of the same shape by level."""

    values: Array
    intervals: Mapping[float, tuple[Array, Array]]


def rows_without_value(values: Array) -> int:
    """How many of the last values of a series are NaN; 0 of one that has nothing else."""
    there = np.flatnonzero(~np.isnan(values))
    return len(values) - 1 - int(there[-1]) if len(there) else 0


def forecasts_after_rows(
    where: str,
    forecaster: Forecaster,
    panel: Panel,
    late: Counts,
    steps: int,
    *,
    names: Sequence[Any] | None = None,
    level: Sequence[float] = (),
    X_df: Any = None,  # noqa: N803 - nixtla's name
) -> RowForecasts:
    """Forecasts of the `steps` rows after the last row of each series.

    Parameters
    ----------
    where : str
        The caller, for messages.
    forecaster : Forecaster
        A fitted one.
    panel : Panel
        N series, as the forecaster reads them.
    late : array (N,)
        How many rows of each series come after its last value.
    steps : int
        Rows ahead.
    names : sequence, optional
        Of the series, for messages. Default: the panel's ids.
    level : sequence of float
        Coverages in percent.
    X_df : DataFrame, optional
        Covariates of the rows after the last value of each series.

    Raises
    ------
    ValueError
        A series ends in more rows without a value than the horizon has room for.
    """
    if len(late) and int(late.max()) + steps > forecaster.horizon:
        name = (panel.ids.tolist() if names is None else names)[int(late.argmax())]
        problem = f"series {name!r} has no value in its last {plural(int(late.max()), 'row')}; "
        problem += f"forecasts of {plural(steps, 'row')} after these need a horizon of "
        problem += f"{late.max() + steps}, but this model was fitted for {forecaster.horizon}; "
        raise ValueError(f"{where}: {problem}cut these rows off, or fit again")
    # Covariates need not be known for more rows than a series is forecast for.
    groups = np.unique(late) if X_df is not None else late[late.argmax()][None]
    values = np.empty((len(panel), steps))
    intervals: dict[float, tuple[Array, Array]] = {}
    for most in groups:
        mine = np.flatnonzero(late == most) if X_df is not None else np.arange(len(panel))
        some = panel if len(mine) == len(panel) else panel.of_series(mine)
        found = forecaster.forecasts(some, X_df=X_df, h=int(most) + steps, level=list(level))
        taken = np.arange(len(mine))[:, None], late[mine][:, None] + np.arange(steps)
        values[mine] = found.values[taken]
        for one, ends in found.intervals.items():
            bounds = intervals.setdefault(one, (np.empty_like(values), np.empty_like(values)))
            for bound, end in zip(bounds, ends, strict=True):
                bound[mine] = end[taken]
    return RowForecasts(values, intervals)
