"""Windows of a panel: the rows known to each forecast, and where it begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memattn.forecast.data.columns import Array
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks


@dataclass(frozen=True)
class Windows:
    """Windows of a panel, W of them, series by series and in order of time.

    Attributes
    ----------
    series : array (W,)
        The place of each window's series in the panel.
    ends : array (W,)
        How many values of it are known; the forecast begins with the next one.
    """

    series: Ticks
    ends: Ticks

    def __len__(self) -> int:
        return len(self.series)

    def truth(self, panel: Panel, horizon: int) -> Array:
        """What came (W, horizon), NaN after the end of a series."""
        row = self.ends[:, None] + np.arange(horizon)
        known = row < panel.lengths[self.series][:, None]
        place = np.where(known, panel.offsets[self.series][:, None] + row, 0)
        return np.where(known, panel.values[place], np.nan)


def with_their_series(panel: Panel, windows: Windows) -> tuple[Panel, Windows]:
    """The panel of the windows' series alone, and the same windows in it."""
    used, series = np.unique(windows.series, return_inverse=True)
    lengths = np.zeros(len(panel), np.int64)
    lengths[used] = panel.lengths[used]
    return panel.until(lengths), Windows(series.astype(np.int64), windows.ends)


def last_windows(panel: Panel) -> Windows:
    """One window a series, after its last value."""
    return Windows(np.arange(len(panel)), panel.lengths)


def rolling_windows(panel: Panel, horizon: int, n_windows: int, step_size: int = 1) -> Windows:
    """The last `n_windows` windows of each series with `horizon` known values, as nixtla has them.

    The last one ends with the series, each before it `step_size` rows earlier. Windows without a
    value before them are left out, so that a series of up to `horizon` values has none.

    Raises
    ------
    ValueError
        A number below 1.
    """
    for name, value in (("horizon", horizon), ("n_windows", n_windows), ("step_size", step_size)):
        if value < 1:
            raise ValueError(f"rolling_windows: {name}: found {value}, expected at least 1")
    back = horizon + step_size * np.arange(n_windows - 1, -1, -1)
    ends = (panel.lengths[:, None] - back).ravel()
    series = np.repeat(np.arange(len(panel)), n_windows)
    return Windows(series[ends > 0], ends[ends > 0])
