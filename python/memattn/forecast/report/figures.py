"""The figures of a forecaster's report, drawn with matplotlib and returned as SVG.

In a report every colour becomes a CSS variable, so that one figure serves the light and the dark
page. Figures contain no text from the data.
"""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from memattn.figure_style import BLUE, GREEN, GRID, INK, MUTED, ORANGE
from memattn.forecast.data.columns import Array
from memattn.forecast.data.frames import MODEL
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.evaluation import Evaluation, methods_of
from memattn.forecast.measured import NAIVE, SEASONAL_NAIVE
from memattn.forecast.report.series_section import SeriesForecast

LINES: dict[str, Any] = {  # line styles of the methods
    MODEL: {"color": BLUE, "linestyle": "-", "linewidth": 2},
    SEASONAL_NAIVE: {"color": ORANGE, "linestyle": (0, (4, 2)), "linewidth": 1.5},
    NAIVE: {"color": GREEN, "linestyle": (0, (1, 1.5)), "linewidth": 1.5},
}
CSS_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid"}
CSS_VARIABLES |= {BLUE: "--model", ORANGE: "--seasonal", GREEN: "--naive"}
OPACITIES = 0.16, 0.3  # of the widest and of the narrowest band
MAX_POINTS = 400  # of a line in a figure
FEWEST_COVERED = 100  # windows; with fewer, the coverage of a step ahead is noise
FAR = 1e300  # where infinite bounds are drawn, still finite for matplotlib
SPREAD = 3  # the largest height of a figure with its intervals, relative to that of its lines


def to_svg(figure: Figure, name: str) -> Markup:
    """Returns the figure as an SVG element; `name` must be unique on the page.

    The page sets the CSS variables.
    """
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Ids must be unique on the page: drop those of groups. Others are hashes of salt and content.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*sans-serif", "system-ui, sans-serif", svg)
    svg = svg.replace("<svg ", '<svg aria-hidden="true" ', 1)  # the caption describes the figure
    for color, variable in CSS_VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return Markup(svg)  # safe: matplotlib escapes text, and none of it is from the data


def draw_series(series: SeriesForecast, levels: list[float], legend: bool = False) -> Figure:
    """Draws the end of a series, its forecast with intervals, and the held-out forecast."""
    figure = Figure(figsize=(9, 3.4 if legend else 2.7), layout="constrained")
    axes = figure.subplots()
    axes.plot(series.times, series.values, color=INK, label="observed", linewidth=1.3)
    thin = thinned(len(series.ahead))
    band: Any = {"color": BLUE, "linewidth": 0}
    opacities = zip(shown_opacities(levels), np.linspace(*OPACITIES, len(levels)), strict=True)
    for (level, shown), opacity in opacities:
        low, high = (np.clip(end[thin], -FAR, FAR) for end in series.ends[level])
        there = ~np.isnan(low + high)
        axes.fill_between(series.ahead[thin], low, high, where=there, alpha=opacity, **band)
        axes.fill_between([], [], alpha=shown, label=f"{level:g} % interval", **band)
    # The line starts at the last value, so that there is no gap between series and forecast.
    times = np.concatenate([series.times[-1:], series.ahead[thin]])
    values = np.concatenate([series.values[-1:], series.forecast[thin]])
    axes.plot(times, values, color=BLUE, linewidth=2, label="forecast")
    if series.held_out is not None:
        held = series.held_out
        thin = thinned(len(held.times))
        for values, name, color, dashes in (
            (held.baseline, held.baseline_name, ORANGE, (1, 1.5)),
            (held.forecast, "forecast", BLUE, (4, 2)),
        ):
            style: Any = {"color": color, "linestyle": (0, dashes), "linewidth": 1.5}
            axes.plot(held.times[thin], values[thin], label=f"held-out {name}", **style)
    axes.axvline(series.times[-1], color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.margins(x=0.01)
    axes.set_ylim(*_limits(series))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if legend:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


def shown_opacities(levels: list[float]) -> list[tuple[float, float]]:
    """Returns (level, visible opacity) from the widest band to the narrowest, as bands overlap."""
    light = np.cumprod(1 - np.linspace(*OPACITIES, len(levels)))
    falling = sorted(levels, reverse=True)
    return [(level, round(float(1 - one), 3)) for level, one in zip(falling, light, strict=True)]


def _limits(series: SeriesForecast) -> tuple[float, float]:
    """Returns the limits of the y axis: they include all lines, and intervals up to `SPREAD`."""
    lines = [series.values, series.forecast]
    if series.held_out is not None:
        lines += [series.held_out.forecast, series.held_out.baseline]
    low, high = min(map(np.nanmin, lines)), max(map(np.nanmax, lines))
    height = float(high - low) or max(abs(float(high)), 1.0)
    ends = [end for pair in series.ends.values() for end in pair]
    every = np.concatenate([*ends, [low, high]])
    every = np.clip(every[~np.isnan(every)], -FAR, FAR)
    least = max(float(every.min()), low - (SPREAD - 1) / 2 * height)
    most = min(float(every.max()), high + (SPREAD - 1) / 2 * height)
    return least - 0.05 * height, most + 0.05 * height


def thinned(count: int) -> slice:
    """Returns a slice of every k-th of `count` points, at most MAX_POINTS."""
    return slice(None, None, max(-(-count // MAX_POINTS), 1))


def draw_errors_by_step(evaluation: Evaluation, levels: list[float], steps: str) -> Figure:
    """Draws the errors of all methods for each step ahead and, beside them, the coverage."""
    enough = [level for level in levels if evaluation.covered_windows(level) >= FEWEST_COVERED]
    covered = {one: np.array(evaluation.coverage_by_step(one), np.float64) for one in enough}
    covered = {level: found for level, found in covered.items() if not np.isnan(found).all()}
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    panels = figure.subplots(1, 2 if covered else 1, squeeze=False)[0]
    ahead = np.arange(1, evaluation.truth.shape[1] + 1)
    thin = thinned(len(ahead))
    marks: Any = {"marker": "o" if len(ahead) <= 24 else None, "markersize": 3.5}
    axes = panels[0]
    for method in reversed(methods_of(evaluation.panel)):
        errors = error_by_step(evaluation, method)
        axes.plot(ahead[thin], errors[thin], **LINES[method], **marks)
    axes.set_ylim(bottom=0)
    scaled = len(evaluation.panel) > 1
    axes.set_title("scaled error (MASE)" if scaled else "mean absolute error")
    for axes in panels:
        room = 0.02 * len(ahead) + 0.1
        axes.set_xlim(1 - room, len(ahead) + room)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, prune="lower"))
        axes.set_xlabel(f"{steps} ahead")
    if covered:
        for level, found in covered.items():
            axes.axhline(level, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
            axes.plot(ahead[thin], found[thin], color=BLUE, linewidth=1.8, **marks)
        lowest = min(min(map(np.nanmin, covered.values())), *covered)
        axes.set_ylim(max(float(lowest) - 8, 0), 102)
        axes.set_yticks(sorted(covered), [f"{level:g} %" for level in sorted(covered)])
        axes.set_title("coverage of the intervals")
    return figure


def error_by_step(evaluation: Evaluation, method: str) -> Array:
    """Returns the mean error for each step ahead (horizon,): MAE of a single series, else MASE."""
    errors = evaluation.by_step(method)
    return errors.mae if len(evaluation.panel) == 1 else errors.mase


def step_noun(frequency: Frequency) -> str:
    """Returns the name of steps: "hours" for one row every hour, "rows" for one every two hours."""
    if frequency.unit is Unit.MONTH and frequency.step == 3:
        return "quarters"
    if frequency.unit in (Unit.NUMBER, Unit.ROW) or not frequency.words.startswith("1 "):
        return "rows"
    return f"{frequency.words[2:]}s"
