"""Missing values: filled from the values known at each cutoff, and never measured."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import Forecaster, panel_from_frame
from memattn.forecast.baselines import naive, seasonal_naive
from memattn.forecast.data.frames import cross_validation_frame
from memattn.forecast.data.panel import panel_from_file
from memattn.forecast.data.table_files import table_bytes
from memattn.forecast.data.windows import Windows, known_before, rolling_windows
from memattn.forecast.evaluation import MODEL, evaluate, separate_windows
from memattn.forecast.measured import NAIVE

from .panels import days, flat_panel, one_series, write_csv

NAN = np.nan
HOLED = np.array([1.0, 2.0, NAN, 4.0, 6.0, NAN, NAN, 12.0, 14.0])


def windows_of(*ends: int) -> Windows:
    return Windows(np.zeros(len(ends), np.int64), np.array(ends))


def test_holes_are_filled_from_the_past_of_each_window() -> None:
    panel = flat_panel([HOLED, np.arange(3.0)], season=4)
    assert panel.filled.tolist() == [1, 2, 3, 4, 6, 8, 10, 12, 14, 0, 1, 2]
    windows = windows_of(2, 3, 5, 6, 7, 8)
    values, offsets, then, copied = known_before(panel, windows)
    pasts = [
        values[offsets[one] : offsets[one] + end].tolist()
        for one, end in zip(then.series, then.ends, strict=True)
    ]
    assert pasts == [
        [1, 2],
        [1, 2, 2],
        [1, 2, 3, 4, 6],
        [1, 2, 3, 4, 6, 6],
        [1, 2, 3, 4, 6, 6, 6],
        [1, 2, 3, 4, 6, 8, 10, 12],
    ]
    assert len(offsets) == 3 + 2  # one more series for each hole
    assert copied.tolist() == [0, 0]
    assert naive(panel, windows, 1)[:, 0].tolist() == [2, 2, 6, 6, 6, 12]
    assert seasonal_naive(panel, windows, 2, 4).tolist() == [
        [2, 2], [2, 2], [2, 3], [3, 4], [4, 6], [6, 8],
    ]  # fmt: skip


def test_without_holes_nothing_is_copied() -> None:
    panel = flat_panel([np.arange(9.0), np.arange(3.0)])
    assert panel.filled is panel.values
    assert known_before(panel, windows_of(5))[0] is panel.values


def test_a_panel_until_a_hole_ends_with_a_value() -> None:
    panel = flat_panel([HOLED, np.arange(3.0)])
    then = panel.until(np.array([7, 0]))
    np.testing.assert_array_equal(then.values, HOLED[:5])
    assert (then.ids.tolist(), then.last.tolist()) == (["s00000"], [996])


def test_missing_actual_values_are_not_measured() -> None:
    """By hand: windows end with rows 4, 5 and 7; actual values are (6, -), (-, -) and (12, 14)."""
    panel = flat_panel([HOLED])
    windows = windows_of(4, 5, 7)
    result = evaluate(
        panel, windows, np.array([[7.0, 99.0], [99.0, 99.0], [12.0, 17.0]]),
        {80.0: (np.array([[6.0, 0], [0, 0], [13, 13]]), np.full((3, 2), 20.0))},
    )  # fmt: skip
    assert len(result) == 2
    # The values before row 4 are 1, 2, -, 4: the only known difference is 1.
    np.testing.assert_array_equal(result.scales.absolute, [1, 1, 1])
    np.testing.assert_array_equal(result.errors[MODEL].mae, [1, NAN, 1.5])
    assert result.overall(MODEL).mase == result.overall(MODEL).mae == 1.25
    assert result.overall(NAIVE).mae == (2 + (6 + 8) / 2) / 2
    assert result.overall(MODEL).unscaled == 0
    np.testing.assert_array_equal(result.by_step(MODEL).mae, [0.5, 3])
    assert result.coverage(80) == pytest.approx(200 / 3)
    assert result.covered_windows(80) == 2
    assert separate_windows(result) == 2
    table = cross_validation_frame(panel, windows, result.forecasts[MODEL])
    np.testing.assert_array_equal(table["y"], [6, NAN, NAN, NAN, 12, 14])


def test_fit_does_not_measure_missing_values(tmp_path: Path) -> None:
    """Filled values are not calibrated on either."""
    rng = np.random.default_rng(0)
    y = 100 + rng.normal(size=400)
    gone = rng.random(400) < 0.15
    gone[[0, -1]] = False
    frame = pd.DataFrame(one_series(days(400, "2020-01-01"), np.where(gone, NAN, y)))
    forecaster = Forecaster(3, steps=2, season=1).fit(frame)
    result = forecaster.held_out([80])
    assert result is not None
    last = result.panel.offsets[result.windows.series] + result.windows.ends - 1
    assert not np.isnan(result.panel.values[last]).any()
    assert len(result) == len(result.windows)
    assert np.isnan(result.truth).any()
    forecaster.save(tmp_path / "model")
    loaded = Forecaster.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.predict(level=[80]), forecaster.predict(level=[80]))
    np.testing.assert_array_equal(loaded.panel(frame).values, result.panel.values)
    # The model sees holes filled by straight lines.
    filled = frame.assign(y=result.panel.filled)
    pd.testing.assert_frame_equal(forecaster.predict(data=filled), forecaster.predict(data=frame))


def test_files_and_tables_show_holes(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", {"ds": days(12), "y": [*range(9), "", 10, 11]})
    panel = panel_from_file(path)
    table = cross_validation_frame(panel, rolling_windows(panel, 3, 1), np.zeros((1, 3)))
    np.testing.assert_array_equal(table["y"], [NAN, 10, 11])
    text = table_bytes(table, tmp_path / "b.csv").decode()
    assert [line.split(",")[4] for line in text.splitlines()] == ["y", "", "10.0", "11.0"]


def test_a_backtest_counts_missing_rows_before_its_first_window() -> None:
    """A backtest also finds the season in these rows, even for a panel that was made before."""
    ds = np.arange(90)
    later = np.where(ds < 46, 0, 90 * np.sin(ds * np.pi / 5))
    y = 100 + 5 * np.sin(ds * np.pi / 2) + later + np.random.default_rng(2).normal(size=90) * 0.1
    table = pd.DataFrame({"ds": ds, "y": y})
    made = panel_from_frame(table)
    assert made.season == 1
    assert Forecaster(5, steps=2).backtest(made, 8, step_size=5).panel.season == 4
    assert Forecaster(5, steps=2, season=3).backtest(made, 8, step_size=5).panel.season == 3
    found = Forecaster(5, steps=2).backtest(table.drop(index=range(52, 89)), 8, step_size=5)
    assert (found.panel.season, len(found), len(found.windows)) == (4, 2, 8)
