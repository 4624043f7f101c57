"""The encoding of covariates for the engine, compared with results by hand and plain loops."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memattn.forecast.covariate_encoding import (
    MOST_CATEGORIES,
    Encoded,
    blocks_of,
    carried,
    learn,
)
from memattn.forecast.data.covariates import Covariate, Covariates
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_axis import Unit

from .panels import flat_panel

NAN = float("nan")


def panel_of(columns: dict[str, Any], lengths: tuple[int, ...] = (6,), ahead: int = 2) -> Panel:
    """Returns a panel with these covariates: names begin with the role, and values are given."""
    covariates = [Covariate(name, name.split()[0]) for name in columns]
    values = np.array(list(columns.values()), dtype=float).T
    panel = flat_panel([np.arange(1.0, length + 1) for length in lengths])
    assert len(values) == len(panel.values) + ahead * len(panel)
    return replace(panel, covariates=Covariates(tuple(covariates), values, ahead))


def with_categories(panel: Panel, count: int) -> Panel:
    """Returns the panel with its first covariate as a category with `count` values."""
    found = panel.covariates
    assert found is not None
    names = tuple(f"c{k:03d}" for k in range(count))
    first = replace(found.columns[0], categories=names)
    return replace(panel, covariates=replace(found, columns=(first, *found.columns[1:])))


def test_numbers_are_scaled_by_the_known_rows() -> None:
    panel = panel_of({"futr price": [1, 2, 3, 4, 5, 6, 1e6, NAN]})
    encoding = learn(panel, 1, aligned=False, compressed=False)
    # The median is 3.5 and the median distance from it 1.5.
    expected = np.arcsinh((np.array([1, 2, 3, 4, 5, 6, 1e6, 1e6]) - 3.5) / (1.5 / 0.6745))
    assert encoding.columns == (Encoded("futr"),)
    np.testing.assert_allclose(encoding.table(panel)[:, 0], expected, rtol=1e-6)


def test_new_series_have_the_scale_of_all_series() -> None:
    prices = [1.0, 2, 3, 4, 5, 6, 0, 0, 100, 200, 300, 400, 500, 600, 0, 0]
    panel = panel_of({"futr price": prices}, (6, 6))
    encoding = learn(panel, 1, aligned=False, compressed=False)
    assert encoding.center[:, 0].tolist() == [3.5, 350, 53]
    np.testing.assert_allclose(encoding.scale[:2, 0], [1.5 / 0.6745, 150 / 0.6745])
    stranger = replace(panel, ids=np.array(["s00001", "new"], dtype=object))
    table = encoding.table(stranger)[:, 0]
    np.testing.assert_allclose(table[0], np.arcsinh((1 - 350) / (150 / 0.6745)), rtol=1e-6)
    np.testing.assert_allclose(table[8], np.arcsinh((100 - 53) / encoding.scale[2, 0]), rtol=1e-6)


def test_two_values_become_0_and_1_and_a_constant_0() -> None:
    panel = panel_of({"futr promo": [3, 7, 3, 3, 7, 3, 7, 3], "futr same": [5.0] * 8})
    table = learn(panel, 1, aligned=False, compressed=False).table(panel)
    assert table[:, 0].tolist() == [0, 1, 0, 0, 1, 0, 1, 0]
    assert table[:, 1].tolist() == [0] * 8


def test_a_missing_value_is_the_last_one_of_its_series_and_is_marked() -> None:
    values = [NAN, 1, NAN, 0, NAN, 0, 1, NAN, NAN, NAN, 0, 1, NAN, 0, NAN, NAN]
    panel = panel_of({"hist seen": values}, (6, 6))
    encoding = learn(panel, 1, aligned=False, compressed=False)
    assert encoding.columns[0] == Encoded("hist", flag=True, marked=True)
    table = encoding.table(panel)
    assert table[:, 0].tolist() == [0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0]
    assert table[:, 1].tolist() == np.isnan(values).astype(float).tolist()


def test_carried_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        lengths = rng.integers(1, 9, size=4)
        values = rng.normal(size=lengths.sum())
        missing = rng.random(len(values)) < 0.5
        values[missing] = NAN
        starts = np.cumsum(lengths) - lengths
        expected, last = [], NAN
        for k, value in enumerate(values):
            last = value if k in starts or not np.isnan(value) else last
            expected.append(last)
        np.testing.assert_array_equal(carried(values, missing, starts), expected)


def test_categories_have_a_column_each_and_unknown_ones_none() -> None:
    panel = with_categories(panel_of({"futr kind": [0, 2, 2, 0, 2, 2, 1, -1]}), 3)
    encoding = learn(panel, 1, aligned=False, compressed=False)
    assert encoding.columns == (Encoded("futr", kept=(0, 2)),)
    expected = [[1, 0], [0, 1], [0, 1], [1, 0], [0, 1], [0, 1], [0, 0], [0, 0]]
    assert encoding.table(panel).tolist() == expected


def test_only_the_most_frequent_of_many_categories_are_kept() -> None:
    codes = np.arange(100) % 40
    codes[:40] = 39
    panel = with_categories(panel_of({"stat kind": codes}, (98,)), 40)
    (column,) = learn(panel, 1, aligned=False, compressed=False).columns
    assert column.kept is not None
    assert len(column.kept) == MOST_CATEGORIES
    assert 39 in column.kept


def test_learn_finds_how_long_aligned_columns_keep_a_value() -> None:
    rng = np.random.default_rng(0)
    hour, day = np.tile(np.arange(4.0), 12), np.repeat(rng.normal(size=12), 4)
    panel = panel_of({"futr a": rng.normal(size=48), "futr day": day, "futr hour": hour}, (46,))
    encoding = learn(panel, 4, aligned=True, compressed=False)
    # 46 rows are no whole days of 4: counted from the end, "day" changes within a season.
    assert [one.every for one in encoding.columns] == [1, 1, 0]
    aligned = panel_of(
        {"futr a": rng.normal(size=48), "futr day": day, "futr hour": hour}, (44,), 4
    )
    columns = learn(aligned, 4, aligned=True, compressed=False).columns
    assert [one.every for one in columns] == [1, 4, 0]
    assert blocks_of(columns, 8, 4, True, 28, 7) == [
        (0, 1, -28, 4), (0, 1, -4, 4), (0, 1, 0, 4), (0, 1, 4, 4),
        (1, 1, -28, 1), (1, 1, -4, 1), (1, 1, 0, 1), (1, 1, 4, 1),
        (3, 7, 0, 1),
    ]  # fmt: skip


def test_blocks_of_forecasts_that_begin_at_any_row() -> None:
    columns = [Encoded("futr"), Encoded("hist", marked=True), Encoded("stat", kept=(0, 1, 2))]
    columns += [Encoded("calendar", kept=(0, 1)), Encoded("calendar", flag=True)]
    assert blocks_of(columns, 5, 7, False, 20, 0) == [
        (0, 1, -7, 12), (1, 2, -7, 7), (3, 3, 0, 1), (6, 2, 0, 1), (8, 1, -7, 12),
    ]  # fmt: skip
    assert blocks_of([Encoded("futr")], 5, 1, False, 3, 0) == [(0, 1, -3, 8)]
    assert blocks_of([Encoded("futr", kept=tuple(range(32)))], 28, 7, False, 14, 0) == [
        (0, 32, 0, 28)
    ]


@pytest.mark.parametrize("unit", [Frequency(Unit.NUMBER, 1), Frequency(Unit.MICROSECOND, 900)])
def test_the_day_of_the_week_is_the_same_for_shorter_series(unit: Frequency) -> None:
    panel = panel_of({"futr a": np.arange(80.0)}, (72,), 8)
    panel = replace(panel, season=4, frequency=unit, last=panel.last * unit.step)
    encoding = learn(panel, 4, aligned=True, compressed=False)
    week = encoding.table(panel)[:, 1:].argmax(axis=1)
    assert encoding.cycle == 7
    assert (np.diff(week.reshape(-1, 4), axis=1) == 0).all()
    assert (np.diff(week[::4]) % 7 == 1).all()
    for rows in (72 - 12, 72 - 28):
        shorter = panel.until(np.array([rows]))
        table = encoding.table(shorter)
        np.testing.assert_array_equal(table[:, 1:], encoding.table(panel)[: rows + 8, 1:])


@pytest.mark.parametrize("compressed", [False, True])
def test_values_are_compressed_and_restored(compressed: bool) -> None:
    panel = flat_panel([np.array([-1.0, 2, 30, -400, 5]), np.arange(9.0)])
    encoding = learn(panel, 1, aligned=False, compressed=compressed)
    owner = np.array([0, 1, 1])
    values = np.concatenate([panel.values, np.arange(4.0)])
    found = encoding.compress(values, panel, owner, np.array([5, 9, 4]))
    assert (found is values) == (not compressed)
    for series, rows in ((0, slice(0, 5)), (1, slice(5, 14)), (1, slice(14, 18))):
        back = encoding.restore(found[rows][None], panel, np.array([series]))
        np.testing.assert_allclose(back[0], values[rows], rtol=1e-12, atol=1e-12)
