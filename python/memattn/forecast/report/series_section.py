"""The series that a report shows, and the values to draw of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn.forecast.baselines import seasonal_naive
from memattn.forecast.data.columns import Array
from memattn.forecast.data.frames import MODEL
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import Ticks, clock_of
from memattn.forecast.data.windows import Windows, with_their_series
from memattn.forecast.evaluation import Evaluation, baseline_of
from memattn.forecast.fitting import Fitted, forecast
from memattn.forecast.intervals import intervals_of

SHOWN = 4  # number of the largest series, and of the worst ones
MAX_ROWS = 600  # rows of history in a figure

Times = npt.NDArray[Any]  # datetime64 on the local clock, or whole numbers


@dataclass(frozen=True, eq=False)
class HeldOutForecast:
    """A forecast of held-out rows (n,), and that of a baseline."""

    times: Times
    forecast: Array
    baseline: Array
    baseline_name: str


@dataclass(frozen=True, eq=False)
class SeriesForecast:
    """One series as a figure shows it."""

    place: int  # index in the panel
    times: Times  # (n,), times of `values`
    values: Array  # (n,), the last values of the series
    ahead: Times  # (horizon,), times of the forecast
    forecast: Array  # (horizon,)
    before: Array  # (horizon,), values one season before; the last value without a whole season
    ends: dict[float, tuple[Array, Array]]  # bounds by level in percent
    held_out: HeldOutForecast | None  # the forecast of the last held-out window


def largest_series(panel: Panel, rows: int) -> npt.NDArray[np.int64]:
    """Returns the indices of up to SHOWN series, the largest first.

    The size of a series is its mean absolute value over its last `rows` rows.
    """
    first = np.maximum(panel.offsets[1:] - rows, panel.offsets[:-1])
    # Every other sum is that of a series; those from its end to the next first row are dropped.
    edges = np.stack([first, panel.offsets[1:]], axis=1).ravel()[:-1]
    size = np.add.reduceat(np.abs(panel.filled), edges)[::2] / (panel.offsets[1:] - first)
    return np.argsort(-size, kind="stable")[:SHOWN]


def error_ratios(evaluation: Evaluation) -> Array:
    """Returns each series' error over that of the baseline (N,).

    It is NaN if a series has no error, or the baseline's error is 0.
    """
    model = evaluation.by_series(MODEL).mae
    baseline = evaluation.by_series(baseline_of(evaluation.panel)).mae
    return np.divide(model, baseline, out=np.full_like(model, np.nan), where=baseline > 0)


def worst_series(ratios: Array, most: int = SHOWN) -> npt.NDArray[np.int64]:
    """Returns the indices of up to `most` series, with the largest ratio first."""
    order = np.argsort(-np.nan_to_num(ratios, nan=-np.inf), kind="stable")[:most]
    return order[~np.isnan(ratios[order])]


def series_forecasts(
    fitted: Fitted, places: Sequence[int], levels: list[float], evaluation: Evaluation | None
) -> list[SeriesForecast]:
    """Returns the values to draw of the series at these `places`, indices in the panel."""
    panel = fitted.panel
    chosen = np.array(places, dtype=np.int64)
    some, windows = with_their_series(panel, Windows(chosen, panel.lengths[chosen]))
    coming = forecast(fitted.model, some, windows)
    ends = intervals_of("Forecaster.write_report", fitted, coming, levels)
    horizon = coming.points.shape[1]
    before = seasonal_naive(some, windows, horizon, panel.season)
    rows = min(max(4 * panel.season, 3 * horizon, 24), MAX_ROWS)
    found = []
    for k, place in enumerate(places):
        values = panel.series(place)[-rows:]
        found.append(
            SeriesForecast(
                place=place,
                times=times_of(panel, place, np.arange(1 - len(values), 1)),
                values=values,
                ahead=times_of(panel, place, np.arange(1, horizon + 1)),
                forecast=coming.points[k],
                before=before[k],
                ends={level: (low[k], high[k]) for level, (low, high) in ends.items()},
                held_out=_last_held_out(evaluation, place, len(values)),
            )
        )
    return found


def _last_held_out(evaluation: Evaluation | None, place: int, shown: int) -> HeldOutForecast | None:
    if evaluation is None or place not in evaluation.windows.series:
        return None
    window = np.flatnonzero(evaluation.windows.series == place)[-1]
    known = int(np.flatnonzero(~np.isnan(evaluation.truth[window]))[-1]) + 1
    first = int(evaluation.windows.ends[window] - evaluation.panel.lengths[place]) + 1
    skipped = max(1 - shown - first, 0)  # rows of a long horizon before the first one shown
    rows = slice(skipped, known)
    return HeldOutForecast(
        times=times_of(evaluation.panel, place, np.arange(first + skipped, first + known)),
        forecast=evaluation.forecasts[MODEL][window, rows],
        baseline=evaluation.forecasts[baseline_of(evaluation.panel)][window, rows],
        baseline_name=baseline_of(evaluation.panel),
    )


def times_of(panel: Panel, place: int, ahead: Ticks) -> Times:
    """Returns the times of rows of one series, for a figure's axis; `ahead` as in `Panel.times`."""
    ticks = panel.times(np.full(len(ahead), place), ahead)
    if panel.frequency.unit in (Unit.NUMBER, Unit.ROW):
        return ticks
    if panel.zone is not None and len(ticks):
        ticks = clock_of(panel.zone, ticks).to_local(ticks)
    return ticks.astype("datetime64[us]")
