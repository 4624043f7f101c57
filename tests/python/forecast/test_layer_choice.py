"""The choice between models with and without memory layers, by rolling validation."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.windows import Windows
from memattn.forecast.forecaster_settings import Setting, Settings, choose_settings
from memattn.forecast.layer_choice import MOST_WINDOWS, choose_layers, held_out_rows
from memattn.forecast.model import Model

from .panels import flat_panel, note

HORIZON, SEASON, ROWS = 96, 24, 150


class Oracle:
    """A model that forecasts the actual values plus a fixed error."""

    def __init__(self, panel: Panel, error: float) -> None:
        self.panel, self.error = panel, error
        self.times = np.zeros(0, dtype=np.int64)

    def predict(self, panel: Panel, windows: Windows, inputs: object = None) -> np.ndarray:
        self.times = windows.ends
        row = (panel.offsets[windows.series] + windows.ends)[:, None] + np.arange(HORIZON)
        found: np.ndarray = panel.filled[row][:, None] + self.error
        return found


def oracles(panel: Panel, linear: float, memory: float) -> tuple[dict[str, Oracle], Callable]:
    """Returns a dict of oracles, filled by training, and the function that trains them."""
    trained: dict[str, Oracle] = {}

    def train(name: str, known: Panel, settings: Settings) -> tuple[Model, bool]:
        assert settings["layers"].value == {"linear": 0, "memory": 2}[name]
        assert (known.lengths == panel.lengths - ROWS).all()
        trained[name] = Oracle(panel, {"linear": linear, "memory": memory}[name])
        return cast(Model, trained[name]), True

    return trained, train


def hourly(count: int = 3, days: int = 300, seed: int = 0) -> Panel:
    """Returns positive series with about the same standard deviation."""
    rng = np.random.default_rng(seed)
    rows = np.arange(days * SEASON + HORIZON)
    wave = np.sin(2 * np.pi * rows / SEASON)
    return flat_panel([5 + wave + 0.2 * rng.normal(size=len(rows)) for _ in range(count)], SEASON)


def settings_of(panel: Panel) -> Settings:
    options = ForecasterOptions(HORIZON, steps=5)
    return choose_settings(panel.lengths, panel.frequency, panel.season, options)


def test_memory_layers_must_be_clearly_better() -> None:
    panel = hourly()
    settings = settings_of(panel)
    assert settings["layers"].value is None
    for memory, layers in ((0.7, 2), (0.994, 2), (0.996, 0), (1.0, 0), (1.3, 0), (np.nan, 0)):
        trained, train = oracles(panel, 1.0, memory)
        chosen = choose_layers(panel, settings, ROWS, train)
        assert chosen is not None
        assert chosen["layers"].value == layers
        assert list(trained) == ["linear", "memory"]
    assert "rolling validation, 165 windows" in chosen["layers"].reason
    assert {name: one for name, one in chosen.items() if name != "layers"} == {
        name: one for name, one in settings.items() if name != "layers"
    }


def test_errors_are_in_units_of_the_known_rows() -> None:
    panel = hourly(1)
    panel.values[-ROWS:] *= 100
    _, train = oracles(panel, 1.0, 0.5)
    chosen = choose_layers(panel, settings_of(panel), ROWS, train)
    assert chosen is not None
    unit = 1 / panel.values[:-ROWS].var()
    expected = f"MSE {unit / 4:.4f} with the memory, {unit:.4f} without, in units of"
    assert expected in chosen["layers"].reason


def test_windows_roll_over_the_held_out_rows() -> None:
    panel = hourly()
    trained, train = oracles(panel, 1.0, 1.0)
    choose_layers(panel, settings_of(panel), ROWS, train)
    length = int(panel.lengths[0])
    expected = np.arange(length - ROWS, length - HORIZON + 1)
    np.testing.assert_array_equal(trained["memory"].times, np.tile(expected, 3))


def test_windows_with_little_history_are_left_out() -> None:
    panel = hourly()
    values = [panel.values[start:] for start in panel.offsets[:-1]]
    length = int(panel.lengths[0])
    some = flat_panel([values[0][:length], values[1][:length], values[2][:450]], SEASON)
    trained, train = oracles(some, 1.0, 1.0)
    choose_layers(some, settings_of(some), ROWS, train)
    times = trained["memory"].times
    assert times[times < 450].tolist() == list(range(336, 450 - HORIZON + 1))


def test_many_windows_are_thinned_out(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = hourly()
    monkeypatch.setattr("memattn.forecast.layer_choice.MOST_WINDOWS", 30)
    trained, train = oracles(panel, 1.0, 1.0)
    choose_layers(panel, settings_of(panel), ROWS, train)
    times = trained["linear"].times[: len(trained["linear"].times) // 3]
    assert len(times) == 10
    assert np.ptp(np.diff(times)) == 0
    assert times[-1] == panel.lengths[0] - HORIZON
    assert times[0] >= panel.lengths[0] - ROWS
    assert MOST_WINDOWS > 1000


def test_constant_series_choose_the_default() -> None:
    still = flat_panel([np.full(300 * SEASON + HORIZON, 3.0)] * 2, SEASON)
    _, train = oracles(still, 1.0, 0.5)
    chosen = choose_layers(still, settings_of(still), ROWS, train)
    assert chosen is not None
    assert (chosen["layers"].value, chosen["layers"].reason[:18]) == (0, "there is no window")


def test_a_stopped_trial_returns_none() -> None:
    panel = hourly()
    engine = cast(Model, Oracle(panel, 1.0))
    assert choose_layers(panel, settings_of(panel), ROWS, lambda *_: (engine, False)) is None


def test_held_out_rows_have_space_for_several_windows() -> None:
    assert (
        held_out_rows(hourly(days=100), {"horizon": Setting(5, "")})
        == (100 * SEASON + HORIZON) // 5
    )
    assert held_out_rows(hourly(days=60), {"horizon": Setting(400, "")}) == 800


def test_a_fit_chooses_layers_and_gives_the_reason() -> None:
    panel = hourly(2)
    calls: list[tuple[int, int, float]] = []
    forecaster = Forecaster(HORIZON, steps=3, members=2)
    forecaster.fit(panel, progress=lambda *now: calls.append(now))
    settings = forecaster.settings
    assert settings["windows"].value == "past_seasons"
    assert settings["layers"].value in (0, 2)
    assert "rolling validation" in settings["layers"].reason
    # The trainings are two candidates, the model, and the model for intervals.
    assert [step for step, _, _ in calls] == sorted(step for step, _, _ in calls)
    assert calls[-1][:2] == (12, 12)
    table = forecaster.predict(level=[80])
    # Intervals are not in logs, although the series are positive.
    below = table["memattn"] - table["memattn-lo-80"]
    np.testing.assert_allclose(table["memattn-hi-80"] - table["memattn"], below, rtol=1e-9)
    calibration = forecaster._state("test").calibration
    assert calibration is not None
    assert not calibration.domain.logs.any()
    assert (below > 0).all()
    longer = hourly(2, days=310)
    with_held_out = Forecaster(HORIZON, steps=3).fit(longer, val_size=ROWS)
    assert "110 windows" in with_held_out.settings["layers"].reason


def test_a_fit_stopped_in_a_trial_forecasts_the_average() -> None:
    panel = hourly(2)
    forecaster = Forecaster(HORIZON).fit(panel, progress=lambda *_: False)
    assert "stopped" in forecaster.settings["layers"].reason
    assert note(forecaster, "stopped")
    found = forecaster.predict()["memattn"].to_numpy().reshape(2, HORIZON)
    past = panel.values.reshape(2, -1)[:, -14 * SEASON :].reshape(2, 14, SEASON)
    np.testing.assert_allclose(found, np.tile(past.mean(axis=1), 4), rtol=1e-12)


@pytest.mark.parametrize("stop", [3, 6, 9])  # progress always reports the last step of a training
def test_a_fit_stopped_in_any_training_continues(stop: int, tmp_path: Path) -> None:
    panel, path = hourly(1), tmp_path / "checkpoint"
    whole = Forecaster(HORIZON, steps=3).fit(panel)

    def until(step: int, *_: object) -> None:
        if step >= stop:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Forecaster(HORIZON, steps=3).fit(panel, progress=until, checkpoint=path)
    again = Forecaster(HORIZON, steps=3).fit(panel, checkpoint=path, resume=True)
    assert again.settings == whole.settings
    np.testing.assert_array_equal(again.predict(level=[80]), whole.predict(level=[80]))


def test_a_backtest_chooses_layers_once() -> None:
    panel = hourly(1, days=320)
    options = {"n_windows": 2, "step_size": HORIZON, "refit": True}
    told: list[int] = []
    Forecaster(HORIZON, steps=2, intervals=False).cross_validation(
        panel, **options, progress=lambda step, steps, _: told.append(steps)
    )
    assert set(told) == {12, 4}  # steps of (two candidates and one) * 2 windows, then of one * 2
