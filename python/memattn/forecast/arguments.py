"""What people pass to a Forecaster, checked: errors say function, argument, found and expected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from memattn.forecast.forecaster_settings import LEVELS, LOSSES

MAX_SIZE = 2**31 - 1


def whole_number(
    where: str, name: str, value: object, smallest: int, largest: int = MAX_SIZE
) -> int:
    """`value` as an int; ValueError or TypeError when it is none or out of bounds."""
    expected = f"a whole number from {smallest} to {largest}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{where}: {name}: found {value!r}, expected {expected}")
    if not smallest <= value <= largest:
        raise ValueError(f"{where}: {name}: found {value}, expected {expected}")
    return int(value)


def checked_levels(where: str, level: Iterable[float] | None) -> list[float]:
    """The different levels in order; ValueError or TypeError when one is none."""
    if level is None:
        return []
    if isinstance(level, str | bytes) or not isinstance(level, Iterable):
        msg = f"found {level!r}, expected a list of percents such as [80, 95]"
        raise TypeError(f"{where}: level: {msg}")
    levels = set()
    for one in level:
        if isinstance(one, bool) or not isinstance(one, int | float | np.integer | np.floating):
            raise TypeError(f"{where}: level: found {one!r}, expected numbers of percent")
        if not 0 < one < 100:
            raise ValueError(f"{where}: level: found {one}, expected numbers above 0 and below 100")
        if float(f"{float(one):g}") != float(one):  # columns are called so
            msg = f"found {one!r}, expected numbers of at most six digits"
            raise ValueError(f"{where}: level: {msg}")
        levels.add(float(one))
    return sorted(levels)


def trained_by(where: str, loss: str | None, level: Iterable[float] | None) -> tuple[float, ...]:
    """The levels that a loss trains, ascending; ValueError for a loss or levels that cannot be."""
    if loss is not None and loss not in LOSSES:
        expected = ", ".join(repr(name) for name in LOSSES)
        raise ValueError(f"{where}: loss: found {loss!r}, expected one of {expected}")
    levels = tuple(checked_levels(where, level))
    if level is not None and (loss != "quantile" or not levels):
        found = f"found {list(levels)} with loss={loss!r}"
        expected = 'expected some with loss="quantile", else none: predict takes any'
        raise ValueError(f"{where}: level: {found}, {expected}")
    if loss != "quantile":
        return ()
    return levels or LEVELS


def check_trained(where: str, trained: tuple[float, ...], levels: Sequence[float]) -> None:
    """ValueError for a level that the quantile loss was not trained for, if it was the loss."""
    for level in levels:
        if trained and level not in trained:
            expected = ", ".join(f"{one:g}" for one in trained)
            msg = f"found {level:g}, expected one that the quantile loss was trained for"
            raise ValueError(f"{where}: level: {msg}: {expected}")
