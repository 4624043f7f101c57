"""What a forecast rests on, as text for people: what was found, what was chosen, how good it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from memattn.cli.output import INDENT, console, name_of_data, say, say_item
from memattn.errors import printable
from memattn.forecast.data.columns import Array
from memattn.forecast.data.frames import MODEL
from memattn.forecast.data.long_rows import Note, plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.evaluation import Evaluation, methods_of, warnings_of
from memattn.forecast.forecaster import Forecaster
from memattn.forecast.forecaster_settings import Settings
from memattn.forecast.metrics import significant

STEP_COLUMNS = 6
SERIES_SHOWN = 8  # with more of them the report has the worst


def print_found(data: Path, panel: Panel) -> None:
    """What the data hold, and what was done about it."""
    count = plural(len(panel), "series", "series")
    say(f"{name_of_data(data)}: {count}, {len(panel.values):,} values", "bold")
    print_notes(panel.notes)


def print_notes(notes: Sequence[Note]) -> None:
    """One a line."""
    for note in notes:
        say_item(str(note))


def print_trained(forecaster: Forecaster, panel: Panel, seconds: float) -> None:
    """The settings that were chosen, how long the training took, and what it found."""
    print_settings(forecaster.settings)
    trained = forecaster.settings["steps"].value > 0
    say(f"\nTrained in {seconds:.1f} s." if trained else "\nNot trained.")
    print_notes([note for note in forecaster.notes if note not in panel.notes])


def print_settings(settings: Settings) -> None:
    """What was chosen and why; what was given is known, and a note has said the season."""
    say("\nChosen:")
    for name, setting in settings.items():
        if setting.reason not in ("as given", "default") and name != "season":
            say_item(f"{name.replace('min_', 'minimum_').replace('_', ' ')}: {setting}")


def print_accuracy(result: Evaluation, title: str) -> None:
    """The errors of all methods: overall, by step ahead, and of each of few series."""
    methods = methods_of(result.panel)
    say(f"\n{title}")
    _print_table(_overall_table(result, methods))
    if result.truth.shape[1] > 1:
        say("\nMASE by step ahead:")
        _print_table(_step_table(result, methods))
    if 1 < len(result.panel) <= SERIES_SHOWN:
        say("\nMASE by series:")
        _print_table(_series_table(result, methods))
    if result.intervals:
        _print_coverage(result)
    for warning in warnings_of(result):
        say_item(f"note: {warning}", "yellow")


def _print_table(table: Table) -> None:
    console().print(Padding(table, (0, 0, 0, INDENT), expand=False))


def _new_table(first: str, columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _style(method: str) -> str:
    return "bold" if method == MODEL else ""


def _overall_table(result: Evaluation, methods: Sequence[str]) -> Table:
    table = _new_table("", ("sMAPE %", "MASE", "RMSSE", "MAE"))
    for method in methods:
        found = result.overall(method)
        cells = (_fixed(found.smape, 2), _fixed(found.mase, 3), _fixed(found.rmsse, 3))
        table.add_row(method, *cells, significant(found.mae), style=_style(method))
    return table


def _step_table(result: Evaluation, methods: Sequence[str]) -> Table:
    horizon = result.truth.shape[1]
    parts = [part for part in np.array_split(np.arange(1, horizon + 1), STEP_COLUMNS) if len(part)]
    names = [str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts]
    table = _new_table("", names)
    for method in methods:
        mase = result.by_step(method).mase
        cells = [_fixed(_mean(mase[part - 1]), 3) for part in parts]
        table.add_row(method, *cells, style=_style(method))
    return table


def _series_table(result: Evaluation, methods: Sequence[str]) -> Table:
    table = _new_table("", methods)
    columns = [result.by_series(method).mase for method in methods]
    for k, name in enumerate(result.panel.ids):
        table.add_row(Text(printable(str(name))), *(_fixed(one[k], 3) for one in columns))
    return table


def _print_coverage(result: Evaluation) -> None:
    measured = {level: result.coverage(level) for level in result.intervals}
    if all(share is None for share in measured.values()):
        say("\nCoverage: not measured, since too few windows were held out")
        return
    windows = plural(max(map(result.covered_windows, result.intervals)), "window", "windows")
    how = f", calibrated on {result.calibrated_on}" if result.calibrated_on else ""
    say(f"\nCoverage on {windows}{how}:")
    for level, share in measured.items():
        if share is not None:
            say_item(f"{share:.1f} % of values lie inside their {level:g} % interval")


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if len(known) else math.nan


def _fixed(value: float | None, digits: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:,.{digits}f}"
