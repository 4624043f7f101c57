"""Fits and forecasts on engines equal those on one machine for all kinds of data and errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget

from .series import LISTS, assert_same_model, assert_same_rows, months, plain, shops, short


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_sample, "BUDGET", Budget(400, 3))


@pytest.mark.parametrize("where", ["engine", "local"])
def test_forecasts_with_covariates_equal_those_on_one_machine(
    engine: Any, tmp_path: Path, where: str
) -> None:
    table, ahead, static = shops()
    options = {"horizon": 4, "season": 7, **LISTS}
    expected = short(**options).fit(table, static_df=static)
    assert "sample" in expected.settings
    there = [engine.send(one, 2) if where == "engine" else one for one in (ahead, static)]
    given = engine.send(table, 3)
    found = short(**options).fit(given, static_df=there[1])
    assert_same_model(found, expected)
    local = plain(expected, tmp_path / "model")
    forecasts = found.predict(given, X_df=there[0], static_df=there[1], level=[90], h=2)
    wanted = local.predict(table, X_df=ahead, static_df=static, level=[90], h=2)
    assert_same_rows(engine.back(forecasts), wanted)


def test_future_covariates_without_ids_are_for_all_series(engine: Any, tmp_path: Path) -> None:
    table, ahead, _ = shops()
    weather = ahead.drop_duplicates("ds")[["ds", "weather"]]
    options = {"horizon": 4, "season": 7, "futr_exog_list": ["weather"]}
    expected = short(**options).fit(table)
    found = short(**options).fit(engine.send(table, 2))
    forecasts = found.predict(engine.send(table, 2), X_df=engine.send(weather))
    wanted = plain(expected, tmp_path / "model").predict(table, X_df=weather)
    assert_same_rows(engine.back(forecasts), wanted)


def test_a_few_series_are_all_trained_on(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_sample, "BUDGET", Budget(10**6, 1000))
    table = months(6)
    expected = short(members=2).fit(table)
    found = short(members=2).fit(engine.send(table, 4))
    assert "sample" not in found.settings
    assert_same_model(found, expected)
    assert repr(found).endswith("Panel(0 series, 0 values, one every month, season 12)")
    with pytest.raises(RuntimeError, match="pass some to predict"):
        found.predict()


def test_column_names_time_zones_and_whole_number_ids_are_kept(engine: Any, tmp_path: Path) -> None:
    table = months(12).rename(columns={"unique_id": "shop no", "ds": "the month", "y": "sold"})
    table["shop no"] = table["shop no"].str.removeprefix("series ").astype(int)
    table["the month"] = table["the month"].dt.tz_localize("UTC")
    table["sold"] = table["sold"].astype(int)
    names = {"id_col": "shop no", "time_col": "the month", "target_col": "sold"}
    expected = short(**names, alias="m").fit(table)
    given = engine.send(table, 3)
    found = short(**names, alias="m").fit(given)
    assert_same_model(found, expected)
    local = plain(expected, tmp_path / "model").predict(table)
    forecasts = engine.back(found.predict(given))
    assert forecasts.columns.tolist() == ["shop no", "the month", "m"]
    new = {"shop no": "unique_id", "the month": "ds"}
    assert_same_rows(forecasts.rename(columns=new), local.rename(columns=new))


def bad(table: pd.DataFrame, name: str, row: int, value: float) -> int:
    """Replaces one value of a series by a bad one; returns its row in the series, from 1."""
    places = np.flatnonzero(table["unique_id"] == name)
    table.loc[table.index[places[row]], "y"] = value
    return row + 1


def test_an_error_of_a_worker_names_series_and_row(engine: Any) -> None:
    table = months(30)
    found = short().fit(engine.send(table, 3))
    row = bad(table, "series 17", 6, np.inf)
    with pytest.raises(DataError) as failure:
        found.predict(engine.send(table, 3))
    said = str(failure.value)
    assert f"row {row}, " in said
    assert 'series "series 17": found inf, expected a finite number' in said
    assert "Traceback" not in said
    assert failure.value.kind == "not-finite"


def test_an_error_of_the_sample_names_series_and_row(engine: Any) -> None:
    table = months(30)
    inside = short().panel(table)
    name = series_sample.sample_of(inside, 0).panel.ids[1]
    row = bad(table, name, 11, 1e200)
    with pytest.raises(DataError, match=f'row {row}, column "y": series "{name}": found 1e[+]200'):
        short().fit(engine.send(table, 4))


def test_an_error_of_a_value_that_is_no_number_names_series_and_time(engine: Any) -> None:
    table = months(9)
    table["y"] = table["y"].map("{:.3f}".format)
    place = np.flatnonzero(table["unique_id"] == "series 4")[7]
    table.loc[place, "y"] = "many"
    said = 'series "series 4": found "many", expected a number .ds: 2015-08-01'
    with pytest.raises(DataError, match=said):
        short().fit(engine.send(table, 2))


def test_a_row_without_an_id_is_refused(engine: Any) -> None:
    table = months(9)
    found = short().fit(engine.send(table, 2))
    table.loc[5, "unique_id"] = None
    for call in (found.predict, short().fit):
        with pytest.raises(DataError, match="the id is missing"):
            call(engine.send(table, 2))


def test_bad_series_are_left_out_and_counted(engine: Any, tmp_path: Path) -> None:
    table = months(30)
    for name in ("series 3", "series 8", "series 21"):
        bad(table, name, 9, np.inf)
    expected = short(on_bad_series="drop").fit(table)
    given = engine.send(table, 4)
    found = short(on_bad_series="drop").fit(given)
    assert_same_model(found, expected)
    forecasts = engine.back(found.predict(given, level=[80]))
    wanted = plain(expected, tmp_path / "model").predict(table, level=[80])
    assert wanted["unique_id"].nunique() == 27
    assert_same_rows(forecasts, wanted)
    assert {note.kind: note.count for note in found.worker_notes} == {"bad-series": 3}


def test_a_part_with_only_bad_series_is_left_out(engine: Any) -> None:
    table = months(5)
    found = short(on_bad_series="drop").fit(engine.send(table))
    only = table[table["unique_id"] == "series 2"].copy()
    bad(only, "series 2", 3, np.inf)
    good = table[table["unique_id"] == "series 0"]
    rows = engine.back(found.predict(engine.send(pd.concat([good, only]), 2)))
    assert set(rows["unique_id"]) == {"series 0"}
    assert {note.kind: note.count for note in found.worker_notes} == {"bad-series": 1}


def test_one_note_counts_the_series_with_gaps(engine: Any) -> None:
    table = months(30)
    found = short().fit(engine.send(table, 2))
    holes = table[~((table["ds"] == "2015-06-01") & (table["unique_id"] != "series 0"))]
    found.predict(engine.send(holes, 3))
    notes = [note for note in found.worker_notes if note.kind == "gaps"]
    assert [note.count for note in notes] == [29]


def test_invalid_calls_are_refused(engine: Any, tmp_path: Path) -> None:
    given = engine.send(months(5))
    found = short(intervals=False).fit(given)
    with pytest.raises(ValueError, match="level: this fit has no intervals"):
        found.predict(given, level=[80])
    with pytest.raises(DataError, match='data: found no column "sales" among "unique_id", "ds"'):
        short(target_col="sales").fit(given)
    with pytest.raises(DataError, match="data: cannot be a wide table or a single series"):
        short(id_col=None).fit(given)
    with pytest.raises(DataError, match="X_df: needs futr_exog_list"):
        found.predict(given, X_df=given)
    with pytest.raises(DataError, match="static_df: needs stat_exog_list"):
        found.predict(given, static_df=given)
    with pytest.raises(RuntimeError, match="this Forecaster is not fitted; call fit"):
        short().predict(given)
    with pytest.raises(DataError, match="static_df: found str, expected a table of the engine"):
        short(stat_exog_list=["kind"]).fit(given, static_df="table.csv")
    empty = engine.send(months(5).head(0))
    with pytest.raises(DataError, match="data: the table has no rows"):
        short().fit(empty)


def test_the_fit_does_not_depend_on_partitions_or_row_order(engine: Any) -> None:
    table = months(60)
    expected = short().fit(table)
    for parts in (1, 2, 7):
        shuffled = table.sample(frac=1, random_state=parts)
        assert_same_model(short().fit(engine.send(shuffled, parts)), expected)
