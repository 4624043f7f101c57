"""Figures of the windows that the slots of the prior's memory respond to, for docs/prior.md.

    python -m bench.prior_pictures docs/images

The windows come from monthly series that bench/series_generator.py draws, other than the training
series.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bench.forecasting import exit_code
from bench.prior import TASKS, options_of, panel_like
from bench.series_generator import generate
from memattn.figure_style import BLUE, INK, MUTED, figure_style, picture
from memattn.files import write_atomically
from memattn.forecast.fitting import Fitted
from memattn.forecast.forecaster_settings import ALONE, choose_settings, with_prior
from memattn.forecast.model import model_of
from memattn.forecast.prior_files import AUTO, prior_of
from memattn.forecast.report.memory_figures import draw_shares
from memattn.forecast.report.memory_reading import MemoryReading, read_memory

SERIES, SLOTS, DRAWN, SEED = 400, 12, 9, 1


def reading_of_prior() -> MemoryReading:
    """Return the memory reading of the monthly prior on windows of generated series."""
    task = next(task for task in TASKS if task.name == "monthly")
    series = generate(task.family, SERIES, np.random.default_rng(SEED), kernel_share=0.0)
    panel = panel_like(task, series)
    prior, why_not = prior_of("bench.prior_pictures", AUTO, task.family.season, panel.frequency)
    if prior is None:
        raise LookupError(why_not)
    options = options_of(task, 1, 1)
    own = choose_settings(panel.lengths, panel.frequency, panel.season, options)
    settings = with_prior(own, prior.settings, ALONE, "for its pictures")
    model = model_of(settings, panel, prior.weights)
    found = read_memory(Fitted(model, panel, None, ()), None)
    assert found is not None
    return found


def draw_slots(reading: MemoryReading, layer: int) -> Figure:
    """Draw the windows that read the most used slots most, less their season; strongest in blue."""
    order = np.argsort(-reading.usage[layer], kind="stable")[:DRAWN]
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    for axes, slot in zip(figure.subplots(3, 3, sharex=True).flat, order.tolist(), strict=True):
        shapes = [reader.shape for reader in reading.readers[layer][slot]]
        for place, shape in reversed(list(enumerate(shapes))):
            color, width = (MUTED, 0.7) if place else (BLUE, 1.8)
            axes.plot(np.arange(1 - len(shape), 1), shape, color=color, linewidth=width)
        axes.axhline(0, color=INK, linewidth=0.5)
        axes.set_title(f"slot {slot}: {100 * reading.usage[layer][slot]:.0f} %", fontsize=9)
        axes.tick_params(labelsize=7, length=2)
    figure.supxlabel("months before the forecast", fontsize=9)
    return figure


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    reading = reading_of_prior()
    order = np.argsort(-reading.usage[0], kind="stable")[:SLOTS]
    with figure_style():
        for name, draw in (
            ("prior-shares.svg", lambda: draw_shares(reading, 0, order)),
            ("prior-slots.svg", lambda: draw_slots(reading, 0)),
        ):
            write_atomically(options.folder / name, picture(draw, ".svg"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 130 if interrupted."""
    parse = argparse.ArgumentParser("python -m bench.prior_pictures", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument("folder", type=Path)
    return exit_code(lambda: run(parse.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
