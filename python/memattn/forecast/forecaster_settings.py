"""The settings that the forecaster chooses by itself, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.long_rows import plural
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import Ticks

MAX_LOOKBACK = 512
# The number of non-overlapping windows needed to train. With fewer, training learns their noise and
# Naive2 is better; with more, training may take more steps. On samples of 1, 5 and 30 of M3's
# monthly series, 0, 50 to 100 and 50 steps were best in validation; for all 1,428 series, 1,000.
FEWEST_WINDOWS = 20
FEWEST_STEPS, WINDOWS_A_STEP = 60, 3
MIDDLE_OUT = (2, 1, 3, 0, 4)  # which of five lookbacks the first members have

# Series with many long seasons, mostly hourly ones, are read season by season: `PanelWindows` of
# the engine. Chosen on the validation part of ETTh1, `python -m bench.long_horizon --validate`.
LONG_SEASON = 24  # rows
LONG_HORIZON, MANY_SEASONS = 4, 300  # seasons; with less, windows of last values were as good
SEASONS_SEEN, PAST_SEASONS_STEPS = 14, 600
AVERAGE_DECAY = {"last_values": 0.0, "past_seasons": 0.99}  # of averaged weights, by window kind

# With covariates, forecasts of whole seasons begin at one phase, such as midnight. Chosen on the
# validation part of EPF's three markets, `python -m bench.prices --validate`.
ALIGNED_SEASONS, ALIGNED_STEPS, ALIGNED_BATCH, ALIGNED_RATE = 7, 2000, 64, 5e-4
FEWEST_ALIGNED = 60  # seasons, in at least half of the series
DROPOUT = 0.2  # of the inputs and the outputs of the memory layers
UNITS, MEMORY_SIZE, NUM_HEADS, MEMORY_LAYERS = 64, 32, 4, 2  # of every network
BATCH_SIZE = 512  # windows in each training step
# With covariates and fewer windows than MANY_ORIGINS: on three to ten random shops, 128 windows a
# step were as good as 512, in a third of the time.
SMALL_BATCH, MANY_ORIGINS = 128, 5_000
# The number of non-overlapping windows needed to train with covariates, which distinguish a window
# from its neighbour. On random shops 12, 15 and 5 were enough to be better than Naive2.
FEWEST_COVARIATE_WINDOWS = 5
# How a prior is used: it forecasts without training, training starts from it, or not at all.
ALONE, STARTED, NO_PRIOR = "alone", "started from", "not used"
STARTED_STEPS, STARTED_RATE = 300, 3e-4
START = "start_from"  # setting: number of trainings before this one, if it started from a fit
OF_PRIOR = "that of the prior"  # the reason of settings that a prior determines
SEASON_FOUND = "from the frequency; for numbered rows from the values"
SHOWN = 5  # names of covariates shown in text
# The label of each setting, for people; programs use the keys.
SETTING_WORDS = {
    "horizon": "horizon, in rows",
    "season": "season, in rows",
    "members": "networks in the ensemble",
    "loss": "training loss",
    "seed": "random seed",
    "levels": "trained interval levels, %",
    "windows": "input windows",
    "logs": "forecast in logarithms",
    "layers": "memory layers",
    "lookbacks": "rows in each input window",
    "min_history": "minimum history, in rows",
    "steps": "training steps",
    "compressed": "values compressed",
    "left_out": "covariates left out",
    "origin_stride": "rows between forecast origins",
    "origin_phase": "phase of the season at which forecasts begin",
    "batch_size": "windows per training step",
    "num_heads": "heads of a memory layer",
    "rows_seen": "last rows of each series used",
    "long_season": "second season, in rows",
    "prior": "prior (pretrained networks)",
    "prior_horizon": "horizon of the prior, in rows",
    "sample": "series trained on",
    START: "earlier trainings",
}


@dataclass(frozen=True)
class Setting:
    """A chosen setting.

    Attributes
    ----------
    value : object
        The value.
    reason : str
        Why it was chosen, as text.
    """

    value: Any
    reason: str

    @property
    def text(self) -> str:
        """The value as short text, for any number of members."""
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        if not isinstance(self.value, tuple):
            long = isinstance(self.value, int) and self.value >= 10_000
            return f"{self.value:,}" if long else str(self.value).replace("_", " ")
        if all(isinstance(one, str) for one in self.value):
            more = f" and {len(self.value) - SHOWN:,} more" if len(self.value) > SHOWN else ""
            return (", ".join(self.value[:SHOWN]) or "none") + more
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
    """The settings for a frequency: five lookbacks, the minimum history, and the training steps."""

    name: str  # M3's name of the frequency, empty for another season
    lookbacks: tuple[int, ...]
    min_history: int
    steps: int


# Chosen on the validation part of M3, `python -m bench.forecasting --validate`.
YEARLY = Rule("yearly", (4, 5, 6, 7, 8), 2, 250)
QUARTERLY = Rule("quarterly", (8, 9, 10, 12, 14), 20, 600)
MONTHLY = Rule("monthly", (18, 24, 36, 48, 60), 24, 1000)
OTHER = Rule("other", (16, 24, 32, 40, 48), 8, 400)


def rule_for(frequency: Frequency, season: int) -> Rule:
    """Returns the rule for M3's frequency with this season; for another season, the monthly one.

    The lookbacks are then scaled to the same number of seasons.
    """
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
    lengths: Ticks,
    frequency: Frequency,
    season: int,
    options: ForecasterOptions,
    *,
    covariates: bool = False,
    phases: Ticks | None = None,
) -> Settings:
    """Chooses the settings for N series, at least one, of these `lengths` (N,).

    Options that are None are chosen. With windows of past seasons and with `covariates`, the
    setting ``layers`` is None: `memattn.forecast.layer_choice` chooses it by validation. With
    `covariates`, `phases` are the phases of the season at which forecasts are to begin.
    """
    if covariates:
        one = np.unique(np.zeros(0) if phases is None else phases)
        if len(one) == 1 and _suit_alignment(lengths, season, options):
            return _aligned(season, int(one[0]), options)
        settings = last_values(lengths, frequency, season, options)
        return _with_covariates(settings, options) | _learnt(settings, lengths, options)
    if _suit_past_seasons(lengths, season, options):
        return past_seasons(season, options)
    return last_values(lengths, frequency, season, options)


def last_values(
    lengths: Ticks, frequency: Frequency, season: int, asked: ForecasterOptions
) -> Settings:
    """Returns the settings with windows of last values, whose networks correct Naive2."""
    rule = rule_for(frequency, season)
    settings = _given(season, asked, "smape", "errors are relative to the level")
    history = _min_history(rule, lengths)
    origins = training_origins(lengths, history.value)
    settings |= {
        "windows": Setting("last_values", "the rows before each forecast, without their season"),
        "logs": Setting(True, "for positive series"),
        "layers": Setting(MEMORY_LAYERS, "chosen on M3's validation set"),
        "lookbacks": _lookbacks(rule, int(lengths.max()), asked.lookback, asked.members),
        "min_history": history,
        "steps": _steps(rule, origins, asked.horizon, asked.steps),
    }
    return MappingProxyType(settings)


def past_seasons(season: int, asked: ForecasterOptions) -> Settings:
    """Returns the settings with windows of past seasons; `layers` is still to be chosen."""
    chosen, seen = "chosen on ETTh1's validation set", asked.lookback or SEASONS_SEEN * season
    many = f"at least half of the series have {MANY_SEASONS} seasons of {season} rows"
    long = f"the horizon is at least {LONG_HORIZON} seasons"
    lookback = "as given" if asked.lookback else chosen
    settings = _given(season, asked, "huber", chosen) | {
        "windows": Setting("past_seasons", f"{many}, and {long}: phases are forecast separately"),
        "logs": Setting(False, "past seasons are averaged without logs"),
        "layers": Setting(None, "to be chosen by rolling validation"),
        "lookbacks": Setting((seen,) * asked.members, lookback),
        "min_history": Setting(seen, "the lookback"),
        "steps": Setting(asked.steps or PAST_SEASONS_STEPS, "as given" if asked.steps else chosen),
    }
    return MappingProxyType(settings)


def _aligned(season: int, phase: int, asked: ForecasterOptions) -> Settings:
    """Returns the settings for forecasts with covariates that begin at one phase of the season."""
    chosen = "chosen on EPF's validation set"
    seen = asked.lookback or ALIGNED_SEASONS * season
    why = f"the horizon is whole seasons of {season} rows, and there are covariates: phases are"
    settings = _given(season, asked, "mae", chosen) | {
        "windows": Setting("past_seasons", f"{why} forecast separately"),
        "logs": Setting(False, "values are compressed instead, which negative values allow"),
        "lookbacks": Setting((seen,) * asked.members, "as given" if asked.lookback else chosen),
        "min_history": Setting(seen, "the lookback"),
        "steps": Setting(asked.steps or ALIGNED_STEPS, "as given" if asked.steps else chosen),
    }
    found = _with_covariates(settings, asked) | {
        "compressed": Setting(True, "by the inverse hyperbolic sine, after robust scaling"),
        "origin_stride": Setting(season, "forecasts always begin at the same phase of the season"),
        "origin_phase": Setting(phase, "the phase of the row after the last one"),
        "batch_size": Setting(ALIGNED_BATCH, chosen),
    }
    return MappingProxyType(found)


def _learnt(settings: Settings, lengths: Ticks, asked: ForecasterOptions) -> dict[str, Setting]:
    """Returns batch size and steps for training with covariates on windows of the last values."""
    origins = training_origins(lengths, settings["min_history"].value)
    found = {"batch_size": Setting(BATCH_SIZE, "default")}
    if origins < MANY_ORIGINS:
        few = f"fewer than usual: training has {origins:,} windows"
        found["batch_size"] = Setting(SMALL_BATCH, few)
    enough = origins >= FEWEST_COVARIATE_WINDOWS * asked.horizon
    if enough and settings["steps"].value < MONTHLY.steps and asked.steps is None:
        found["steps"] = Setting(MONTHLY.steps, "covariates take more steps to learn")
    return found


def _with_covariates(
    settings: Mapping[str, Setting], asked: ForecasterOptions
) -> dict[str, Setting]:
    """Returns `settings` with those of a forecaster with covariates, some still to be chosen."""
    undecided = "to be chosen by rolling validation"
    calendar: tuple[str, ...] | None = None if asked.calendar == "auto" else ()
    return {
        **settings,
        "layers": Setting(None, undecided),
        # Names of covariates that the model does not see.
        "left_out": Setting(calendar, undecided if calendar is None else "all are used"),
        "compressed": Setting(False, "errors are relative to the level"),
        "origin_stride": Setting(1, "forecasts may begin at any row"),
        "origin_phase": Setting(0, "forecasts may begin at any row"),
    }


def _suit_alignment(lengths: Ticks, season: int, asked: ForecasterOptions) -> bool:
    """Returns whether the season and most series are long, and the horizon is whole seasons."""
    if season < LONG_SEASON or asked.horizon % season or (asked.lookback or 0) % season:
        return False
    long = lengths >= FEWEST_ALIGNED * season + asked.horizon
    return 2 * int(long.sum()) >= len(lengths)


def stride(settings: Settings) -> int:
    """Returns the number of rows from one possible origin of a forecast to the next."""
    return int(settings["origin_stride"].value) if "origin_stride" in settings else 1


def begin(settings: Settings) -> tuple[int, int]:
    """Returns the phase at which forecasts begin, and the rows between origins as in `stride`."""
    every = stride(settings)
    return (int(settings["origin_phase"].value) if every > 1 else 0), every


def _given(season: int, asked: ForecasterOptions, loss: str, why: str) -> dict[str, Setting]:
    """Returns the settings that the options give; `loss` is the default loss, chosen for `why`."""
    members = "default; 10 are more accurate" if asked.members == 1 else "as given"
    settings = {
        "horizon": Setting(asked.horizon, "as given"),
        "season": Setting(season, "as given" if asked.season else SEASON_FOUND),
        "members": Setting(asked.members, members),
        "loss": Setting(asked.loss or loss, "as given" if asked.loss else why),
        "seed": Setting(asked.seed, "as given" if asked.seed else "default"),
    }
    if asked.trained_levels:
        why = "interval bounds are trained for these levels; the forecast is the median"
        settings["levels"] = Setting(asked.trained_levels, why)
    return settings


def _suit_past_seasons(lengths: Ticks, season: int, asked: ForecasterOptions) -> bool:
    """Returns whether season, horizon and at least half of the series are long."""
    if season < LONG_SEASON or asked.horizon < LONG_HORIZON * season:
        return False
    long = lengths >= MANY_SEASONS * season + asked.horizon
    return (asked.lookback or 0) % season == 0 and 2 * int(long.sum()) >= len(lengths)


def _lookbacks(rule: Rule, longest: int, asked: int | None, members: int) -> Setting:
    if asked is not None:
        return Setting((asked,) * members, "as given")
    chosen = sorted(rule.lookbacks[MIDDLE_OUT[k % len(MIDDLE_OUT)]] for k in range(members))
    reason = "the same number of seasons as for M3's monthly series"
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


def training_origins(lengths: Ticks, min_history: int) -> int:
    """Returns the number of rows at which a forecast may begin in training."""
    return int(np.maximum(lengths - min_history, 0).sum())


def _steps(rule: Rule, origins: int, horizon: int, asked: int | None) -> Setting:
    if origins == 0:
        return Setting(0, "no series is longer than the minimum history")
    if asked is not None:
        return Setting(asked, "as given")
    windows = origins // horizon
    if windows < FEWEST_WINDOWS:
        found = f"only {plural(windows, 'non-overlapping window')}, fewer than {FEWEST_WINDOWS}"
        return Setting(0, f"{found}: the forecast is Naive2, untrained")
    steps = FEWEST_STEPS + windows // WINDOWS_A_STEP
    if steps < rule.steps:
        return Setting(steps, f"fewer than usual: only {windows:,} non-overlapping windows")
    return Setting(rule.steps, f"chosen on M3's {rule.name or 'monthly'} validation set")


def trained_levels(settings: Settings) -> tuple[float, ...]:
    """Returns the levels in percent whose bounds the engine forecasts, ascending.

    There are none without quantiles.
    """
    return tuple(settings["levels"].value) if "levels" in settings else ()


def with_prior(settings: Settings, prior: Settings, use: str, why: str) -> Settings:
    """Returns the settings of the prior, with the horizon, the seed and the minimum history given.

    `use` is `ALONE` or `STARTED`, and `why` the reason for it.
    """
    own, trained = ("horizon", "seed", "min_history"), OF_PRIOR
    steps = Setting(0, trained)
    if use == STARTED:
        most = min(settings["steps"].value, STARTED_STEPS)
        steps = Setting(most, "fewer than usual, because the networks are pretrained")
    found = {name: Setting(one.value, trained) for name, one in prior.items()}
    found |= {name: settings[name] for name in own}
    found |= {
        "steps": steps,
        "prior_horizon": Setting(prior["horizon"].value, trained),
        "prior": Setting(use, why),
    }
    return MappingProxyType(found)


def without_prior(settings: Settings, why: str) -> Settings:
    """Returns the settings without the prior; `why` is the reason."""
    return MappingProxyType({**settings, "prior": Setting(NO_PRIOR, why)})


def uses_prior(settings: Settings) -> bool:
    """Returns whether the networks are those of a prior, or were trained from them."""
    return "prior" in settings and settings["prior"].value in (ALONE, STARTED)


def begins_trained(settings: Settings) -> bool:
    """Returns whether training starts from the weights of a prior or of an earlier fit."""
    return uses_prior(settings) or START in settings


def only_levels(settings: Settings) -> tuple[float, ...]:
    """Returns the levels in percent to which intervals are limited; empty without a limit.

    The trained levels of a prior are no limit.
    """
    return () if uses_prior(settings) else trained_levels(settings)


def has_learned(settings: Settings) -> bool:
    """Returns whether the networks were trained, on these series or on others."""
    return settings["steps"].value > 0 or uses_prior(settings)


def engine_options(settings: Settings) -> dict[str, Any]:
    """Returns the options of the engine, but for those of covariates."""
    names = ("horizon", "season", "min_history", "windows", "logs", "seed")
    levels = trained_levels(settings)
    tails = [(100 - level) / 200 for level in levels]
    quantiles = sorted([*tails, 0.5, *(1 - tail for tail in tails)]) if levels else []
    lookbacks, layers = list(settings["lookbacks"].value), settings["layers"].value
    options: dict[str, Any] = {"layers": layers, "lookbacks": lookbacks}
    if isinstance(layers, tuple):  # for each kind of network, one member with each lookback
        each = [depth for depth in layers for _ in lookbacks]
        options = {"member_layers": each, "lookbacks": lookbacks * len(layers)}
    if "left_out" in settings:
        options |= {name: settings[name].value for name in ("origin_stride", "batch_size")}
        options |= {"dropout": DROPOUT, "input_dropout": DROPOUT}
    if stride(settings) > 1:
        options["learning_rate"] = ALIGNED_RATE
    chosen = {name: settings[name].value for name in names}
    if "long_season" in settings:
        chosen["long_season"] = settings["long_season"].value
    if uses_prior(settings):
        chosen["horizon"] = settings["prior_horizon"].value
    if begins_trained(settings):
        options["learning_rate"] = STARTED_RATE
    return {
        **chosen,
        **options,
        "units": UNITS,
        "memory_size": MEMORY_SIZE,
        "num_heads": settings["num_heads"].value if "num_heads" in settings else NUM_HEADS,
        "average_decay": AVERAGE_DECAY[settings["windows"].value],
        "loss": "pinball" if levels else settings["loss"].value,
        "quantiles": quantiles,
        "steps": max(settings["steps"].value, 1),
    }
