"""What a report shows of the memory: a part a layer, its figures with their words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from memattn.forecast.data.frames import time_texts
from memattn.forecast.data.panel import Panel
from memattn.forecast.fitting import Fitted
from memattn.forecast.report.figures import to_svg
from memattn.forecast.report.memory_figures import draw_effects, draw_readers, draw_shares
from memattn.forecast.report.memory_reading import MemoryReading, Reader
from memattn.forecast.report.words import about_effects, about_shares, about_usage, short

SLOTS_SHOWN = 16  # of a layer, by what reads them
SLOTS_DRAWN = 9  # with the windows that read them
NAMED = 3  # of these windows
MOST_BARS = 40


@dataclass(frozen=True)
class ReaderPart:
    """One slot on the page, with the windows that read it most."""

    slot: int
    share: str
    figure: Markup
    windows: list[tuple[str, str, str]]  # series, time of the last row, share


@dataclass(frozen=True)
class LayerPart:
    """One memory layer on the page; figures are SVG."""

    slots_shown: int
    shares: Markup
    about_shares: str
    about_usage: str
    readers: list[ReaderPart]
    effects: Markup | None
    about_effects: str


def memory_layers(panel: Panel, reading: MemoryReading) -> list[LayerPart]:
    """The parts of all layers, in their order."""
    layers = []
    for layer, usage in enumerate(reading.usage):
        order = np.argsort(-usage, kind="stable")
        effects = reading.effects
        drawn = order if effects is None else np.argsort(-effects.movement[layer], kind="stable")
        layers.append(
            LayerPart(
                slots_shown=len(order[:SLOTS_SHOWN]),
                shares=to_svg(draw_shares(reading, layer, order[:SLOTS_SHOWN]), f"shares-{layer}"),
                about_shares=about_shares(reading, layer, order[:SLOTS_SHOWN]),
                about_usage=about_usage(usage),
                readers=[
                    _reader_part(panel, reading, layer, int(slot)) for slot in drawn[:SLOTS_DRAWN]
                ],
                effects=None
                if effects is None
                else to_svg(draw_effects(effects, layer, order[:MOST_BARS]), f"effects-{layer}"),
                about_effects="" if effects is None else about_effects(effects, layer),
            )
        )
    return layers


def _reader_part(panel: Panel, reading: MemoryReading, layer: int, slot: int) -> ReaderPart:
    readers = reading.readers[layer][slot]
    return ReaderPart(
        slot=slot,
        share=f"{100 * reading.usage[layer][slot]:.1f} %",
        figure=to_svg(draw_readers(readers, reading.lookback), f"readers-{layer}-{slot}"),
        windows=[_window_words(panel, reader) for reader in readers[:NAMED]],
    )


def _window_words(panel: Panel, reader: Reader) -> tuple[str, str, str]:
    series = np.array([reader.series])
    ticks = panel.times(series, reader.end - panel.lengths[series])
    return (
        short(panel.ids[reader.series]),
        str(time_texts(panel, ticks)[0]),
        f"{100 * reader.share:.0f} %",
    )


def memory_words(fitted: Fitted, reading: MemoryReading | None) -> dict[str, str]:
    """Whose memory it is, or why there is none to show."""
    if reading is None:
        untrained = fitted.settings["steps"].value == 0
        nothing = "The model was not trained, so its memory is empty."
        linear = "The model is linear and has no memory layers."
        return {"why_no_memory": nothing if untrained else linear}
    members = fitted.settings["members"].value
    which = "the model" if members == 1 else f"member {reading.member + 1} of {members:,}"
    if fitted.held_out is not None and fitted.held_out.engine is not None:
        which += ", trained without the held-out rows, so that the effect of removing a slot can be"
        which += " measured on them"
    return {"which_member": which}
