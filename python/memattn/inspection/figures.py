"""The figure of a memory: the attention of each head and the similarity of slots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from memattn.figure_style import BLUE, HEATMAP, INK, MUTED, ORANGE
from memattn.inspection.fold import Array64
from memattn.inspection.overview import Inspection

MAX_SLOTS = 64  # more rows are too thin to tell apart
MAX_HEADS = 32
DIVERGING = "PuOr"  # colour-blind readers can tell its ends apart
INCHES_A_SLOT, INCHES_A_HEAD = 0.14, 0.2


def draw_inspection(inspection: Inspection, title: str) -> Figure:
    """Draws usage by head, norms and cosines of slots, in the same order, and heads' selectivity.

    If there are many slots, only the most used are shown; of many heads, only the first.
    """
    order = inspection.by_usage[:MAX_SLOTS]
    config = inspection.config
    heads, slots = config["num_heads"], config["memory_size"]
    tall = max(2.4, INCHES_A_SLOT * len(order))
    low = INCHES_A_HEAD * max(2, min(heads, MAX_HEADS))
    figure = Figure(figsize=(10, tall + low + 2.2), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=(1.2, 0.8, 1.6), height_ratios=(tall, low))
    usage = figure.add_subplot(grid[0, 0])
    _draw_usage(figure, usage, inspection, order)
    _draw_norms(figure.add_subplot(grid[0, 1], sharey=usage), inspection, order)
    _draw_cosines(figure, figure.add_subplot(grid[0, 2], sharey=usage), inspection, order)
    _draw_selectivity(figure.add_subplot(grid[1, :]), inspection)
    lines = [
        f"{title}: {slots:,} slot{'s' * (slots > 1)} of {config['units']:,} units, "
        f"{heads} head{'s' * (heads > 1)}, attention with {inspection.tokens.source}"
    ]
    if len(order) < slots:
        lines.append(f"Only the {len(order)} most used slots are shown.")
    if heads > MAX_HEADS:
        lines.append(f"Only the first {MAX_HEADS} heads are shown.")
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=11)
    return figure


def _draw_usage(figure: Figure, axes: Axes, inspection: Inspection, order: list[int]) -> None:
    percent = 100 * inspection.reading.usage[:MAX_HEADS, order].T
    image = axes.imshow(percent, cmap=HEATMAP, vmin=0, aspect="auto", interpolation="nearest")
    axes.set_title("share of attention")
    axes.set_xlabel("head")
    axes.set_ylabel("slot, most used first")
    label(axes.set_xticks, range(percent.shape[1]), 16)
    label(axes.set_yticks, order, MAX_SLOTS, fontsize=7)
    colorbar(figure, axes, image, "% of a head's attention")


def _draw_norms(axes: Axes, inspection: Inspection, order: list[int]) -> None:
    dead = set(inspection.dead_slots or [])
    colors = [ORANGE if slot in dead else BLUE for slot in order]
    norms = np.nan_to_num(inspection.similarity.norms[order], posinf=0)
    axes.barh(range(len(order)), norms, color=colors, height=0.7)
    axes.set_title("norm of each slot")
    axes.set_xlabel("norm" + (" (orange: read by no token)" if dead else ""))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y", visible=False)
    axes.set_xlim(left=0)
    axes.tick_params(labelleft=False)


def _draw_cosines(figure: Figure, axes: Axes, inspection: Inspection, order: list[int]) -> None:
    axes.set_title("similarity of slots")
    cosine = inspection.similarity.cosine
    shown = None if cosine is None else cosine[np.ix_(order, order)]
    if shown is None or not np.isfinite(shown).any():
        axes.set_axis_off()
        said = "too many slots to compare" if shown is None else "all slots are zero or not finite"
        axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", color=MUTED)
        return
    image = axes.imshow(
        shown, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
    )
    label(axes.set_xticks, order, 24, fontsize=7, rotation=90)
    axes.tick_params(labelleft=False)
    axes.set_xlabel("slot")
    axes.grid(False)
    colorbar(figure, axes, image, "cosine")


def _draw_selectivity(axes: Axes, inspection: Inspection) -> None:
    slots = inspection.config["memory_size"]
    effective = np.nan_to_num(inspection.reading.effective_slots[:MAX_HEADS])
    places = range(len(effective))
    axes.barh(places, effective, color=BLUE, height=0.7)
    annotate_bars(axes, effective)
    axes.axvline(slots, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set_xlim(0, 1.08 * slots)
    axes.set_ylim(len(effective) - 0.5, -0.5)
    label(axes.set_yticks, places, MAX_HEADS)
    axes.set_ylabel("head")
    axes.grid(axis="y", visible=False)
    axes.set_title("number of slots that a token reads")
    axes.set_xlabel(f"exp(mean entropy of a token's scores); {slots:,} (dashed): all equally")


def annotate_bars(axes: Axes, values: Array64) -> None:
    """Writes the value at the end of each horizontal bar."""
    for place, value in enumerate(values):
        axes.annotate(
            f"{value:.3g}",
            (value, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
        )


def label(set_ticks: Callable[..., Any], names: Sequence[int], most: int, **style: Any) -> None:
    """Labels the positions of an axis with `names`, at most `most` of them."""
    every = -(-len(names) // most)
    places = range(0, len(names), every)
    set_ticks(places, [str(names[place]) for place in places], **style)


def colorbar(figure: Figure, axes: Axes, image: ScalarMappable, title: str) -> None:
    """Adds the colour scale of an image, with a title."""
    axes.grid(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=24)
    bar.set_label(title)
    bar.outline.set_visible(False)
