"""The functions that engines run on parts of tables give the same rows however a table is cut."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.data.series_sample import Budget, hashes_of, last_hash
from memattn.forecast.engines.notes import read_notes
from memattn.forecast.engines.parts import (
    DATA,
    FUTURE,
    NOTE,
    TAG,
    Count,
    Forecasting,
    MergeCounts,
    Names,
    RowsOfSample,
    Tagged,
    counted_of,
    whole_series,
)

from ..forecaster_files import small
from ..panels import random_table

NAMES = Names("unique_id", "ds", "y", {DATA: ("unique_id", "ds", "y")})
BUDGET = Budget(60, 2)


def arrow(table: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(table, preserve_index=False)


def forecasting(fitted: Forecaster, path: Path, **options: Any) -> Forecasting:
    fitted.save(path / "model", series=False)
    schema = pa.schema(
        [("unique_id", pa.string()), ("ds", pa.timestamp("us")), ("memattn", pa.float64())]
    ).append(pa.field(NOTE, pa.string()))
    options = {"level": [], "h": 3} | options
    return Forecasting(Forecaster, (path / "model").read_bytes(), NAMES, options, schema)


def test_merged_counts_of_parts_equal_the_counts_of_the_table() -> None:
    table = random_table(0)
    count, merge = Count(NAMES, 0, BUDGET), MergeCounts(BUDGET)
    whole = counted_of(count(arrow(table)))
    place = np.random.default_rng(0).integers(0, 5, len(table))
    parts = [count(arrow(table[place == k])) for k in range(5)]
    merged = counted_of(merge(pa.concat_tables([merge(pa.concat_tables(parts[:3])), *parts[3:]])))
    np.testing.assert_array_equal(merged.hashes, whole.hashes)
    np.testing.assert_array_equal(merged.values[:-1], whole.values[:-1])
    last = last_hash(merged, BUDGET)
    rows = RowsOfSample(NAMES, 0, last)(arrow(table)).to_pandas()
    expected = [one for one in table["unique_id"].unique() if hashes_of([one], 0)[0] <= last]
    assert 2 <= len(expected) < 9
    assert rows["unique_id"].unique().tolist() == expected
    assert len(rows) == table["unique_id"].isin(expected).sum()


def test_an_empty_part_has_no_counts_and_no_sampled_rows() -> None:
    empty = arrow(random_table(0).head(0))
    assert Count(NAMES, 0, BUDGET)(empty).num_rows == 0
    assert RowsOfSample(NAMES, 0, 2**63)(empty).num_rows == 0


def test_an_unreadable_cell_becomes_a_note_that_survives_merging() -> None:
    table = random_table(0).assign(y="1.5")
    table.loc[3, "y"] = "many"
    found = MergeCounts(BUDGET)(Count(NAMES, 0, BUDGET)(arrow(table)))
    name, time = table["unique_id"][3], table["ds"][3]
    notes = [one for one in found[NOTE].to_pylist() if one]
    with pytest.raises(ValueError, match=f'series "{name}": found "many", .* .ds: {time}.'):
        read_notes(notes)


def test_forecasts_of_a_shuffled_part_equal_those_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = random_table(4)
    fitted = small().fit(table)
    work = pickle.loads(pickle.dumps(forecasting(fitted, tmp_path)))
    expected = Forecaster.load(tmp_path / "model").predict(table)
    for rows in (10**6, 50, 1):
        monkeypatch.setattr("memattn.forecast.engines.parts.CHUNK", rows)
        found = work(arrow(table.sample(frac=1, random_state=rows % 1000)))
        assert found.schema == work.schema
        assert {one for one in found[NOTE].to_pylist() if one and "error" in one} == set()
        found = found.filter(found[NOTE].is_null()).drop_columns([NOTE]).to_pandas()
        found = found.sort_values(["unique_id", "ds"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(found.astype(dict(expected.dtypes)), expected)
    assert work(arrow(table.head(0))).num_rows == 0


def test_an_error_gives_the_row_within_its_series(tmp_path: Path) -> None:
    table = random_table(4)
    work = forecasting(small().fit(table), tmp_path)
    name = table["unique_id"].unique()[3]
    table.loc[table.index[table["unique_id"] == name][2], "y"] = np.inf
    shuffled = table.sample(frac=1, random_state=0)
    (note,) = work(arrow(shuffled))[NOTE].to_pylist()
    with pytest.raises(ValueError, match=f'^row 3, column "y": series "{name}": found inf'):
        read_notes([note])


def test_a_part_that_holds_two_tables_is_split(tmp_path: Path) -> None:
    data = arrow(random_table(0).head(5))
    future = arrow(pd.DataFrame({"unique_id": ["x"], "price": [2]}))
    schema = pa.unify_schemas([data.schema, future.schema]).append(pa.field(TAG, pa.int32()))
    both = pa.concat_tables([Tagged(DATA, schema)(data), Tagged(FUTURE, schema)(future)])
    names = Names("unique_id", "ds", "y", {**NAMES.tables, FUTURE: ("unique_id", "price")})
    found = names.split(both)
    assert found[DATA].to_pylist() == data.to_pylist()
    assert found[FUTURE].to_pylist() == future.to_pylist()


@pytest.mark.parametrize("rows", [1, 3, 4, 7, 100])
def test_whole_series_never_cuts_a_series(rows: int) -> None:
    ids = np.random.default_rng(0).integers(0, 9, 60)
    parts = list(whole_series(pa.table({"unique_id": ids}), "unique_id", rows))
    seen = [set(part["unique_id"].to_pylist()) for part in parts]
    assert sum(len(one) for one in seen) == 9
    assert sum(part.num_rows for part in parts) == 60
    assert all(part.num_rows <= max(rows, 1) + 15 for part in parts)
