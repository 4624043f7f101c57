"""Trainings that start from the weights of an earlier fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget
from memattn.forecast.data.windows import rolling_windows
from memattn.forecast.forecaster_settings import STARTED_RATE, engine_options
from memattn.forecast.starting import Start

from ..sampling import LONG
from .covariate_tables import LISTS, shops
from .panels import note

H = 4
OPTIONS: dict[str, Any] = {"steps": 6, "prior": None}


def monthly(rows: int, count: int = 30, freq: str = "MS", seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ds = pd.date_range("2018-01-01", periods=rows, freq=freq)
    noise = np.random.default_rng(seed + 1).normal(size=(count, 200))[:, :rows]
    y = 50 + rng.normal(size=(count, 1)) * 5 + 10 * np.sin(np.arange(rows) / 2) + noise
    ids = np.repeat([f"s{k:02d}" for k in range(count)], rows)
    return pd.DataFrame({"unique_id": ids, "ds": np.tile(ds, count), "y": y.ravel()})


def fit(table: pd.DataFrame, start: Any = None, **options: Any) -> Forecaster:
    return Forecaster(H, **(OPTIONS | options)).fit(table, start_from=start)


def weights(forecaster: Forecaster) -> list[np.ndarray]:
    engine = forecaster._state("test").model.engine
    return [engine.parameters(k) for k in range(engine.members)]


def assert_same(found: Forecaster, expected: Forecaster) -> None:
    pd.testing.assert_frame_equal(
        found.predict(level=[80]), expected.predict(level=[80]), check_exact=True
    )
    for one, other in zip(weights(found), weights(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def start() -> Forecaster:
    return fit(monthly(60), members=2)


def test_training_starts_from_the_weights_of_the_earlier_fit(start: Forecaster) -> None:
    table = monthly(70)
    before = [one.copy() for one in weights(start)]
    found = fit(table, start, members=2, steps=3)
    panel, settings = found.panel(table), found.settings
    options = engine_options(settings)
    assert options["learning_rate"] == STARTED_RATE
    engine = type(start._state("test").model.engine)(**options)
    for member, one in enumerate(before):
        engine.set_parameters(member, one)
    engine.resume(panel.filled, panel.offsets, *engine.training_state(), None, None)
    for member, one in enumerate(weights(found)):
        np.testing.assert_array_equal(one, engine.parameters(member))
        assert not np.array_equal(one, before[member])
    for one, other in zip(weights(start), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_settings_count_the_earlier_trainings_and_survive_a_file(
    start: Forecaster, tmp_path: Path
) -> None:
    table = monthly(70)
    once = fit(table, start, members=2, seed=3)
    twice = fit(table, once, members=2)
    assert once.settings["start_from"].value == 1
    assert twice.settings["start_from"].value == 2
    assert once.settings["seed"].value == 3
    assert once.settings["steps"].value == 6
    names = [name for name in start.settings if name not in ("seed", "steps")]
    assert {name: once.settings[name] for name in names} == {n: start.settings[n] for n in names}
    twice.save(tmp_path / "twice.safetensors")
    loaded = Forecaster.load(tmp_path / "twice.safetensors")
    assert loaded.settings == twice.settings
    assert_same(fit(table, tmp_path / "twice.safetensors", members=2), fit(table, twice, members=2))
    without = tmp_path / "none.safetensors"
    start.save(without, series=False)
    for one, other in zip(weights(fit(table, without, members=2)),
                          weights(fit(table, start, members=2)), strict=True):  # fmt: skip
        np.testing.assert_array_equal(one, other)


def test_the_default_is_at_most_300_steps() -> None:
    options: dict[str, Any] = {"steps": None, "prior": None, "intervals": False, "lookback": 4}
    table = monthly(60, count=120)
    start = Forecaster(H, **options).fit(table)
    assert start.settings["steps"].value > 300
    assert Forecaster(H, **options).fit(table, start_from=start).settings["steps"].value == 300


def test_only_unseen_rows_calibrate_intervals(start: Forecaster) -> None:
    again = fit(monthly(60), start, members=2)
    kept, own = (one._state("test").calibration for one in (again, start))
    assert kept is own
    assert again.held_out() is None
    assert "0 windows of 4 rows that are new since the earlier fit" in note(again, "calibration")
    longer = fit(monthly(70), start, members=2)
    held = longer._state("test").held_out
    assert held is not None
    assert held.windows.ends.min() >= 60
    assert longer._state("test").calibration is not own


def test_unseen_rows_are_found_by_time(start: Forecaster) -> None:
    state = start._state("test")
    old = Start(state.model, state.panel, None)
    table = monthly(70, count=31)
    table = table[~((table.unique_id == "s01") & (table.ds < "2019-01-01"))]  # without 12 rows
    panel = start.panel(table)
    windows = rolling_windows(panel, 1, 40, 1)
    found = old.unseen(panel, windows)
    first = {k: found.ends[found.series == k].min() for k in range(31)}
    all_of = {k: windows.ends[windows.series == k].min() for k in range(31)}
    assert first == {**dict.fromkeys(range(30), 60), 1: 48, 30: all_of[30]}


def test_a_fit_without_its_series_keeps_its_intervals(start: Forecaster, tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    start.save(path, series=False)
    found = fit(monthly(80), path, members=2)
    assert "no rows that are new since the earlier fit" in note(found, "calibration")
    calibration, own = (one._state("test").calibration for one in (found, start))
    assert calibration is not None
    assert own is not None
    np.testing.assert_array_equal(calibration.errors, own.errors)
    held = fit(monthly(80), start, members=2)._state("test").held_out
    assert held is not None


def test_a_stopped_training_continues(start: Forecaster, tmp_path: Path) -> None:
    table, path, steps = monthly(70), tmp_path / "state", 300 if LONG else 60
    whole = fit(table, start, members=2, steps=steps)
    told = []

    def stop(step: int, of: int, loss: float) -> bool:
        told.append(step)
        return False

    forecaster = Forecaster(H, members=2, steps=steps, prior=None)
    forecaster.fit(table, start_from=start, checkpoint=path, progress=stop)
    assert told
    assert "stopped early" in note(forecaster, "stopped")
    forecaster.fit(table, start_from=start, checkpoint=path, resume=True)
    assert_same(forecaster, whole)
    other = fit(monthly(60, seed=5), members=2)
    for begin in (other, None):
        with pytest.raises(DataError, match="as in the checkpoint"):
            forecaster.fit(table, start_from=begin, checkpoint=path, resume=True)
    assert_same(forecaster, whole)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"horizon": 5}, "found a forecaster with horizon=4, expected horizon=5, as in this one"),
        ({"members": 3}, "members=2, expected members=3"),
        ({"loss": "mae", "lookback": 9}, "lookback=None, loss=None, expected lookback=9, loss='m"),
        ({"season": 6}, "season=None, expected season=6"),
        ({"calendar": True}, "calendar=False, expected calendar=True"),
    ],
)
def test_a_start_with_other_options_is_refused(
    start: Forecaster, options: dict[str, Any], says: str
) -> None:
    given = {"horizon": H, "members": 2, **OPTIONS, **options}
    with pytest.raises(ValueError, match=says):
        Forecaster(**given).fit(monthly(60), start_from=start)


def test_a_start_that_is_no_trained_forecaster_is_refused(
    start: Forecaster, tmp_path: Path
) -> None:
    table = monthly(60)
    own = fit(table, members=2)
    before = own._state("test")
    wrong: list[tuple[Any, type[Exception], str]] = [
        (Forecaster(H), ValueError, "is not fitted; call its fit"),
        (7, TypeError, "expected a fitted Forecaster or the path"),
        (tmp_path / "none", OSError, "none"),
        (_untrained(), ValueError, "without a training of its own"),
    ]
    for one, kind, says in wrong:
        with pytest.raises(kind, match=says):
            own.fit(table, start_from=one)
    with pytest.raises(DataError, match="expected one row every month as in training"):
        own.fit(monthly(60, freq="D"), start_from=start)
    with pytest.raises(DataError, match="found whole numbers, expected dates"):
        own.fit(table.assign(ds=np.tile(np.arange(60), 30)), start_from=start)
    assert own._state("test") is before


def _untrained() -> Forecaster:
    return Forecaster(H, members=2, prior=None).fit(monthly(10, count=2))


def test_covariates_are_encoded_as_in_the_earlier_fit() -> None:
    table = shops(np.random.default_rng(0), days=90, count=4)
    options: dict[str, Any] = {"steps": 3, **LISTS}
    start = Forecaster(H, **options).fit(table[table.ds < "2024-03-10"])
    new = table[table.unique_id != "s0"].replace({"weather": {"rain": "hail"}})
    found = Forecaster(H, **options).fit(new, start_from=start)
    state, before = found._state("test"), start._state("test")
    assert state.model.encoding is before.model.encoding
    assert state.model.covariates == before.model.covariates
    assert "categories that fit has not seen" in note(found, "unknown-categories")
    assert np.isfinite(found.fitted().memattn).all()


def test_a_fit_of_a_sample_keeps_all_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    table = monthly(60, count=12)
    table["kind"] = table.unique_id.map(lambda name: f"kind {name}")
    options: dict[str, Any] = {"steps": 3, "futr_exog_list": "kind", "intervals": False}
    start = Forecaster(H, **options).fit(table)
    monkeypatch.setattr(series_sample, "BUDGET", Budget(values=100, series=3))
    found = Forecaster(H, **options).fit(table, start_from=start)
    assert found.settings["sample"].value == 3
    for one in (found, start):
        covariates = one._state("test").panel.covariates
        assert covariates is not None
        assert len(covariates.columns[0].categories) == 12


def test_training_may_start_from_a_fit_that_used_a_prior(start: Forecaster) -> None:
    table = monthly(40, count=14, seed=8)
    first = Forecaster(H).fit(table)
    assert first.settings["prior"].value in ("started from", "not used", "alone")
    if first.settings["steps"].value:
        found = Forecaster(H).fit(monthly(45, count=14, seed=8), start_from=first)
        assert found.settings["prior"] == first.settings["prior"]
        assert np.isfinite(found.predict(level=[80]).iloc[:, 2:]).to_numpy().all()
