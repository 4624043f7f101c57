"""Priors: networks trained on other series, for series that are too short to train on."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from memattn import FormatError
from memattn._memattn import QuickForecaster
from memattn.forecast import Forecaster, QuickForecast, quick
from memattn.forecast.conformal import Domain, between_levels, interval_ends
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.windows import last_windows
from memattn.forecast.fitting import forecast
from memattn.forecast.forecaster_settings import trained_levels, with_prior
from memattn.forecast.model import model_of
from memattn.forecast.prior import MANY_WINDOWS
from memattn.forecast.prior_files import PACKAGED, prior_of
from memattn.forecast.state_file import bfloat16_bits

from ..sampling import LONG
from .panels import flat_panel

Array = npt.NDArray[np.float64]
HORIZON = 8


def waves(count: int, rows: int, seed: int) -> pd.DataFrame:
    """Returns monthly series with a season, a drift and noise of random sizes."""
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(count):
        months = np.arange(rows)
        size, phase = rng.uniform(0.05, 0.5), rng.uniform(0, 2 * np.pi)
        season = size * np.sin(2 * np.pi * months / 12 + phase)
        drift = rng.normal(0, rng.uniform(0.005, 0.05), rows).cumsum()
        noise = rng.normal(0, rng.uniform(0.01, 0.1), rows)
        values = np.exp(rng.uniform(0, 10) + season + drift + noise)
        times = pd.date_range("2000-01-01", periods=rows, freq="MS")
        parts.append(pd.DataFrame({"unique_id": f"s{k:03}", "ds": times, "y": values}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns the path of a prior."""
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    forecaster = Forecaster(HORIZON, steps=300).pretrain([waves(60, 80, 1), waves(20, 40, 2)])
    assert "trained on 80 series" in str(forecaster.notes)
    forecaster.save(path, series=False, dtype="bfloat16")
    return str(path)


def one(rows: int, seed: int = 5) -> pd.DataFrame:
    return waves(1, rows, seed)


def used(forecaster: Forecaster) -> Any:
    return forecaster.settings["prior"].value


def test_a_short_series_is_forecast_by_the_prior(prior: str) -> None:
    frame = one(60)
    forecaster = Forecaster(HORIZON, prior=prior).fit(frame)
    assert used(forecaster) == "alone"
    assert "non-overlapping windows, fewer than 20" in forecaster.settings["prior"].reason
    text = f"forecast by pretrained networks: {forecaster.settings['prior'].reason}"
    assert [note.text for note in forecaster.notes if note.kind == "prior"] == [text]
    found = forecaster.predict(level=[80])
    naive2 = Forecaster(HORIZON, prior=None).fit(frame).predict()
    assert np.abs(found["memattn"] / naive2["memattn"] - 1).max() > 0.001
    assert (found["memattn-lo-80"] < found["memattn"]).all()
    assert (found["memattn"] < found["memattn-hi-80"]).all()
    # The forecasts are those of the networks in the file.
    same = Forecaster.load(prior).predict(frame)
    np.testing.assert_array_equal(found["memattn"], same["memattn"])


def test_the_prior_is_better_than_naive2_on_similar_series(prior: str) -> None:
    errors: dict[str | None, list[float]] = {prior: [], None: []}
    for seed in range(30):
        frame = one(40 + seed, 100 + seed)
        known, truth = frame[:-HORIZON], frame["y"].to_numpy()[-HORIZON:]
        for which, found in errors.items():
            forecaster = Forecaster(HORIZON, prior=which, intervals=False).fit(known)
            forecast = forecaster.predict()["memattn"].to_numpy()
            found.append(float(np.abs(np.log(forecast / truth)).mean()))
    assert np.mean(errors[prior]) < 0.95 * np.mean(errors[None])


def test_without_a_prior_a_short_series_is_forecast_by_naive2() -> None:
    forecaster = Forecaster(HORIZON, prior=None).fit(one(60))
    assert "prior" not in forecaster.settings
    assert forecaster.settings["steps"].value == 0
    assert "Naive2, untrained" in forecaster.settings["steps"].reason


def test_many_series_are_trained_without_the_prior(
    prior: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not LONG:  # fewer steps than such a panel usually gets
        monkeypatch.setattr("memattn.forecast.forecaster_settings.WINDOWS_A_STEP", 100)
    frame = waves(120, 40 + HORIZON * MANY_WINDOWS // 120, 3)
    options: dict[str, Any] = {"steps": None, "intervals": False, "lookback": None}
    found = Forecaster(HORIZON, prior=prior, **options).fit(frame)
    usual = Forecaster(HORIZON, prior=None, **options).fit(frame)
    assert used(found) == "not used"
    assert "are enough to train on" in found.settings["prior"].reason
    np.testing.assert_array_equal(found.predict()["memattn"], usual.predict()["memattn"])


def test_validation_decides_whether_the_prior_is_used(prior: str) -> None:
    frame = waves(12, 120, 4)
    forecaster = Forecaster(HORIZON, prior=prior, intervals=False).fit(frame)
    reason = forecaster.settings["prior"].reason
    assert "on 12 held-out windows the error was" in reason
    assert "after training from scratch" in reason
    again = Forecaster(HORIZON, prior=prior, intervals=False).fit(frame)
    np.testing.assert_array_equal(forecaster.predict()["memattn"], again.predict()["memattn"])
    errors = [float(word) for word in reason.replace(",", "").split() if word[0].isdigit()][1:]
    assert len(errors) == 3
    best = min(errors[:2]) <= 0.99 * errors[2]
    assert (used(forecaster) != "not used") == best


@pytest.mark.parametrize("better", ["alone", "started from", "not used"])
def test_each_outcome_of_validation_is_possible(
    prior: str, better: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each outcome also survives a saved file and a checkpoint."""
    from memattn.forecast import prior as module

    errors = iter([float(better != one) for one in ("alone", "started from", "not used")] * 9)
    monkeypatch.setattr(module, "_error", lambda *_: next(errors) + 0.5)
    frame = waves(12, 120, 4)
    forecaster = Forecaster(HORIZON, prior=prior)
    forecaster.fit(frame, checkpoint=tmp_path / "state")
    assert used(forecaster) == better
    steps = forecaster.settings["steps"].value
    assert {"alone": steps == 0, "started from": 0 < steps <= 300, "not used": steps > 0}[better]
    forecaster.save(tmp_path / "f")
    level = [50, 90]
    found = forecaster.predict(level=level)
    again = Forecaster.load(tmp_path / "f").predict(level=level)
    pd.testing.assert_frame_equal(found, again)
    resumed = Forecaster(HORIZON, prior=prior).fit(
        frame, checkpoint=tmp_path / "state", resume=True
    )
    pd.testing.assert_frame_equal(found, resumed.predict(level=level))


def test_a_stopped_training_from_the_prior_continues_to_the_bit(
    prior: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from memattn.forecast import prior as module

    monkeypatch.setattr(module, "BETTER", 100.0)
    monkeypatch.setattr(module, "ALONE", "not a candidate")
    monkeypatch.setattr(
        module, "_error", lambda model, *_: float(model.settings["steps"].value == 0)
    )
    frame = waves(12, 120, 4)
    whole = Forecaster(HORIZON, prior=prior, intervals=False).fit(frame)
    assert used(whole) == "started from"
    calls: list[int] = []

    def stop(step: int, steps: int, loss: float) -> bool:
        calls.append(step)
        return len(calls) < 3

    stopped = Forecaster(HORIZON, prior=prior, intervals=False)
    stopped.fit(frame, progress=stop, checkpoint=tmp_path / "c")
    resumed = Forecaster(HORIZON, prior=prior, intervals=False)
    resumed.fit(frame, checkpoint=tmp_path / "c", resume=True)
    np.testing.assert_array_equal(whole.predict()["memattn"], resumed.predict()["memattn"])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"horizon": HORIZON + 1}, "the horizon is longer than the prior's: for this season"),
        ({"lookback": 12}, "lookback is given"),
        ({"loss": "mae"}, "loss is given"),
        ({"steps": 5}, "steps is given"),
        ({"calendar": True}, "trained without covariates"),
    ],
)
def test_settings_say_why_the_prior_is_not_used(
    prior: str, options: dict[str, Any], why: str
) -> None:
    forecaster = Forecaster(**{"horizon": HORIZON, "prior": prior} | options).fit(one(60))
    assert used(forecaster) == "not used"
    assert why in forecaster.settings["prior"].reason


def test_a_folder_has_a_file_for_each_season(prior: str, tmp_path: Path) -> None:
    (tmp_path / "season-12.safetensors").write_bytes(Path(prior).read_bytes())
    folder = str(tmp_path)
    forecaster = Forecaster(HORIZON, prior=tmp_path).fit(one(60))  # type: ignore[arg-type]
    assert (forecaster.prior, used(forecaster)) == (folder, "alone")
    years = one(30).assign(ds=pd.date_range("1990-01-01", periods=30, freq="YS"))
    plain = Forecaster(4, prior=folder).fit(years)
    assert used(plain) == "not used"
    assert "there is no prior for series of season 1" in plain.settings["prior"].reason


def test_intervals_of_any_level_nest(prior: str) -> None:
    levels = [5, 20, 40, 50, 60, 70, 80, 90, 95, 99]
    for rows in (5, 30, 130):
        forecaster = Forecaster(HORIZON, prior=prior).fit(one(rows))
        found = forecaster.predict(level=levels)
        edges = [found[f"memattn-lo-{level}"] for level in reversed(levels)]
        edges += [found["memattn"], *(found[f"memattn-hi-{level}"] for level in levels)]
        steps = np.diff(np.array(edges), axis=0)
        assert (steps >= -1e-9 * found["memattn"].to_numpy()).all()
        assert forecaster.is_calibrated == (rows == 130)
        kind = {note.kind: note.text for note in forecaster.notes}["calibration"]
        assert ("too short to calibrate" in kind) == (rows < 130)


def test_levels_are_interpolated_by_the_normal_distribution() -> None:
    z = {40.0: 0.5244005127080407, 80.0: 1.2815515655446004, 95.0: 1.959963984540054}
    points = np.array([[10.0, 3.0]])
    ends = {level: (points - 2 * size, points + 3 * size) for level, size in z.items()}
    nowhere = Domain(np.zeros(1, bool), np.ones(1), np.ones(1), np.full(1, -np.inf))
    found = between_levels(ends, points, nowhere, [20, 60, 80, 99])
    for level, size in {20: 0.2533471031, 60: 0.8416212336, 99: 2.5758293035}.items():
        np.testing.assert_allclose(found[level][0], points - 2 * size, rtol=1e-9)
        np.testing.assert_allclose(found[level][1], points + 3 * size, rtol=1e-9)
    assert found[80] == ends[80.0]
    # In logs if the domain has them, and not below 0 if no value was negative.
    logs = Domain(np.ones(1, bool), np.ones(1), np.ones(1), np.zeros(1))
    ends = {level: (points * np.exp(-size), points * np.exp(size)) for level, size in z.items()}
    found = between_levels(ends, points, logs, [99])
    np.testing.assert_allclose(found[99][1], points * np.exp(2.5758293035), rtol=1e-9)


def test_nothing_after_a_cutoff_reaches_a_forecast(prior: str) -> None:
    frame = one(90)
    later = frame.copy()
    later.loc[60:, "y"] *= np.linspace(3, 9, 30)
    options: dict[str, Any] = {"n_windows": 1, "step_size": 1, "level": [80]}
    for rows in (90 - HORIZON, 60):
        cut = frame[: rows + HORIZON]
        other = cut.copy()
        other.loc[rows:, "y"] = 7.0
        found, same = (
            Forecaster(HORIZON, prior=prior).cross_validation(table, **options).drop(columns="y")
            for table in (cut, other)
        )
        pd.testing.assert_frame_equal(found, same)


def test_only_the_last_rows_of_a_long_series_are_used(prior: str) -> None:
    values = one(400)["y"].to_numpy()
    whole, last = (quick(some, HORIZON, 12, prior=prior) for some in (values, values[-120:]))
    np.testing.assert_array_equal(whole.mean, last.mean)
    other = quick(values[-119:], HORIZON, 12, prior=prior)
    assert (whole.mean != other.mean).any()
    # The same holds for windows inside a series, each of which has its own past.
    options: dict[str, Any] = {"n_windows": 3, "step_size": 5}
    forecaster = Forecaster(HORIZON, prior=prior, intervals=False)
    found = forecaster.cross_validation(one(170), **options)
    tail = forecaster.cross_validation(one(170)[-(120 + HORIZON + 10) :], **options)
    np.testing.assert_array_equal(found["memattn"], tail["memattn"])


def test_forecasts_have_a_limited_range(prior: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from memattn.forecast import fitting

    frame = one(30).assign(y=np.exp(np.linspace(0, 5, 30)))
    least, most = frame["y"].min(), frame["y"].max()
    usual = Forecaster(HORIZON, prior=prior).fit(frame).predict(level=95)
    assert most < usual["memattn-hi-95"].max() <= most + 10 * (most - least)
    monkeypatch.setattr(fitting, "FAR", 0.0)
    found = Forecaster(HORIZON, prior=prior).fit(frame).predict(level=95)
    assert found["memattn-hi-95"].max() <= most
    assert found["memattn-lo-95"].min() >= least


def test_forecasts_scale_with_a_positive_series(prior: str) -> None:
    values = one(50)["y"].to_numpy()
    plain, large = (quick(size * values, 6, 12, prior=prior) for size in (1, 1e6))
    np.testing.assert_allclose(1e6 * plain.mean, large.mean, rtol=1e-5)
    np.testing.assert_allclose(1e6 * plain.high[95], large.high[95], rtol=1e-5)


def test_quick_equals_the_forecaster(prior: str) -> None:
    for rows in (3, 20, 30):
        frame = one(rows)
        found = quick(frame["y"].to_numpy(), HORIZON, 12, level=[80, 70], prior=prior)
        assert isinstance(found, QuickForecast)
        table = Forecaster(HORIZON, prior=prior).fit(frame).predict(level=[70, 80])
        np.testing.assert_array_equal(found.mean, table["memattn"])
        np.testing.assert_array_equal(found.low[80], table["memattn-lo-80"])  # a trained level
        np.testing.assert_array_equal(found.high[80], table["memattn-hi-80"])
        np.testing.assert_allclose(found.low[70], table["memattn-lo-70"], rtol=1e-12)
        np.testing.assert_allclose(found.high[70], table["memattn-hi-70"], rtol=1e-12)


@pytest.mark.parametrize("season", [1, 4, 5, 7, 12, 24, 52])
def test_quick_networks_in_cpp_equal_python(season: int) -> None:
    """Compares all priors of the package on series of every kind."""
    frequency = Frequency(Unit.NUMBER, 1)
    networks = QuickForecaster.load(PACKAGED / f"season-{season}.safetensors")
    prior, _ = prior_of("test", "auto", season, frequency)
    assert prior is not None
    assert (networks.season, networks.horizon) == (season, prior.horizon)
    rng = np.random.default_rng(season)
    series = []
    for k in range(30):
        rows = int(rng.integers(1, 1_200 if k % 5 == 0 else 60))
        values = rng.normal(size=rows).cumsum() * 10.0 ** rng.integers(-3, 6)
        if k % 3:
            values = np.exp(rng.normal(0, 0.5 if k % 3 == 2 else 0.1, rows).cumsum())
        if k % 7 == 0:
            values = rng.poisson(1.5, rows).astype(float)
        series.append(np.full(rows, 3.0) if k == 29 else values)
    panel = flat_panel(series, season=season)
    horizon, levels = prior.horizon, [40.0, 55.0, 80.0, 95.0, 99.0]
    own = Forecaster(horizon, prior=None)._choose("test", panel)[0]
    settings = with_prior(own, prior.settings, "alone", "test")
    model = model_of(settings, panel, prior.weights)
    made = forecast(model, panel, last_windows(panel))
    trained = trained_levels(settings)
    ends = interval_ends(None, made.domain, made.quantiles, trained, trained)
    between = between_levels(ends, made.points, made.domain, levels)
    for k, values in enumerate(series):
        points, bounds = networks.forecast(values, horizon, levels)
        np.testing.assert_array_equal(points, made.points[k])
        for place, level in enumerate(levels):
            for side in (0, 1):
                expected = between[level][side][k]
                if level in trained:
                    np.testing.assert_array_equal(bounds[place, side], expected)
                else:
                    np.testing.assert_allclose(bounds[place, side], expected, rtol=1e-9)


def test_quick_finds_the_season(prior: str, tmp_path: Path) -> None:
    (tmp_path / "season-12.safetensors").write_bytes(Path(prior).read_bytes())
    values = 10 + np.sin(np.arange(120) * 2 * np.pi / 12)
    assert quick(values, 3, prior=str(tmp_path)).season == 12
    with pytest.raises(ValueError, match="season: found 1, but there is no prior for series"):
        quick(np.arange(9.0), 3, prior=str(tmp_path))


def test_quick_forecasts_short_and_constant_series(prior: str) -> None:
    for values in ([5.0], [5.0, 7.0], [np.nan, 4.0, 7.0, np.nan]):
        found = quick(values, 4, 12, prior=prior)
        np.testing.assert_array_equal(found.mean, 7.0 if len(values) > 1 else 5.0)
        assert np.isnan(found.low[80]).all()
        assert np.isnan(found.high[95]).all()
    still = quick([7.0] * 9, 4, 12, level=[90], prior=prior)
    for bounds in (still.mean, still.low[90], still.high[90]):
        np.testing.assert_array_equal(bounds, 7.0)
    hole = np.array([3.0, np.nan, 4.0, 5.0, 4.5, 5.5])
    assert np.isfinite(quick(hole, 4, 12, prior=prior).mean).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: quick([], 3, 12, prior=p), "y: found no values; pass at least one"),
        (lambda p: quick([np.nan], 3, 12, prior=p), "y: every value is NaN"),
        (lambda p: quick([[1.0, 2]], 3, 12, prior=p), r"y: found an array of shape \(1, 2\)"),
        (lambda p: quick([1, np.inf, 2], 3, 12, prior=p), "y: found inf at 1"),
        (lambda p: quick([1, 2, 3], 0, 12, prior=p), "horizon: found 0"),
        (lambda p: quick([1, 2, 3], 9, 12, prior=p), "horizon: found 9, expected at most 8"),
        (lambda p: quick([1, 2, 3], 3, 5, prior=p), "has season 12, expected"),
        (lambda p: quick([1, 2, 3], 3, 12, level=[0.5], prior=p), "level: found 0.5"),
        (lambda p: quick([1, 2, 3], 3, 12, prior=None), "prior: found None, expected"),  # type: ignore[arg-type]
        (lambda p: quick([1, 2, 3], 3, 12, prior="nowhere"), 'prior: no such file: "nowhere"'),
        (lambda p: Forecaster(3, prior="nowhere").fit(one(9)), 'prior: no such file: "nowhere"'),
        (lambda p: Forecaster(3, prior=p, season=4).fit(one(60)), "has season 12, expected"),
    ],
)
def test_invalid_arguments_raise(prior: str, call: Callable[[str], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(prior)


def test_files_that_are_no_prior_are_refused(prior: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="prior: found 5, expected"):
        Forecaster(3, prior=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="y: found list, expected numbers"):
        quick(["a"], 3, 12, prior=prior)
    path = tmp_path / "p.safetensors"
    Forecaster(3, prior=None, steps=2).fit(waves(3, 60, 0)).save(path)
    with pytest.raises(FormatError, match=r'settings: loss: found the string "smape", expected "q'):
        quick([1, 2, 3], 3, 12, prior=str(path))
    with pytest.raises(FormatError, match=r"p\.safetensors: this forecaster is no prior"):
        Forecaster(3, prior=str(path)).fit(one(30))
    content = Path(prior).read_bytes()
    for cut in (0, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(FormatError):
            quick([1, 2, 3], 3, 12, prior=str(path))
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 100):
        broken = bytearray(content)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        with pytest.raises(FormatError):
            quick([1, 2, 3], 3, 12, prior=str(path))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "frames: is empty"),
        ([waves(2, 40, 0), waves(2, 40, 0).assign(ds=lambda t: t["ds"] + pd.offsets.YearBegin())],
         "a time twice|twice|found"),
    ],
)  # fmt: skip
def test_pretrain_refuses_unusable_tables(frames: list[pd.DataFrame], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Forecaster(3).pretrain(frames)


def test_pretrain_refuses_a_single_table_covariates_and_mixed_seasons() -> None:
    with pytest.raises(TypeError, match="frames: found a single table"):
        Forecaster(3).pretrain(waves(2, 40, 0))
    with pytest.raises(ValueError, match="cannot use covariates"):
        Forecaster(3, futr_exog_list=["x"]).pretrain([waves(2, 40, 0)])
    weeks = waves(2, 40, 0)
    weeks["ds"] = weeks.groupby("unique_id")["ds"].transform(
        lambda t: pd.date_range("2020-01-05", periods=len(t), freq="W")
    )
    with pytest.raises(ValueError, match="season 12 as in the first table"):
        Forecaster(3, steps=1).pretrain([waves(2, 40, 0), weeks])


def test_a_file_without_series_forecasts_given_series(tmp_path: Path) -> None:
    frame, other = waves(20, 60, 0), waves(3, 40, 9)
    whole = Forecaster(HORIZON, prior=None, steps=20).fit(frame)
    whole.save(tmp_path / "whole")
    whole.save(tmp_path / "lean", series=False)
    whole.save(tmp_path / "half", series=False, dtype="bfloat16")
    sizes = [(tmp_path / name).stat().st_size for name in ("whole", "lean", "half")]
    assert sizes[0] > sizes[1] + 8 * len(frame)
    assert sizes[2] < 0.6 * sizes[1]
    lean = Forecaster.load(tmp_path / "lean")
    expected = whole.predict(other, level=[80])
    pd.testing.assert_frame_equal(lean.predict(other, level=[80]), expected)
    half = Forecaster.load(tmp_path / "half")
    weights, kept = (f._state("").model.engine.parameters(0) for f in (whole, half))
    rounded = (bfloat16_bits(weights).astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(kept, rounded)
    assert (np.abs(kept - weights) <= 2.0**-8 * np.abs(weights)).all()
    np.testing.assert_allclose(half.predict(other)["memattn"], expected["memattn"], rtol=0.01)
    for call in (lean.predict, lean.fitted, lambda: lean.write_report(tmp_path / "r.html")):
        with pytest.raises(RuntimeError, match="was saved without its series; pass some to"):
            call()
    with pytest.raises(ValueError, match="dtype: found 'float16', expected 'float32' or 'bfloat"):
        whole.save(tmp_path / "x", dtype="float16")


def test_quick_needs_no_data_frame_library(prior: str) -> None:
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('pandas', 'polars', 'pyarrow', 'narwhals'))\n"
        "from memattn.forecast import quick\n"
        "for prior in ('auto', sys.argv[1]):\n"
        "    print(quick([5, 6, 4, 5, 7, 6, 5], 3, 12, prior=prior).mean.shape)\n"
    )
    command = [sys.executable, "-c", code, prior]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "(3,)\n(3,)\n"


def test_bfloat16_is_rounded_to_even() -> None:
    exact = np.array([1.0, -2.5, 0.0, 2.0**-126], np.float32)
    np.testing.assert_array_equal(bfloat16_bits(exact), exact.view("u4") >> 16)
    ulp = 2.0**-7
    ties = np.array([1 + ulp / 2, 1 + 3 * ulp / 2, 1 + ulp / 2 + 1e-6], np.float32)
    expected = np.array([1.0, 1 + 2 * ulp, 1 + ulp], np.float32)
    found = bfloat16_bits(ties).astype(np.uint32) << 16
    np.testing.assert_array_equal(found, expected.view("u4"))


def test_the_report_shows_the_memory_of_the_prior(prior: str, few_slots: None) -> None:
    page = Forecaster(HORIZON, prior=prior).fit(one(130)).render_report(level=[70])
    assert "prior" in page
    assert "slot" in page
    json.dumps(page)


def test_the_trained_levels_of_a_prior_do_not_limit_available_levels(prior: str) -> None:
    forecaster = Forecaster(HORIZON, prior=prior).fit(one(60))
    assert trained_levels(forecaster.settings) == (40.0, 60.0, 80.0, 95.0)
    assert forecaster.available_levels == (80.0, 95.0)
