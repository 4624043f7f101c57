"""Engine tables are recognised by their type, without importing the engine."""

import sys
from typing import Any

import pandas as pd
import polars as pl
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.engines import ENGINES, engine_of, is_engine_table


def table_of(module: str, name: str) -> Any:
    return type(name, (), {"__module__": module})()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("ray.data.dataset", "Dataset"),
        ("ray.data.dataset", "MaterializedDataset"),
        ("dask.dataframe.dask_expr._collection", "DataFrame"),
        ("pyspark.sql.classic.dataframe", "DataFrame"),
        ("pyspark.sql.connect.dataframe", "DataFrame"),
    ],
)
def test_engine_tables_are_recognised(module: str, name: str) -> None:
    assert is_engine_table(table_of(module, name))


def test_other_objects_are_not_engine_tables() -> None:
    others = [pd.DataFrame(), pl.DataFrame(), "folder/", None, [1]]
    others += [table_of("dask.dataframe.dask_expr._collection", "Series")]
    others += [table_of("raycast", "Dataset"), table_of("pandas.core.frame", "DataFrame")]
    for one in others:
        assert not is_engine_table(one)
        assert engine_of(one) is None


def test_forecasting_a_data_frame_imports_no_engine() -> None:
    table = pd.DataFrame({"ds": range(9), "y": range(9)})
    Forecaster(2, steps=1, intervals=False).fit(table).predict(table)
    names = [f"memattn.forecast.engines.{module}" for _, module in ENGINES.values()]
    assert not {*names, *ENGINES} & set(sys.modules)


def test_worker_notes_are_empty_without_an_engine() -> None:
    assert Forecaster(2).worker_notes == ()
