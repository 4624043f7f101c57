"""The protocol of long horizons: the windows that count, and the data that --validate uses."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bench import long_horizon

from memattn.forecast import panel_from_frame
from memattn.forecast.data.panel import Panel

SIZE, HORIZON, START, STOP = 40, 3, 20, 30


def panel_of(*series: np.ndarray) -> Panel:
    """Returns a panel of series with numbered rows."""
    ids = np.repeat(np.arange(len(series)), [len(one) for one in series])
    rows = np.concatenate([np.arange(len(one)) for one in series])
    frame = {"unique_id": ids, "ds": rows, "y": np.concatenate(series)}
    return panel_from_frame(pd.DataFrame(frame))


class Repeater:
    """A model of two members, which forecast the last value, and the last value plus one."""

    members = 2

    def predict(
        self, values: Any, offsets: Any, series: Any, times: Any, member: int
    ) -> np.ndarray:
        last = values[offsets[series] + times - 1] + {0: 0.0, 1: 1.0, -1: 0.5}[member]
        return np.repeat(last[:, None, None], HORIZON, axis=2)


def test_errors_are_means_over_all_windows_of_a_part() -> None:
    rng = np.random.default_rng(0)
    series = [rng.normal(size=SIZE) for _ in range(2)]
    found = long_horizon.measure(Repeater(), panel_of(*series), HORIZON, START, STOP)  # type: ignore[arg-type]
    for added, (mse, mae) in zip((0.0, 1.0, 0.5), [*found.members, found.ensemble], strict=True):
        errors = [
            one[time - 1] + added - one[time + k]
            for one in series
            for time in range(START, STOP - HORIZON + 1)
            for k in range(HORIZON)
        ]
        assert mse == pytest.approx(np.square(errors).mean(), rel=1e-12)
        assert mae == pytest.approx(np.abs(errors).mean(), rel=1e-12)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a file with the hours of the protocol, and outliers in all of the test part."""
    rows = np.arange(long_horizon.TEST_END + 10)
    hours = pd.date_range("2016-07-01", periods=len(rows), freq="h")
    y = np.where(rows < long_horizon.VALIDATION_END, rows % 7.0, 1e6)
    path = tmp_path_factory.mktemp("ett") / "hours.csv"
    pd.DataFrame({"date": hours, "a": y, "b": -3 * y}).to_csv(path, index=False)
    return path


def test_validation_does_not_use_the_test_part(data: Path) -> None:
    panel = long_horizon.load(data, validate=True)
    assert (panel.lengths == long_horizon.VALIDATION_END).all()
    assert np.abs(panel.values).max() < 2
    series = long_horizon.load(data, validate=False).values.reshape(2, -1)
    assert series.shape == (2, long_horizon.TEST_END)
    known = series[:, : long_horizon.TRAIN_END]
    np.testing.assert_allclose(known.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(known.std(axis=1), 1, rtol=1e-12)


def test_a_short_file_is_refused(tmp_path: Path) -> None:
    hours = pd.date_range("2016-07-01", periods=100, freq="h")
    path = tmp_path / "short.csv"
    pd.DataFrame({"date": hours, "a": np.arange(100.0)}).to_csv(path, index=False)
    with pytest.raises(ValueError, match="load: found 100 rows, expected 11520 or more"):
        long_horizon.load(path, validate=True)


def test_rows_of_cuts_all_series_of_a_panel() -> None:
    panel = panel_of(np.arange(10.0), np.arange(10.0) + 50)
    found = long_horizon.rows_of(panel, 3, 5)
    assert found.values.tolist() == [3, 4, 53, 54]
    assert found.lengths.tolist() == [2, 2]
