"""Rows after a cutoff do not change forecasts made there, by value, gap, id, type or order."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.forecast import Forecaster

from .panels import LIBRARIES, as_library

HORIZON, WINDOWS, STEP = 3, 3, 4


def table_of(rng: np.random.Generator, numbered: bool, holes: bool) -> pd.DataFrame:
    """Returns series of whole numbers and several lengths; with numbered rows, all end together."""
    parts = []
    for k in range(int(rng.integers(2, 5))):
        length = int(rng.integers(25, 50))
        end = 60 - (0 if numbered or rng.random() < 0.5 else int(rng.integers(0, 12)))
        ds = np.arange(end - length, end)
        wave = 5 * np.sin(2 * np.pi * ds / rng.choice([4, 7]))
        y = 50 + (wave + rng.normal(size=length)).round(1) * 10 - rng.choice([0, 60])
        part = pd.DataFrame({"unique_id": f"s{2 * k}", "ds": ds, "y": y.round()})
        if holes:
            kept = rng.random(length) > 0.12
            kept[[0, -1]] = True
            part = part[kept]
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    return (
        table
        if numbered
        else table.assign(ds=pd.Timestamp("2024-02-20") + table.ds * pd.Timedelta("1D"))
    )


def changed(rng: np.random.Generator, table: pd.DataFrame, cutoff: Any) -> pd.DataFrame:
    """Returns the table with all rows after the cutoff changed, but not when each series ends."""
    later = (table.ds > cutoff).to_numpy()
    ends = (table.groupby("unique_id").ds.transform("max") == table.ds).to_numpy()
    table = table.assign(y=table.y.where(~later, rng.choice([-1e6, 0, 3, 1e4], len(table))))
    table = table[~later | ends | (rng.random(len(table)) < 0.4)]
    times = np.sort(table.ds[table.ds > cutoff].unique())
    new = pd.DataFrame(
        {"unique_id": "s1", "ds": times, "y": rng.normal(1e5, 1e4, len(times)).round()}
    )
    table = pd.concat([table, new, new.assign(unique_id="a")]).sample(frac=1, random_state=1)
    return table.astype({"y": rng.choice(["int64", "float32", "float64"])})


def forecasts(table: pd.DataFrame, library: str, refit: bool) -> pd.DataFrame:
    forecaster = Forecaster(HORIZON, steps=2)
    found = forecaster.cross_validation(
        as_library(library, table), WINDOWS, step_size=STEP, refit=refit, level=[80]
    )
    found = found.to_pandas() if isinstance(found, pl.DataFrame) else found
    return found.drop(columns="y").set_index(["unique_id", "ds", "cutoff"])


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_rows_after_a_cutoff_do_not_change_its_forecasts(
    seed: int, numbered: bool, refit: bool, holes: bool
) -> None:
    rng = np.random.default_rng([seed, numbered, holes])
    library = LIBRARIES[seed % 2]
    table = table_of(rng, numbered, holes)
    before = forecasts(table, library, refit)
    cutoffs = before.index.get_level_values("cutoff")
    for cutoff in np.unique(cutoffs)[:: 2 if refit else 3]:
        after = forecasts(changed(rng, table, cutoff), library, refit)
        known = before[cutoffs <= cutoff]
        pd.testing.assert_frame_equal(after.loc[known.index], known, check_exact=True)


def test_series_that_begin_later_do_not_change_intervals() -> None:
    y = 50 + np.random.default_rng(0).normal(size=200).cumsum()
    table = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=200), "y": y})
    new = pd.DataFrame(
        {"unique_id": "b", "ds": pd.date_range("2024-07-01", periods=200), "y": 9 * y[::-1]}
    )
    before, after = (
        Forecaster(3, steps=2).cross_validation(one, 90, level=80)
        for one in (table, pd.concat([table, new]))
    )
    known = before[before.cutoff < "2024-07-01"]
    pd.testing.assert_frame_equal(after[: len(known)], known, check_exact=True)


LATER_BAD = {
    "infinite": {"ds": ["2024-03-30"], "y": [np.inf]},
    "too large": {"ds": ["2024-03-30"], "y": [1e200]},
    "off the grid": {"ds": ["2024-03-30T05:00", "2024-03-30T06:00"], "y": [1.0, 2.0]},
    "twice": {"ds": ["2024-03-30", "2024-03-30"], "y": [1.0, 2.0]},
}


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("name", LATER_BAD)
def test_bad_rows_after_the_cutoff_leave_out_no_series(name: str, refit: bool) -> None:
    days = pd.date_range("2024-01-01", "2024-03-31")
    y = 50 + np.random.default_rng(0).normal(size=(3, len(days))).cumsum(axis=1).round(2)
    good = [pd.DataFrame({"unique_id": f"s{k}", "ds": days, "y": y[k]}) for k in range(3)]
    bad = pd.DataFrame({"unique_id": "s1", **LATER_BAD[name]})
    rest = good[1][good[1].ds != "2024-03-30"]
    table = pd.concat([*good[::2], rest, bad.astype({"ds": "datetime64[us]"})])
    forecaster = Forecaster(3, steps=2, on_bad_series="drop")
    before, found = (
        forecaster.cross_validation(one, 3, level=80, refit=refit).drop(columns="y")
        for one in (pd.concat(good), table)
    )
    pd.testing.assert_frame_equal(found, before, check_exact=True)
    panel = forecaster.panel(table, n_windows=3)
    assert "after the first cutoff left out" in str(panel.notes)
    assert forecaster.panel(table).ids.tolist() == ["s0", "s2"]
