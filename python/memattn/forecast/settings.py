"""What the forecast decides by itself: season, lookback, split, patches, length of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError
from memattn.forecast.time_axis import TimeAxis, Unit

Array = npt.NDArray[np.float64]

DAY = 86_400_000_000  # microseconds
MINUTE = 60_000_000
DAYS_TO_SEASON = {1: 7, 7: 52, 14: 26}
SEASONS_WITHOUT_CALENDAR = (4, 7, 12, 24, 48, 52)
VALIDATION_SHARE = 0.2
MAX_LOOKBACK = 2048
MAX_EPOCHS = 100


@dataclass(frozen=True)
class Season:
    """The season in rows, and in words how it was found."""

    rows: int
    reason: str


@dataclass(frozen=True)
class Split:
    """Which rows are for what: training [0, train_end), validation targets [train_end, length)."""

    length: int
    train_end: int


def infer_season(axis: TimeAxis, series: Sequence[Array]) -> Season:
    """The season that the spacing suggests and that the values show, or 1."""
    rows = len(series[0])
    usual = usual_season(axis.unit, axis.step)
    if usual is not None:
        if usual == 1:
            return Season(1, f"one row every {axis.spacing.removeprefix('1 ')} has no usual season")
        if rows < 3 * usual:
            return Season(1, f"{rows} rows are fewer than three seasons of {usual}")
        if not _shows(series, usual):
            return Season(1, f"the values do not repeat every {usual} rows")
        return Season(usual, f"usual for one row every {axis.spacing.removeprefix('1 ')}")
    candidates = [s for s in SEASONS_WITHOUT_CALENDAR if rows >= 3 * s and _shows(series, s)]
    if not candidates:
        return Season(1, "the values show none")
    strengths = {s: _strength(series, s) for s in candidates}
    # A multiple of a season repeats too: of those about as strong as the strongest, the shortest.
    enough = 0.9 * max(strengths.values())
    return Season(min(s for s in candidates if strengths[s] >= enough), "from autocorrelation")


def usual_season(unit: Unit, step: int) -> int | None:
    """The rows in a season that `step` units suggest, 1 for none; None without a calendar."""
    if unit is Unit.MONTH:
        return 12 // step if step in (1, 2, 3, 4, 6) else 1
    if unit is Unit.DAY:
        return DAYS_TO_SEASON.get(step, 1)
    if unit is Unit.BUSINESS_DAY:
        return 5 if step == 1 else 1
    if unit is Unit.MICROSECOND:
        if step >= MINUTE:
            return DAY // step if DAY % step == 0 else 1
        return MINUTE // step if MINUTE % step == 0 and MINUTE // step <= 60 else 1
    return None


def _shows(series: Sequence[Array], season: int) -> bool:
    """Whether the values of most series repeat after `season` rows.

    Either the changes from row to row do, or the values are more alike a season apart than half a
    season apart, which a wandering series without a season is not.
    """
    votes = 0
    for values in series:
        threshold = max(0.1, 2 / np.sqrt(len(values)))
        whole, half = autocorrelation(values, season), autocorrelation(values, season // 2 or 1)
        changes = autocorrelation(np.diff(values), season)
        votes += changes > threshold or (whole > 2 * threshold and whole > half + threshold)
    return 2 * votes >= len(series)


def _strength(series: Sequence[Array], season: int) -> float:
    return float(np.mean([autocorrelation(np.diff(values), season) for values in series]))


def autocorrelation(values: Array, lag: int) -> float:
    """The correlation of `values` with themselves `lag` rows later, after removing a straight line.

    0 for values on a straight line.
    """
    if not 0 < lag < len(values) - 1:
        return 0.0
    rows = np.arange(len(values), dtype=np.float64)
    rows -= rows.mean()
    # From the first value, which leaves exactly 0 of constant values, as their mean may not.
    centred = values - values[0]
    size = float(np.max(np.abs(centred)))
    if size == 0:
        return 0.0
    centred = centred / size  # squares of large values must not overflow
    centred -= centred.mean()
    centred = centred - rows * (float(rows @ centred) / float(rows @ rows))
    power = float(centred @ centred)
    if power <= 1e-20 * len(values):
        return 0.0
    return float(centred[lag:] @ centred[:-lag]) / power


def split_rows(length: int, horizon: int) -> Split:
    """The last 20 % of the rows, and at least one horizon, are held out."""
    return Split(length, length - max(round(VALIDATION_SHARE * length), horizon))


def rows_needed(lookback: int, horizon: int) -> int:
    """The smallest number of rows whose training part holds one window."""
    length = max(lookback + 2 * horizon, 5 * (lookback + horizon) // 4 - 4)
    while split_rows(length, horizon).train_end < lookback + horizon:
        length += 1
    return length


def default_lookback(split: Split, horizon: int, season: int) -> int:
    """About seven seasons and at least two horizons, in whole seasons, if the rows allow it.

    At least half of the training rows are left to be forecast from different windows.
    """
    wanted = max(7 * season, 2 * horizon, 16)
    wanted = -(-wanted // season) * season
    limit = min((split.train_end - horizon) // 2, MAX_LOOKBACK)
    lookback = min(wanted, limit)
    return max(lookback - lookback % season, season, 2)


def check_length(split: Split, lookback: int, horizon: int) -> None:
    """Raises DataError when there are too few rows for `lookback` and `horizon`."""
    needed = rows_needed(lookback, horizon)
    if split.length < needed:
        raise DataError(
            "too-few-rows",
            f"found {split.length:,} rows, expected at least {needed:,} for --lookback {lookback} "
            f"and --horizon {horizon}, of which the newest {100 * VALIDATION_SHARE:.0f} % are held "
            "out; lower --lookback or --horizon, or give more rows",
        )


def choose_patch_size(lookback: int, season: int) -> int:
    """A season where it is of a good length, else an eighth of the lookback."""
    if 4 <= season <= 64 and lookback >= 2 * season:
        return season
    return max(min(lookback // 8, 48), 1)


def training_windows(split: Split, lookback: int, horizon: int, count: int) -> int:
    """How many windows `count` series of this split train on."""
    return count * (split.train_end - lookback - horizon + 1)


def choose_batch_size(windows: int) -> int:
    """Small batches for few windows, so that a pass has steps enough to learn from."""
    return 64 if windows >= 2048 else 16


def default_epochs(windows: int, batch_size: int) -> int:
    """Enough passes for about 1,000 steps, at most MAX_EPOCHS and at least 2."""
    steps = -(-windows // batch_size)
    return min(max(round(1000 / steps), 2), MAX_EPOCHS)
