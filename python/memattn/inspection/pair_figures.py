"""The figure of a layer of two inputs: attention, selectivity and the size of heads."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from memattn.figure_style import BLUE, HEATMAP, MUTED, ORANGE
from memattn.inspection.figures import MAX_HEADS, annotate_bars, colorbar, label
from memattn.inspection.pair_overview import PairInspection
from memattn.inspection.pair_reading import AttentionReading

INCHES_A_HEAD = 0.2


def draw_pair_inspection(inspection: PairInspection, title: str) -> Figure:
    """Draws, for each attention, the mean scores of steps, the selectivity and sizes of heads.

    If there are many heads, only the first are shown.
    """
    attentions = inspection.reading.attentions
    heads = inspection.config["num_heads"]
    tall = max(3.0, INCHES_A_HEAD * min(heads, MAX_HEADS) + 1)
    figure = Figure(figsize=(11, tall * len(attentions) + 0.8), layout="constrained")
    grid = figure.add_gridspec(len(attentions), 3, width_ratios=(1.5, 1, 1))
    for row, one in enumerate(attentions):
        _draw_scores(figure, figure.add_subplot(grid[row, 0]), inspection, one)
        _draw_selectivity(figure.add_subplot(grid[row, 1]), inspection, one)
        _draw_sizes(figure.add_subplot(grid[row, 2]), inspection, one)
    lines = [
        f"{title}: {inspection.name} of {inspection.config['units']:,} units, "
        f"{heads} head{'s' * (heads > 1)}, attention with {inspection.tokens.source}"
    ]
    if heads > MAX_HEADS:
        lines.append(f"Only the first {MAX_HEADS} heads are shown.")
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=11)
    return figure


def _draw_scores(
    figure: Figure, axes: Axes, inspection: PairInspection, one: AttentionReading
) -> None:
    side = f"{one.name} side: " if one.name else ""
    axes.set_title(f"{side}attention of each step")
    if one.scores is None:
        axes.set_axis_off()
        said = "too many steps to show"
        axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", color=MUTED)
        return
    percent = np.nan_to_num(100 * one.scores)
    image = axes.imshow(percent, cmap=HEATMAP, vmin=0, aspect="auto", interpolation="nearest")
    names = (f"{one.name} step",) * 2 if one.name else ("step of source 1", "step of source 2")
    axes.set_ylabel(f"{names[0]} (query)")
    axes.set_xlabel(f"{names[1]} (key)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(12, integer=True))
    colorbar(figure, axes, image, "% of a step's attention")


def _draw_selectivity(axes: Axes, inspection: PairInspection, one: AttentionReading) -> None:
    effective = np.nan_to_num(one.effective_steps[:MAX_HEADS])
    steps = inspection.tokens.steps[0 if one.name == "short" else 1]
    axes.barh(range(len(effective)), effective, color=BLUE, height=0.7)
    annotate_bars(axes, effective)
    axes.axvline(steps, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.set_xlim(0, 1.2 * steps)
    _label_heads(axes, len(effective))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_title("number of steps that a step reads")
    axes.set_xlabel(f"exp(mean entropy); {steps:,} (dashed): all equally")


def _draw_sizes(axes: Axes, inspection: PairInspection, one: AttentionReading) -> None:
    heads = inspection.heads[one.name][:MAX_HEADS]
    places = np.arange(len(heads))
    logits = np.nan_to_num([head.logits[0] for head in heads])
    values = np.nan_to_num([head.values[0] for head in heads])
    axes.barh(places - 0.2, logits, height=0.36, color=BLUE, label="logits")
    axes.barh(places + 0.2, values, height=0.36, color=ORANGE, label="values")
    _label_heads(axes, len(heads))
    axes.set_xlim(left=0, right=1.05 * max(float(logits.max()), float(values.max())) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_title("size of each head")
    axes.set_xlabel("largest singular value")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, frameon=False)


def _label_heads(axes: Axes, count: int) -> None:
    axes.set_ylim(count - 0.5, -0.5)
    label(axes.set_yticks, range(count), MAX_HEADS)
    axes.set_ylabel("head")
    axes.grid(axis="y", visible=False)
