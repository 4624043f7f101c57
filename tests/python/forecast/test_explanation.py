"""Explanations of forecasts of series that depend on some covariates and not on others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.forecast import Forecaster, layer_choice
from memattn.forecast import explanation as explanation_module
from memattn.forecast.explanation import Explanation, exchanged

SLOPE, ROWS, HORIZON = -5.0, 220, 4


def shops(rows: int = ROWS) -> pd.DataFrame:
    """Returns two shops whose sales depend on the price, an offer and yesterday's weather.

    An offer adds 6 or 12. The covariate "noise" has no effect.
    """
    rng = np.random.default_rng(0)
    parts = []
    for shop in "ab":
        price, noise = rng.uniform(2, 6, rows), rng.normal(size=rows)
        offer = rng.choice(["none", "poster", "stand"], rows)
        warm = rng.normal(size=rows)
        sales = 60 + SLOPE * price + 2 * np.roll(warm, 1) + rng.normal(size=rows)
        sales += np.where(offer == "stand", 12, np.where(offer == "poster", 6, 0))
        days = pd.date_range("2024-01-01", periods=rows, freq="D")
        columns = {"ds": days, "y": sales, "price": price, "noise": noise, "offer": offer}
        parts.append(pd.DataFrame({"unique_id": shop, **columns, "warm": warm}))
    return pd.concat(parts, ignore_index=True)


def fitted(frame: Any, **options: Any) -> Forecaster:
    known = ["price", "noise", "offer"]
    asked = {"futr_exog_list": known, "hist_exog_list": ["warm"], "loss": "mae", "steps": 600}
    return Forecaster(HORIZON, season=1, seed=0, **(asked | options)).fit(frame)


@pytest.fixture(scope="module", autouse=True)
def every_covariate_is_used() -> Iterator[None]:
    """Keeps covariates that validation would leave out, such as noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_choice, "HELPS", 0.0)
        yield


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return fitted(shops())


@pytest.fixture(scope="module")
def explanation(forecaster: Forecaster) -> Explanation:
    return forecaster.explain()


def test_covariates_that_drive_the_series_are_most_important(explanation: Explanation) -> None:
    found = {one.name: one for one in explanation.importances}
    assert [one.name for one in explanation.importances[:2]] == ["price", "offer"]
    assert found["price"].increase > 10 * found["price"].standard_error > 0
    assert found["price"].percent > 100
    assert found["offer"].increase > 5 * found["offer"].standard_error
    assert abs(found["noise"].percent) < 5
    assert found["noise"].increase < found["warm"].increase
    # Only the first step ahead has yesterday's weather.
    assert found["warm"].increase > 3 * found["warm"].standard_error
    kinds = {name: one.kind for name, one in found.items() if one.kind not in ("lags", "memory")}
    assert kinds == {"price": "futr", "noise": "futr", "offer": "futr", "warm": "hist"}
    assert sum(one.kind == "lags" for one in explanation.importances) == 2


def test_percentages_are_relative_to_the_error_on_held_out_windows(
    forecaster: Forecaster, explanation: Explanation
) -> None:
    held_out = forecaster.held_out()
    assert held_out is not None
    assert explanation.windows == len(held_out)
    # Each window is copied to a series of its own, which must not change its forecast.
    assert explanation.mae == pytest.approx(held_out.overall("memattn").mae, rel=1e-9)
    for one in explanation.importances:
        assert one.percent == pytest.approx(100 * one.increase / explanation.mae)


def test_copied_windows_have_the_held_out_forecasts() -> None:
    hours, rng = 70 * 24, np.random.default_rng(2)
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=hours, freq="h")})
    frame["load"] = rng.normal(size=hours).cumsum()
    frame["y"] = frame["load"] + np.sin(np.arange(hours) * np.pi / 12) + rng.normal(size=hours)
    frame.loc[700:705, "y"] = np.nan
    forecaster = Forecaster(24, id_col=None, futr_exog_list=["load"], steps=20).fit(frame)
    assert forecaster.settings["origin_stride"].value == 24
    held_out, explanation = forecaster.held_out(), forecaster.explain()
    assert held_out is not None
    assert explanation.windows == len(held_out)
    assert explanation.mae == pytest.approx(held_out.overall("memattn").mae, rel=1e-12)


def test_the_memory_layers_have_an_importance_if_there_are_any(
    forecaster: Forecaster, explanation: Explanation
) -> None:
    (memory,) = [one for one in explanation.importances if one.kind == "memory"]
    assert memory.name == "memory layers"
    assert memory.standard_error > 0
    # Forecasts are unchanged if each window gets the memory layers' output of itself.
    held_out = forecaster._state("test").held_out
    assert held_out is not None
    assert held_out.model is not None
    seen = explanation_module._Seen(held_out.model, explanation.panel, held_out.windows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explanation_module, "exchanged", lambda group, rng: np.arange(len(group)))
        np.testing.assert_allclose(seen._with_memory(), seen.forecasts(), rtol=1e-5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_choice, "MEMORY_LAYERS", 0)
        linear = fitted(shops(), steps=20)
    assert not [one for one in linear.explain().importances if one.kind == "memory"]


def test_the_added_day_of_the_week_has_an_importance() -> None:
    rng, hours = np.random.default_rng(0), 24 * 7 * 30
    days = pd.date_range("2024-01-01", periods=hours, freq="h")
    load = rng.normal(size=hours)
    busy = np.where(days.day_of_week >= 5, 9.0, 0.0)
    frame = pd.DataFrame(
        {"unique_id": "a", "ds": days, "y": 20 + busy + load + rng.normal(size=hours), "load": load}
    )
    found = Forecaster(24, futr_exog_list=["load"], steps=150).fit(frame).explain()
    (cycle,) = [one for one in found.importances if one.kind == "cycle"]
    assert cycle.name == "season of 7"
    assert cycle.increase > 3 * cycle.standard_error > 0


def test_the_curve_of_a_number_has_the_slope_of_its_effect(explanation: Explanation) -> None:
    price, noise, offer = explanation.curves
    assert (price.name, noise.name, offer.name) == ("price", "noise", "offer")
    assert price.forecasts.shape == (10, HORIZON)
    assert np.all(np.diff(price.values) > 0)
    for step in range(HORIZON):
        slope = np.polyfit(price.values, price.forecasts[:, step], 1)[0]
        assert slope == pytest.approx(SLOPE, rel=0.35)
        assert abs(np.polyfit(noise.values, noise.forecasts[:, step], 1)[0]) < 0.8
    assert offer.labels == ("none", "poster", "stand")
    rise = offer.forecasts.mean(axis=1)
    assert rise - rise[0] == pytest.approx([0, 6, 12], abs=2)


def test_standard_errors_shrink_with_more_windows() -> None:
    one = Forecaster(HORIZON, season=1, futr_exog_list=["price"], steps=200, loss="mae")
    few, many = (one.fit(shops(), val_size=rows).explain() for rows in (16, 100))
    assert few.separate < many.separate
    errors = [
        {one.name: one.standard_error for one in found.importances}["price"]
        for found in (few, many)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_tables_are_of_the_callers_library(explanation: Explanation, tmp_path: Path) -> None:
    table = explanation.to_frame()
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == [
        *("name", "kind", "mae_increase", "mae_increase_percent", "standard_error", "windows")
    ]
    assert table["windows"].eq(explanation.windows).all()
    assert table["mae_increase"].is_monotonic_decreasing
    curves = explanation.curves_frame()
    assert list(curves.columns) == ["name", "value", "category", "step", "forecast"]
    assert set(curves.loc[curves["name"] == "offer", "category"]) == {"none", "poster", "stand"}
    assert curves.loc[curves["name"] == "price", "value"].notna().all()
    found = Forecaster(HORIZON, steps=20).fit(pl.from_pandas(shops()[["unique_id", "ds", "y"]]))
    plain = found.explain()
    assert isinstance(plain.to_frame(), pl.DataFrame)
    assert plain.curves_frame().height == 0
    assert {one.kind for one in plain.importances} == {"lags", "memory"}


def test_the_same_fit_gives_the_same_figures(
    forecaster: Forecaster, explanation: Explanation
) -> None:
    again = forecaster.explain()
    assert again.importances == explanation.importances
    np.testing.assert_array_equal(again.curves[0].forecasts, explanation.curves[0].forecasts)
    text = repr(explanation)
    assert text.startswith("increase of the MAE, ")
    assert "price" in text.splitlines()[2]


def test_a_season_ago_is_a_block_of_its_own() -> None:
    rng, week = np.random.default_rng(1), np.array([5.0, 9, 14, 30, 22, 11, 7])
    days = pd.date_range("2024-01-01", periods=300, freq="D")
    level = 50 + 3 * rng.normal(size=300).cumsum()
    frame = pd.DataFrame({"unique_id": "a", "ds": days, "y": level + np.resize(week, 300)})
    first, *others = Forecaster(7, steps=100).fit(frame).explain().importances
    assert (first.name, first.kind) == ("last 7 rows", "lags")
    assert first.percent > 20
    assert {one.name for one in others} == {"8 to 21 rows ago", "memory layers"}


def test_a_covariate_equal_in_all_windows_has_no_importance() -> None:
    frame = shops().assign(season="dry", year=2024.0)
    asked = {"futr_exog_list": ["price", "season"], "hist_exog_list": ["year"]}
    found = Forecaster(HORIZON, season=1, steps=20, loss="mae", **asked).fit(frame).explain()
    alike = [one for one in found.importances if one.name in ("season", "year")]
    assert [(one.increase, one.percent, one.standard_error) for one in alike] == [(0, 0, 0)] * 2


def test_explain_needs_held_out_windows(forecaster: Forecaster, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not fitted"):
        Forecaster(HORIZON).explain()
    forecaster.save(tmp_path / "f")
    for one in (Forecaster.load(tmp_path / "f"), fitted(shops(), steps=2, intervals=False)):
        with pytest.raises(RuntimeError, match=r"explain: there are no held-out windows.*fit\(\)"):
            one.explain()


def test_windows_are_exchanged_within_their_group() -> None:
    group = np.array([0, 1, 0, 2, 1, 0, 1])
    donor = exchanged(group, np.random.default_rng(3))
    assert sorted(donor.tolist()) == list(range(7))
    np.testing.assert_array_equal(group[donor], group)
    alone = donor == np.arange(7)
    assert alone.tolist() == [False, False, False, True, False, False, False]
