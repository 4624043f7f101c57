"""What a forecast rests on, as text for people: what was found, what was chosen, how good it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from memattn.cli.output import print_line
from memattn.errors import printable
from memattn.forecast.data.columns import Array
from memattn.forecast.data.frames import MODEL
from memattn.forecast.data.long_rows import Note, plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.evaluation import METHODS, Evaluation, warnings_of
from memattn.forecast.forecaster_settings import Settings
from memattn.forecast.metrics import significant

INDENT = 2
STEP_COLUMNS = 6
SERIES_SHOWN = 8  # with more of them the report has the worst


def print_found(console: Console, source: str, panel: Panel) -> None:
    """What the data hold, and what was done about it."""
    count = plural(len(panel), "series", "series")
    text = f"{printable(source)}: {count}, {len(panel.values):,} values"
    print_line(console, text, "bold")
    print_notes(console, panel.notes)


def print_notes(console: Console, notes: Sequence[Note]) -> None:
    """One a line."""
    for note in notes:
        print_item(console, str(note))


def print_item(console: Console, text: str, style: str = "") -> None:
    """An indented line; a terminal gets it broken between words, a pipe whole."""
    shown = Text(printable(text), style=style)
    if console.is_terminal:
        console.print(Padding(shown, (0, 0, 0, INDENT), expand=False))
    else:
        console.print(Text(INDENT * " ") + shown, soft_wrap=True)


def print_settings(console: Console, settings: Settings) -> None:
    """What was chosen and why; what was given is known, and a note has said the season."""
    print_line(console, "\nChosen:")
    for name, setting in settings.items():
        if setting.reason != "as given" and name != "season":
            print_item(console, f"{name.replace('_', ' ')}: {setting}")


def print_accuracy(console: Console, result: Evaluation, title: str) -> None:
    """The errors of all methods: overall, by step ahead, and of each of few series."""
    print_line(console, f"\n{title}")
    _print_table(console, _overall_table(result))
    if result.truth.shape[1] > 1:
        print_line(console, "\nMASE by step ahead:")
        _print_table(console, _step_table(result))
    if 1 < len(result.panel) <= SERIES_SHOWN:
        print_line(console, "\nMASE by series:")
        _print_table(console, _series_table(result))
    if result.intervals:
        _print_coverage(console, result)
    for warning in warnings_of(result):
        print_item(console, f"note: {warning}", "yellow")


def _print_table(console: Console, table: Table) -> None:
    console.print(Padding(table, (0, 0, 0, INDENT), expand=False))


def _new_table(first: str, columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _style(method: str) -> str:
    return "bold" if method == MODEL else ""


def _overall_table(result: Evaluation) -> Table:
    table = _new_table("", ("sMAPE %", "MASE", "RMSSE", "MAE"))
    for method in METHODS:
        found = result.overall(method)
        cells = (
            _fixed(found.smape, 2),
            _fixed(found.mase, 3),
            _fixed(found.rmsse, 3),
            significant(found.mae),
        )
        table.add_row(method, *cells, style=_style(method))
    return table


def _step_table(result: Evaluation) -> Table:
    horizon = result.truth.shape[1]
    parts = [part for part in np.array_split(np.arange(1, horizon + 1), STEP_COLUMNS) if len(part)]
    names = [str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts]
    table = _new_table("", names)
    for method in METHODS:
        mase = result.by_step(method).mase
        cells = [_fixed(_mean(mase[part - 1]), 3) for part in parts]
        table.add_row(method, *cells, style=_style(method))
    return table


def _series_table(result: Evaluation) -> Table:
    table = _new_table("", METHODS)
    columns = [result.by_series(method).mase for method in METHODS]
    for k, name in enumerate(result.panel.ids):
        table.add_row(Text(printable(str(name))), *(_fixed(one[k], 3) for one in columns))
    return table


def _print_coverage(console: Console, result: Evaluation) -> None:
    measured = {level: result.coverage(level) for level in result.intervals}
    levels = ", ".join(
        f"{level:g} %: {share:.1f} %" for level, share in measured.items() if share is not None
    )
    print_line(console, "\nTruths inside the intervals:")
    if not levels:
        print_item(console, "not measured, for too few windows are held out")
        return
    windows = plural(max(map(result.covered_windows, result.intervals)), "window", "windows")
    how = f", calibrated on {result.calibrated_on}" if result.calibrated_on else ""
    print_item(console, f"{levels} (on {windows}{how})")


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if len(known) else math.nan


def _fixed(value: float | None, digits: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:,.{digits}f}"
