"""Calls of a Forecaster that nixtla's libraries have too: h, refit, alias, fitted and levels."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import Evaluation, Forecaster, fitting
from memattn.forecast.data.windows import Windows
from memattn.forecast.fitting import forecast

from .panels import LIBRARIES, as_library, flat_panel
from .test_forecaster import monthly, small


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return monthly(4)


@pytest.fixture(scope="module")
def fitted(frame: pd.DataFrame) -> Forecaster:
    return small(alias="ours").fit(frame)


def test_predict_with_h_returns_the_first_steps(fitted: Forecaster, frame: pd.DataFrame) -> None:
    whole = fitted.predict(frame, level=80)
    some = fitted.predict(h=2, level=[80])
    first = whole[whole.groupby("unique_id").cumcount() < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(some, first, check_exact=True)
    assert fitted.forecasts(h=2).values.shape == (4, 2)
    for h in (0, 7, 1.5, True):
        with pytest.raises((TypeError, ValueError), match=r"h: found .* whole number from 1 to 6"):
            fitted.predict(h=h)  # type: ignore[arg-type]
    for levels in ([80], 80, (80, 95)):
        with pytest.raises(TypeError, match=r"data: found .*, expected series; pass level="):
            fitted.predict(levels)  # type: ignore[arg-type]


def test_each_series_may_have_steps_of_its_own(fitted: Forecaster, frame: pd.DataFrame) -> None:
    panel = fitted.panel(frame)
    steps = np.arange(len(panel)) % fitted.horizon + 1
    found, every = fitted.forecasts(frame, h=steps, level=80), fitted.forecasts(frame, level=80)
    most = int(steps.max())
    pairs = [
        (found.values, every.values),
        *zip(found.intervals[80], every.intervals[80], strict=True),
    ]
    for some, whole in pairs:
        wanted = np.where(np.arange(most) < steps[:, None], whole[:, :most], np.nan)
        np.testing.assert_array_equal(some, wanted)
    with pytest.raises(ValueError, match=f"found 1 numbers, expected one for each of {len(panel)}"):
        fitted.forecasts(frame, h=steps[:1])
    with pytest.raises(ValueError, match="found 0, expected a whole number from 1"):
        fitted.forecasts(frame, h=steps - 1)
    with pytest.raises(TypeError, match="h: found"):
        fitted.forecasts(frame, h=steps.astype(float))


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_alias_names_the_column_in_all_tables(library: str) -> None:
    table = as_library(library, monthly(2))
    fitted = small(alias="ours").fit(table)
    expected = ["unique_id", "ds", "ours", "ours-lo-80", "ours-hi-80"]
    assert list(fitted.predict(level=80).columns) == expected
    assert list(fitted.fitted().columns) == ["unique_id", "ds", "y", "ours"]
    windows = fitted.cross_validation(table, level=80)
    assert list(windows.columns) == [*expected[:2], "cutoff", "y", *expected[2:]]
    result = fitted.backtest(table)
    methods = ["ours", "seasonal-naive", "naive"]
    assert list(result.to_frame().columns) == ["unique_id", "metric", *methods]
    held_out = fitted.held_out()
    assert held_out is not None
    for shown in (repr(result), repr(held_out)):
        assert [line.split()[0] for line in shown.splitlines()[2:5]] == methods


def test_fitted_values_are_forecasts_from_the_rows_before(
    fitted: Forecaster, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fitted.fitted()
    state = fitted._state("test")
    later = frame[frame.groupby("unique_id").cumcount() >= 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(found[["unique_id", "ds", "y"]], later[["unique_id", "ds", "y"]])
    one = Windows(np.array([2]), np.array([50]))
    expected = forecast(state.model, state.panel, one).points[0, 0]
    assert found[found["unique_id"] == "s02"]["ours"].iloc[47] == expected
    monkeypatch.setattr(fitting, "BATCH_VALUES", 50)
    pd.testing.assert_frame_equal(fitted.fitted(), found, check_exact=True)
    short = Forecaster(2).fit(flat_panel([np.array([1.0, 2, 3]), np.ones(5)])).fitted()
    assert short["memattn"].tolist() == [1.0, 1.0]
    assert len(Forecaster(2).fit(flat_panel([np.array([1.0, 2, 3])])).fitted()) == 0


def test_refit_trains_a_model_for_every_k_windows(frame: pd.DataFrame) -> None:
    def found(refit: Any, steps: list[int] | None = None) -> pd.DataFrame:
        told = None if steps is None else lambda _, all_steps, loss: steps.append(all_steps)
        options: dict[str, Any] = {"n_windows": 3, "step_size": 2, "refit": refit}
        return small(intervals=False).cross_validation(frame, **options, progress=told)

    counts: list[int] = []
    once, always, second = found(False), found(True), found(2, counts)
    assert set(counts) == {2 * 20}
    for others, refit in ((always, 1), (once, 3), (once, 9)):
        pd.testing.assert_frame_equal(found(refit), others, check_exact=True)
    order = second.groupby("unique_id")["cutoff"].rank("dense")
    pd.testing.assert_frame_equal(second[order <= 2], once[order <= 2], check_exact=True)
    pd.testing.assert_frame_equal(second[order == 3], always[order == 3], check_exact=True)
    for refit in (0, -1, "no", None, 1.5):
        with pytest.raises((TypeError, ValueError), match="refit: found"):
            found(refit)
    assert len(small().cross_validation(frame)) == 4 * 6
    with pytest.raises(TypeError, match="positional"):
        small().cross_validation(frame, 1, 2)  # type: ignore[misc]


@pytest.mark.usefixtures("few_slots")
def test_available_levels_are_those_that_predict_accepts(frame: pd.DataFrame) -> None:
    some = monthly(4)
    for options, levels, calibrated in (
        ({}, (80, 95), True),
        ({"intervals": False}, (), False),
        ({"loss": "quantile", "level": [50]}, (50,), True),
        ({"loss": "quantile", "intervals": False}, (80, 95), False),
    ):
        fitted = small(**options).fit(some)
        assert (fitted.available_levels, fitted.is_calibrated) == (levels, calibrated)
        report = fitted.render_report() if levels else ""  # drawing takes a second
        for level in levels:
            assert f"{level} % interval" in report
            assert f"memattn-lo-{level}" in fitted.predict(level=level).columns
        if not levels:
            with pytest.raises(ValueError, match="this fit has no intervals"):
                fitted.predict(level=80)
    with pytest.raises(RuntimeError, match="not fitted"):
        _ = small().available_levels


def test_an_evaluation_has_a_table_and_a_repr(frame: pd.DataFrame) -> None:
    result = small().backtest(frame, 2, level=[80])
    assert isinstance(result, Evaluation)
    table = result.to_frame()
    assert table["metric"].unique().tolist() == ["mae", "smape", "mase", "rmsse"]
    assert len(table) == 4 * 4
    mean = table[table["metric"] == "mase"]["memattn"].mean()
    assert mean == pytest.approx(result.overall("memattn").mase)
    lines = repr(result).splitlines()
    assert lines[0] == "8 windows of 4 series, mean errors:"
    assert lines[1].split() == ["sMAPE", "%", "MASE", "RMSSE", "MAE"]
    assert len({len(line) for line in lines[1:5]}) == 1
    assert lines[5].startswith("80 % interval: ")
