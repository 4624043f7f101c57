"""The fev model predicts the forecasts of a Forecaster for a task."""

from pathlib import Path
from typing import Any

import fev
import numpy as np
import pandas as pd
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.adapters.fev import MemattnModel

OPTIONS: dict[str, Any] = {"steps": 5, "prior": None}


def frame(columns: list[str], count: int = 6, rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    found = pd.DataFrame(
        {
            "id": np.repeat([f"s{k}" for k in range(count)], rows),
            "timestamp": np.tile(pd.date_range("2015-01-01", periods=rows, freq="MS"), count),
        }
    )
    return found.assign(**{name: rng.gamma(9, 10, count * rows) for name in columns})


def task_of(table: pd.DataFrame, folder: Path, **options: Any) -> fev.Task:
    table.to_parquet(folder / "data.parquet", index=False)
    return fev.Task(str(folder / "data.parquet"), horizon=6, seasonality=12, **options)


def test_a_task_has_the_forecasts_of_a_forecaster(tmp_path: Path) -> None:
    table = frame(["target"])
    task = task_of(table, tmp_path, num_windows=2, quantile_levels=[0.1, 0.5, 0.9])
    model = MemattnModel(**OPTIONS)
    windows = model.fit_predict(task)
    names = {"id_col": "id", "time_col": "timestamp", "target_col": "target"}
    for held, window in zip((12, 6), windows, strict=True):
        known = table[table.groupby("id").cumcount() < 60 - held]
        fitted = Forecaster(6, season=12, **names, **OPTIONS).fit(known)
        wanted = fitted.predict(level=80)
        found = window["target"].to_pandas()
        for column, other in (
            ("predictions", "memattn"), ("0.1", "memattn-lo-80"), ("0.5", "memattn"),
            ("0.9", "memattn-hi-80"),
        ):  # fmt: skip
            np.testing.assert_array_equal(np.concatenate(found[column]), wanted[other])
    summary = task.evaluation_summary(windows, model_name="memattn")
    assert 0 < summary["MASE"] < 10
    assert model.training_time > 0


def test_several_targets_and_covariates_are_used(tmp_path: Path) -> None:
    table = frame(["a", "b", "price", "visits"]).assign(region="north")
    task = task_of(
        table,
        tmp_path,
        target=["a", "b"],
        known_dynamic_columns=["price"],
        past_dynamic_columns=["visits"],
        static_columns=["region"],
    )
    (found,) = MemattnModel(**OPTIONS).fit_predict(task)
    assert list(found) == ["a", "b"]
    assert not np.array_equal(*(found[name]["predictions"] for name in "ab"))
    assert np.isfinite(task.evaluation_summary([found], "memattn")["MASE"])


@pytest.mark.parametrize("known", [False, True])
def test_forecasts_are_of_the_rows_of_the_task(known: bool, tmp_path: Path) -> None:
    """This also holds for series without values in their last known rows."""
    table = frame(["target", "price"])
    place, late = table.groupby("id").cumcount(), {"s1": 3, "s4": 1}
    gone = (place < 54) & (place >= 54 - table.id.map(late).fillna(0))
    table["target"] = table.target.mask(gone)
    columns = {"known_dynamic_columns": ["price"]} if known else {}
    task = task_of(table, tmp_path, quantile_levels=[0.1, 0.5, 0.9], **columns)
    (window,) = MemattnModel(**OPTIONS).fit_predict(task)
    names = {"id_col": "id", "time_col": "timestamp", "target_col": "target"}
    lists = {"futr_exog_list": ["price"]} if known else {}
    rows = table[(place < 54) & ~gone]
    fitted = Forecaster(9, season=12, **names, **lists, **OPTIONS).fit(rows)
    found = window["target"].to_pandas()
    for k, name in enumerate(table.id.unique()):
        count = late.get(name, 0)
        own = rows[rows.id == name]
        options = {"X_df": table[["id", "timestamp", "price"]]} if known else {}
        wanted = fitted.forecasts(own, h=6 + count, level=80, **options)
        np.testing.assert_array_equal(found.predictions[k], wanted.values[0, count:])
        low, high = wanted.intervals[80]
        np.testing.assert_array_equal(found["0.1"][k], low[0, count:])
        np.testing.assert_array_equal(found["0.9"][k], high[0, count:])
