"""The figures of a forecast, drawn with matplotlib and returned as SVG.

In a report every colour becomes a CSS variable, so that one figure serves the light and the dark
page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from memattn.errors import DataError, printable, quoted
from memattn.figure_style import BLUE, GREEN, GRID, INK, MUTED, ORANGE, picture
from memattn.forecast.result import METHODS, MODEL, ForecastResult, TargetForecast
from memattn.forecast.time_axis import Unit
from memattn.forecast.times import parse_moment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]

COLORS = {MODEL: BLUE, "seasonal-naive": ORANGE, "naive": GREEN}
CSS_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    BLUE: "--model",
    ORANGE: "--seasonal",
    GREEN: "--naive",
}


def to_svg(figure: Figure, name: str) -> str:
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
    for color, variable in CSS_VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return svg


def standalone_figure(result: ForecastResult, target: str | None, suffix: str) -> bytes:
    """The forecast of one target (default: the first) as a picture: .svg or .png."""
    found = [one for one in result.targets if target in (None, one.name)]
    if not found:
        raise DataError("option", f"found no target {quoted(target or '')}, expected one of these")
    return picture(lambda: draw_forecast(result, found[0]), suffix)


def draw_forecast(result: ForecastResult, target: TargetForecast) -> Figure:
    """The last part of the series, and the forecast with its intervals."""
    settings = result.settings
    shown = min(max(4 * settings.season, 3 * settings.horizon, 24), len(target.values), 1000)
    past = _times(result, range(result.rows - shown, result.rows))
    ahead = _times(result, range(result.rows, result.rows + settings.horizon))
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(past, target.values[-shown:], color=INK, label="series")
    # The inner band lies on the outer one; the legend shows what that gives.
    for level, opacity, shown_opacity in ((95, 0.18, 0.18), (80, 0.3, 0.43)):
        width = target.half_widths[level]
        axes.fill_between(
            ahead,
            target.forecast - width,
            target.forecast + width,
            color=BLUE,
            alpha=opacity,
            linewidth=0,
        )
        axes.fill_between(
            [], [], color=BLUE, alpha=shown_opacity, linewidth=0, label=f"{level} % interval"
        )
    # The line starts at the last value, so that no hole is left between series and forecast.
    axes.plot(
        [past[-1], *ahead],
        [target.values[-1], *target.forecast],
        color=BLUE,
        linewidth=2,
        label="forecast",
    )
    axes.axvline(past[-1], color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.margins(x=0.01)
    axes.set_ylabel(_short(target.name))
    _label_time(result, axes)
    _legend(figure, axes, 4)
    return figure


def draw_errors_by_step(result: ForecastResult, target: TargetForecast) -> Figure:
    """Mean absolute error on the held-out windows, for each step ahead."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    axes = figure.subplots()
    steps = np.arange(1, result.settings.horizon + 1)
    for method in METHODS:
        axes.plot(
            steps,
            target.validation.mae_by_step(method),
            color=COLORS[method],
            linestyle={MODEL: "-", "seasonal-naive": "--", "naive": ":"}[method],
            linewidth=2 if method == MODEL else 1.5,
            marker="o" if len(steps) <= 12 else None,
            label=method,
        )
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"{step_noun(result)} ahead")
    axes.set_ylabel(f"mean absolute error\n({_short(target.name)})")
    _legend(figure, axes, 3)
    return figure


def draw_held_out_windows(result: ForecastResult, target: TargetForecast) -> Figure:
    """Forecast against truth for the first, the middle and the last held-out window."""
    validation = target.validation
    count = len(validation.origins)
    chosen = sorted({0, count // 2, count - 1})
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    panels = figure.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
    steps = np.arange(1, result.settings.horizon + 1)
    marker = "o" if len(steps) <= 12 else None
    for axes, window in zip(panels, chosen, strict=True):
        axes.plot(steps, validation.truth[window], color=INK, marker=marker, label="truth")
        for method in (MODEL, "seasonal-naive"):
            axes.plot(
                steps,
                validation.forecasts[method][window],
                color=COLORS[method],
                linestyle="-" if method == MODEL else "--",
                linewidth=2 if method == MODEL else 1.2,
                marker=marker,
                label=method,
            )
        axes.set_title(f"from {_short(result.axis.labels[validation.origins[window]])}")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlabel(f"{step_noun(result)} ahead")
    panels[0].set_ylabel(_short(target.name))
    _legend(figure, panels[0], 3)
    return figure


def step_noun(result: ForecastResult) -> str:
    """What steps are called: "hours" for one row every hour, "rows" for one every two hours."""
    spacing = result.axis.spacing
    return f"{spacing[2:]}s" if spacing.startswith("1 ") else "rows"


def _times(result: ForecastResult, rows: Sequence[int]) -> list[Any]:
    """Something to draw rows at: dates where the axis has them, else numbers."""
    labels = [*result.axis.labels, *result.times]
    if result.axis.unit in (Unit.ROW, Unit.NUMBER):
        return [int(labels[row]) for row in rows]
    moments = [parse_moment(labels[row]) for row in rows]
    return [moment.local for moment in moments if moment is not None]


def _label_time(result: ForecastResult, axes: Axes) -> None:
    last = result.axis.last
    if last is None:
        axes.set_xlabel(_short(result.axis.column) if result.axis.column else "row")
        return
    zone = last.style.zone
    axes.set_xlabel("time" + (f" ({'UTC' if zone in 'Zz' else zone})" if zone else ""))


def _legend(figure: Figure, axes: Axes, columns: int) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=columns)


def _short(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= 30 else f"{shown[:29]}…"
