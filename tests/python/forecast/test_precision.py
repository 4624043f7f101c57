"""`Forecaster.predict` with memory layers in bfloat16."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import Forecaster


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    rng = np.random.default_rng(0)
    rows = np.arange(60)
    parts = [
        pd.DataFrame(
            {
                "unique_id": f"s{k}",
                "ds": pd.date_range("2015-01-01", periods=60, freq="MS"),
                "y": np.exp(3 + 0.3 * np.sin(rows / 2 + k) + 0.03 * rng.normal(size=60).cumsum()),
            }
        )
        for k in range(20)
    ]
    return Forecaster(6, steps=20, prior=None).fit(pd.concat(parts))


def test_forecasts_in_bfloat16_are_close_and_do_not_change_the_model(
    forecaster: Forecaster,
) -> None:
    plain = forecaster.predict()["memattn"].to_numpy()
    rounded = forecaster.predict(precision="bfloat16")["memattn"].to_numpy()
    assert not np.array_equal(rounded, plain)
    assert np.all(np.abs(rounded - plain) <= 0.01 * np.abs(plain))
    np.testing.assert_array_equal(forecaster.predict()["memattn"].to_numpy(), plain)
    again = forecaster.predict(precision="bfloat16")["memattn"].to_numpy()
    np.testing.assert_array_equal(again, rounded)


def test_another_precision_is_refused(forecaster: Forecaster) -> None:
    with pytest.raises(ValueError, match=r"Forecaster\.predict: precision: found 'half'"):
        forecaster.predict(precision="half")  # type: ignore[arg-type]
