"""The sample that a fit trains on if there are very many series."""

from hashlib import blake2b

import numpy as np
import pandas as pd
import pytest

from memattn.forecast.data.panel import panel_from_frame
from memattn.forecast.data.series_sample import (
    Budget,
    Counted,
    hashes_of,
    last_hash,
    sample_of,
    sample_read,
    shortest,
)

from ..covariate_tables import LISTS, shops
from ..panels import assert_same, days, random_table


def counted(ids: list[object], values: list[int], seed: int = 0) -> Counted:
    return Counted(hashes_of(ids, seed), np.array(values, np.int64))


def joined(parts: list[Counted]) -> Counted:
    return Counted(
        np.concatenate([one.hashes for one in parts]), np.concatenate([one.values for one in parts])
    )


def test_a_hash_depends_on_the_text_of_an_id_and_on_the_seed() -> None:
    key = (7).to_bytes(8, "little")
    expected = [
        int.from_bytes(blake2b(text, digest_size=8, key=key).digest(), "little")
        for text in ("å".encode(), b"12")
    ]
    assert hashes_of(["å", 12], 7).tolist() == expected
    assert hashes_of(["å", 12], 8).tolist() != expected
    assert hashes_of([12], 2**64 - 1).tolist() == hashes_of(["12"], 2**64 - 1).tolist()


@pytest.mark.parametrize("budget", [Budget(300, 1), Budget(1, 40), Budget(0, 1), Budget(10**6, 1)])
def test_parts_in_any_number_and_order_give_the_sample_of_all(budget: Budget) -> None:
    rng = np.random.default_rng(0)
    series = rng.integers(0, 120, 900)  # the series of each row, split over parts
    values = rng.integers(0, 2, 900)
    whole = shortest(counted(series.tolist(), values.tolist()), budget)
    for parts in (2, 7, 200):
        place = rng.integers(0, parts, 900)
        kept = [
            shortest(counted(series[place == k].tolist(), values[place == k].tolist()), budget)
            for k in range(parts)
        ]
        half = shortest(joined(kept[: parts // 2]), budget)
        merged = shortest(joined([*kept[parts // 2 :], half]), budget)
        # Some rows may be missing from the one series after the last.
        np.testing.assert_array_equal(merged.hashes, whole.hashes)
        np.testing.assert_array_equal(merged.values[:-1], whole.values[:-1])
        assert last_hash(merged, budget) == last_hash(whole, budget)


def test_a_sample_is_the_shortest_one_with_enough_values_and_series() -> None:
    ids, values = list(range(50)), [3] * 50
    order = np.argsort(hashes_of(ids, 0))
    for budget, expected in (
        (Budget(30, 4), 10),
        (Budget(31, 4), 11),
        (Budget(30, 12), 12),
        (Budget(0, 1), 1),
    ):
        found = last_hash(shortest(counted(ids, values), budget), budget)
        assert found == hashes_of(ids, 0)[order[expected - 1]]
    assert last_hash(shortest(counted(ids, values), Budget(150, 1)), Budget(150, 1)) is None
    assert last_hash(shortest(counted(ids, values), Budget(1, 50)), Budget(1, 50)) is None


def test_series_without_values_count_as_series() -> None:
    ids, values = list(range(20)), [0] * 20
    assert last_hash(shortest(counted(ids, values), Budget(1, 2)), Budget(1, 2)) is None


def test_the_panel_of_a_sample_equals_that_of_its_rows() -> None:
    table = shops(np.random.default_rng(0), count=30)
    table.loc[table["unique_id"] == "s4", "weather"] = "snow"
    options = {"ahead": 3, **LISTS}
    panel = panel_from_frame(table, **options)
    budget = Budget(500, 1)
    seed = next(k for k in range(99) if "s4" not in sample_of(panel, k, budget).panel.ids)
    sample = sample_of(panel, seed, budget)
    rows = table[table["unique_id"].isin(sample.panel.ids)]
    alone = sample_read(panel_from_frame(rows, **options)).panel
    assert_same(sample.panel, alone)
    assert sample.panel.covariates.columns == alone.covariates.columns
    np.testing.assert_array_equal(sample.panel.covariates.values, alone.covariates.values)
    weather = [one.name for one in alone.covariates.columns].index("weather")
    assert alone.covariates.columns[weather].categories == ("rain", "sun", "wind")
    assert "snow" in panel.covariates.columns[weather].categories
    # A category that the sample lacks is unknown in all series.
    assert sample.whole.covariates.columns == alone.covariates.columns
    place = sample.whole.ids.tolist().index("s4")
    start = sample.whole.covariates.starts(sample.whole.offsets)[place]
    assert sample.whole.covariates.values[start, weather] == -1
    np.testing.assert_array_equal(sample.whole.ids[sample.places], sample.panel.ids)


def test_a_column_without_categories_in_the_sample_is_missing() -> None:
    table = random_table(0).assign(kind=None)
    budget = Budget(20, 1)
    inside = sample_of(panel_from_frame(table), 0, budget).panel.ids
    table.loc[~table["unique_id"].isin(inside), "kind"] = "x"
    sample = sample_of(panel_from_frame(table, hist_exog_list=["kind"]), 0, budget)
    rows = table[table["unique_id"].isin(inside)]
    alone = sample_read(panel_from_frame(rows, hist_exog_list=["kind"])).panel
    assert sample.whole.covariates.columns == alone.covariates.columns
    assert np.isnan(sample.whole.covariates.values).all()


def test_bad_series_count_when_the_sample_is_chosen() -> None:
    table = random_table(1)
    first = table["unique_id"].iloc[0]
    whole = panel_from_frame(table)
    for seed in range(20):
        sample = sample_of(whole, seed, Budget(60, 2))
        if first in sample.panel.ids:
            break
    table.loc[table["unique_id"] == first, "y"] = np.inf
    dropped = sample_of(panel_from_frame(table, on_bad_series="drop"), seed, Budget(60, 2))
    assert dropped.panel.ids.tolist() == [one for one in sample.panel.ids if one != first]


def test_numbered_rows_have_the_season_of_the_sample() -> None:
    def series(name: str, period: int) -> pd.DataFrame:
        rows = np.arange(60)
        return pd.DataFrame({"unique_id": name, "ds": rows, "y": 10.0 + (rows % period == 0) * 5})

    names = [f"s{k}" for k in range(12)]
    order = np.argsort(hashes_of(names, 0))
    periods = {names[k]: 4 if place < 3 else 7 for place, k in enumerate(order)}
    panel = panel_from_frame(pd.concat([series(name, periods[name]) for name in names]))
    sample = sample_of(panel, 0, Budget(180, 1))
    assert panel.season == 7
    assert sample.panel.season == sample.whole.season == 4
    said = {note.kind: note.text for note in sample.whole.notes}
    assert said["season"] == "season: 4 (found in the values)"


def test_few_series_or_few_values_are_not_sampled() -> None:
    panel = panel_from_frame(random_table(2))
    total = int(panel.given.values.sum())
    assert sample_of(panel, 0, Budget(1, len(panel))) is None
    assert sample_of(panel, 0, Budget(total, 1)) is None
    assert len(sample_of(panel, 0, Budget(total // 2, 1)).panel) < len(panel)
    one = panel_from_frame(pd.DataFrame({"unique_id": "a", "ds": days(9), "y": range(9)}))
    assert sample_of(one, 0, Budget(1, 1)) is None
