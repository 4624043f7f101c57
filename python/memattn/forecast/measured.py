"""Measures of forecasts from exact sums over windows, which do not depend on how they are split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from memattn.forecast.data.frames import MODEL
from memattn.forecast.data.long_rows import plural
from memattn.forecast.metrics import Total, WindowErrors, fixed, significant

SEASONAL_NAIVE, NAIVE = "seasonal-naive", "naive"
METHODS = (MODEL, SEASONAL_NAIVE, NAIVE)
METRICS = ("mae", "smape", "mase", "rmsse")  # those of `WindowErrors`
Json: TypeAlias = Any


@dataclass(frozen=True)
class Measures:
    """Mean errors of one method; None if no window has a value.

    Attributes
    ----------
    smape : float or None
        In percent, 0 to 200; 0/0 counts as 0.
    mase, rmsse : float or None
        Below 1, errors are smaller than the seasonal differences before the windows. The mean is
        over windows that have a scale or a perfect forecast.
    mae : float or None
        In units of the series.
    unscaled : int
        Windows that MASE and RMSSE leave out, since their series were constant before.
    """

    smape: float | None
    mase: float | None
    rmsse: float | None
    mae: float | None
    unscaled: int


class Covered(NamedTuple):
    """How many actual values the intervals of a level contain.

    Attributes
    ----------
    inside, measured : tuple of int
        For each step ahead, the actual values inside their interval, and all that have an interval.
    windows : int
        Windows with at least one actual value that has an interval.
    """

    inside: tuple[int, ...]
    measured: tuple[int, ...]
    windows: int


class Counts(NamedTuple):
    """The amount of data that was measured.

    Attributes
    ----------
    series, windows, season : int
        All series, the windows with an actual value, and the season of the naive forecasts.
    levels : tuple of float
        The levels of the intervals, in percent.
    """

    series: int
    windows: int
    season: int
    levels: tuple[float, ...]


class Measured:
    """Measures of windows, computed from sums over windows."""

    alias: str = MODEL

    def counts(self) -> Counts:
        """Returns the numbers of series and windows, the season and the levels."""
        raise NotImplementedError

    def sums(self, method: str) -> dict[str, Total]:
        """Returns the totals of the mean errors of all windows, by metric."""
        raise NotImplementedError

    def unscaled(self, method: str) -> int:
        """Returns how many windows with an actual value have no scaled error."""
        raise NotImplementedError

    def step_sums(self, method: str) -> dict[str, list[Total]]:
        """Returns the totals of the errors at each step ahead, by metric."""
        raise NotImplementedError

    def covered(self, level: float) -> Covered:
        """Returns how many actual values lie inside the intervals of a level."""
        raise NotImplementedError

    def __len__(self) -> int:
        return self.counts().windows

    def __repr__(self) -> str:
        found = self.counts()
        windows, series = plural(len(self), "window"), plural(found.series, "series", "series")
        lines = [f"{windows} of {series}, mean errors:"]
        rows = [["", "sMAPE %", "MASE", "RMSSE", "MAE"]]
        for method in METHODS if found.season > 1 else (MODEL, NAIVE):
            mean = self.overall(method)
            errors = (mean.smape, mean.mase, mean.rmsse, mean.mae)
            rows.append([self.name_of(method), *map(significant, errors)])
        width = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for name, *cells in rows:
            right = [cell.rjust(size) for cell, size in zip(cells, width[1:], strict=True)]
            lines.append("  ".join([name.ljust(width[0]), *right]))
        for level in found.levels:
            share = significant(self.coverage(level))
            lines.append(f"{level:g} % interval: {share} % of values lie inside")
        return "\n".join(lines)

    def name_of(self, method: str) -> str:
        """Returns the name of a method in tables."""
        return self.alias if method == MODEL else method

    def overall(self, method: str) -> Measures:
        """Returns the mean errors over all windows."""
        means = {name: total.mean for name, total in self.sums(method).items()}
        return Measures(**means, unscaled=self.unscaled(method))

    def cells(self, method: str) -> list[str]:
        """Returns the mean sMAPE in percent, MASE, RMSSE and MAE as text, "-" for None."""
        found = self.overall(method)
        scaled = [fixed(found.smape, 2), fixed(found.mase, 3), fixed(found.rmsse, 3)]
        return [*scaled, significant(found.mae)]

    def by_step(self, method: str) -> WindowErrors:
        """Returns the mean errors for each step ahead (horizon,); NaN if there is none."""
        means = {
            name: np.array([np.nan if one.mean is None else one.mean for one in totals])
            for name, totals in self.step_sums(method).items()
        }
        return WindowErrors(**means)

    def coverage(self, level: float) -> float | None:
        """Returns the share of actual values inside their interval in percent; None without any."""
        found = self.covered(level)
        return _share(sum(found.inside), sum(found.measured))

    def coverage_by_step(self, level: float) -> list[float | None]:
        """Returns the `coverage` for each step ahead."""
        found = self.covered(level)
        return [_share(*one) for one in zip(found.inside, found.measured, strict=True)]

    def covered_windows(self, level: float) -> int:
        """Returns the number of windows that `coverage` is measured on."""
        return self.covered(level).windows


def _share(inside: int, measured: int) -> float | None:
    return 100 * (inside / measured) if measured else None


def sums_of(found: Measured) -> Json:
    """Returns all sums of a part as JSON, to be added up by `added`."""
    counts = found.counts()
    return {
        "series": counts.series,
        "windows": counts.windows,
        "sums": {name: _texts(found.sums(name)) for name in METHODS},
        "unscaled": {name: found.unscaled(name) for name in METHODS},
        "steps": {name: _texts(found.step_sums(name)) for name in METHODS},
        "covered": {f"{level!r}": found.covered(level) for level in counts.levels},
    }


def added(parts: list[Json]) -> Json:
    """Adds the sums of at least one part; the result does not depend on their order."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {name: added([one[name] for one in parts]) for name in first}
    if isinstance(first, str):
        total = sum((_total(one) for one in parts), Total())
        return _text(total)
    if isinstance(first, int):
        return sum(parts)
    return [added(list(some)) for some in zip(*parts, strict=True)]


def _texts(totals: Any) -> Json:
    """Returns totals as text, which keeps integers of any size."""
    if isinstance(totals, Mapping):
        return {name: _texts(some) for name, some in totals.items()}
    return [_text(one) for one in totals] if isinstance(totals, list) else _text(totals)


def _text(total: Total) -> str:
    zeros = (total.units & -total.units).bit_length() - 1 if total.units else 0
    return f"{total.units >> zeros:x} {zeros} {total.count} {total.infinite}"


def _total(text: str) -> Total:
    units, zeros, count, infinite = text.split()
    return Total(int(units, 16) << int(zeros), int(count), int(infinite))


class MeasuredParts(Measured):
    """Measures of windows on other machines, from the results of `sums_of` for parts of them."""

    def __init__(self, parts: list[Json], season: int, levels: list[float], alias: str) -> None:
        self._sums, self._season, self._levels = added(parts), season, tuple(levels)
        self.alias = alias

    def counts(self) -> Counts:
        """Returns the numbers of series and windows, the season and the levels."""
        return Counts(self._sums["series"], self._sums["windows"], self._season, self._levels)

    def sums(self, method: str) -> dict[str, Total]:
        """Returns the totals of the mean errors of all windows, by metric."""
        return {name: _total(one) for name, one in self._sums["sums"][method].items()}

    def unscaled(self, method: str) -> int:
        """Returns how many windows with an actual value have no scaled error."""
        return int(self._sums["unscaled"][method])

    def step_sums(self, method: str) -> dict[str, list[Total]]:
        """Returns the totals of the errors at each step ahead, by metric."""
        found = self._sums["steps"][method]
        return {name: [_total(one) for one in some] for name, some in found.items()}

    def covered(self, level: float) -> Covered:
        """Returns how many actual values lie inside the intervals of a level."""
        inside, measured, windows = self._sums["covered"][f"{float(level)!r}"]
        return Covered(tuple(inside), tuple(measured), windows)
