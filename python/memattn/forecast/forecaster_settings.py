"""What the forecaster of many series decides by itself, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import Ticks

MAX_LOOKBACK = 512
# Of windows that do not overlap. With fewer, training learns their noise and Naive2 is better; with
# more, it may go on for longer. On samples of 1, 5 and 30 of M3's monthly series, on validation, 0,
# 50 to 100 and 50 steps were best where all 1,428 series want 1,000.
FEWEST_WINDOWS = 20
FEWEST_STEPS, WINDOWS_A_STEP = 60, 3
MIDDLE_OUT = (2, 1, 3, 0, 4)  # which of five lookbacks the first members have

# Series of many long seasons, hourly ones above all, are seen season by season: PanelWindows of the
# engine. Chosen on the validation part of ETTh1, `python -m bench.long_horizon --validate`.
LONG_SEASON = 24  # rows
LONG_HORIZON, MANY_SEASONS = 4, 300  # seasons; with less, windows of last values were as good
SEASONS_SEEN, PAST_SEASONS_STEPS = 14, 600
AVERAGE_DECAY = {"last_values": 0.0, "past_seasons": 0.99}  # of the weights, by the kind of windows
UNITS, MEMORY_SIZE, NUM_HEADS, MEMORY_LAYERS = 64, 32, 4, 2  # of the network, for all of them


@dataclass(frozen=True)
class Setting:
    """One choice.

    Attributes
    ----------
    value : object
        What was chosen.
    reason : str
        Why, for people.
    """

    value: Any
    reason: str

    @property
    def text(self) -> str:
        """The value for people, short however many members there are."""
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        if not isinstance(self.value, tuple):
            long = isinstance(self.value, int) and self.value >= 10_000
            return f"{self.value:,}" if long else str(self.value).replace("_", " ")
        different = sorted(set(self.value))
        if len(different) > 12:
            return f"{different[0]} to {different[-1]}"
        text = ", ".join(map(str, different))
        members = len(self.value)
        return text if len(different) == members else f"{text} (of {members:,} members)"

    def __str__(self) -> str:
        return f"{self.text} ({self.reason})"


Settings: TypeAlias = Mapping[str, Setting]


@dataclass(frozen=True)
class Rule:
    """What suits a frequency: five lookbacks, the shortest history to learn from, and steps."""

    name: str  # M3's for it, empty for another season
    lookbacks: tuple[int, ...]
    min_history: int
    steps: int


# Chosen on the validation part of M3, `python -m bench.forecasting --validate`.
YEARLY = Rule("yearly", (4, 5, 6, 7, 8), 2, 250)
QUARTERLY = Rule("quarterly", (8, 9, 10, 12, 14), 20, 600)
MONTHLY = Rule("monthly", (18, 24, 36, 48, 60), 24, 1000)
OTHER = Rule("other", (16, 24, 32, 40, 48), 8, 400)


def rule_for(frequency: Frequency, season: int) -> Rule:
    """The rule of M3's frequency that is alike; a season of its own is treated as the monthly."""
    if season == 1:
        yearly = frequency.unit is Unit.MONTH and frequency.step == 12
        return YEARLY if yearly else OTHER
    if season == 4:
        return QUARTERLY
    if season == 12:
        return MONTHLY
    seen = (round(lookback / 12 * season) for lookback in MONTHLY.lookbacks)
    lookbacks = tuple(min(max(rows, 4), MAX_LOOKBACK) for rows in seen)
    return Rule("", lookbacks, 2 * season, MONTHLY.steps)


def choose_settings(
    lengths: Ticks, frequency: Frequency, season: int, options: ForecasterOptions
) -> Settings:
    """The settings for series of these lengths (N,), at least one; what is None is chosen.

    With windows of past seasons ``layers`` is None: the series themselves have to say, see
    `memattn.forecast.layer_choice`.
    """
    if _suit_past_seasons(lengths, season, options):
        return past_seasons(season, options)
    return last_values(lengths, frequency, season, options)


def last_values(
    lengths: Ticks, frequency: Frequency, season: int, asked: ForecasterOptions
) -> Settings:
    """The settings with windows of last values, which correct Naive2."""
    rule = rule_for(frequency, season)
    settings = _given(season, asked, "smape", "errors count relative to level")
    history = _min_history(rule, lengths)
    origins = int(np.maximum(lengths - history.value, 0).sum())
    settings |= {
        "windows": Setting("last_values", "the rows before each forecast, less their season"),
        "logs": Setting(True, "for positive series"),
        "layers": Setting(MEMORY_LAYERS, "chosen on M3's validation set"),
        "lookbacks": _lookbacks(rule, int(lengths.max()), asked.lookback, asked.members),
        "min_history": history,
        "steps": _steps(rule, origins, asked.horizon, asked.steps),
    }
    return MappingProxyType(settings)


def past_seasons(season: int, asked: ForecasterOptions) -> Settings:
    """The settings with windows of past seasons; `layers` is still to be decided."""
    chosen, seen = "chosen on ETTh1's validation set", asked.lookback or SEASONS_SEEN * season
    many = f"at least half of the series have {MANY_SEASONS} seasons of {season} rows"
    long = f"the horizon is at least {LONG_HORIZON} seasons"
    lookback = "as given" if asked.lookback else chosen
    settings = _given(season, asked, "huber", chosen) | {
        "windows": Setting("past_seasons", f"{many}, and {long}: each phase on its own"),
        "logs": Setting(False, "past seasons are averaged as they are"),
        "layers": Setting(None, "rolling validation is to choose"),
        "lookbacks": Setting((seen,) * asked.members, lookback),
        "min_history": Setting(seen, "the lookback"),
        "steps": Setting(asked.steps or PAST_SEASONS_STEPS, "as given" if asked.steps else chosen),
    }
    return MappingProxyType(settings)


def _given(season: int, asked: ForecasterOptions, loss: str, why: str) -> dict[str, Setting]:
    members = "default; 10 are more accurate" if asked.members == 1 else "as given"
    settings = {
        "horizon": Setting(asked.horizon, "as given"),
        "season": Setting(season, "as given, usual for the frequency, or found in the values"),
        "members": Setting(asked.members, members),
        "loss": Setting(asked.loss or loss, "as given" if asked.loss else why),
        "seed": Setting(asked.seed, "as given" if asked.seed else "default"),
    }
    if asked.trained_levels:
        why = "whose bounds are trained; the forecast is the median"
        settings["levels"] = Setting(asked.trained_levels, why)
    return settings


def _suit_past_seasons(lengths: Ticks, season: int, asked: ForecasterOptions) -> bool:
    """Whether season, horizon and half of the series or more are long."""
    if season < LONG_SEASON or asked.horizon < LONG_HORIZON * season:
        return False
    long = lengths >= MANY_SEASONS * season + asked.horizon
    return (asked.lookback or 0) % season == 0 and 2 * int(long.sum()) >= len(lengths)


def _lookbacks(rule: Rule, longest: int, asked: int | None, members: int) -> Setting:
    if asked is not None:
        return Setting((asked,) * members, "as given")
    chosen = sorted(rule.lookbacks[MIDDLE_OUT[k % len(MIDDLE_OUT)]] for k in range(members))
    reason = "as many seasons as for M3's monthly series"
    if rule.name:
        reason = f"chosen on M3's {rule.name} validation set"
    limit = max(longest - 1, 2)
    if chosen[-1] > limit:
        chosen = [min(one, limit) for one in chosen]
        reason += f"; at most {limit}: the longest series has {longest} rows"
    return Setting(tuple(chosen), reason)


def _min_history(rule: Rule, lengths: Ticks) -> Setting:
    if 2 * np.count_nonzero(lengths > rule.min_history) >= len(lengths):
        return Setting(rule.min_history, f"for {rule.name} series" if rule.name else "two seasons")
    median = int(np.median(lengths))
    lower = min(max(median // 2, 1), rule.min_history)
    why = f"half of the series have at most {median} rows"
    return Setting(lower, f"{why}, less than the usual {rule.min_history}")


def _steps(rule: Rule, origins: int, horizon: int, asked: int | None) -> Setting:
    if origins == 0:
        return Setting(0, "no series is longer than the minimum history: nothing to learn from")
    if asked is not None:
        return Setting(asked, "as given")
    windows = origins // horizon
    if windows < FEWEST_WINDOWS:
        found = f"only {windows} non-overlapping windows, fewer than {FEWEST_WINDOWS}"
        return Setting(0, f"{found}: the forecast is Naive2, untrained")
    steps = FEWEST_STEPS + windows // WINDOWS_A_STEP
    if steps < rule.steps:
        return Setting(steps, f"few, for only {windows:,} non-overlapping windows")
    return Setting(rule.steps, f"chosen on M3's {rule.name or 'monthly'} validation set")


def trained_levels(settings: Settings) -> tuple[float, ...]:
    """The levels in percent whose ends the engine forecasts, ascending; none without quantiles."""
    return tuple(settings["levels"].value) if "levels" in settings else ()


def engine_options(settings: Settings) -> dict[str, Any]:
    """What the engine is made with."""
    names = ("horizon", "season", "min_history", "windows", "logs", "layers", "seed")
    levels = trained_levels(settings)
    tails = [(100 - level) / 200 for level in levels]
    quantiles = sorted([*tails, 0.5, *(1 - tail for tail in tails)]) if levels else []
    return {
        **{name: settings[name].value for name in names},
        "units": UNITS,
        "memory_size": MEMORY_SIZE,
        "num_heads": NUM_HEADS,
        "average_decay": AVERAGE_DECAY[settings["windows"].value],
        "loss": "pinball" if levels else settings["loss"].value,
        "quantiles": quantiles,
        "lookbacks": list(settings["lookbacks"].value),
        "steps": max(settings["steps"].value, 1),
    }
