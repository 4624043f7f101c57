"""The figures of what the memory attends to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from memattn.figure_style import BLUE, HEATMAP, MUTED
from memattn.forecast.first_figures import step_noun
from memattn.forecast.first_memory_reading import MemoryReading
from memattn.forecast.result import ForecastResult
from memattn.forecast.time_axis import Unit

Array = npt.NDArray[np.float64]

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def draw_last_window(result: ForecastResult, reading: MemoryReading, target: int) -> Figure:
    """Scores of the window that gave the forecast: patches by age, slots by usage."""
    scores = reading.last[target]
    tokens, patch = len(scores), result.settings.patch_size
    ages = [str((tokens - k) * patch) for k in range(tokens)]
    figure = _heatmap(reading, scores.T, ages)
    axes = figure.axes[0]
    axes.set_xlabel(f"{step_noun(result)} before the forecast at which the patch of {patch} begins")
    return figure


def draw_by_phase(result: ForecastResult, reading: MemoryReading) -> Figure:
    """Scores over the held-out windows: the phase of the season at which a patch begins."""
    season = result.settings.season
    labels, noun = phase_names(result)
    figure = _heatmap(reading, reading.by_phase.T, labels[:season])
    figure.axes[0].set_xlabel(f"{noun} at which the patch begins")
    return figure


def draw_prototypes(result: ForecastResult, reading: MemoryReading) -> Figure:
    """For the most used slots, the patches that read them most."""
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    panels = figure.subplots(1, len(reading.prototypes), sharey=True, squeeze=False)[0]
    steps = np.arange(1, result.settings.patch_size + 1)
    marker = "o" if len(steps) <= 12 else None
    for axes, found in zip(panels, reading.prototypes, strict=True):
        axes.fill_between(steps, found.low, found.high, color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(steps, found.mean, color=BLUE, linewidth=2, marker=marker)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_title(f"slot {found.slot}: {100 * found.share:.0f} % of reading")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlabel(f"{step_noun(result)} into the patch")
    panels[0].set_ylabel("deviations from\nthe window's mean")
    return figure


def phase_names(result: ForecastResult) -> tuple[list[str], str]:
    """A label for each phase of the season, and what phases are."""
    season, axis = result.settings.season, result.axis
    if axis.unit is Unit.MONTH and season == 12:
        return MONTHS, "month"
    if axis.unit is Unit.DAY and season == 7:
        return WEEKDAYS, "weekday"
    numbers = [str(k) for k in range(season)]
    if axis.spacing == "1 hour" and season == 24:
        zoned = axis.last is not None and axis.last.offset is not None
        return numbers, "hour of the day" + (" (UTC)" if zoned else "")
    return numbers, f"place in the season of {season} rows"


def _heatmap(reading: MemoryReading, values: Array, columns: list[str]) -> Figure:
    """Values (slots, columns), the most used slot on top."""
    order = np.argsort(-reading.usage, kind="stable")
    slots = len(order)
    figure = Figure(figsize=(9, 0.17 * slots + 1.1), layout="constrained")
    axes = figure.subplots()
    image = axes.pcolormesh(values[order], cmap=HEATMAP, vmin=0, edgecolors="face", linewidth=0.6)
    axes.invert_yaxis()
    axes.grid(False)
    axes.set_yticks(np.arange(slots) + 0.5, [str(slot) for slot in order], fontsize=8)
    every = max(1, -(-len(columns) // 24))
    places = np.arange(0, len(columns), every)
    axes.set_xticks(places + 0.5, [columns[place] for place in places])
    axes.set_ylabel("slot, most used on top")
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
    bar.set_label("share of reading")
    bar.outline.set_visible(False)
    return figure
