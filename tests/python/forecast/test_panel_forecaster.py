"""The bindings of `PanelForecaster`: arrays in and out, progress, threads and interrupts."""

import _thread
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

from memattn._memattn import PanelForecaster

Series: TypeAlias = tuple[np.ndarray, np.ndarray]  # values, offsets

OPTIONS: dict[str, Any] = {
    "horizon": 3,
    "season": 4,
    "lookbacks": [4, 6],
    "min_history": 5,
    "units": 8,
    "memory_size": 4,
    "num_heads": 2,
    "steps": 20,
    "batch_size": 32,
}


@pytest.fixture
def series() -> Series:
    """Six positive series of 30 values."""
    noise = np.random.default_rng(1).normal(0, 0.1, (6, 30))
    return np.exp(noise + 0.5 * np.sin(np.pi / 2 * np.arange(30))).ravel(), np.arange(7) * 30


def predict(forecaster: PanelForecaster, series: Series) -> np.ndarray:
    return forecaster.predict(*series, np.arange(6), np.full(6, 30))


def test_fit_changes_the_forecasts(series: Series) -> None:
    forecaster = PanelForecaster(**OPTIONS)
    untrained = predict(forecaster, series)
    assert untrained.shape == (6, 1, 3)
    # The untrained forecast is Naive2: the season of each series at the level of its last value.
    assert np.ptp(untrained, axis=-1).min() > 0.3
    assert forecaster.fit(*series) is True
    trained = predict(forecaster, series)
    assert np.isfinite(trained).all()
    assert not np.array_equal(trained, untrained)
    members = [forecaster.predict(*series, np.arange(6), np.full(6, 30), m) for m in range(2)]
    np.testing.assert_allclose(trained, np.sqrt(members[0] * members[1]), rtol=1e-12)


def test_weights_are_counted_without_a_model() -> None:
    for changed in ({}, {"season": 1, "layers": 0}, {"pre_norm": True, "seeds": 2}):
        options = OPTIONS | changed
        forecaster = PanelForecaster(**options)
        sizes = [len(forecaster.parameters(member)) for member in range(forecaster.members)]
        assert PanelForecaster.count_weights(**options) == sizes
    quantiles = {"loss": "pinball", "quantiles": [0.1, 0.5, 0.9]}
    three, one = (PanelForecaster.count_weights(**OPTIONS | more) for more in (quantiles, {}))
    assert three[0] - one[0] == 2 * 3 * (8 + 10)  # 8 units, 10 features
    huge = OPTIONS | {"lookbacks": [2**24], "memory_size": 2**20}
    assert PanelForecaster.count_weights(**huge)[0] > 2**27
    with pytest.raises(ValueError, match="lookbacks"):
        PanelForecaster.count_weights(**OPTIONS | {"lookbacks": [0]})


def test_parameters_are_copied_out_and_in(series: Series) -> None:
    trained, other = PanelForecaster(**OPTIONS), PanelForecaster(**OPTIONS, seed=1)
    trained.fit(*series)
    copies = [trained.parameters(member) for member in range(2)]
    assert {copy.dtype for copy in copies} == {np.dtype(np.float32)}
    assert sum(map(len, copies)) == trained.count_params()
    for member, copy in enumerate(copies):
        other.set_parameters(member, copy)
        copy[:] = 0  # must not change the weights inside
    np.testing.assert_array_equal(predict(other, series), predict(trained, series))
    with pytest.raises(ValueError, match="parameters: found 3 values, expected"):
        other.set_parameters(0, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="member: found 2, expected a number from 0 to 1"):
        other.parameters(2)


def test_quantiles_have_an_axis_of_the_forecasts(series: Series) -> None:
    forecaster = PanelForecaster(**OPTIONS, loss="pinball", quantiles=[0.1, 0.9])
    forecaster.fit(*series)
    found = predict(forecaster, series)
    assert found.shape == (6, 2, 3)
    assert (found[:, 0] <= found[:, 1]).all()


def test_attention_scores_sum_to_1_and_each_slot_changes_forecasts(series: Series) -> None:
    forecaster = PanelForecaster(**OPTIONS)
    forecaster.fit(*series)
    origins = np.arange(6), np.full(6, 30)
    scores = forecaster.attention_scores(*series, *origins, 1)
    assert scores.shape == (6, 2, 4)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=-1), 1, rtol=1e-6)
    without = forecaster.predict_without_slots(*series, *origins, 1, 0)
    assert without.shape == (4, 6, 1, 3)
    whole = forecaster.predict(*series, *origins, 1)
    # Removing a slot changes forecasts a little, and each slot changes them.
    assert np.abs(without / whole - 1).max() < 0.5
    assert (np.abs(without - whole).max(axis=(1, 2, 3)) > 0).all()
    with pytest.raises(ValueError, match="layer: found 2, expected a number from 0 to 1"):
        forecaster.predict_without_slots(*series, *origins, 0, 2)
    linear = PanelForecaster(**OPTIONS, layers=0)
    assert linear.attention_scores(*series, *origins, 0).shape == (6, 0, 4)


def test_members_may_have_different_numbers_of_layers(series: Series) -> None:
    options = OPTIONS | {"lookbacks": [4, 4, 6], "member_layers": [0, 2, 1]}
    forecaster = PanelForecaster(**options)
    sizes = [len(forecaster.parameters(member)) for member in range(3)]
    assert PanelForecaster.count_weights(**options) == sizes
    assert sizes[0] < sizes[1]
    assert forecaster.fit(*series)
    origins = np.arange(6), np.full(6, 30)
    scores = [forecaster.attention_scores(*series, *origins, member) for member in range(3)]
    assert [each.shape for each in scores] == [(6, 0, 4), (6, 2, 4), (6, 1, 4)]
    assert forecaster.predict_without_slots(*series, *origins, 1, 1).shape == (4, 6, 1, 3)
    with pytest.raises(ValueError, match="layer: found 0, expected none, for member 0 has no"):
        forecaster.predict_without_slots(*series, *origins, 0, 0)
    with pytest.raises(ValueError, match="member: found 3, expected a number from 0 to 2"):
        forecaster.attention_scores(*series, *origins, 3)
    with pytest.raises(ValueError, match="member_layers: found 2 values, expected none, or one"):
        PanelForecaster(**options | {"member_layers": [0, 2]})


def test_forecasts_see_covariates_through_blocks(series: Series) -> None:
    # The blocks: two columns over the horizon, and the past of the second column.
    options = OPTIONS | {"covariates": 2, "blocks": [(0, 2, 0, 3), (1, 1, -4, 4)]}
    table = np.random.default_rng(2).normal(size=(6 * (30 + 3), 2)).astype(np.float32)
    forecaster = PanelForecaster(**options, input_dropout=0.1)
    bare = PanelForecaster.count_weights(**OPTIONS)
    added = np.subtract(PanelForecaster.count_weights(**options), bare)
    np.testing.assert_array_equal(added, (2 * 3 + 4) * (8 + 3))  # 8 units, 3 outputs
    assert forecaster.fit(*series, covariates=table)
    origins = np.arange(6), np.full(6, 30)
    found = forecaster.predict(*series, *origins, covariates=table)
    ahead = table.reshape(6, 33, 2)[:, 30:]
    # No block sees the last past row of the first column; one sees the last row of the horizon.
    for place, seen in [((2, 29, 0), False), ((2, 29, 1), True), ((2, 32, 0), True)]:
        other = table.reshape(6, 33, 2).copy()
        other[place] += 1
        again = forecaster.predict(*series, *origins, covariates=other.reshape(-1, 2))
        assert np.array_equal(again[2], found[2]) is not seen
        np.testing.assert_array_equal(np.delete(again, 2, 0), np.delete(found, 2, 0))
    # A single history with its own rows gives the same forecast.
    values, offsets = series[0][60:90], np.array([0, 30])
    rows = np.concatenate([table[2 * 33 : 2 * 33 + 30], ahead[2]])
    alone = forecaster.predict(values, offsets, np.zeros(1, int), np.full(1, 30), covariates=rows)
    np.testing.assert_array_equal(alone[0], found[2])
    scores = forecaster.attention_scores(*series, *origins, 0, covariates=table)
    assert not np.array_equal(
        scores, forecaster.attention_scores(*series, *origins, 0, covariates=table + 1)
    )
    without = forecaster.predict_without_slots(*series, *origins, 0, 0, covariates=table)
    assert without.shape == (4, 6, 1, 3)

    stopped, resumed = (PanelForecaster(**options, input_dropout=0.1) for _ in range(2))
    stopped.fit(*series, lambda *_: False, covariates=table)
    resumed.resume(*series, *stopped.training_state(), covariates=table)
    np.testing.assert_array_equal(resumed.predict(*series, *origins, covariates=table), found)


def test_covariates_of_the_wrong_shape_are_refused(series: Series) -> None:
    table = np.zeros((6 * (30 + 3), 2), np.float32)
    options = OPTIONS | {"covariates": 2, "blocks": [(0, 2, 0, 3)]}
    forecaster = PanelForecaster(**options)
    with pytest.raises(
        ValueError, match=r"found 0 values, expected \(values \+ horizon \* series\)"
    ):
        forecaster.fit(*series)
    with pytest.raises(ValueError, match=r"found 394 values, expected .* = \(180 \+ 3 \* 6\) \* 2"):
        forecaster.fit(*series, covariates=table[1:])
    # The right number of values in another shape.
    with pytest.raises(ValueError, match="covariates: found 198 columns, expected 2, as many as"):
        forecaster.fit(*series, covariates=np.ascontiguousarray(table.T))
    with pytest.raises(ValueError, match="covariates: found 2 columns, expected 0"):
        PanelForecaster(**OPTIONS).fit(*series, covariates=table)
    table[40, 1] = np.nan
    origins = np.arange(6), np.full(6, 30)
    for call in (
        lambda: forecaster.fit(*series, covariates=table),
        lambda: forecaster.resume(*series, 0, [], covariates=table),
        lambda: forecaster.predict(*series, *origins, covariates=table),
        lambda: forecaster.attention_scores(*series, *origins, 0, covariates=table),
        lambda: forecaster.predict_without_slots(*series, *origins, 0, 0, covariates=table),
    ):
        with pytest.raises(ValueError, match=r"covariates\[40, 1\]: found nan, expected a finite"):
            call()
    with pytest.raises(ValueError, match=r"blocks\[0\].first_row: found 1, expected a number"):
        PanelForecaster(**options | {"blocks": [(0, 2, 1, 3)]})


def test_past_seasons_start_from_their_average(series: Series) -> None:
    options = OPTIONS | {"lookbacks": [8], "windows": "past_seasons"}
    last = series[0].reshape(6, 30)[:, -8:].reshape(6, 2, 4)[:, :, :3]
    added = predict(PanelForecaster(**options, logs=False), series)[:, 0]
    np.testing.assert_allclose(added, last.mean(axis=1), rtol=1e-12)
    in_logs = predict(PanelForecaster(**options), series)[:, 0]
    np.testing.assert_allclose(in_logs, np.exp(np.log(last).mean(axis=1)), rtol=1e-12)


def test_zero_memory_starts_memories_at_zero() -> None:
    noise, zeros = PanelForecaster(**OPTIONS), PanelForecaster(**OPTIONS, zero_memory=True)
    changed = noise.parameters(0) != zeros.parameters(0)
    assert changed.sum() == 2 * 4 * 8
    assert not zeros.parameters(0)[changed].any()


def test_progress_reports_steps_and_may_stop_a_fit(series: Series) -> None:
    calls: list[tuple[int, int, float]] = []
    assert PanelForecaster(**OPTIONS).fit(*series, lambda *now: calls.append(now))
    assert calls[-1][:2] == (20, 20)
    assert 0 < calls[-1][2] < 1
    long = PanelForecaster(**(OPTIONS | {"steps": 10**9}))
    assert long.fit(*series, lambda *_: False) is False


def test_exceptions_in_progress_are_passed_on(series: Series) -> None:
    def fail(*_: object) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        PanelForecaster(**OPTIONS).fit(*series, fail)


# Calls that read a forecaster, by name. Every public method and property must be in READERS,
# CHANGES or STATIC.
READERS: dict[str, Callable[[PanelForecaster, Series], object]] = {
    "members": lambda forecaster, _: forecaster.members,
    "count_params": lambda forecaster, _: forecaster.count_params(),
    "parameters": lambda forecaster, _: forecaster.parameters(0),
    "training_state": lambda forecaster, _: forecaster.training_state(),
    "predict": lambda forecaster, series: predict(forecaster, series),
    "attention_scores": lambda forecaster, series: forecaster.attention_scores(
        *series, np.arange(6), np.full(6, 30), 0
    ),
    "predict_with_memory_of": lambda forecaster, series: forecaster.predict_with_memory_of(
        *series, np.arange(6), np.full(6, 30), np.arange(6)[::-1].copy(), np.full(6, 20)
    ),
    "predict_without_slots": lambda forecaster, series: forecaster.predict_without_slots(
        *series, np.arange(6), np.full(6, 30), 0, 0
    ),
}
CHANGES: dict[str, Callable[[PanelForecaster, Series], object]] = {
    "set_parameters": lambda forecaster, _: forecaster.set_parameters(0, np.zeros(1, np.float32)),
    "fit": lambda forecaster, series: forecaster.fit(*series),
    "resume": lambda forecaster, series: forecaster.resume(*series, 0, []),
}
STATIC = {"count_weights"}


def test_every_call_during_a_fit_is_refused(series: Series) -> None:
    names = {name for name in dir(PanelForecaster) if not name.startswith("_")}
    assert names == READERS.keys() | CHANGES.keys() | STATIC
    forecaster = PanelForecaster(**OPTIONS)
    messages: dict[str, str] = {}

    def meddle(*_: object) -> None:
        for name, call in (READERS | CHANGES).items():
            with pytest.raises(RuntimeError) as raised:
                call(forecaster, series)
            messages[name] = str(raised.value)

    assert forecaster.fit(*series, meddle)
    running = "a fit of this model is still running; wait for its end"
    used = "another call is using this model; wait for its end"
    assert messages == {
        name: f"PanelForecaster.{name}: {running if name in READERS else used}"
        for name in READERS | CHANGES
    }
    assert predict(forecaster, series).shape == (6, 1, 3)


def test_threads_may_read_while_others_fit(series: Series) -> None:
    """Each call returns the right result or is refused; no call sees an intermediate state."""
    forecaster = PanelForecaster(**OPTIONS)
    forecaster.fit(*series)
    expected: dict[str, Any] = {
        name: READERS[name](forecaster, series) for name in READERS if name != "training_state"
    }
    wrong: list[str] = []
    answered: set[str] = set()
    begun = time.monotonic()

    def running() -> bool:
        """At least a second, and until each reader has answered, which a busy machine delays."""
        seconds = time.monotonic() - begun
        return not wrong and (seconds < 1 or (seconds < 60 and answered != READERS.keys()))

    def read(name: str) -> None:
        while running():
            try:
                found = READERS[name](forecaster, series)
            except RuntimeError as error:
                if "is still running" not in str(error):
                    wrong.append(f"{name}: {error}")
                continue
            answered.add(name)
            if name in expected and not np.array_equal(found, expected[name]):
                wrong.append(f"{name}: {found}")

    def fit() -> None:
        while running():
            # The same training each time, so that readers always see the same weights.
            with contextlib.suppress(RuntimeError):
                forecaster.fit(*series)
            time.sleep(0.002)

    threads = [threading.Thread(target=fit)]
    threads += [threading.Thread(target=read, args=(name,)) for name in READERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert answered == READERS.keys()


def long_panel(count: int, length: int) -> Series:
    values = np.random.default_rng(0).lognormal(0, 0.1, count * length)
    return values, np.arange(count + 1) * length


def interrupted(call: Callable[[], object]) -> float:
    """Interrupts a call after 0.3 s; returns the seconds until its KeyboardInterrupt."""
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.monotonic())
        _thread.interrupt_main()

    timer = threading.Timer(0.3, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call()
    seconds = time.monotonic() - sent[0]
    timer.join()
    return seconds


# The longest time in seconds to end an interrupted call. An idle machine needs less than 0.1 s;
# without the interrupt, the calls take many seconds.
PROMPT = 2.0


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_fit(series: Series) -> None:
    forecaster = PanelForecaster(**(OPTIONS | {"steps": 10**9}))
    before = predict(forecaster, series)
    assert interrupted(lambda: forecaster.fit(*series)) < PROMPT
    np.testing.assert_array_equal(predict(forecaster, series), before)
    # A checkpoint could continue from this state.
    steps_done, members = forecaster.training_state()
    assert steps_done > 0
    assert len(members) == 2


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", ["fit", "predict", "attention_scores", "predict_without_slots"])
def test_an_interrupt_ends_calls_on_large_panels(name: str) -> None:
    # A long season makes reading the series slow, and wide networks make forecasts slow.
    options = OPTIONS | {"season": 500, "units": 128, "memory_size": 512, "num_heads": 4}
    panel = long_panel(2_000 if name == "fit" else 200, 5_000)
    forecaster = PanelForecaster(**options)
    series = np.arange(200).repeat(500)
    times = np.tile(np.arange(1, 501), 200)
    calls: dict[str, Callable[[], object]] = {
        "fit": lambda: forecaster.fit(*panel),
        "predict": lambda: forecaster.predict(*panel, series, times),
        "attention_scores": lambda: forecaster.attention_scores(*panel, series, times, 0),
        "predict_without_slots": lambda: forecaster.predict_without_slots(
            *panel, series[:1000], times[:1000], 0, 0
        ),
    }
    assert interrupted(calls[name]) < PROMPT


def test_invalid_options_and_arrays_are_refused(series: Series) -> None:
    with pytest.raises(ValueError, match="PanelForecasterOptions: horizon: found 0"):
        PanelForecaster(**(OPTIONS | {"horizon": 0}))
    with pytest.raises(ValueError, match="loss: found 'mse', expected 'smape'"):
        PanelForecaster(**OPTIONS, loss="mse")
    with pytest.raises(ValueError, match="windows: found 'days', expected 'last_values' or"):
        PanelForecaster(**OPTIONS, windows="days")
    values, offsets = series
    with pytest.raises(ValueError, match=r"values\[0\]: found nan"):
        PanelForecaster(**OPTIONS).fit(np.full_like(values, np.nan), offsets)
    with pytest.raises(ValueError, match=r"times\[0\]: found 31, expected a number from 1 to 30"):
        PanelForecaster(**OPTIONS).predict(values, offsets, np.array([2]), np.array([31]))
