"""Turns a fit to a sample of the series into a fit of all series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from memattn.forecast.data.long_rows import Note
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.series_sample import HOW, Sample, said
from memattn.forecast.data.windows import Windows
from memattn.forecast.fitting import Fitted, notes_on_short, notes_on_still
from memattn.forecast.forecaster_settings import Setting, Settings

OF_ALL = ("prior", "untrained")  # notes that concern every series


def with_sample(settings: Settings, panel: Panel) -> Settings:
    """Returns the settings of a training on a panel that is a sample."""
    return {**settings, "sample": Setting(len(panel), f"{said(panel)} are enough, {HOW}")}


def with_all_series(fitted: Fitted, sample: Sample) -> Fitted:
    """Returns the fit to `sample.panel` with the panel of all series."""
    whole, held_out = sample.whole, fitted.held_out
    if held_out is not None:
        windows = Windows(sample.places[held_out.windows.series], held_out.windows.ends)
        held_out = replace(held_out, windows=windows)
    notes = (*whole.notes, sample.note, *_notes(fitted, whole))
    return replace(fitted, panel=whole, notes=notes, held_out=held_out)


def _notes(fitted: Fitted, whole: Panel) -> Iterator[Note]:
    """Yields the notes of training, with notes on short or constant series for all series."""
    yield from notes_on_short(whole)
    for note in fitted.notes:
        if note.kind in OF_ALL:
            yield replace(note, count=len(whole))
        elif note.kind not in ("naive", "still"):
            yield note
    if fitted.calibration is not None:
        yield from notes_on_still(whole, fitted.settings["logs"].value)
