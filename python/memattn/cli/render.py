"""Prints what the data hold, which settings were chosen and how accurate the forecasts are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from memattn.cli.documents import note_text
from memattn.cli.output import INDENT, console, name_of_data, say, say_item
from memattn.errors import printable
from memattn.forecast.data.frames import MODEL
from memattn.forecast.data.long_rows import Note, plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.evaluation import Evaluation, methods_of, warnings_of
from memattn.forecast.file_passes import Passes
from memattn.forecast.forecaster import Forecaster
from memattn.forecast.forecaster_settings import OF_PRIOR, SETTING_WORDS, Settings
from memattn.forecast.metrics import fixed, mean_defined

STEP_COLUMNS = 6
SERIES_SHOWN = 8  # with more series, only the report shows single ones


def print_found(data: Path, panel: Panel) -> None:
    """Prints the size of the data and the notes about it."""
    count = plural(len(panel), "series", "series")
    say(f"{name_of_data(data)}: {count}, {len(panel.values):,} values", "bold")
    for note in panel.notes:
        say_item(note_text(note))


def print_passes(data: Path, passes: Passes) -> None:
    """Prints the size of data that was read in passes."""
    count = plural(passes.series, "series", "series")
    say(f"{name_of_data(data)}: {count}, {passes.values:,} values", "bold")


def print_trained(forecaster: Forecaster, told: Sequence[Note], seconds: float) -> None:
    """Prints the chosen settings, the duration of the training and its notes.

    Notes in `told` are not printed again.
    """
    print_settings(forecaster.settings)
    trained = forecaster.settings["steps"].value > 0
    say(f"\nTrained in {seconds:.1f} s." if trained else "\nNot trained.")
    for note in forecaster.notes:
        if note not in told:
            say_item(note_text(note))


def print_settings(settings: Settings) -> None:
    """Prints the settings that were chosen and why, except the season, which a note states."""
    say("\nSettings:")
    for name, setting in settings.items():
        if setting.reason not in ("as given", "default", OF_PRIOR) and name != "season":
            say_item(f"{SETTING_WORDS[name]}: {setting}")


def print_accuracy(result: Evaluation, title: str) -> None:
    """Prints the errors of all methods: overall, by step ahead and, for few series, by series."""
    methods, horizon = methods_of(result.panel), result.truth.shape[1]
    say(f"\n{title}")
    cells = [result.cells(method) for method in methods]
    _print_table(("sMAPE %", "MASE", "RMSSE", "MAE"), methods, cells)
    if horizon > 1:
        say("\nMASE by step ahead:")
        parts = np.array_split(np.arange(1, horizon + 1), min(STEP_COLUMNS, horizon))
        names = [str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts]
        steps = [result.by_step(method).mase for method in methods]
        means = ([mean_defined(mase[p - 1])[0] for p in parts] for mase in steps)
        _print_table(names, methods, [[fixed(one, 3) for one in row] for row in means])
    if 1 < len(result.panel) <= SERIES_SHOWN:
        say("\nMASE by series:")
        errors = zip(*(result.by_series(method).mase for method in methods), strict=True)
        ids = [Text(printable(str(name))) for name in result.panel.ids]
        _print_table(methods, ids, [[fixed(one, 3) for one in row] for row in errors])
    if result.intervals:
        _print_coverage(result)
    for warning in warnings_of(result):
        say_item(f"note: {warning}", "yellow")


def _print_table(
    columns: Sequence[str], names: Sequence[str | Text], rows: Sequence[Sequence[str]]
) -> None:
    heads = [Column("", overflow="fold")]
    heads += [Column(name, justify="right", no_wrap=True) for name in columns]
    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, cells in zip(names, rows, strict=True):
        table.add_row(name, *cells, style="bold" if name == MODEL else "")
    console().print(Padding(table, (0, 0, 0, INDENT), expand=False))


def _print_coverage(result: Evaluation) -> None:
    measured = {level: result.coverage(level) for level in result.intervals}
    if all(share is None for share in measured.values()):
        say("\nCoverage: not measured, too few windows were held out")
        return
    windows = plural(max(map(result.covered_windows, result.intervals)), "window", "windows")
    how = f", calibrated on {result.calibrated_on}" if result.calibrated_on else ""
    say(f"\nCoverage on {windows}{how}:")
    for level, share in measured.items():
        if share is not None:
            say_item(f"{share:.1f} % of values lie inside their {level:g} % interval")
