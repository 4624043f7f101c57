"""The sentences of a report, which say what each figure shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from memattn.errors import printable
from memattn.forecast.data.columns import Array
from memattn.forecast.data.frames import MODEL
from memattn.forecast.data.long_rows import plural
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.evaluation import Evaluation, baseline_of
from memattn.forecast.explanation import EffectCurve, Explanation
from memattn.forecast.measured import METHODS, NAIVE, SEASONAL_NAIVE
from memattn.forecast.metrics import significant, skill
from memattn.forecast.report.figures import error_by_step
from memattn.forecast.report.memory_reading import KINDS, MemoryReading, SlotEffects
from memattn.forecast.report.series_section import SeriesForecast, error_ratios

MAX_NAME = 60
NONE = "-"  # printed for a number that is not defined
EVEN = 1.1  # ratio to the usual share below which no slot stands out
KINDS_OF_IMPORTANCE = {
    "futr": "known ahead",
    "hist": "known in the past",
    "stat": "constant",
    "calendar": "calendar",
    "lags": "the series itself",
    "cycle": "day of the cycle",
    "memory": "the network",
}
FEWEST_SEPARATE = 10  # groups of windows that a standard error needs


def _errors(evaluation: Evaluation) -> dict[str, float | None]:
    """Returns the MASE of each method, or the MAE for one series or without a scale."""
    overall = {name: evaluation.overall(name) for name in METHODS}
    scaled = len(evaluation.panel) > 1 and overall[MODEL].mase is not None
    return {name: one.mase if scaled else one.mae for name, one in overall.items()}


def headline(evaluation: Evaluation, levels: Sequence[float]) -> str:
    """Returns the sentence that compares the model with the baselines and states the coverage."""
    errors = _errors(evaluation)
    beside = dict.fromkeys([baseline_of(evaluation.panel), NAIVE])
    found = " and ".join(relation(errors[MODEL], errors[name], name) for name in beside)
    text = f"On held-out rows, the error of the model is {found}."
    better, of_series = count_better(evaluation)
    if of_series > 1:
        text += f" It is lower than {next(iter(beside))}'s on {better:,} of {of_series:,} series."
    shares = [(level, evaluation.coverage(level)) for level in levels]
    held = [f"{one:.1f} % for {level:g} % intervals" for level, one in shares if one is not None]
    return f"{text} Coverage of the held-out values: {', '.join(held)}." if held else text


def relation(error: float | None, baseline: float | None, name: str) -> str:
    """Compares an error with a baseline's, such as "12 % lower than naive's"."""
    better = skill(error, baseline)
    if better is None:
        return f"not comparable with {name}'s, which is 0"
    return f"equal to {name}'s" if abs(better) < 0.5 else f"{_less(better)} than {name}'s"


def relation_in_short(evaluation: Evaluation) -> str:
    """Compares the model's error with the baseline's in two words."""
    errors = _errors(evaluation)
    better = skill(errors[MODEL], errors[baseline_of(evaluation.panel)])
    if better is None:
        return "not defined"
    return "the same" if abs(better) < 0.5 else _less(better)


def _less(better: float) -> str:
    return f"{abs(better):.0f} % {'lower' if better > 0 else 'higher'}"


def windows_text(evaluation: Evaluation) -> str:
    """Returns the number of held-out windows, of their series, and of the steps evaluated."""
    text = plural(len(evaluation), "held-out window")
    if len(evaluation.panel) > 1:
        of = len(np.unique(evaluation.windows.series))
        text += f" of {plural(of, 'series', 'series')}"
    horizon = evaluation.truth.shape[1]
    reached = int((~np.isnan(evaluation.truth)).any(axis=0).sum())
    return text if reached == horizon else f"{text}, for {reached} of {horizon} steps ahead"


def coverage_text(evaluation: Evaluation, levels: list[float]) -> str:
    """Explains what the coverage in the table was measured on."""
    if not evaluation.calibrated_on or not levels:
        return "There are too few windows to measure the coverage of the intervals."
    count = plural(evaluation.covered_windows(levels[0]), "window")
    return (
        f"Coverage is measured on {count}; intervals are calibrated on {evaluation.calibrated_on}."
    )


def count_better(evaluation: Evaluation) -> tuple[int, int]:
    """Returns the number of series with a smaller error than the baseline, and of all compared."""
    ratios = error_ratios(evaluation)
    known = ratios[~np.isnan(ratios)]
    return int((known < 1).sum()), len(known)


def about_steps(evaluation: Evaluation) -> str:
    """Describes the errors by step ahead."""
    name = baseline_of(evaluation.panel)
    model, baseline = (error_by_step(evaluation, one) for one in (MODEL, name))
    known = np.flatnonzero(~(np.isnan(model) | np.isnan(baseline)))
    if not len(known):
        return ""
    better = int((model[known] < baseline[known]).sum())
    first, last = model[known[0]], model[known[-1]]
    text = f"Lower is better. The model is below {name} at {better} of {len(known)} steps"
    if len(known) > 1 and first > 0:
        text += f". At step {known[-1] + 1} its error is {last / first:.1f} times"
        text += f" that of step {known[0] + 1}"
    return text + "."


def about_series(series: SeriesForecast, ratio: float, windows: int, baseline: str) -> str:
    """Compares the forecast of a series with its past and states its held-out error."""
    before, after = float(series.before.mean()), float(series.forecast.mean())
    seasonal = baseline == SEASONAL_NAIVE
    what = "the mean of the last season" if seasonal else "the last value"
    text = f"The mean forecast is {significant(after)}"
    if before > 0 and after > 0:
        change = 100 * (after / before - 1)
        how = f"{abs(change):.0f} % {'above' if change > 0 else 'below'}"
        text += f", {'equal to' if abs(change) < 0.5 else how} {what} ({significant(before)})."
    else:
        text += f"; {what} was {significant(before)}."
    if any(np.any(np.isnan(end)) for pair in series.ends.values() for end in pair):
        text += " Steps that no held-out window reaches have no interval."
    if not math.isnan(ratio):
        error = "equal to" if abs(ratio - 1) < 0.005 else f"{ratio:.2f} times"
        text += f" On {plural(windows, 'held-out window')} its error was {error} {baseline}'s."
    return text


def about_shares(reading: MemoryReading, layer: int, order: Ticks) -> str:
    """Names the slot that responds most to a time, and the one to a kind of window."""
    text = []
    if reading.by_phase is not None and reading.phases is not None:
        noun = reading.phases.noun
        begin = "in forecasts that begin in {}" if noun == "month" else f"for {noun} {{}}"
        places = [begin.format(label) for label in reading.phases.labels]
        text.append(_stands_out(reading, reading.by_phase, layer, order, noun, places))
    named = ("in {} windows", "in windows with {} steps", "in windows with a {} history")
    places = [where.format(one) for where, kind in zip(named, KINDS, strict=True) for one in kind]
    text.append(_stands_out(reading, reading.by_kind, layer, order, "kind of window", places))
    return " ".join(text)


def _stands_out(
    reading: MemoryReading, shares: Array, layer: int, order: Ticks, what: str, places: list[str]
) -> str:
    ratios = np.nan_to_num(shares[layer][order] / reading.usage[layer][order, None])
    slot, place = np.unravel_index(ratios.argmax(), ratios.shape)
    if ratios.max() < EVEN:
        return f"By {what}, every slot is within {100 * EVEN - 100:.0f} % of its usual share."
    return (
        f"By {what}, slot {order[slot]} stands out most: {places[place]}, it gets"
        f" {ratios.max():.1f} times its usual share."
    )


def about_effects(effects: SlotEffects, layer: int) -> str:
    """Names the slot whose removal changes forecasts most, and its effect on the error."""
    movement = effects.movement[layer]
    slot = int(movement.argmax())
    unit = "%" if effects.relative else "% of the mean change over a season"
    windows = plural(effects.windows, "window" if effects.error is None else "held-out window")
    text = f"When a slot is removed, its attention goes to the others. Removing slot {slot}"
    text += f" changes forecasts most: by {significant(movement[slot], 2)} {unit} on {windows}"
    if effects.error is None or effects.margin is None:
        return f"{text}."
    error, margin = effects.error[layer], effects.margin[layer]
    text += f". Their error {'grows' if error[slot] > 0 else 'shrinks'} by"
    text += f" {significant(abs(error[slot]), 2)} %."
    if effects.separate < FEWEST_SEPARATE:
        return f"{text} The windows overlap too much to distinguish these figures from chance."
    needed, harmful = int((error > margin).sum()), int((error < -margin).sum())
    return (
        f"{text} Removing a slot raises the error by more than two standard errors (thin lines)"
        f" for {needed} of {len(error)} slots, and lowers it by more than two for {harmful}. By"
        " chance alone, about one slot in twenty would do so."
    )


def about_importances(explanation: Explanation) -> str:
    """Names the most important input, and counts those that matter more than by chance."""
    found = explanation.importances
    first, count = found[0], len(found)
    windows = plural(explanation.windows, "held-out window")
    text = "The error does not grow for any of the inputs"
    if first.increase > 0:
        grown = significant(first.percent, 2)
        text = f"The first input matters most: shuffling it raises the error by {grown} %"
    text = f"{text} ({windows})."
    if explanation.separate < FEWEST_SEPARATE:
        return f"{text} The windows overlap too much to distinguish these figures from chance."
    needed = sum(one.increase > 2 * one.standard_error for one in found)
    harmful = sum(one.increase < -2 * one.standard_error for one in found)
    return (
        f"{text} The error grows by more than two standard errors (thin lines) for {needed} of"
        f" {count} inputs, and shrinks by more than two for {harmful}."
    )


def about_curve(curve: EffectCurve) -> str:
    """Returns the range of the mean forecast and the values where it is reached."""
    forecasts = curve.forecasts.mean(axis=1)
    if curve.labels:
        return f"from {significant(forecasts.min())} to {significant(forecasts.max())}"
    first, last = (f"{significant(forecasts[k])} at {curve.values[k]:.4g}" for k in (0, -1))
    return f"from {first} to {last}"


def about_usage(usage: Array) -> str:
    """Describes how evenly attention is spread over the slots of a layer."""
    falling = np.sort(usage)[::-1]
    half = int(np.searchsorted(np.cumsum(falling), 0.5)) + 1
    return (
        f"{plural(half, 'slot gets', 'slots get')} half of the attention. The largest share is"
        f" {100 * falling[0]:.0f} %; equal shares would be {100 / len(usage):.1f} %."
    )


def short(name: object) -> str:
    """Returns a name from the data, printable and at most MAX_NAME characters long."""
    shown = printable(str(name))
    return shown if len(shown) <= MAX_NAME else f"{shown[: MAX_NAME - 1]}…"
