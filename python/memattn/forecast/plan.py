"""From a table to a plan: which columns, which times, and what the user has left open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from memattn.csv_reader import Table
from memattn.errors import DataError, quoted
from memattn.forecast import settings as rules
from memattn.forecast.result import Settings
from memattn.forecast.time_axis import TimeAxis, find_time_column, read_axis, row_axis

Array = npt.NDArray[np.float64]

UNITS, MEMORY_SIZE, NUM_HEADS = 32, 16, 2
MAX_MAGNITUDE = 1e100  # so that squares and their sums do not overflow


@dataclass(frozen=True)
class Plan:
    """All that is settled before the training.

    Attributes
    ----------
    source : str
        The name of the file, or what stands for it.
    axis : TimeAxis
        The times of the rows.
    times : list of str
        The times ahead.
    names : list of str
        The targets.
    series : list of array (n,)
        Their values.
    settings : Settings
        What the model is made with.
    split : Split
        Which rows train it.
    """

    source: str
    axis: TimeAxis
    times: list[str]
    names: list[str]
    series: list[Array]
    settings: Settings
    split: rules.Split


def make_plan(
    table: Table,
    horizon: int,
    *,
    time: str | None = None,
    targets: Sequence[str] | None = None,
    lookback: int | None = None,
    season: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
) -> Plan:
    """Checks the table and settles what the user has left open; see `forecast_csv`."""
    _check_options(horizon=horizon, lookback=lookback, season=season, epochs=epochs)
    if not 0 <= seed < 2**64:
        raise DataError("option", f"--seed: found {seed}, expected 0 to 2**64 - 1")
    axis, time_note = _choose_axis(table, time)
    names, target_note = _choose_targets(table, axis, targets)
    series = [_values(table, table.names.index(name)) for name in names]
    try:
        chosen, split = _choose_settings(axis, series, horizon, lookback, season, epochs, seed)
        times = axis.continued(horizon)
    except DataError as error:
        raise DataError(error.kind, error.problem, file=table.file, column=error.column) from None
    return Plan(
        source=table.file.name if table.file is not None else "table",
        axis=axis,
        times=times,
        names=names,
        series=series,
        settings=replace(chosen, notes=(time_note, target_note, *chosen.notes)),
        split=split,
    )


def _values(table: Table, index: int) -> Array:
    values = table.numbers(index)
    row = int(np.argmax(np.abs(values)))
    if abs(values[row]) > MAX_MAGNITUDE:
        found = quoted(table.rows[row][index])
        problem = f"found {found}, expected a magnitude of at most {MAX_MAGNITUDE:g}; rescale it"
        raise table.error("too-large", problem, row, index)
    return values


def _check_options(**options: int | None) -> None:
    for name, value in options.items():
        if value is not None and value < 1:
            raise DataError("option", f"--{name}: found {value}, expected at least 1")


def _choose_axis(table: Table, time: str | None) -> tuple[TimeAxis, str]:
    if time is not None:
        axis = read_axis(table, table.column_index(time, "--time"))
        return axis, f"time: column {quoted(time)}, one row every {_every(axis)}"
    index = find_time_column(table)
    if index is None:
        return row_axis(table), "time: no column of dates, so the rows are counted"
    axis = read_axis(table, index)
    name = quoted(table.names[index])
    return axis, f"time: column {name}, the first of dates, one row every {_every(axis)}"


def _every(axis: TimeAxis) -> str:
    return axis.spacing.removeprefix("1 ")


def _choose_targets(
    table: Table, axis: TimeAxis, targets: Sequence[str] | None
) -> tuple[list[str], str]:
    if targets:
        for position, name in enumerate(targets):
            table.column_index(name, "--target")
            if name == axis.column:
                problem = f"--target: found the time column {quoted(name)}, expected another one"
                raise DataError("option", problem, file=table.file, line=1, column=name)
            if name in targets[:position]:
                problem = f"--target: found {quoted(name)} twice, expected it once"
                raise DataError("option", problem, file=table.file, column=name)
        return list(targets), f"targets: {_listed(targets)}"
    others = [i for i, name in enumerate(table.names) if name != axis.column]
    names = [table.names[i] for i in others if table.looks_numeric(i)]
    if not names:
        have = _listed([table.names[i] for i in others]) or "the time column alone"
        problem = f"found no column of numbers to forecast (there is {have}), expected at least one"
        raise DataError("no-target", problem, file=table.file, line=1)
    skipped = [table.names[i] for i in others if table.names[i] not in names]
    note = f"targets: all columns of numbers: {_listed(names)}"
    return names, note + (f"; left out: {_listed(skipped)}" if skipped else "")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _choose_settings(
    axis: TimeAxis,
    series: Sequence[Array],
    horizon: int,
    lookback: int | None,
    season: int | None,
    epochs: int | None,
    seed: int,
) -> tuple[Settings, rules.Split]:
    notes = []
    split = rules.split_rows(len(series[0]), horizon)
    if season is None:
        found = rules.infer_season(axis, series)
        if split.length < rules.rows_needed(found.rows, horizon):
            found = rules.Season(1, f"too few rows for {found.rows} and this horizon")
        season = found.rows
        notes.append(f"season: {season} ({found.reason})")
    if lookback is None:
        lookback = rules.default_lookback(split, horizon, season)
        notes.append(f"lookback: {lookback} rows")
    if lookback < season:
        problem = (
            f"--lookback: found {lookback}, expected at least the season of {season} rows; "
            "raise --lookback or lower --season"
        )
        raise DataError("option", problem)
    rules.check_length(split, lookback, horizon)
    windows = rules.training_windows(split, lookback, horizon, len(series))
    batch_size = rules.choose_batch_size(windows)
    if epochs is None:
        epochs = rules.default_epochs(windows, batch_size)
        notes.append(f"epochs: {epochs} over {windows:,} training windows")
    chosen = Settings(
        horizon=horizon,
        lookback=lookback,
        season=season,
        patch_size=rules.choose_patch_size(lookback, season),
        units=UNITS,
        memory_size=MEMORY_SIZE,
        num_heads=NUM_HEADS,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        notes=tuple(notes),
    )
    return chosen, split
