"""The windows that intervals are calibrated on, and those kept to measure accuracy."""

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import fitting

from .panels import flat_panel
from .test_forecaster import monthly, small


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return monthly()


def test_every_held_out_row_begins_a_calibration_window(frame: pd.DataFrame) -> None:
    """One step ahead each series has 8 errors, six steps ahead 3."""
    state = small().fit(frame, val_size=8)._state("test")
    assert state.calibration is not None
    known = (~np.isnan(state.calibration.errors[:, 0])).sum(axis=0)
    assert known.tolist() == [20 * count for count in (8, 7, 6, 5, 4, 3)]
    held_out = state.held_out
    assert held_out is not None
    assert len(held_out.windows) == 60
    assert not np.isnan(held_out.windows.truth(state.panel, 6)).any()
    assert held_out.forecasts.shape == (60, 1, 6)


def test_windows_with_too_little_history_do_not_calibrate() -> None:
    rng = np.random.default_rng(0)
    series = [np.exp(rng.normal(size=size)) for size in [40] * 20 + [5] * 10]
    state = small(3).fit(flat_panel(series))._state("test")
    assert state.calibration is not None
    # Seven whole windows of the long series hold out 9 rows; 3 or 4 values of short ones are known.
    assert len(state.calibration) == 20 * 12 + 10 * 2


def test_very_many_windows_are_sampled_for_calibration(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = small().fit(frame, val_size=8)._state("test").calibration
    monkeypatch.setattr(fitting, "MOST_WINDOWS", 50)
    some = small().fit(frame, val_size=8)._state("test").calibration
    assert whole is not None
    assert some is not None
    assert len(some) == 50
    assert {one.tobytes() for one in some.errors} < {one.tobytes() for one in whole.errors}
