"""Random tables of typical cells give a valid panel or a DataError."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.errors import DataError
from memattn.forecast.data.frames import forecast_frame, panel_frame
from memattn.forecast.data.panel import Panel, panel_from_file, panel_from_frame
from memattn.forecast.data.time_axis import Unit

from ..panels import assert_same, write_csv

DATES = [f"2024-02-{day:02d}" for day in range(20, 30)]
CELLS = {
    "unique_id": ["a", "b", "b", "", "é\u0301", None],
    "ds": [*DATES * 6, "2024-03-01", "2024-02-29T23:00Z", "2024-13-01", "7", "", None],
    "y": [*[str(k) for k in range(40)], "", "nan", "inf", "-1e308", "1e-320", "x", None],
}
FREQUENCIES = [None, None, None, "D", "h", "MS", "2D", 1]


def random_cells(rng: np.random.Generator, tame: bool) -> dict[str, list[Any]]:
    """Returns up to eleven rows; if `tame`, mostly valid ones."""
    count = int(rng.integers(1, 12))
    table = {name: list(rng.choice(np.array(c, object), count)) for name, c in CELLS.items()}
    if tame:
        rows = rng.permutation(len(DATES))[:count]
        table["ds"] = [DATES[row] for row in rows]
        table["y"] = [str(row) for row in rows]
        table["unique_id"] = ["a"] * len(rows)
        if rng.random() < 0.5:
            table["y"][0] = rng.choice(["", "nan", "5"])
    return table


def check(panel: Panel) -> None:
    assert panel.offsets[0] == 0
    assert panel.offsets[-1] == len(panel.values)
    assert np.all(panel.lengths >= 1)
    assert np.isfinite(panel.filled).all()
    assert np.isfinite(panel.values[[*panel.offsets[:-1], *(panel.offsets[1:] - 1)]]).all()
    assert len(set(panel.ids)) == len(panel) == len(panel.last) == len(panel.day)
    times = panel.past()
    assert np.all(
        np.diff(times)[np.delete(np.ones(len(times) - 1, bool), panel.offsets[1:-1] - 1)] > 0
    )
    np.testing.assert_array_equal(times[panel.offsets[1:] - 1], panel.last)
    assert np.all(panel.future(3)[:, 0] > panel.last)


def check_values(panel: Panel, table: dict[str, list[Any]]) -> None:
    """Checks that a panel of one series has every value of the table at its date."""
    rows = zip(table["ds"], table["y"], strict=True)
    wanted = {day: float(cell) for day, cell in rows if cell.isdigit()}
    days = panel.past().astype("datetime64[us]").astype("datetime64[D]").astype(str).tolist()
    found = dict(zip(days, panel.values.tolist(), strict=True))
    assert (days[0], days[-1]) == (min(wanted), max(wanted))
    assert {day: found[day] for day in wanted} == wanted


@pytest.mark.parametrize("tame", [True, False])
@pytest.mark.parametrize("seed", range(60))
def test_random_tables_give_a_valid_panel_or_a_data_error(
    tmp_path: Path, seed: int, tame: bool
) -> None:
    rng = np.random.default_rng([seed, tame])
    table = random_cells(rng, tame)
    freq = FREQUENCIES[rng.integers(len(FREQUENCIES))]
    text = {name: [cell or "" for cell in column] for name, column in table.items()}
    sources: list[Any] = [
        lambda: panel_from_frame(pd.DataFrame(table), freq=freq),
        lambda: panel_from_frame(pd.DataFrame(table, dtype=object), freq=freq),
        lambda: panel_from_frame(
            pl.DataFrame(table, schema=dict.fromkeys(table, pl.String)), freq=freq
        ),
        lambda: panel_from_file(write_csv(tmp_path / "table.csv", text), freq=freq),
    ]
    made, refusals = [], []
    for source in sources:
        try:
            panel = source()
        except DataError as error:
            refusals.append(error)
            continue
        check(panel)
        forecast_frame(panel, np.zeros((len(panel), 3)))
        made.append(panel)
    for panel in made[1:]:
        assert_same(panel, made[0])
    for error in refusals:
        assert error.kind
        assert "{" not in error.problem  # every placeholder was replaced by a name


@pytest.mark.parametrize("seed", range(10))
def test_a_panel_read_from_its_own_frame_is_the_same(seed: int) -> None:
    made = []
    for count in range(100):
        rng = np.random.default_rng([7, seed, count])
        table = random_cells(rng, tame=True)
        with contextlib.suppress(DataError):
            made.append(panel_from_frame(pd.DataFrame(table)))
            check_values(made[-1], table)
    made = [panel for panel in made if len(panel.values) > 1]
    assert len(made) > 10
    for panel in made:
        # Pass freq, since without an empty last row the rest may show another frequency.
        unit, step = panel.frequency.unit, panel.frequency.step
        freq = "B" if unit is Unit.BUSINESS_DAY else f"{step}D"
        again = panel_from_frame(panel_frame(panel), freq=freq)
        assert_same(again, panel)
        assert {note.kind for note in again.notes}.isdisjoint({"gaps", "unsorted", "duplicates"})
