"""How much forecasts depend on each input, and how they follow covariates known ahead.

Held-out windows are forecast again, by a model that was trained without them, with one input
shuffled among the windows: the more the error grows, the more forecasts depend on that input
(permutation importance, Breiman 2001). A shuffled input keeps its values and their order in time,
but comes from another window.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from memattn.forecast.conformal import domain_of, points_of
from memattn.forecast.covariate_encoding import SEASONS_BACK, Table, covariates_of, rows_before
from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariates import FUTR
from memattn.forecast.data.flat_rows import offsets_of, rows_from
from memattn.forecast.data.frames import kind_of, to_table
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Windows
from memattn.forecast.fitting import FEWEST_VALUES, Fitted
from memattn.forecast.forecaster_settings import has_learned
from memattn.forecast.metrics import mean_error, significant
from memattn.forecast.model import Inputs, Model

# Kinds of inputs: past rows of the series; the position in a cycle of seasons, such as the day of
# the week; the output of the memory layers.
LAGS, CYCLE, MEMORY = "lags", "cycle", "memory"
REPEATS = 5  # shuffles of each input, whose mean error counts
MOST_WINDOWS, MOST_VALUES = 400, 50_000  # windows that are measured, and their forecast values
# Past rows of all windows together; at least FEWEST_WINDOWS windows are measured in any case.
MOST_ROWS, FEWEST_WINDOWS = 2_000_000, 50
QUANTILES = np.linspace(0.05, 0.95, 10)  # of a number's values, for its effect curve


@dataclass(frozen=True)
class Importance:
    """How much forecasts depend on one input.

    Attributes
    ----------
    name : str
        The covariate, or the range of past rows.
    kind : str
        ``"futr"``, ``"hist"``, ``"stat"`` or ``"calendar"`` for a covariate, ``"lags"`` for rows of
        the past, ``"cycle"`` for the position in a longer season, and ``"memory"`` for the output
        of the memory layers.
    increase : float
        Increase of the mean absolute error when the input is shuffled, in units of the series.
    percent : float
        The increase in percent of the mean absolute error.
    standard_error : float
        Standard error of `increase`; windows that begin within one horizon count as one.
    """

    name: str
    kind: str
    increase: float
    percent: float
    standard_error: float


@dataclass(frozen=True, eq=False)
class EffectCurve:
    """The mean forecast for each of P values of a covariate, with all other inputs unchanged.

    Attributes
    ----------
    name : str
        A covariate that is known ahead.
    values : array (P,)
        Values of the covariate over the whole horizon, ascending: indices of categories, all values
        of a number with few values, or quantiles of each series' values, averaged over the windows.
    labels : tuple of str
        The categories; empty for numbers.
    forecasts : array (P, horizon)
        The mean over windows for each step ahead.
    standard_error : array (P,)
        Standard error of the difference between the mean over the horizon and the unchanged
        forecasts.
    """

    name: str
    values: Array
    labels: tuple[str, ...]
    forecasts: Array
    standard_error: Array

    @property
    def points(self) -> list[tuple[float, str]]:
        """Value and category of each point: NaN for a category, an empty text for a number."""
        if self.labels:
            return [(np.nan, label) for label in self.labels]
        return [(value, "") for value in self.values.tolist()]


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """How much forecasts depend on each input, measured on W held-out windows.

    Attributes
    ----------
    panel : Panel
        The panel that has the windows.
    windows : int
        Number of windows, W.
    separate : int
        Number of groups of windows that begin within one horizon, for standard errors.
    mae : float
        Mean absolute error of the unchanged forecasts.
    importances : tuple of Importance
        The importances, largest first.
    curves : tuple of EffectCurve
        One for each covariate that is known ahead, in the order of the caller's list.
    """

    panel: Panel
    windows: int
    separate: int
    mae: float
    importances: tuple[Importance, ...]
    curves: tuple[EffectCurve, ...]

    def __repr__(self) -> str:
        rows = [["", "kind", "MAE", "%", "standard error"]]
        rows += [[one.name, one.kind, *_cells(one)] for one in self.importances]
        width = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"increase of the MAE, {significant(self.mae)} on {self.windows:,} windows:"]
        for name, kind, *cells in rows:
            right = [cell.rjust(size) for cell, size in zip(cells, width[2:], strict=True)]
            lines.append("  ".join([name.ljust(width[0]), kind.ljust(width[1]), *right]))
        return "\n".join(lines)

    def to_frame(self) -> Any:
        """Return the importances as a table of the same library as the data.

        Returns
        -------
        DataFrame, Table or SmallTable
            As `Forecaster.predict`: name, kind, mae_increase, in units of the series,
            mae_increase_percent, standard_error of mae_increase, and the number of windows.
        """
        found = self.importances
        columns: dict[str, Any] = {
            "name": np.array([one.name for one in found], dtype=object),
            "kind": np.array([one.kind for one in found], dtype=object),
            "mae_increase": np.array([one.increase for one in found]),
            "mae_increase_percent": np.array([one.percent for one in found]),
            "standard_error": np.array([one.standard_error for one in found]),
            "windows": np.full(len(found), self.windows),
        }
        return to_table(columns, kind_of(self.panel))

    def curves_frame(self) -> Any:
        """Return the effect curves as a table of the same library as the data.

        Returns
        -------
        DataFrame, Table or SmallTable
            As `to_frame`, with the columns name, value (NaN for a category), category (empty for a
            number), step (ahead, from 1 on) and forecast (the mean over windows).
        """
        rows = [
            (curve.name, *point, step, forecast)
            for curve in self.curves
            for point, forecasts in zip(curve.points, curve.forecasts.tolist(), strict=True)
            for step, forecast in enumerate(forecasts, 1)
        ]
        kinds = {"name": object, "value": float, "category": object, "step": int, "forecast": float}
        columns: dict[str, Any] = {
            name: np.array([row[k] for row in rows], dtype=kind)
            for k, (name, kind) in enumerate(kinds.items())
        }
        return to_table(columns, kind_of(self.panel))


def _cells(one: Importance) -> list[str]:
    return [f"{one.increase:+.4g}", f"{one.percent:+.1f}", significant(one.standard_error)]


def explain(fitted: Fitted) -> Explanation | None:
    """Measures the explanation; None if `fit` held out too few windows or did not train."""
    held_out, settings = fitted.held_out, fitted.settings
    if held_out is None or not has_learned(settings):
        return None
    panel, horizon = fitted.panel, int(settings["horizon"].value)
    windows = _usable(panel, held_out.windows, bool(settings["logs"].value), horizon)
    if len(windows) < 2:
        return None
    model = held_out.model or fitted.model
    seen = _Seen(model, panel, windows)
    truth = windows.truth(panel, horizon)

    def errors(forecasts: Array) -> Array:
        return np.asarray(np.nanmean(np.abs(forecasts - truth), axis=1))

    usual, group = errors(seen.forecasts()), windows.groups(horizon)
    mae = float(usual.mean())
    found, separate = [], int(group.max()) + 1
    for name, kind, exchanged_once in seen.things():
        grown = np.mean([errors(one) - usual for one in exchanged_once], axis=0)
        increase, error = float(grown.mean()), float(mean_error(grown, group)[0])
        percent = 100 * increase / max(mae, np.finfo(float).tiny)
        found.append(Importance(name, kind, increase, percent, error))
    for column in covariates_of(panel).columns:
        if column.name not in model.covariates:  # validation left it out
            found.append(Importance(column.name, column.role, 0.0, 0.0, 0.0))
    found.sort(key=lambda one: -one.increase)
    curves = tuple(seen.curves(group))
    return Explanation(panel, len(windows), separate, mae, tuple(found), curves)


def _usable(panel: Panel, windows: Windows, logs: bool, horizon: int) -> Windows:
    """Returns windows to measure on, not too many.

    Each is forecast by the engine, has an actual value and begins after a known value.
    """
    domain = domain_of(panel, windows, logs)
    good = (windows.ends >= FEWEST_VALUES) & (domain.roughness > 0)
    good &= ~np.isnan(panel.values[panel.offsets[windows.series] + windows.ends - 1])
    good &= ~np.isnan(windows.truth(panel, horizon)).all(axis=1)
    chosen = np.flatnonzero(good)
    rows = int(windows.ends[chosen].mean()) if len(chosen) else 1
    long = max(MOST_ROWS // rows, FEWEST_WINDOWS)
    most = max(min(MOST_WINDOWS, MOST_VALUES // horizon, long), 2)
    places = np.linspace(0, len(chosen) - 1, min(len(chosen), most))
    chosen = chosen[places.round().astype(np.int64)]
    return Windows(windows.series[chosen], windows.ends[chosen])


class _Seen:
    """What a model sees of W windows, each copied to a series of its own.

    This way the inputs of one window can be changed without changing those of another.
    """

    def __init__(self, model: Model, panel: Panel, windows: Windows) -> None:
        self.model, self.panel, self.windows = model, panel, windows
        self.rng = np.random.default_rng(0)
        settings = model.settings
        self.lookback = int(max(settings["lookbacks"].value))
        self.season = int(panel.season)
        self.logs = domain_of(panel, windows, bool(settings["logs"].value)).logs
        every, horizon = model.inputs_of(panel, windows), int(settings["horizon"].value)
        series, ends = every.windows.series, every.windows.ends
        self.lengths = ends  # the whole past, which determines the units
        first = every.offsets[series]
        self.offsets = offsets_of(self.lengths)
        self.values = every.values[rows_from(first, self.lengths)]
        self.table: Table | None = None
        # The covariate rows that a network sees of each window (W, S), with the horizon last.
        begin, reach = first + horizon * series, max(self.lookback, SEASONS_BACK[-1] * self.season)
        back = np.minimum(np.arange(reach, -horizon, -1), self.lengths[:, None])
        stops = np.cumsum(self.lengths + horizon) - horizon
        self.seen, self.ahead = stops[:, None] - back, slice(reach, None)
        if every.table is not None:
            # Rows that no network sees stay zero: untouched pages of `zeros` take no memory.
            table = np.zeros((stops[-1] + horizon, every.table.shape[1]), dtype=np.float32)
            table[self.seen] = every.table[(begin + self.lengths)[:, None] - back]
            self.table = table

    def forecasts(self, values: Array | None = None) -> Array:
        """Returns forecasts (W, horizon), from `values` instead of the windows' own if given."""
        inputs = self._inputs(self.values if values is None else values)
        return points_of(self.model.predict(self.panel, self.windows, inputs=inputs))

    def _inputs(self, values: Array) -> Inputs:
        own = Windows(np.arange(len(self.lengths)), self.lengths)
        return Inputs(values, self.offsets, own, self.table)

    def _with_memory(self) -> Array:
        """Returns forecasts with the memory layers' output of another window."""
        donor = exchanged(np.zeros(len(self.windows), np.int64), self.rng)
        inputs = self._inputs(self.values)
        return points_of(self.model.predict_with_memory_of(self.panel, self.windows, donor, inputs))

    def things(self) -> Iterator[tuple[str, str, Iterator[Array]]]:
        """Yields each input: its name, its kind, and `REPEATS` forecasts with it shuffled."""
        for name, kind, columns in self._columns():
            yield name, kind, (self._with_covariate(columns) for _ in range(REPEATS))
        if self.model.memory_layers:
            yield "memory layers", MEMORY, (self._with_memory() for _ in range(REPEATS))
        for name, first, last in self._blocks():
            yield name, LAGS, (self._with_rows(first, last) for _ in range(REPEATS))

    def curves(self, group: Ticks) -> Iterator[EffectCurve]:
        """Yields the effect curve of each covariate that is known ahead."""
        encoding, usual = self.model.encoding, self.forecasts().mean(axis=1)
        if encoding is None or self.table is None:
            return
        of_panel = covariates_of(self.panel).columns
        place = encoding.places(self.panel)[self.windows.series]
        for k, (_, kind, columns) in enumerate(self._covariates()):
            if kind != FUTR:
                continue
            covariate = of_panel[encoding.chosen[k]]
            points = self._points(k)
            found = []
            for values in points:
                part = np.zeros((len(place), encoding.columns[k].width), dtype=np.float32)
                encoding.encode(k, values, place, part)
                with self._changed(self.seen[:, self.ahead], columns, part[:, None]):
                    found.append(self.forecasts())
            forecasts = np.array(found)
            error = mean_error(forecasts.mean(axis=2) - usual, group)[0]
            labels = [covariate.categories[int(one[0])] for one in points if covariate.categories]
            yield EffectCurve(
                covariate.name, points.mean(axis=1), tuple(labels), forecasts.mean(axis=1), error
            )

    def _points(self, k: int) -> Array:
        """Returns the values (P, W) of covariate `k` on its curve, for each window."""
        encoding = self.model.encoding
        assert encoding is not None
        one, found = encoding.columns[k], covariates_of(self.panel)
        count = len(self.windows)
        starts = found.starts(self.panel.offsets)[:-1]
        values = found.values[rows_from(starts, self.panel.lengths), encoding.chosen[k]]
        whole = values[~np.isnan(values)]
        several = np.unique(whole) if one.kept is None else np.array(one.kept, np.float64)
        if one.kept is not None or len(several) <= len(QUANTILES):
            return np.repeat(several[:, None], count, axis=1)
        parts = [part[~np.isnan(part)] for part in np.split(values, self.panel.offsets[1:-1])]
        own = {
            int(series): np.quantile(parts[series] if len(parts[series]) else whole, QUANTILES)
            for series in np.unique(self.windows.series)
        }
        return np.stack([own[series] for series in self.windows.series.tolist()], axis=1)

    def _columns(self) -> Iterator[tuple[str, str, slice]]:
        """Yields the inputs of `_covariates`, and the cycle of seasons if the encoding has one."""
        yield from self._covariates()
        encoding = self.model.encoding
        if encoding is not None and encoding.cycle:
            name = f"season of {encoding.cycle}"
            yield name, CYCLE, slice(encoding.width - encoding.cycle, encoding.width)

    def _covariates(self) -> Iterator[tuple[str, str, slice]]:
        """Yields the name, the role and the table columns of each covariate of the model."""
        encoding = self.model.encoding
        if encoding is None:
            return
        for k, (name, one) in enumerate(zip(self.model.covariates, encoding.columns, strict=True)):
            yield name, one.role, encoding.span(k)

    @contextmanager
    def _changed(self, rows: Ticks, columns: slice, cells: Table) -> Iterator[None]:
        """Sets columns of rows (W, S) of the table to `cells` while the block runs."""
        assert self.table is not None
        before = self.table[rows, columns]
        self.table[rows, columns] = cells
        yield
        self.table[rows, columns] = before

    def _with_covariate(self, columns: slice) -> Array:
        """Returns forecasts with these table columns of each window taken from another one."""
        assert self.table is not None
        donor = exchanged(np.zeros(len(self.windows), np.int64), self.rng)
        with self._changed(self.seen, columns, self.table[self.seen, columns][donor]):
            return self.forecasts()

    def _blocks(self) -> Iterator[tuple[str, int, int]]:
        """Yields blocks of past rows: name, first row and end, counted back from the newest row."""
        near = rows_before(self.season, self.lookback)
        yield f"last {near} rows" if near > 1 else "last row", 0, near
        if near < self.lookback:
            yield f"{near + 1} to {self.lookback} rows ago", near, self.lookback

    def _with_rows(self, first: int, last: int) -> Array:
        """Returns forecasts with past rows taken from another window of the same phase.

        The rows are shifted and scaled to the mean and the standard deviation of the window, since
        series differ in both; in logs if the series is positive.
        """
        panel, windows = self.panel, self.windows
        donor = exchanged(panel.phases(windows.series, windows.ends - 1), self.rng)
        values, seen = self.values.copy(), []
        for start, end, log in zip(self.offsets[:-1], self.offsets[1:], self.logs, strict=True):
            rows = self.values[max(start, end - self.lookback) : end]
            rows = np.log(rows) if log else rows
            seen.append(((rows - rows.mean()) / (rows.std() or 1.0), rows.mean(), rows.std()))
        for k, other in enumerate(donor.tolist()):
            (own, level, spread), theirs = seen[k], seen[other][0]
            count = min(last, len(own), len(theirs)) - first
            if count <= 0:
                continue
            rows = level + spread * theirs[len(theirs) - first - count : len(theirs) - first]
            stop = self.offsets[k + 1] - first
            values[stop - count : stop] = np.exp(rows) if self.logs[k] else rows
        return self.forecasts(values)


def exchanged(group: Ticks, rng: np.random.Generator) -> Ticks:
    """Returns, for each window, a random other one of its group (W,); itself if it is alone."""
    donor = np.arange(len(group))
    for one in np.unique(group):
        members = rng.permutation(np.flatnonzero(group == one))
        donor[members] = np.roll(members, 1)
    return donor
