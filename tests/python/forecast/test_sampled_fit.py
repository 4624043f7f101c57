"""Fits of very many series, which train on a sample of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget

from .covariate_tables import LISTS, hours, shops
from .forecaster_files import small


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_sample, "BUDGET", Budget(600, 3))


def series(count: int = 40, rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = []
    for k in range(count):
        ds = pd.date_range("2015-01-01", periods=rows + k % 5, freq="MS")
        season = 1 + 0.3 * np.sin(np.arange(len(ds)) * np.pi / 6)
        y = 100 * season * rng.uniform(0.9, 1.1, len(ds)) * (k + 1)
        parts.append(pd.DataFrame({"unique_id": f"series {k}", "ds": ds, "y": y}))
    return pd.concat(parts, ignore_index=True)


def weights(forecaster: Forecaster) -> list[np.ndarray]:
    engine = forecaster._fitted.model.engine
    return [engine.parameters(k) for k in range(engine.members)]


def trained_on(forecaster: Forecaster, table: pd.DataFrame) -> pd.DataFrame:
    panel = Forecaster(**forecaster.get_params()).panel(table)
    ids = series_sample.sample_of(panel, forecaster.seed).panel.ids
    return table[table["unique_id"].isin(ids)]


def assert_same_model(found: Forecaster, expected: Forecaster) -> None:
    for one, other in zip(weights(found), weights(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    calibrations = [one._fitted.calibration for one in (found, expected)]
    np.testing.assert_array_equal(*(one.errors for one in calibrations))
    np.testing.assert_array_equal(*(one.domain.roughness for one in calibrations))
    settings = [{**one.settings, "sample": None} for one in (found, expected)]
    assert settings[0] == settings[1]


def test_many_series_are_trained_on_a_sample_and_all_are_forecast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = series()
    fitted = small(season=12).fit(table)
    rows = trained_on(fitted, table)
    count = rows["unique_id"].nunique()
    assert 3 <= count < 20
    assert fitted.settings["sample"].value == count
    note = next(note for note in fitted.notes if note.kind == "sample")
    assert note.text.startswith(f"trained on {len(rows):,} values of {count} series of 40, chosen")
    monkeypatch.setattr(series_sample, "BUDGET", Budget(10**6, 10**6))
    alone = small(season=12).fit(rows)
    assert "sample" not in alone.settings
    assert_same_model(fitted, alone)
    forecasts = fitted.predict(level=[80])
    assert forecasts["unique_id"].nunique() == 40
    pd.testing.assert_frame_equal(forecasts, alone.predict(table, level=[80]))
    pd.testing.assert_frame_equal(forecasts, fitted.predict(table, level=[80]))
    found, expected = fitted.held_out([80]), alone.held_out([80])
    np.testing.assert_array_equal(found.truth, expected.truth)
    np.testing.assert_array_equal(found.forecasts["memattn"], expected.forecasts["memattn"])
    ids = [one.panel.ids[one.windows.series].tolist() for one in (found, expected)]
    assert ids[0] == ids[1]


def test_within_the_budget_all_series_are_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    table = series(20)
    before = small(season=12).fit(table)
    monkeypatch.setattr(series_sample, "BUDGET", Budget(len(table), 1))
    all_of_them = small(season=12).fit(table)
    assert "sample" in before.settings
    assert "sample" not in all_of_them.settings
    assert [note.kind for note in all_of_them.notes].count("sample") == 0


def test_the_sample_does_not_depend_on_row_order_or_library() -> None:
    table = series()
    shuffled = table.sample(frac=1, random_state=0)
    found = small(season=12).fit(pl.from_pandas(shuffled))
    assert_same_model(found, small(season=12).fit(table))
    other = small(season=12, seed=1).fit(table)
    assert set(trained_on(other, table)["unique_id"]) != set(trained_on(found, table)["unique_id"])


def test_covariates_are_encoded_from_the_sample() -> None:
    table = shops(np.random.default_rng(0), count=20, days=70)
    options = {"horizon": 4, "steps": 20, "season": 7, **LISTS}
    fitted = Forecaster(**options).fit(table)
    rows = trained_on(fitted, table)
    assert_same_model(fitted, Forecaster(**options).fit(rows))
    assert fitted._fitted.model.encoding.ids.keys() == set(rows["unique_id"])
    future = table.groupby("unique_id").tail(1)
    future = pd.concat([future.assign(ds=future["ds"] + pd.Timedelta(days=k)) for k in range(1, 9)])
    last = table.groupby("unique_id")["ds"].max()
    future = future[future["ds"] > future["unique_id"].map(last)]
    pd.testing.assert_frame_equal(
        fitted.predict(X_df=future, level=[80]), fitted.predict(table, X_df=future, level=[80])
    )


def test_a_saved_forecaster_keeps_the_size_of_its_sample(tmp_path: Path) -> None:
    fitted = small(season=12).fit(series())
    fitted.save(tmp_path / "model")
    loaded = Forecaster.load(tmp_path / "model")
    assert loaded.settings["sample"] == fitted.settings["sample"]
    pd.testing.assert_frame_equal(loaded.predict(level=[90]), fitted.predict(level=[90]))


def test_notes_on_kinds_of_series_count_all_series() -> None:
    table = series()
    inside = set(trained_on(small(season=12), table)["unique_id"])
    outside = [one for one in table["unique_id"].unique() if one not in inside]
    short = table[table["unique_id"] == outside[0]].head(2)
    still = table[table["unique_id"] == outside[1]].assign(y=5.0)
    table = pd.concat([table[~table["unique_id"].isin(outside[:2])], short, still])
    fitted = small(season=12).fit(table)
    assert set(trained_on(fitted, table)["unique_id"]) == inside
    counts = {note.kind: note.count for note in fitted.notes}
    assert counts["naive"] == 1
    assert counts["still"] >= 1
    assert counts["prior" if "prior" in counts else "calibration"] >= 1


def test_a_series_that_ends_at_another_phase_is_refused() -> None:
    whole = [hours(np.random.default_rng(k), days=70).assign(unique_id=f"s{k}") for k in range(6)]
    options = {"horizon": 24, "steps": 5, "futr_exog_list": ["load"], "intervals": False}
    inside = set(trained_on(Forecaster(**options), pd.concat(whole))["unique_id"])
    cut = next(k for k in range(6) if f"s{k}" not in inside)
    whole[cut] = whole[cut][:-3]
    with pytest.raises(ValueError, match=f'Forecaster.fit: data: series "s{cut}" ends at'):
        Forecaster(**options).fit(pd.concat(whole))


def test_a_stopped_fit_of_a_sample_continues(tmp_path: Path) -> None:
    table = series()
    stopped = small(season=12)
    with pytest.raises(ZeroDivisionError):
        stopped.fit(table, progress=lambda *_: 1 / 0, checkpoint=tmp_path / "check")
    resumed = small(season=12).fit(table, checkpoint=tmp_path / "check", resume=True)
    assert_same_model(resumed, small(season=12).fit(table))


def test_a_backtest_trains_on_a_sample_of_the_known_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    table = series()
    inside = trained_on(small(season=12), table)["unique_id"].unique()
    early = table["unique_id"].isin(
        [one for one in table["unique_id"].unique() if one not in inside]
    )
    shifted = table.copy()
    shifted.loc[early, "ds"] = shifted.loc[early, "ds"] - pd.DateOffset(months=9)
    found = small(season=12).cross_validation(shifted, 1, level=[80])
    assert found["unique_id"].nunique() == 40
    # Forecast the same windows by a fit to the sample's rows up to the first cutoff of all series.
    first = found["cutoff"].min()
    rows = shifted[shifted["unique_id"].isin(inside) & (shifted["ds"] <= first)]
    monkeypatch.setattr(series_sample, "BUDGET", Budget(10**6, 10**6))
    fitted = small(season=12).fit(rows)
    end = found.groupby("unique_id")["cutoff"].first()
    known = shifted[shifted["ds"] <= shifted["unique_id"].map(end)]
    expected = fitted.predict(known, level=[80])
    columns = ["memattn", "memattn-lo-80", "memattn-hi-80"]
    pd.testing.assert_frame_equal(found[columns], expected[columns], check_exact=True)
