"""Forecasts with covariates: what they may depend on, and files, checkpoints and settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.data.windows import last_windows
from memattn.forecast.forecaster_settings import Setting, stride
from memattn.forecast.model import model_of

from .covariate_tables import KINDS, LISTS, hours, shops
from .panels import note

H = 4
HOURLY: dict[str, Any] = {"futr_exog_list": ["load"], "steps": 3}


def fitted(table: pd.DataFrame, **options: Any) -> Forecaster:
    return Forecaster(H, steps=3, **LISTS, **options).fit(table)


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the rows before the last H days, and the known covariates of these days."""
    later = table.ds > table.ds.max() - pd.Timedelta(days=H)
    return table[~later], table[later].drop(columns=["y", "visits", "region"])


def whole(rng: np.random.Generator) -> pd.DataFrame:
    """Returns `shops` without missing rows in the last 12 days."""
    table = shops(rng)
    days = pd.date_range("2024-01-01", periods=120)
    index = pd.MultiIndex.from_product([table.unique_id.unique(), days[-12:]])
    given = table.set_index(["unique_id", "ds"])
    table = given.reindex(given.index.union(index)).groupby(level=0).ffill()
    return table.rename_axis(["unique_id", "ds"]).reset_index()


def forecasts(table: pd.DataFrame, refit: bool, **options: Any) -> pd.DataFrame:
    found = Forecaster(H, steps=2, **LISTS, **options).cross_validation(
        table, 3, step_size=2, refit=refit, level=[80]
    )
    return found.drop(columns="y").set_index(["unique_id", "ds", "cutoff"])


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_of_later_rows_only_covariates_known_ahead_change_a_forecast(
    seed: int, refit: bool
) -> None:
    rng = np.random.default_rng(seed)
    table = whole(rng)
    before = forecasts(table, refit, calendar=seed == 0)
    cutoffs = before.index.get_level_values("cutoff")
    for cutoff in np.unique(cutoffs):
        later = table.ds > cutoff
        other = table.assign(
            y=table.y.where(~later, rng.choice([-1e6, 0, 3], len(table))),
            visits=table.visits.where(~later, rng.choice([-1e9, 0, np.nan], len(table))),
        )
        # Covariates known ahead count only within the horizon.
        beyond = table.ds > cutoff + pd.Timedelta(days=H)
        other.loc[beyond, "price"] = rng.choice([-1e9, 0, 3], beyond.sum())
        other.loc[beyond, "weather"] = rng.choice(["hail", "sun"], beyond.sum())
        after = forecasts(other.sample(frac=1, random_state=seed), refit, calendar=seed == 0)
        known = before[cutoffs <= cutoff]
        pd.testing.assert_frame_equal(after.loc[known.index], known, check_exact=True)


def test_later_values_do_not_change_aligned_forecasts() -> None:
    table = hours(np.random.default_rng(0))
    before, after = (
        Forecaster(24, **HOURLY).cross_validation(one, 3, step_size=24)
        for one in (table, table.assign(y=table.y.where(table.index < len(table) - 48, 1e9)))
    )
    known = before.cutoff <= table.ds.iloc[-49]
    assert known.sum() == 48
    pd.testing.assert_series_equal(after.memattn[known], before.memattn[known], check_exact=True)


@pytest.mark.parametrize("place", range(4))
def test_each_covariate_changes_the_forecast(place: int) -> None:
    forecaster = Forecaster(H, steps=3, **LISTS)
    panel = forecaster.panel(whole(np.random.default_rng(0)))
    chosen = forecaster._choose("", panel)[0]
    settings = {**chosen, "layers": Setting(2, ""), "left_out": Setting((), "")}
    model, found = model_of(settings, panel), panel.covariates
    assert model.fit(panel)
    assert found is not None
    assert model.covariates == ("price", "weather", "visits", "region")
    values = found.values.copy()
    values[:, place] = np.nanmax(values[:, place]) - values[:, place]
    other = replace(panel, covariates=replace(found, values=values))
    usual, changed = (model.predict(one, last_windows(panel)) for one in (panel, other))
    assert (usual != changed).all()


def test_a_covariate_that_drives_the_series_lowers_the_error() -> None:
    table = hours(np.random.default_rng(0), days=150)
    errors = {}
    for lists in ([], ["load"]):
        found = Forecaster(24, steps=100, season=24, futr_exog_list=lists, intervals=False)
        result = found.cross_validation(table, 20, step_size=24)
        errors[len(lists)] = (result.memattn - result.y).abs().mean()
    assert errors[1] < 0.5 * errors[0]


def test_future_covariates_may_be_in_data_or_in_x_df() -> None:
    table = whole(np.random.default_rng(1))
    known, future = split(table)
    forecaster = fitted(known)
    expected = forecaster.predict(X_df=future, level=80)
    more = pd.concat([future.assign(noise=1), known[["unique_id", "ds", "price", "weather"]]])
    found = forecaster.predict(known, X_df=more.sample(frac=1, random_state=0), level=80)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    ahead = table.assign(y=table.y.where(table.ds.isin(known.ds)), visits=np.nan)
    together = forecaster.predict(ahead.assign(visits=table.visits), level=80)
    pd.testing.assert_frame_equal(together, expected, check_exact=True)


def test_fewer_steps_need_fewer_rows_of_x_df() -> None:
    known, future = split(whole(np.random.default_rng(1)))
    forecaster = fitted(known)
    first = future[future.ds <= known.ds.max() + pd.Timedelta(days=2)]
    assert len(forecaster.predict(X_df=first, h=2)) == 2 * 3
    with pytest.raises(DataError, match="s0"):
        forecaster.predict(X_df=first)
    with pytest.raises(ValueError, match="X_df: pass the 4 rows after each series"):
        forecaster.predict()


def test_categories_that_fit_has_not_seen_are_forecast() -> None:
    known, future = split(whole(np.random.default_rng(1)))
    forecaster = fitted(known)
    found = forecaster.predict(X_df=future.assign(weather="hail"))
    assert np.isfinite(found.memattn).all()


@pytest.mark.parametrize("table", ["shops", "hours"])
def test_a_saved_forecaster_with_covariates_predicts_the_same(table: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    if table == "shops":
        known, future = split(whole(rng))
        forecaster = fitted(known, calendar=True)
    else:
        rows = hours(rng)
        known, future = rows[:-24], rows[-24:].drop(columns="y")
        forecaster = Forecaster(24, **HOURLY).fit(known)
    forecaster.save(tmp_path / "model")
    loaded = Forecaster.load(tmp_path / "model")
    assert repr(loaded) == repr(forecaster)
    for level in (None, [80]):
        expected = forecaster.predict(X_df=future, level=level)
        found = loaded.predict(X_df=future, level=level)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
        found = loaded.predict(known, X_df=future, level=level)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_a_stopped_training_with_covariates_continues_to_the_bit(tmp_path: Path) -> None:
    table = hours(np.random.default_rng(3))
    known, future = table[:-24], table[-24:]
    options = HOURLY | {"steps": 30}
    expected = Forecaster(24, **options).fit(known).predict(X_df=future)
    calls = []

    def stop(step: int, steps: int, loss: float) -> bool:
        calls.append(step)
        return len(calls) < 2

    path = tmp_path / "checkpoint"
    Forecaster(24, **options).fit(known, progress=stop, checkpoint=path)
    found = Forecaster(24, **options).fit(known, checkpoint=path, resume=True)
    pd.testing.assert_frame_equal(found.predict(X_df=future), expected, check_exact=True)
    other = known.assign(load=known.load.where(known.index != 100, 7.0))
    with pytest.raises(DataError, match="the checkpoint began with others"):
        Forecaster(24, **options).fit(other, checkpoint=path, resume=True)


def test_settings_say_what_was_chosen() -> None:
    table = hours(np.random.default_rng(0))
    settings = Forecaster(24, **HOURLY).fit(table).settings
    assert settings["windows"].value == "past_seasons"
    assert stride(settings) == 24
    assert settings["compressed"].value is True
    assert "rolling validation" in settings["layers"].reason
    assert "without covariates" in settings["layers"].reason
    # Forecasts of half a day may begin at noon as well.
    assert stride(Forecaster(12, **HOURLY).fit(table).settings) == 1


def test_one_short_series_learns_from_a_covariate() -> None:
    rng, rows = np.random.default_rng(0), 120
    price = rng.choice([3.0, 3.5, 4.0], rows)
    sales = 80 * np.exp(-0.5 * (price - 3) + 0.05 * rng.normal(size=rows))
    days = pd.date_range("2024-01-01", periods=rows, freq="D")
    table = pd.DataFrame({"unique_id": "a", "ds": days, "y": sales, "price": price})
    forecaster = Forecaster(14, futr_exog_list="price", steps=200, intervals=False)
    assert forecaster.futr_exog_list == ("price",)
    forecaster.fit(table[:-14])
    assert forecaster.settings["batch_size"].value == 128
    assert "92 windows" in forecaster.settings["batch_size"].reason
    found = forecaster.predict(X_df=table[-14:])["memattn"].to_numpy()
    naive = (
        Forecaster(14, steps=200, intervals=False).fit(table[:-14]).predict()["memattn"].to_numpy()
    )
    wrong, usual = (np.abs(one - sales[-14:]).mean() for one in (found, naive))
    assert wrong < 0.7 * usual


def test_naive2_is_used_if_no_network_is_better() -> None:
    rng, rows = np.random.default_rng(0), 60
    days = pd.date_range("2024-01-01", periods=rows, freq="D")
    walk = 100 + rng.normal(size=rows).cumsum()
    table = pd.DataFrame({"unique_id": "a", "ds": days, "y": walk, "noise": rng.normal(size=rows)})
    options: dict[str, Any] = {"season": 1, "steps": 100, "intervals": False}
    forecaster = Forecaster(4, futr_exog_list=["noise"], **options).fit(table[:-4])
    assert forecaster.settings["steps"].value == 0
    assert "Naive2, untrained" in forecaster.settings["steps"].reason
    assert forecaster.settings["left_out"].value == ("noise",)
    found = forecaster.predict(X_df=table[-4:])["memattn"]
    np.testing.assert_allclose(found, walk[-5])


def test_noise_is_left_out() -> None:
    rng = np.random.default_rng(0)
    table = hours(rng, days=120)
    table = table.assign(load=rng.normal(size=len(table)))
    forecaster = Forecaster(24, futr_exog_list=["load"], steps=100, intervals=False).fit(table)
    assert forecaster.settings["left_out"].value == ("load",)
    assert "covariates do not help" in str(forecaster.settings["left_out"])


def test_noise_beside_a_useful_covariate_is_left_out() -> None:
    rng = np.random.default_rng(0)
    table = hours(rng, days=150).assign(noise=lambda t: rng.normal(size=len(t)))
    options: dict[str, Any] = {"futr_exog_list": ["load", "noise"], "steps": 300}
    forecaster = Forecaster(24, intervals=False, **options).fit(table)
    assert forecaster.settings["left_out"].value == ("noise",)
    assert forecaster._state("test").model.covariates == ("load",)


@pytest.mark.parametrize("driven", [False, True])
def test_the_calendar_is_used_if_it_helps(driven: bool) -> None:
    rng = np.random.default_rng(0)
    ds = pd.date_range("2022-01-01", periods=500)
    y = 50 + rng.normal(size=500) + 20 * driven * (ds.day_of_week == 2)
    table = pd.DataFrame({"unique_id": "a", "ds": ds, "y": y})
    options: dict[str, Any] = {"season": 1, "lookback": 4, "steps": 300, "intervals": False}
    settings = Forecaster(7, calendar="auto", **options).fit(table).settings
    assert bool(settings["left_out"].value) == (not driven)


def test_a_note_names_an_unused_column_and_its_option() -> None:
    forecaster = Forecaster(H, steps=2, futr_exog_list=["price"]).fit(
        whole(np.random.default_rng(0))
    )
    assert "visits" in note(forecaster, "unused")
    assert "hist_exog_list" in note(forecaster, "unused")


def test_quantiles_stay_in_order() -> None:
    table = hours(np.random.default_rng(0))
    forecaster = Forecaster(24, loss="quantile", level=[80], **HOURLY).fit(table[:-24])
    found = forecaster.predict(X_df=table[-24:], level=80)
    assert (found["memattn-lo-80"] <= found.memattn).all()
    assert (found.memattn <= found["memattn-hi-80"]).all()


def test_static_columns_may_be_in_a_table_of_their_own() -> None:
    known, future = split(whole(np.random.default_rng(1)))
    regions = known.groupby("unique_id", as_index=False).region.first()
    forecaster = Forecaster(H, steps=3, **LISTS)
    forecaster.fit(known.drop(columns="region"), static_df=regions)
    expected = fitted(known).predict(X_df=future)
    pd.testing.assert_frame_equal(forecaster.predict(X_df=future), expected, check_exact=True)
    with pytest.raises(ValueError, match="static_df"):
        forecaster.predict(X_df=future, static_df=regions)


def test_weather_names_are_categories() -> None:
    panel = Forecaster(H, **LISTS).panel(shops(np.random.default_rng(0)))
    assert panel.covariates is not None
    assert panel.covariates.columns[1].categories == tuple(KINDS)


def test_series_that_end_at_another_hour_are_refused() -> None:
    table = hours(np.random.default_rng(0))
    forecaster = Forecaster(24, **HOURLY).fit(table[:-24])
    assert forecaster.settings["origin_phase"].value == 0
    with pytest.raises(ValueError, match='series "h" ends at another phase of the season of 24'):
        forecaster.predict(table[:-27], X_df=table[-27:])
    # If series end at different hours, forecasts may begin at any hour.
    other = table[:-5].assign(unique_id="other")
    both = Forecaster(24, **HOURLY).fit(pd.concat([table, other]))
    assert stride(both.settings) == 1


def test_missing_rows_before_a_cutoff_move_no_forecast_to_another_hour() -> None:
    """Training windows and forecasts begin at midnight even if a day's last hours are missing."""
    table = hours(np.random.default_rng(0), days=150)
    holed = table[(table.ds.dt.hour < 21) | (table.ds != table.ds.max()) & (table.index % 100 > 7)]
    holed = pd.concat([holed, table[-24:]]).drop_duplicates("ds").sort_values("ds")
    options = HOURLY | {"steps": 100}
    errors = []
    for one in (table, holed):
        found = Forecaster(24, **options).cross_validation(one, 10, step_size=24, level=80)
        assert found.cutoff.dt.hour.unique().tolist() == [23]
        errors.append((found.memattn - found.y).abs().mean())
    assert errors[1] < 1.3 * errors[0]


def test_fitted_values_of_aligned_forecasts_cover_whole_days() -> None:
    table = hours(np.random.default_rng(0), days=80)
    found = Forecaster(24, **HOURLY).fit(table).fitted()
    assert found.ds.is_unique
    assert len(found) == 24 * 79
    np.testing.assert_array_equal(found.ds, table.ds[24:])


@pytest.mark.parametrize("loss", [None, "quantile"])
def test_intervals_of_forecasts_a_day_apart_have_their_coverage(loss: str | None) -> None:
    """Windows that do not overlap each count fully, so they make no interval wider."""
    table = hours(np.random.default_rng(0), days=300)
    options: dict[str, Any] = {"level": [80]} if loss else {}
    forecaster = Forecaster(24, futr_exog_list=["load"], steps=100, loss=loss, **options)
    result = forecaster.backtest(table, n_windows=60, step_size=24, level=[80])
    share = result.coverage(80)
    assert share is not None
    assert 72 < share < 88


def test_a_saved_calibration_keeps_its_half_life(tmp_path: Path) -> None:
    table = hours(np.random.default_rng(0))
    forecaster = Forecaster(24, **HOURLY).fit(table)
    forecaster.save(tmp_path / "model")
    before = forecaster._state("test").calibration
    after = Forecaster.load(tmp_path / "model")._state("test").calibration
    assert before is not None
    assert after is not None
    assert (after.apart, after.half_life) == (before.apart, before.half_life) == (24, 1440)
