"""The figures of how a forecaster reads its memory slots."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from memattn.figure_style import BLUE, INK, MUTED, ORANGE
from memattn.forecast.data.columns import Array
from memattn.forecast.report.figures import thinned
from memattn.forecast.report.memory_reading import KIND_NOUNS, KINDS, MemoryReading, SlotEffects

MORE, LESS = (0.0, 0.447, 0.698), (0.835, 0.369, 0.0)  # BLUE and ORANGE
MAX_PHASE_LABELS = 12


def draw_shares(reading: MemoryReading, layer: int, order: npt.NDArray[np.int64]) -> Figure:
    """Draws how much more or less than usual slots are read, by phase and by kind of window."""
    shares = [reading.by_kind] if reading.by_phase is None else [reading.by_phase, reading.by_kind]
    blocks = [one[layer][order] for one in shares]
    usage = reading.usage[layer][order]
    figure = Figure(figsize=(9, 0.2 * len(order) + 1.3), layout="constrained")
    widths = [1.0] if len(blocks) == 1 else [1.2, 1.0]
    panels = figure.subplots(1, len(blocks), width_ratios=widths, squeeze=False, sharey=True)[0]
    for axes, block in zip(panels, blocks, strict=True):
        axes.imshow(_tinted(block, usage), aspect="auto", interpolation="none")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    names = [f"{slot}: {100 * share:.1f} %" for slot, share in zip(order, usage, strict=True)]
    panels[0].set_yticks(np.arange(len(order)), names, fontsize=8)
    panels[0].set_ylabel("slot: share of attention")
    if reading.phases is not None:
        labels = reading.phases.labels
        places = np.arange(0, len(labels), -(-len(labels) // MAX_PHASE_LABELS))
        panels[0].set_xticks(places, [labels[place] for place in places], fontsize=8)
        panels[0].set_title(f"by the {reading.phases.noun} in which the forecast begins")
    panels[-1].set_title("by the kind of window")
    names = [name for kind in KINDS for name in kind]
    panels[-1].set_xticks(np.arange(len(names)), names, fontsize=8)
    for k, noun in enumerate(KIND_NOUNS):
        if k:
            panels[-1].axvline(3 * k - 0.5, color=MUTED, linewidth=1)
        place = (3 * k + 1.5) / len(names), -1.35 / len(order)
        style = {"ha": "center", "va": "top", "fontsize": 9, "color": MUTED}
        panels[-1].text(*place, noun, transform=panels[-1].transAxes, **style)
    return figure


def _tinted(shares: Array, usage: Array) -> Array:
    """Returns RGBA colours (slots, groups, 4).

    They are transparent for the usual share, and opaque for at most half or at least double of it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.nan_to_num(np.log2(shares / usage[:, None]), neginf=-1, posinf=1)
    change = np.clip(change, -1, 1)
    colors = np.where((change > 0)[..., None], MORE, LESS)
    return np.concatenate([colors, np.abs(change)[..., None]], axis=-1)


def draw_readers(shapes: list[Array], lookback: int) -> Figure:
    """Draws the windows that read a slot most, the first one in colour."""
    figure = Figure(figsize=(3.1, 1.75))
    axes = figure.add_axes((0.11, 0.12, 0.86, 0.85))  # uniform, and faster than a layout engine
    for place, shape in reversed(list(enumerate(shapes))):
        thin = thinned(4 * len(shape))
        color, alpha, width = (INK, 0.35, 0.9) if place else (BLUE, 1, 1.8)
        rows = np.arange(1 - len(shape), 1)
        axes.plot(rows[thin], shape[thin], color=color, alpha=alpha, linewidth=width)
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.set_xlim(1 - max(lookback, 2), 0)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=8, length=2)
    return figure


def draw_effects(effects: SlotEffects, layer: int, order: npt.NDArray[np.int64]) -> Figure:
    """Draws a bar for each slot: the change of forecasts without it and, below, of their error."""
    rows = 1 if effects.error is None else 2
    figure = Figure(figsize=(9, 1.1 + 1.35 * rows), layout="constrained")
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    places = np.arange(len(order))
    panels[0].bar(places, effects.movement[layer][order], color=BLUE, width=0.7)
    unit = "% of the forecast" if effects.relative else "% of the mean change over a season"
    panels[0].set_title(f"change of the forecasts without the slot ({unit})")
    if effects.error is not None and effects.margin is not None:
        error = effects.error[layer][order]
        panels[1].bar(places, error, color=np.where(error > 0, BLUE, ORANGE), width=0.7)
        panels[1].errorbar(
            places, error, effects.margin[layer][order], fmt="none", ecolor=INK, elinewidth=0.8
        )
        panels[1].axhline(0, color=MUTED, linewidth=0.8)
        panels[1].set_title("change of the error without the slot (%)")
    for axes in panels:
        axes.grid(axis="x", visible=False)
        axes.margins(x=0.01)
        axes.yaxis.set_major_locator(MaxNLocator(4))
    panels[-1].set_xticks(places, [str(slot) for slot in order], fontsize=8)
    panels[-1].set_xlabel("slot, the most used on the left")
    return figure
