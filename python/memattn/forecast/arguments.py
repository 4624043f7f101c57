"""Checks of the arguments of a Forecaster; errors name the function and the argument."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from difflib import get_close_matches
from typing import Any, TypeAlias, TypeVar

import numpy as np

from memattn.errors import DataError, refused
from memattn.forecast.data.bad_series import RAISE, check_on_bad
from memattn.forecast.data.column_choice import ID_COL, TARGET_COL, TIME_COL
from memattn.forecast.data.covariate_columns import covariate_lists
from memattn.forecast.data.frames import MODEL
from memattn.forecast.data.frequency import parse_frequency

MAX_SIZE = 2**31 - 1
LOSSES = ("smape", "mae", "huber", "quantile")
LEVELS = (80.0, 95.0)  # the default levels of the quantile loss
WHOLE_NUMBERS = {
    "horizon": (1, 1_000_000),
    "season": (1, MAX_SIZE),
    "lookback": (1, MAX_SIZE),
    "members": (1, 10_000),
    "seed": (0, 2**64 - 1),
    "steps": (1, MAX_SIZE),
}
EXOG = ("futr_exog_list", "hist_exog_list", "stat_exog_list")  # known ahead, in the past, constant
Levels: TypeAlias = float | Iterable[float] | None
Init = TypeVar("Init", bound=Callable[..., None])


def _told_in_words(init: Init) -> Init:
    """Adds errors for unknown options, a missing horizon, and a season as second argument."""

    @functools.wraps(init)
    def checked(self: object, *places: Any, **named: Any) -> None:
        if len(places) > 1 and isinstance(places[1], int | np.integer):
            hint = f"write season={places[1]}, or freq={places[1]} for numbered rows"
            raise TypeError(f"Forecaster: the second argument is freq, no longer season; {hint}")
        known = [field.name for field in fields(self)]  # type: ignore[arg-type]
        for name in (name for name in named if name not in known):
            near = "".join(f"; did you mean {one}?" for one in get_close_matches(name, known, 1))
            raise TypeError(f"Forecaster: unknown option {name!r}{near}")
        if not places and "horizon" not in named:
            raise TypeError("Forecaster: pass the horizon, in rows, as in Forecaster(horizon=12)")
        init(self, *places, **named)

    return checked  # type: ignore[return-value]


@dataclass(frozen=True, repr=False)
class ForecasterOptions:
    """The options of a `Forecaster`, described there. They are checked once and then read-only.

    Raises
    ------
    TypeError, ValueError
        If a value is invalid, or two columns have the same name.
    """

    horizon: int
    freq: str | int | None = None
    _: KW_ONLY
    futr_exog_list: Sequence[str] = ()
    hist_exog_list: Sequence[str] = ()
    stat_exog_list: Sequence[str] = ()
    calendar: bool | str = False
    country: str | None = None
    season: int | None = None
    lookback: int | None = None
    members: int = 1
    loss: str | None = None
    seed: int = 0
    steps: int | None = None
    id_col: str | None = ID_COL
    time_col: str = TIME_COL
    target_col: str | Sequence[str] = TARGET_COL
    intervals: bool = True
    level: Levels = None
    alias: str = MODEL
    prior: str | None = "auto"
    day_first: bool | None = None
    on_bad_series: str = RAISE

    def __post_init__(self) -> None:
        where, given = "Forecaster", self.get_params()
        optional = {field.name for field in fields(self) if field.default is None}
        for name, bounds in WHOLE_NUMBERS.items():
            if given[name] is not None or name not in optional:
                given[name] = whole_number(where, name, given[name], *bounds)
        given["freq"] = _frequency(where, self.freq)
        given["intervals"] = _flag(where, "intervals", self.intervals)
        given["level"] = _trained_levels(where, self.loss, self.level)
        if self.day_first is not None:
            given["day_first"] = _flag(where, "day_first", self.day_first)
        check_on_bad(self.on_bad_series)
        given["prior"] = checked_prior(where, self.prior)
        given["target_col"] = _columns(where, self)
        given |= _covariates(where, self)
        for name, value in given.items():
            # Unchanged values stay the same objects, as `sklearn.base.clone` expects.
            before = getattr(self, name)
            if type(value) is not type(before) or value != before:
                object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        changed = (
            field.name for field in fields(self) if getattr(self, field.name) != field.default
        )
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in changed)
        return f"{type(self).__name__}({shown})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the options by name, as `sklearn.base.clone` needs them; `deep` has no effect."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def has_covariates(self) -> bool:
        """Whether the forecaster uses a calendar or covariates."""
        return bool(self.calendar) or any(getattr(self, role) for role in EXOG)

    @property
    def trained_levels(self) -> tuple[float, ...]:
        """The levels that the quantile loss trains, ascending; empty with another loss."""
        return (tuple(self.level) if self.level else LEVELS) if self.loss == "quantile" else ()  # type: ignore[arg-type]


ForecasterOptions.__init__ = _told_in_words(ForecasterOptions.__init__)  # type: ignore[method-assign]


def checked_prior(where: str, prior: object) -> str | None:
    """Checks `prior` and returns it as text or None, as files store it."""
    if prior is None:
        return None
    if not isinstance(prior, str | os.PathLike) or not os.fspath(prior):
        expected = '"auto", None, or the path of a file or a folder'
        raise TypeError(f"{where}: prior: found {prior!r}, expected {expected}")
    return os.fsdecode(prior)


def _frequency(where: str, freq: object) -> str | int | None:
    """Returns the frequency as files store it: the text of a pandas offset, or an int."""
    if freq is None:
        return None
    try:
        text = parse_frequency(freq).text
    except DataError as error:
        error.function = where
        raise
    return int(freq) if isinstance(freq, int | np.integer) else text


def _flag(where: str, name: str, value: object) -> bool:
    """Returns `value` as a bool. Raises TypeError if it is not True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{where}: {name}: found {value!r}, expected True or False")
    return bool(value)


def _columns(where: str, options: ForecasterOptions) -> str | tuple[str, ...]:
    """Returns the target or targets. Raises TypeError or ValueError if column names collide."""
    target = options.target_col
    one = isinstance(target, str) or not isinstance(target, Iterable)
    targets: tuple[Any, ...] = (target,) if one else tuple(target)
    names: list[tuple[str, Any]] = [("id_col", options.id_col), ("time_col", options.time_col)]
    names += [("target_col", target) for target in targets] + [("alias", options.alias)]
    names = names if options.id_col is not None else names[1:]
    for role, name in names:
        if not isinstance(name, str) or not name:
            raise TypeError(f"{where}: {role}: found {name!r}, expected the name of a column")
    if not targets:
        raise refused(where, "target_col", "is empty; name at least one column")
    # Each of several targets is a series; the output has the values of all of them in column `y`.
    if len(targets) > 1 and TARGET_COL not in targets:
        names.append(("column of values", TARGET_COL))
    seen = {"cutoff": "the column of cross_validation"}
    for role, name in names:
        end = name.removeprefix(options.alias)
        if name in seen or (role != "alias" and end != name and end[:4] in ("-lo-", "-hi-")):
            other = seen.get(name, "an interval of the alias")
            raise refused(where, role, f"{name!r} is also {other}; choose another name")
        seen[name] = f"the {role}"
    return targets[0] if one else targets


def _covariates(where: str, options: ForecasterOptions) -> dict[str, Any]:
    """Checks the covariate options and returns them by name, with lists of names as tuples."""
    target = options.target_col
    roles: dict[object, str] = {options.id_col: "id_col", options.time_col: "time_col"}
    roles |= dict.fromkeys([target] if isinstance(target, str) else target, "target_col")
    try:
        lists = covariate_lists(*(getattr(options, role) for role in EXOG))
    except TypeError as error:
        raise TypeError(f"{where}: {error}") from None
    except DataError as error:
        error.function = where
        raise
    found: dict[str, Any] = dict(zip(EXOG, (lists.futr, lists.hist, lists.stat), strict=True))
    for role, _, name in lists:
        if name in roles:
            raise refused(where, role, f"{name!r} is also in {roles[name]}; list it once")
    if options.calendar != "auto":
        if isinstance(options.calendar, str):
            problem = f'found {options.calendar!r}, expected True, False or "auto"'
            raise refused(where, "calendar", problem)
        found["calendar"] = _flag(where, "calendar", options.calendar)
    if options.country is not None:
        if not isinstance(options.country, str):
            expected = 'the code of a country such as "NO"'
            raise TypeError(f"{where}: country: found {options.country!r}, expected {expected}")
        if not options.calendar:
            problem = f"{options.country!r} needs a calendar; pass calendar=True"
            raise refused(where, "country", problem)
    return found


def whole_number(
    where: str, name: str, value: object, smallest: int, largest: int = MAX_SIZE
) -> int:
    """Returns `value` as an int. Raises TypeError if it is no integer, ValueError out of bounds."""
    expected = f"a whole number from {smallest} to {largest}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{where}: {name}: found {value!r}, expected {expected}")
    if not smallest <= value <= largest:
        raise refused(where, name, f"found {value}, expected {expected}")
    return int(value)


def check_val_size(where: str, val_size: object, horizon: int) -> None:
    """Raises TypeError or ValueError unless `val_size` is 0 or at least the horizon."""
    if 0 < whole_number(where, "val_size", val_size, 0) < horizon:
        problem = f"found {val_size}, expected 0 or at least horizon = {horizon}"
        raise refused(where, "val_size", problem)


def checked_levels(where: str, level: Levels) -> list[float]:
    """Returns the distinct levels, ascending. Raises TypeError or ValueError for invalid ones."""
    if level is None:
        return []
    if isinstance(level, int | float | np.integer | np.floating):
        level = [level]
    if isinstance(level, str | bytes) or not isinstance(level, Iterable):
        msg = f"found {level!r}, expected a list of percentages such as [80, 95]"
        raise TypeError(f"{where}: level: {msg}")
    levels = set()
    for one in level:
        if isinstance(one, bool) or not isinstance(one, int | float | np.integer | np.floating):
            raise TypeError(f"{where}: level: found {one!r}, expected numbers in percent")
        if not 0 < one < 100:
            raise refused(where, "level", f"found {one}, expected numbers between 0 and 100")
        if one < 1:
            hint = f"write {100 * one:g} for {100 * one:g} %"
            raise refused(where, "level", f"found {one}, expected a percentage; {hint}")
        if float(f"{float(one):g}") != float(one):  # the level is part of a column's name
            raise refused(where, "level", f"found {one!r}, expected at most six digits")
        levels.add(float(one))
    return sorted(levels)


def _trained_levels(where: str, loss: object, level: Levels) -> tuple[float, ...] | None:
    """Returns the levels for the quantile loss. Raises ValueError for an invalid loss or level."""
    if loss is not None and not (isinstance(loss, str) and loss in LOSSES):
        expected = ", ".join(repr(name) for name in LOSSES)
        raise refused(where, "loss", f"found {loss!r}, expected one of {expected}")
    if level is None:
        return None
    if loss != "quantile":
        hint = "with other losses pass levels to predict()"
        raise refused(where, "level", f'needs loss="quantile"; {hint}')
    levels = tuple(checked_levels(where, level))
    if not levels:
        raise refused(where, "level", "is empty; pass levels such as [80, 95]")
    return levels


def check_trained(where: str, trained: tuple[float, ...], levels: Sequence[float]) -> None:
    """Raises ValueError for a level that is not in `trained`, the levels of the quantile loss.

    If `trained` is empty, the loss is another one and any level is valid.
    """
    for level in levels:
        if trained and level not in trained:
            expected = ", ".join(f"{one:g}" for one in trained)
            msg = f"found {level:g}, expected a level that the quantile loss was trained for"
            raise refused(where, "level", f"{msg}: {expected}")


MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]?)(i?)B?", re.IGNORECASE)
LEAST_MEMORY = 1 << 30


def checked_memory(where: str, memory: object) -> int:
    """Returns `memory`, a whole number or text such as "2GiB", in bytes.

    Raises TypeError or ValueError if it is neither, or less than `LEAST_MEMORY`.
    """
    expected = 'a number of bytes, or text such as "2GiB", of at least 1 GiB'
    if isinstance(memory, str):
        found = MEMORY.fullmatch(memory.strip())
        if found is None:
            raise refused(where, "memory", f"found {memory!r}, expected {expected}")
        number, letter, binary = found.groups()
        power = " KMGT".index(letter.upper() or " ")
        memory = int(float(number) * (1024 if binary else 1000) ** power)
    elif isinstance(memory, bool) or not isinstance(memory, int | np.integer):
        raise TypeError(f"{where}: memory: found {memory!r}, expected {expected}")
    if memory < LEAST_MEMORY:
        raise refused(where, "memory", f"found {memory:,} bytes, expected {expected}")
    return int(memory)
