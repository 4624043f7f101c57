"""The reported use of memory slots equals that of the engine, window by window."""

from dataclasses import replace

import numpy as np
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.conformal import domain_of
from memattn.forecast.evaluation import Evaluation, evaluate_held_out
from memattn.forecast.fitting import Fitted
from memattn.forecast.report.memory_reading import MAX_WINDOWS, MemoryReading, read_memory

from ..panels import flat_panel


def series(count: int, length: int, season: int = 4) -> list[np.ndarray]:
    """Returns positive series of several lengths."""
    rng = np.random.default_rng(1)
    return [
        np.exp(
            3
            + 0.3 * np.sin(2 * np.pi * np.arange(length + k % 3) / season)
            + 0.05 * rng.normal(size=length + k % 3).cumsum()
        )
        for k in range(count)
    ]


def read(forecaster: Forecaster) -> tuple[Fitted, Evaluation, MemoryReading]:
    fitted = forecaster._state("test")
    evaluation = evaluate_held_out(fitted, [])
    assert evaluation is not None
    reading = read_memory(fitted, evaluation)
    assert reading is not None
    return fitted, evaluation, reading


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return Forecaster(5, steps=60, members=3).fit(flat_panel(series(12, 40), season=4))


def test_shares_are_means_of_the_engines_attention_scores(forecaster: Forecaster) -> None:
    fitted, evaluation, reading = read(forecaster)
    panel, history = fitted.panel, fitted.settings["min_history"].value
    held_out = fitted.held_out
    assert held_out is not None
    assert held_out.model is not None
    assert reading.member == 1
    assert reading.lookback == fitted.settings["lookbacks"].value[1]
    which, ends = [], []
    for k in range(len(panel)):
        stop = int(evaluation.windows.ends[evaluation.windows.series == k].min())
        which += [k] * (stop - history)
        ends += range(history, stop)
    assert reading.windows == len(ends)
    where = np.array(which), np.array(ends)
    scores = held_out.model.engine.attention_scores(panel.values, panel.offsets, *where, 1)
    np.testing.assert_allclose(reading.usage, scores.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(reading.usage.sum(axis=1), 1, rtol=1e-5)
    phase = (1001 - panel.lengths[where[0]] + where[1]) % 4
    assert reading.by_phase is not None
    for k in range(4):
        mean = scores[phase == k].mean(axis=0)
        np.testing.assert_allclose(reading.by_phase[:, :, k], mean, rtol=1e-5)
    long = where[1] > np.quantile(where[1], 2 / 3)
    np.testing.assert_allclose(reading.by_kind[:, :, 8], scores[long].mean(axis=0), rtol=1e-5)
    ends_of = zip(*where, strict=True)
    change = np.array(
        [
            np.abs(np.diff(np.log(panel.series(k)[:end][-reading.lookback :]))).mean()
            for k, end in ends_of
        ]
    )
    rough = change > np.quantile(change, 2 / 3)
    np.testing.assert_allclose(reading.by_kind[:, :, 5], scores[rough].mean(axis=0), rtol=1e-5)
    first = reading.readers[1][5][0]
    best = int(scores[:, 1, 5].argmax())
    assert (first.series, first.end) == (which[best], ends[best])
    assert first.share == pytest.approx(scores[best, 1, 5], rel=1e-6)


def test_readers_do_not_overlap_and_are_sorted_by_share(forecaster: Forecaster) -> None:
    fitted, _, reading = read(forecaster)
    for layer in reading.readers:
        for readers in layer:
            assert len(readers) == 6
            shares = [one.share for one in readers]
            assert shares == sorted(shares, reverse=True)
            for k, one in enumerate(readers):
                values = np.log(fitted.panel.series(one.series)[: one.end][-reading.lookback :])
                expected = (values - values[-1]) / np.abs(np.diff(values)).mean()
                np.testing.assert_allclose(one.shape, expected, atol=1e-12)
                for other in readers[:k]:
                    apart = abs(other.end - one.end)
                    assert other.series != one.series or apart >= reading.lookback


def test_effects_are_errors_without_a_slot(forecaster: Forecaster) -> None:
    fitted, evaluation, reading = read(forecaster)
    assert fitted.held_out is not None
    engine, panel = fitted.held_out.model.engine, fitted.panel
    assert engine is not None
    where = evaluation.windows.series, evaluation.windows.ends
    whole = engine.predict(panel.values, panel.offsets, *where, 1)[:, 0]
    without = engine.predict_without_slots(panel.values, panel.offsets, *where, 1, 1)[7, :, 0]
    effects = reading.effects
    assert effects is not None
    assert effects.windows == len(evaluation)
    assert effects.relative
    moved = 100 * np.mean(np.abs(without - whole) / whole)
    assert effects.movement[1, 7] == pytest.approx(moved, rel=1e-9)
    scale = evaluation.scales.absolute

    def error(forecasts: np.ndarray) -> np.ndarray:
        mean: np.ndarray = np.abs(forecasts - evaluation.truth).mean(axis=1) / scale
        return mean

    grown = 100 * (error(without).mean() / error(whole).mean() - 1)
    assert effects.error is not None
    assert effects.error[1, 7] == pytest.approx(grown, rel=1e-6)
    assert effects.margin is not None
    assert (effects.margin > 0).all()
    assert len(fitted.panel) <= effects.separate < effects.windows


def test_the_margin_is_two_standard_errors_of_separate_windows() -> None:
    """With one window of each series, it is the usual standard error."""
    forecaster = Forecaster(5, steps=30, season=1).fit(flat_panel(series(300, 24)))
    fitted, evaluation, reading = read(forecaster)
    assert len(evaluation) == 300
    assert fitted.held_out is not None
    engine, panel = fitted.held_out.model.engine, fitted.panel
    assert engine is not None
    where = evaluation.windows.series, evaluation.windows.ends
    whole = engine.predict(panel.values, panel.offsets, *where, 0)[:, 0]
    without = engine.predict_without_slots(panel.values, panel.offsets, *where, 0, 0)[3, :, 0]
    error = [
        np.abs(one - evaluation.truth).mean(axis=1) / evaluation.scales.absolute
        for one in (whole, without)
    ]
    growth = 100 * (error[1] - error[0]) / error[0].mean()
    assert reading.effects is not None
    assert reading.effects.margin is not None
    assert reading.effects.separate == 300
    expected = 2 * growth.std() / np.sqrt(300)
    assert reading.effects.margin[0, 3] == pytest.approx(expected, rel=1e-6)


def test_without_held_out_windows_only_the_change_of_forecasts_is_measured(
    forecaster: Forecaster,
) -> None:
    fitted = replace(forecaster._state("test"), held_out=None)
    reading = read_memory(fitted, None)
    assert reading is not None
    assert reading.effects is not None
    assert reading.effects.error is None
    panel = fitted.panel
    where = np.arange(12), panel.lengths
    whole = fitted.model.engine.predict(panel.values, panel.offsets, *where, 1)[:, 0]
    without = fitted.model.engine.predict_without_slots(panel.values, panel.offsets, *where, 1, 0)
    moved = 100 * np.mean(np.abs(without[2, :, 0] - whole) / whole)
    assert reading.effects.movement[0, 2] == pytest.approx(moved, rel=1e-9)


def test_changes_of_series_without_logs_are_relative_to_the_seasonal_change() -> None:
    values = [one - 20 for one in series(12, 40)]
    fitted, evaluation, reading = read(Forecaster(5, steps=30).fit(flat_panel(values, season=4)))
    assert not domain_of(fitted.panel, evaluation.windows).logs.all()
    assert reading.effects is not None
    assert not reading.effects.relative
    assert np.isfinite(reading.effects.movement).all()


def test_many_windows_are_sampled_deterministically() -> None:
    forecaster = Forecaster(5, steps=5, season=1).fit(flat_panel(series(400, 60)))
    _, _, reading = read(forecaster)
    assert 0.8 * MAX_WINDOWS < reading.windows <= MAX_WINDOWS
    np.testing.assert_array_equal(reading.usage, read(forecaster)[2].usage)
    assert reading.by_phase is None


def test_an_untrained_model_has_no_memory_reading() -> None:
    forecaster = Forecaster(5, prior=None).fit(flat_panel([np.arange(1.0, 9.0)]))
    assert read_memory(forecaster._state("test"), None) is None
