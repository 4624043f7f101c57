"""The forecast end to end: what it learns, what it promises, and that it is the same every time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import DataError, ForecastResult, forecast_csv, forecast_frame
from memattn.forecast.first_memory_reading import read_memory
from memattn.forecast.result import METHODS

Write = Callable[[str | bytes], Path]


@pytest.fixture(scope="module")
def result(seasonal_csv: Path) -> ForecastResult:
    return forecast_csv(seasonal_csv, 24)


def test_settings_are_inferred_and_said(result: ForecastResult) -> None:
    assert (result.settings.season, result.settings.lookback) == (24, 168)
    notes = "\n".join(result.settings.notes)
    for said in ('"time"', '"one", "two"', "season: 24 (usual for one row every hour)", "168 rows"):
        assert said in notes
    assert result.times[0] == "2024-04-03T08:00:00Z"
    assert len(result.times) == 24


def test_beats_seasonal_naive_on_noise(result: ForecastResult) -> None:
    # Repeating a season repeats its noise: the best that can be done is 1 / sqrt(2) of that error.
    assert result.overall_skill > 15
    for target in result.targets:
        assert target.accuracy["memattn"].mae < target.accuracy["seasonal-naive"].mae
    assert len(result.warnings) == 1
    assert "only 6 separate horizons" in result.warnings[0]


def test_baselines_are_what_they_say(result: ForecastResult) -> None:
    for target in result.targets:
        held_out = target.validation
        for row, origin in enumerate(held_out.origins):
            past = target.values[:origin]
            np.testing.assert_array_equal(held_out.forecasts["seasonal-naive"][row], past[-24:])
            np.testing.assert_array_equal(held_out.forecasts["naive"][row], np.repeat(past[-1], 24))
            np.testing.assert_array_equal(held_out.truth[row], target.values[origin : origin + 24])
        assert set(held_out.forecasts) == set(METHODS)


def test_nothing_held_out_is_trained_on(seasonal_csv: Path, tmp_path: Path) -> None:
    """Other values in the held-out rows give the same model."""
    frame = pd.read_csv(seasonal_csv)
    changed = frame.copy()
    changed.loc[640:, ["one", "two"]] = [[0.5, 7.5]] * 160
    one, other = (forecast_frame(f, 24, season=24, epochs=3) for f in (frame, changed))
    assert one.train_end == other.train_end == 640
    window = one.targets[0].values[None, :168]
    np.testing.assert_array_equal(one.model.predict(window), other.model.predict(window))


def test_intervals_are_nested_and_around_the_forecast(result: ForecastResult) -> None:
    for _, _, (middle, lo80, hi80, lo95, hi95) in result.records():
        assert lo95 <= lo80 < middle < hi80 <= hi95


def test_coverage_is_near_the_level() -> None:
    rng = np.random.default_rng(11)
    noise = rng.normal(size=(4000, 2))
    frame = pd.DataFrame(noise, columns=["a", "b"])
    found = forecast_frame(frame, 3, season=1, lookback=8, epochs=2)
    assert found.overall_coverage(80) == pytest.approx(80, abs=5)
    assert found.overall_coverage(95) == pytest.approx(95, abs=3)
    # The half width of white noise is a quantile of |N(0, 1)|.
    assert found.targets[0].half_widths[80].mean() == pytest.approx(1.28, abs=0.2)


def test_same_seed_same_bytes(seasonal_csv: Path, tmp_path: Path) -> None:
    texts = []
    for seed in (3, 3, 4):
        path = tmp_path / "out.csv"
        forecast_csv(seasonal_csv, 5, epochs=2, seed=seed).write_csv(path)
        texts.append(path.read_bytes())
    assert texts[0] == texts[1] != texts[2]


def test_frame_and_csv_agree(seasonal_csv: Path) -> None:
    plain = pd.read_csv(seasonal_csv, parse_dates=["time"])
    one = forecast_csv(seasonal_csv, 4, epochs=2)
    for frame in (plain, plain.set_index("time")):
        other = forecast_frame(frame, 4, epochs=2)
        for a, b in zip(one.targets, other.targets, strict=True):
            np.testing.assert_array_equal(a.forecast, b.forecast)
    assert other.times[0] == "2024-04-03 08:00:00+00:00"
    table = one.to_frame()
    assert list(table.columns) == one.columns()
    assert table.shape == (8, 7)


def test_progress_ends_with_the_last_step(seasonal_csv: Path) -> None:
    calls: list[tuple[int, int, float]] = []
    forecast_csv(seasonal_csv, 4, epochs=2, progress=lambda *call: calls.append(call))
    step, steps, loss = calls[-1]
    assert step == steps > 0
    assert np.isfinite(loss)


def test_an_exception_in_progress_passes_through(seasonal_csv: Path) -> None:
    def stop(step: int, steps: int, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forecast_csv(seasonal_csv, 4, progress=stop)


@pytest.mark.parametrize("value", ["3", "0", "-1e100", "1e-300"])
def test_constant_series(write_csv: Write, value: str) -> None:
    found = forecast_csv(write_csv("a\n" + f"{value}\n" * 300), 5)
    np.testing.assert_array_equal(found.targets[0].forecast, np.full(5, float(value)))
    assert found.overall("memattn").mase == 0
    assert found.overall_skill == 0
    assert found.overall_coverage(80) == 100


def test_tiny_series(write_csv: Write) -> None:
    """The smallest series that is accepted, and one row less."""
    rows = [f"{k % 3}" for k in range(4)]
    found = forecast_csv(write_csv("\n".join(["a", *rows])), 1)
    assert np.isfinite(found.targets[0].forecast).all()
    assert any("held-out windows" in warning for warning in found.warnings)
    assert found.targets[0].coverage == {80: None, 95: None}
    with pytest.raises(DataError, match="found 3 rows, expected at least 4 for --lookback 2"):
        forecast_csv(write_csv("\n".join(["a", *rows[:3]])), 1)


def test_too_few_rows_names_the_options(seasonal_csv: Path) -> None:
    with pytest.raises(DataError) as caught:
        forecast_csv(seasonal_csv, 301, lookback=200)
    assert caught.value.kind == "too-few-rows"
    assert "found 800 rows, expected at least 802 for --lookback 200" in str(caught.value)
    assert "lower --lookback or --horizon" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"horizon": 0}, "--horizon: found 0"),
        ({"horizon": 2, "lookback": 7}, "--lookback: found 7, expected at least the season of 24"),
        ({"horizon": 2, "seed": -1}, "--seed: found -1"),
        ({"horizon": 2, "targets": ["time"]}, "the time column"),
        ({"horizon": 2, "targets": ["one", "one"]}, "twice"),
        ({"horizon": 2, "targets": ["on"]}, 'did you mean "one"?'),
        ({"horizon": 2, "time": "tine"}, 'did you mean "time"?'),
        ({"horizon": 10**9}, "expected at least"),
        ({"horizon": 2, "lookback": 10**12}, "expected at least"),
        ({"horizon": 2, "season": 10**12}, "expected at least"),
    ],
)
def test_options_that_cannot_be(seasonal_csv: Path, options: dict, said: str) -> None:
    with pytest.raises(DataError) as caught:
        forecast_csv(seasonal_csv, **options)
    assert said in str(caught.value)


def test_nothing_to_forecast(write_csv: Write) -> None:
    with pytest.raises(DataError, match="no column of numbers"):
        forecast_csv(write_csv("time,name\n2024-01-01,x\n2024-01-02,y\n"), 1)


def test_too_large_a_number(write_csv: Write) -> None:
    with pytest.raises(DataError, match=r'line 3, column "a": found "1e200".*rescale'):
        forecast_csv(write_csv("a\n1\n1e200\n" + "1\n" * 50), 1)


def test_memory_reading(result: ForecastResult) -> None:
    reading = read_memory(result)
    assert [scores.shape for scores in reading.last] == [(7, 16), (7, 16)]
    for scores in (*reading.last, reading.by_phase):
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert reading.by_phase.shape == (24, 16)
    assert reading.prototypes[0].slot == int(np.argmax(reading.usage))
    for found in reading.prototypes:
        assert found.mean.shape == (24,)
        assert (found.low <= found.high).all()


def test_prototypes_of_a_phase_look_alike(result: ForecastResult) -> None:
    """A patch of this series is one turn of a wave: so is the mean of those that read a slot."""
    for found in read_memory(result).prototypes:
        assert np.abs(found.mean).max() < 3
        assert abs(found.mean.mean()) < 0.3
