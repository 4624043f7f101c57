"""The figures of a forecaster's report, drawn with matplotlib and returned as SVG.

In a report every colour becomes a CSS variable, so that one figure serves the light and the dark
page. No text of the data stands in them.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

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
from memattn.forecast.evaluation import NAIVE, SEASONAL_NAIVE, Evaluation
from memattn.forecast.report.series_section import SeriesForecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {MODEL: BLUE, SEASONAL_NAIVE: ORANGE, NAIVE: GREEN}
DASHES = {MODEL: "-", SEASONAL_NAIVE: (0, (4, 2)), NAIVE: (0, (1, 1.5))}
CSS_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    BLUE: "--model",
    ORANGE: "--seasonal",
    GREEN: "--naive",
}
MAX_POINTS = 400  # of a line in a figure
FEWEST_COVERED = 100  # windows: of fewer, a share a step ahead is noise
FAR = 1e300  # where infinite ends are drawn; matplotlib can still count there
SPREAD = 3  # how many times as high as all lines a figure gets for its intervals


def to_svg(figure: Figure, name: str) -> Markup:
    """The figure as an SVG element for a page that sets the CSS variables; `name` is its own."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Ids must be unique on the page. Those that are referred to are hashes of salt and content.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*sans-serif", "system-ui, sans-serif", svg)
    svg = svg.replace("<svg ", '<svg aria-hidden="true" ', 1)  # the caption says it
    for color, variable in CSS_VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return Markup(svg)  # matplotlib escapes, and no text of the data is in it


def draw_series(series: SeriesForecast, levels: list[float], legend: bool = False) -> Figure:
    """The end of a series, its forecast with intervals, and the forecast of its last rows."""
    figure = Figure(figsize=(9, 3.4 if legend else 2.7), layout="constrained")
    axes = figure.subplots()
    axes.plot(series.times, series.values, color=INK, label="observed", linewidth=1.3)
    thin = thinned(len(series.ahead))
    for (level, shown), opacity in zip(
        shown_opacities(levels), _opacities(len(levels)), strict=True
    ):
        low, high = (np.clip(end[thin], -FAR, FAR) for end in series.ends[level])
        axes.fill_between(
            series.ahead[thin],
            low,
            high,
            where=~np.isnan(low + high),
            color=BLUE,
            alpha=opacity,
            linewidth=0,
        )
        label = f"{level:g} % interval"
        axes.fill_between([], [], color=BLUE, alpha=shown, linewidth=0, label=label)
    # The line starts at the last value, so that no hole is left between series and forecast.
    axes.plot(
        np.concatenate([series.times[-1:], series.ahead[thin]]),
        np.concatenate([series.values[-1:], series.forecast[thin]]),
        color=BLUE,
        linewidth=2,
        label="forecast",
    )
    if series.held_out is not None:
        thin = thinned(len(series.held_out.times))
        for method, values, label in (
            (SEASONAL_NAIVE, series.held_out.baseline, f"held-out {series.held_out.baseline_name}"),
            (MODEL, series.held_out.forecast, "held-out forecast"),
        ):
            axes.plot(
                series.held_out.times[thin],
                values[thin],
                color=COLORS[method],
                linestyle=(0, (1, 1.5)) if method == SEASONAL_NAIVE else (0, (4, 2)),
                linewidth=1.5,
                label=label,
            )
    axes.axvline(series.times[-1], color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.margins(x=0.01)
    axes.set_ylim(*_limits(series))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if legend:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


def shown_opacities(levels: list[float]) -> list[tuple[float, float]]:
    """The levels, the widest first, and how dark each band looks, for inner ones lie on outer."""
    light = np.cumprod(1 - _opacities(len(levels)))
    falling = sorted(levels, reverse=True)
    return [(level, round(float(1 - one), 3)) for level, one in zip(falling, light, strict=True)]


def _opacities(levels: int) -> Array:
    return np.linspace(0.16, 0.3, levels)


def _limits(series: SeriesForecast) -> tuple[float, float]:
    """All lines are inside; intervals are as far as they leave the lines room enough."""
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
    """Every k-th of so many points, MAX_POINTS at most."""
    return slice(None, None, max(-(-count // MAX_POINTS), 1))


def draw_errors_by_step(evaluation: Evaluation, levels: list[float], steps: str) -> Figure:
    """Errors of all methods for each step ahead and, beside them, what the intervals held."""
    covered = {
        level: np.array(
            [np.nan if one is None else one for one in evaluation.coverage_by_step(level)]
        )
        for level in levels
    }
    enough = [level for level in levels if evaluation.covered_windows(level) >= FEWEST_COVERED]
    covered = {level: covered[level] for level in enough if not np.isnan(covered[level]).all()}
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    panels = figure.subplots(1, 2 if covered else 1, squeeze=False)[0]
    ahead = np.arange(1, evaluation.truth.shape[1] + 1)
    thin = thinned(len(ahead))
    axes = panels[0]
    for method in (NAIVE, SEASONAL_NAIVE, MODEL) if evaluation.panel.season > 1 else (NAIVE, MODEL):
        axes.plot(
            ahead[thin],
            error_by_step(evaluation, method)[thin],
            color=COLORS[method],
            linestyle=DASHES[method],
            linewidth=2 if method == MODEL else 1.5,
            marker="o" if len(ahead) <= 24 else None,
            markersize=3.5,
        )
    axes.set_ylim(bottom=0)
    axes.set_title(error_name(evaluation))
    for axes in panels:
        room = 0.02 * len(ahead) + 0.1
        axes.set_xlim(1 - room, len(ahead) + room)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, prune="lower"))
        axes.set_xlabel(f"{steps} ahead")
    if covered:
        _draw_coverage(panels[1], ahead, covered)
    return figure


def _draw_coverage(axes: Axes, ahead: Array, covered: dict[float, Array]) -> None:
    thin = thinned(len(ahead))
    for level, found in covered.items():
        axes.axhline(level, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        axes.plot(
            ahead[thin],
            found[thin],
            color=BLUE,
            linewidth=1.8,
            marker="o" if len(ahead) <= 24 else None,
            markersize=3.5,
        )
    lowest = min(min(map(np.nanmin, covered.values())), *covered)
    axes.set_ylim(max(float(lowest) - 8, 0), 102)
    axes.set_yticks(sorted(covered), [f"{level:g} %" for level in sorted(covered)])
    axes.set_title("coverage of the intervals")


def error_name(evaluation: Evaluation) -> str:
    """What `error_by_step` measures."""
    return "mean absolute error" if len(evaluation.panel) == 1 else "scaled error (MASE)"


def error_by_step(evaluation: Evaluation, method: str) -> Array:
    """The mean error for each step ahead (horizon,): of one series as it is, of several scaled."""
    errors = evaluation.by_step(method)
    return errors.mae if len(evaluation.panel) == 1 else errors.mase


def step_noun(frequency: Frequency) -> str:
    """What steps are called: "hours" for one row every hour, "rows" for one every two hours."""
    if frequency.unit is Unit.MONTH and frequency.step == 3:
        return "quarters"
    if frequency.unit in (Unit.NUMBER, Unit.ROW) or not frequency.words.startswith("1 "):
        return "rows"
    return f"{frequency.words[2:]}s"
