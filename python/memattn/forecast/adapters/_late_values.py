"""Forecasts after the last row of each series, even if its last rows have no value.

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
    """Returns the number of NaN values at the end of a series; 0 if all values are NaN."""
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
    """Forecasts the `steps` rows after the last row of each series.

    Parameters
    ----------
    where : str
        Name of the calling function, for messages.
    forecaster : Forecaster
        A fitted forecaster.
    panel : Panel
        N series, as the forecaster reads them.
    late : array (N,)
        The number of rows of each series after its last value.
    steps : int
        Steps ahead of the last row.
    names : sequence, optional
        Names of the series, for messages. Default: the panel's ids.
    level : sequence of float
        Levels in percent.
    X_df : DataFrame, optional
        Covariates of the rows after the last value of each series.

    Raises
    ------
    ValueError
        If the rows without a value at the end of a series and `steps` exceed the horizon.
    """
    if len(late) and int(late.max()) + steps > forecaster.horizon:
        name = (panel.ids.tolist() if names is None else names)[int(late.argmax())]
        problem = f"series {name!r} has no value in its last {plural(int(late.max()), 'row')}; "
        problem += f"forecasts of {plural(steps, 'row')} after these need a horizon of "
        problem += f"{late.max() + steps}, but this model was fitted for {forecaster.horizon}; "
        raise ValueError(f"{where}: {problem}cut these rows off, or fit again")
    # Covariates of a series need only be known for the rows that are forecast: group by `late`.
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
