"""Measures of windows in parts equal those of all windows, to the bit."""

import json
from typing import Any

import numpy as np
import pytest

from memattn.forecast.data.windows import Windows, rolling_windows
from memattn.forecast.evaluation import Evaluation, evaluate, measured
from memattn.forecast.measured import METHODS, MeasuredParts, added, sums_of

from .panels import flat_panel


def evaluated(series: int = 9) -> Evaluation:
    rng = np.random.default_rng(0)
    values = [rng.gamma(2, 10.0**k, 30) for k in range(series - 1)]
    values[1][-3:] = np.nan
    values[1][-1] = 7.0
    panel = flat_panel([*values, np.full(30, 3.0)], season=4)
    windows = rolling_windows(panel, 6, 4)
    forecasts = rng.gamma(2, 10, (len(windows), 6))
    ends = {80.0: (forecasts - 5, forecasts + 5), 95.5: (forecasts - 9, np.full_like(forecasts, 9))}
    return evaluate(panel, windows, forecasts, ends)


def part(whole: Evaluation, places: np.ndarray) -> Evaluation:
    mine = np.isin(whole.windows.series, places)
    series = np.searchsorted(places, whole.windows.series[mine])
    ends = {level: (low[mine], high[mine]) for level, (low, high) in whole.intervals.items()}
    windows = Windows(series, whole.windows.ends[mine])
    panel = whole.panel.of_series(places)
    return measured(panel, windows, whole.forecasts["memattn"][mine], ends)


@pytest.mark.parametrize("cuts", [[], [4], [1, 2, 7], [0, 3, 9]])
def test_measures_of_parts_equal_those_of_all_windows(cuts: list[int]) -> None:
    whole = evaluated()
    parts = [part(whole, some) for some in np.split(np.arange(9), cuts) if len(some)]
    sent: list[Any] = [json.loads(json.dumps(sums_of(one))) for one in reversed(parts)]
    found = MeasuredParts([added(sent[:2]), *sent[2:]], 4, [80.0, 95.5], "memattn")
    assert repr(found) == repr(whole)
    assert found.counts() == whole.counts()
    for method in METHODS:
        assert found.overall(method) == whole.overall(method)
        assert found.cells(method) == whole.cells(method)
        np.testing.assert_equal(vars(found.by_step(method)), vars(whole.by_step(method)))
    for level in (80, 95.5):
        assert found.coverage(level) == whole.coverage(level)
        assert found.coverage_by_step(level) == whole.coverage_by_step(level)
        assert found.covered_windows(level) == whole.covered_windows(level)
    assert found.overall("memattn").unscaled == 4


def test_a_part_without_windows_adds_nothing() -> None:
    whole = evaluated()
    none = measured(whole.panel, Windows(*np.zeros((2, 0), np.int64)), np.zeros((0, 6)))
    assert np.isnan(none.by_series("memattn").mae).all()
    ends = {level: (np.zeros((0, 6)), np.zeros((0, 6))) for level in whole.intervals}
    none = measured(whole.panel, none.windows, np.zeros((0, 6)), ends)
    found = MeasuredParts([sums_of(none), sums_of(whole)], 4, [80.0, 95.5], "m")
    assert (len(found), found.counts().series) == (len(whole), 18)
    assert found.overall("naive") == whole.overall("naive")
    assert found.coverage_by_step(80) == whole.coverage_by_step(80)
    assert "\nm  " in repr(found)
