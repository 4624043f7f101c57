"""The accuracy of forecasts compared with naive forecasts: overall, by step ahead and by series.

>>> from memattn.forecast.evaluation import MODEL, evaluate
>>> result = evaluate(panel, windows, forecasts, intervals)  # doctest: +SKIP
>>> result.overall(MODEL).mase, result.coverage(80)  # doctest: +SKIP

Forecasts and intervals are arrays (W, horizon) for W windows. Missing actual values are ignored,
and so are windows without any. Errors are averaged within each window and then over windows. Scaled
errors are divided by the mean difference in the rows before the first window of the series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from memattn.forecast.arguments import check_trained
from memattn.forecast.baselines import naive, seasonal_naive
from memattn.forecast.conformal import (
    Flags,
    between_levels,
    calibrate,
    domain_of,
    interval_ends,
    points_of,
    rolling_ends,
)
from memattn.forecast.data.columns import Array
from memattn.forecast.data.frames import MODEL, Intervals, series_frame
from memattn.forecast.data.long_rows import plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Windows, ages
from memattn.forecast.forecaster_settings import only_levels, stride, uses_prior
from memattn.forecast.measured import (
    METHODS,
    METRICS,
    NAIVE,
    SEASONAL_NAIVE,
    Counts,
    Covered,
    Measured,
)
from memattn.forecast.metrics import Scales, Total, WindowErrors, series_scales, window_errors

if TYPE_CHECKING:
    from memattn.forecast.fitting import Fitted

FEW_WINDOWS = 10  # fewer non-overlapping windows, of all series together, are weak evidence
EARLIER = "earlier windows of the series"
FEWEST_SCORES = 20  # windows or series to calibrate on: fewer cannot calibrate a level of 95 %


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Measured):
    """The result of `evaluate`. METHODS has the names of the methods.

    Attributes
    ----------
    panel : Panel
        The panel that has the windows.
    windows : Windows
        The W windows.
    truth : array (W, horizon)
        The actual values; NaN where they are not known.
    forecasts : mapping
        The forecasts (W, horizon) of each method.
    errors : mapping
        The errors of each window (W,), for each method.
    intervals : mapping
        The lower and upper bounds (W, horizon) for each level in percent; NaN where there is none.
    scales : Scales
        The scales of the errors of each window (W,).
    calibrated_on : str
        Which windows the intervals are calibrated on, as text; empty if intervals were passed in.
    alias : str
        Name of the model in tables.
    """

    panel: Panel
    windows: Windows
    truth: Array
    forecasts: Mapping[str, Array]
    errors: Mapping[str, WindowErrors]
    intervals: Intervals
    scales: Scales
    calibrated_on: str = ""
    alias: str = MODEL

    @property
    def known(self) -> Flags:
        """Which windows have an actual value (W,); only these count."""
        return np.asarray((~np.isnan(self.truth)).any(axis=1))

    def counts(self) -> Counts:
        """Returns the numbers of series and windows, the season and the levels."""
        windows = int(self.known.sum())
        return Counts(len(self.panel), windows, self.panel.season, tuple(self.intervals))

    def to_frame(self) -> Any:
        """Return the errors of each series in the format of ``utilsforecast.evaluation.evaluate``.

        Returns
        -------
        DataFrame or str
            As `Forecaster.predict`: unique_id, metric (mae, smape, mase, rmsse) and a column for
            each method, memattn (`alias`), seasonal-naive and naive. sMAPE is in percent. NaN for a
            series without a window or without a scale.
        """
        count = len(self.panel)
        columns: dict[str, Any] = {"metric": np.repeat(np.array(METRICS, object), count)}
        for method in self.forecasts:
            errors = self.by_series(method)
            found = [getattr(errors, name) for name in METRICS]
            columns[self.name_of(method)] = np.concatenate(found)
        return series_frame(self.panel, np.tile(np.arange(count), len(METRICS)), columns)

    def sums(self, method: str) -> dict[str, Total]:
        """Returns the totals of the errors of all windows, by metric."""
        return {name: Total.of(values) for name, values in vars(self.errors[method]).items()}

    def unscaled(self, method: str) -> int:
        """Returns how many windows with an actual value have no scaled error."""
        return int(np.isnan(self.errors[method].mase[self.known]).sum())

    def step_sums(self, method: str) -> dict[str, list[Total]]:
        """Returns the totals of the errors at each step ahead, by metric."""
        horizon = self.truth.shape[1]
        scales = (np.repeat(one, horizon) for one in vars(self.scales).values())
        values = (one.reshape(-1, 1) for one in (self.forecasts[method], self.truth))
        errors = vars(window_errors(*values, *scales))
        return {
            name: [Total.of(step) for step in one.reshape(-1, horizon).T]
            for name, one in errors.items()
        }

    def by_series(self, method: str) -> WindowErrors:
        """Return the mean errors of each series of the panel (N,); NaN without a window."""
        return _means(self.errors[method], self.windows.series, len(self.panel))

    def covered(self, level: float) -> Covered:
        """Returns how many actual values lie inside the intervals of a level."""
        low, high = self.intervals[level]
        known = ~(np.isnan(self.truth) | np.isnan(low) | np.isnan(high))
        inside = known & (low <= self.truth) & (self.truth <= high)
        held, all_of_them = (tuple(one.sum(axis=0).tolist()) for one in (inside, known))
        return Covered(held, all_of_them, int(known.any(axis=1).sum()))


def evaluate(
    panel: Panel, windows: Windows, forecasts: Array, intervals: Intervals | None = None
) -> Evaluation:
    """Measure forecasts of windows (W, horizon), and compare with naive and seasonal-naive.

    Parameters
    ----------
    panel : Panel
        The panel; its `season` is used for seasonal-naive and the scales.
    windows, forecasts, intervals
        As in `Evaluation`: at least one window, and the forecasts of the model.

    Raises
    ------
    ValueError
        If forecasts or intervals have another shape, or there is no window.
    """
    ends = {f"intervals[{key:g}]": end for key, pair in (intervals or {}).items() for end in pair}
    for name, array in {"forecasts": forecasts, **ends}.items():
        if array.ndim != 2 or len(array) != len(windows) or array.shape != forecasts.shape:
            expected = f"(W = {len(windows)}, horizon)"
            raise ValueError(f"evaluate: {name}: found shape {array.shape}, expected {expected}")
    if not len(windows):
        raise ValueError("evaluate: windows: is empty; pass at least one window")
    return measured(panel, windows, forecasts, intervals)


def measured(
    panel: Panel, windows: Windows, forecasts: Array, intervals: Intervals | None = None
) -> Evaluation:
    """As `evaluate`, but does not check the arrays, and accepts zero windows."""
    horizon = forecasts.shape[1]
    truth = windows.truth(panel, horizon)
    first_ends = panel.lengths
    np.minimum.at(first_ends, windows.series, windows.ends)
    of_series = series_scales(panel.values, panel.offsets, panel.season, first_ends)
    scales = [one[windows.series] for one in vars(of_series).values()]
    by_method = {
        MODEL: forecasts,
        SEASONAL_NAIVE: seasonal_naive(panel, windows, horizon, panel.season),
        NAIVE: naive(panel, windows, horizon),
    }
    errors = {name: window_errors(f, truth, *scales) for name, f in by_method.items()}
    return Evaluation(
        panel=panel,
        windows=windows,
        truth=truth,
        forecasts=MappingProxyType(by_method),
        errors=MappingProxyType(errors),
        intervals=MappingProxyType(dict(intervals or {})),
        scales=Scales(*scales),
    )


def evaluate_held_out(fitted: Fitted, levels: Sequence[float]) -> Evaluation | None:
    """Measure the accuracy on the windows that `fit` held out; None if it held out none.

    The intervals of a held-out window are calibrated on other held-out windows only, whose actual
    values were known before it begins. If series have enough windows, the earlier ones calibrate
    the later ones, which alone are measured; else one half of the series calibrates the other half
    and vice versa. If neither is possible, or there are no levels, the coverage is None.
    """
    held_out = fitted.held_out
    if held_out is None or not len(held_out.windows):
        return None
    check_trained("Forecaster.held_out", only_levels(fitted.settings), levels)
    between = uses_prior(fitted.settings)  # levels are interpolated between the trained ones
    panel, windows, forecasts = fitted.panel, held_out.windows, held_out.forecasts
    shape = 2, len(forecasts), forecasts.shape[-1]
    ends = {float(level): np.full(shape, np.nan) for level in levels}
    folds, how = _folds(windows, forecasts.shape[-1])
    logs, trained = fitted.settings["logs"].value, held_out.levels
    apart, asked = stride(fitted.settings), sorted(ends)
    for known, measured in folds:
        these, coming = _some(windows, known), _some(windows, measured)
        calibration = calibrate(panel, these, forecasts[known], logs, trained, apart)
        domain = domain_of(panel, coming, logs)
        what = (domain, forecasts[measured], [*trained] if between else asked, trained)
        if how == EARLIER:
            found = rolling_ends(calibration, ages(panel, coming), *what)
        else:
            found = interval_ends(calibration, *what)
        if between:
            found = between_levels(found, points_of(forecasts[measured]), domain, asked)
        for level, pair in found.items():
            ends[level][:, measured] = pair
    points = points_of(forecasts)
    result = evaluate(panel, windows, points, {one: (e[0], e[1]) for one, e in ends.items()})
    return replace(result, calibrated_on=how)


def _folds(windows: Windows, horizon: int) -> tuple[list[tuple[Flags, Flags]], str]:
    """Returns pairs of windows to calibrate on and to measure, and the name of the former.

    With `EARLIER`, a window is calibrated only on windows whose actual values were known before.
    """
    _, first, owner, count = np.unique(
        windows.series, return_index=True, return_inverse=True, return_counts=True
    )
    # Windows between the early and the late ones share values with both, and are left out.
    middle = (windows.ends[first] + horizon + windows.ends[first + count - 1] + 1) // 2
    early = windows.ends + horizon <= middle[owner]
    if early.sum() >= FEWEST_SCORES:
        return [(np.ones(len(early), dtype=bool), windows.ends >= middle[owner])], EARLIER
    if len(count) >= 2 * FEWEST_SCORES:
        even = owner % 2 == 0
        return [(even, ~even), (~even, even)], "windows of other series"
    return [], ""


def _some(windows: Windows, chosen: Flags) -> Windows:
    return Windows(windows.series[chosen], windows.ends[chosen])


def _means(errors: WindowErrors, group: Ticks, groups: int) -> WindowErrors:
    """Means by group, over the values that are not NaN."""

    def mean(values: Array) -> Array:
        known = ~np.isnan(values)
        total = np.bincount(group[known], weights=values[known], minlength=groups)
        count = np.bincount(group[known], minlength=groups)
        return np.asarray(np.divide(total, count, out=np.full(groups, np.nan), where=count > 0))

    return WindowErrors(*map(mean, vars(errors).values()))


def baseline_of(panel: Panel) -> str:
    """Returns the baseline to compare with; without a season both baselines are equal."""
    return SEASONAL_NAIVE if panel.season > 1 else NAIVE


def methods_of(panel: Panel) -> tuple[str, ...]:
    """Returns the methods that differ; without a season both baselines are equal."""
    return METHODS if panel.season > 1 else (MODEL, NAIVE)


def warnings_of(result: Evaluation) -> list[str]:
    """Returns warnings about the accuracy and its evidence."""
    found, rival = [], baseline_of(result.panel)
    ours, theirs = result.overall(MODEL), result.overall(rival)
    if ours.mase is not None and theirs.mase is not None and ours.mase > theirs.mase:
        found.append(f"{rival} was more accurate on these windows: use it, or add more data")
    if ours.unscaled:
        windows = plural(ours.unscaled, "window", "windows")
        found.append(f"MASE and RMSSE leave out {windows} of series with a constant history")
    apart = separate_windows(result)
    if apart < FEW_WINDOWS:
        found.append(f"only {plural(apart, 'non-overlapping window')}: the evidence is weak")
    for level in sorted(result.intervals):
        share = result.coverage(level)
        if share is not None and share < level - (5 if level < 90 else 3):
            held = f"{level:g} % intervals contained only {share:.0f} % of these values"
            found.append(f"{held}: they are probably too narrow")
    return found


def separate_windows(result: Evaluation) -> int:
    """Returns the largest number of windows that share no value."""
    windows, horizon = _some(result.windows, result.known), result.truth.shape[1]
    _, first, count = np.unique(windows.series, return_index=True, return_counts=True)
    reach = windows.ends[first + count - 1] - windows.ends[first]
    return int((reach // horizon + 1).sum())
