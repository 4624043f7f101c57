"""Predict uses the frequency, the season and the time zone that fit found."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster


def series(times: pd.DatetimeIndex) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"unique_id": "a", "ds": times, "y": 100 + rng.normal(size=len(times))})


def fitted(freq: str, zone: str | None = None) -> Forecaster:
    times = pd.date_range("2018-01-01", periods=120, freq=freq, tz=zone)
    return Forecaster(3, steps=1).fit(series(times))


@pytest.mark.parametrize(
    ("freq", "times", "expected"),
    [
        ("MS", ["2020-01-01"], "2020-02-01"),
        ("ME", ["2020-02-29"], "2020-03-31"),
        ("MS", ["2020-01-01", "2020-04-01"], "2020-05-01"),
        ("QS", ["2020-01-01", "2020-04-01", "2021-04-01"], "2021-07-01"),
        ("YS", ["2020-01-01"], "2021-01-01"),
        ("B", pd.bdate_range("2022-01-03", periods=5), "2022-01-10"),
        ("B", ["2022-01-07"], "2022-01-10"),
        ("D", pd.bdate_range("2022-01-03", periods=60), "2022-03-26"),
        ("W-MON", ["2022-01-05"], "2022-01-12"),
        ("h", ["2022-01-01", "2022-01-02"], "2022-01-02 01:00"),
        ("15min", ["2022-01-01 00:15"], "2022-01-01 00:30"),
    ],
)
def test_predict_uses_the_frequency_of_fit(freq: str, times: list[str], expected: str) -> None:
    forecaster = fitted(freq)
    data = series(pd.to_datetime(times))
    assert forecaster.predict(data)["ds"].iloc[0] == pd.Timestamp(expected)
    panel = forecaster.panel(data)
    assert panel.season == forecaster.settings["season"].value
    assert "as in training" in " ".join(map(str, panel.notes))


def test_yearly_rows_have_the_yearly_settings() -> None:
    settings = fitted("YS").settings
    assert settings["season"].value == 1
    assert "yearly" in settings["lookbacks"].reason


@pytest.mark.parametrize(
    ("freq", "times", "problem"),
    [
        ("MS", ["2020-01-01", "2020-01-02"], "row 1 (2020-01-01), expected one row every month"),
        (
            "B",
            ["2022-01-07", "2022-01-08"],
            "row 2 (2022-01-08), expected one row every",
        ),
        ("QS", ["2020-01-01", "2020-02-01"], "found a step of 1 month from row 1 (2020-01-01) to"),
        (
            "D",
            ["2020-01-01 00:00", "2020-01-01 12:00"],
            "expected one row every day as in training",
        ),
        (
            "h",
            ["2020-01-01 00:00", "2020-01-01 00:30"],
            "expected whole steps of 1 hour as in",
        ),
    ],
)
def test_rows_that_do_not_fit_the_frequency_are_refused(
    freq: str, times: list[str], problem: str
) -> None:
    with pytest.raises(DataError) as error:
        fitted(freq).predict(series(pd.to_datetime(times)))
    assert problem in str(error.value)
    assert "freq=" not in str(error.value)


def test_whole_numbers_are_refused_after_a_fit_to_dates() -> None:
    with pytest.raises(DataError, match="found whole numbers, expected dates as in training"):
        fitted("D").predict(pd.DataFrame({"unique_id": "a", "ds": [1, 2], "y": [1.0, 2]}))


def test_predict_uses_the_time_zone_of_fit(tmp_path: Path) -> None:
    """Local days given in UTC are forecast as local days, also by a saved forecaster."""
    forecaster = fitted("D", "America/New_York")
    local = pd.date_range("2022-03-10", periods=6, tz="America/New_York")
    expected = forecaster.predict(series(local))
    forecaster.save(tmp_path / "model")
    for one in (forecaster, Forecaster.load(tmp_path / "model")):
        found = one.predict(series(local.tz_convert("UTC")))
        assert (found["ds"].dt.tz_convert(None) == expected["ds"].dt.tz_convert(None)).all()
        assert str(found["ds"].dt.tz) == "UTC"
        np.testing.assert_array_equal(found["memattn"], expected["memattn"])


def test_large_gaps_are_forecast_up_to_a_limit_on_rows() -> None:
    data = series(pd.to_datetime(["2022-01-01", "2022-01-31"]))
    assert len(fitted("h").predict(data)) == 3
    with pytest.raises(DataError, match="expected at most 10,000,000 in all series"):
        fitted("us").predict(series(pd.to_datetime(["2022-01-01", "2022-01-02"])))
