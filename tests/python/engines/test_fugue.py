"""The functions that workers of the engines run also run in fugue's `transform`."""

from pathlib import Path

import fugue.api as fa
import numpy as np
import pyarrow as pa
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget, last_hash
from memattn.forecast.engines.parts import (
    DATA,
    NOTE,
    Count,
    Forecasting,
    MergeCounts,
    Names,
    RowsOfSample,
    counted_of,
)

from .series import assert_same_model, assert_same_rows, months, plain

NAMES = Names("unique_id", "ds", "y", {DATA: ("unique_id", "ds", "y")})
BUDGET = Budget(600, 3)


def test_a_fit_and_its_forecasts_equal_those_without_fugue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_sample, "BUDGET", BUDGET)
    table = months()
    table["part"] = np.arange(len(table)) % 3  # so that each series is in several parts
    count, merge = Count(NAMES, 0, BUDGET), MergeCounts(BUDGET)

    def counts(part: pa.Table) -> pa.Table:
        return count(part)

    schema = "hash:long,values:long,__memattn_note:str"
    found = fa.transform(table, counts, schema=schema, partition={"by": "part"})
    merged = merge(pa.Table.from_pandas(found, preserve_index=False).cast(count(empty()).schema))
    chosen = RowsOfSample(NAMES, 0, last_hash(counted_of(merged), BUDGET))

    def rows(part: pa.Table) -> pa.Table:
        return chosen(part)

    sample = fa.transform(table, rows, schema="*", partition={"by": "part"}).drop(columns="part")
    fitted = Forecaster(3, season=12, steps=5).fit(table)
    monkeypatch.setattr(series_sample, "BUDGET", Budget(10**9, 10**9))
    alone = Forecaster(3, season=12, steps=5).fit(sample)
    object.__setattr__(alone._fitted.model, "settings", fitted.settings)
    assert_same_model(alone, fitted)

    fitted.save(tmp_path / "model", series=False)
    double = [(name, pa.float64()) for name in ("memattn", "memattn-lo-80", "memattn-hi-80")]
    fields = [("unique_id", pa.string()), ("ds", pa.timestamp("us")), *double, (NOTE, pa.string())]
    model = (tmp_path / "model").read_bytes()
    work = Forecasting(Forecaster, model, NAMES, {"level": [80.0]}, pa.schema(fields))

    def forecasts(part: pa.Table) -> pa.Table:
        return work(part)

    schema = "unique_id:str,ds:datetime,memattn:double,`memattn-lo-80`:double,"
    schema += "`memattn-hi-80`:double,__memattn_note:str"
    found = fa.transform(
        table.drop(columns="part"), forecasts, schema=schema, partition={"by": "unique_id"}
    )
    found = found[found[NOTE].isna()].drop(columns=NOTE)
    local = plain(fitted, tmp_path / "again").predict(months(), level=[80])
    assert_same_rows(found, local)


def empty() -> pa.Table:
    return pa.Table.from_pandas(months(1).head(0), preserve_index=False)
