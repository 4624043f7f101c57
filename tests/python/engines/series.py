"""Series for the tests of engines, and comparisons with results without an engine."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memattn.forecast import Forecaster

KINDS = ["rain", "sun", "wind"]
LISTS: dict[str, Any] = {"futr_exog_list": ["price", "weather"], "stat_exog_list": ["region"]}


def short(**options: Any) -> Forecaster:
    """Returns a forecaster that trains quickly."""
    return Forecaster(**{"horizon": 3, "season": 12, "steps": 5, **options})


def months(count: int = 40, rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = []
    for k in range(count):
        ds = pd.date_range("2015-01-01", periods=rows + k % 5, freq="MS", unit="us")
        season = 1 + 0.3 * np.sin(np.arange(len(ds)) * np.pi / 6)
        y = 100 * season * rng.uniform(0.9, 1.1, len(ds)) * (k + 1)
        parts.append(pd.DataFrame({"unique_id": f"series {k}", "ds": ds, "y": y}))
    return pd.concat(parts, ignore_index=True)


def shops(count: int = 12, days: int = 80) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Returns sales with missing rows, the covariates of the next four days, and static columns."""
    rng = np.random.default_rng(1)
    parts, ahead = [], []
    for k in range(count):
        ds = pd.date_range("2024-01-01", periods=days + 4, unit="us")
        price = rng.choice([9.0, 10, 12], size=len(ds))
        part = pd.DataFrame({"unique_id": 100 + 7 * k, "ds": ds, "price": price})
        part = part.assign(weather=rng.choice(KINDS, size=len(ds)))
        y = 100 - 6 * (price - 10) + 10 * (part["weather"] == "sun") + rng.normal(size=len(ds))
        known = part.assign(y=y.round(3)).head(days)
        parts.append(known[(rng.random(days) > 0.03) | (np.arange(days) == days - 1)])
        ahead.append(part.tail(4))
    static = pd.DataFrame({"unique_id": [100 + 7 * k for k in range(count)]})
    static = static.assign(region=[f"r{k % 3}" for k in range(count)])
    return pd.concat(parts), pd.concat(ahead), static


def in_order(frame: pd.DataFrame, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """Returns rows sorted by series and time, in the types of the table `like`."""
    found = frame.sort_values(["unique_id", "ds"]).reset_index(drop=True)
    return found if like is None else found.astype(dict(like.dtypes))


def plain(fitted: Forecaster, path: Path) -> Forecaster:
    """Returns the forecaster without its series, like one fitted on an engine."""
    fitted.save(path, series=False)
    return Forecaster.load(path)


def assert_same_rows(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Asserts that two tables are equal to the bit, up to the order of rows."""
    expected = in_order(expected)
    pd.testing.assert_frame_equal(in_order(found, expected), expected, check_exact=True)


def state_of(forecaster: Forecaster) -> dict[str, Any]:
    """Returns the results of a fit: its weights, its calibration and its settings."""
    fitted = forecaster._fitted
    engine = fitted.model.engine
    found: dict[str, Any] = {str(k): engine.parameters(k) for k in range(engine.members)}
    if fitted.calibration is not None:
        found |= {"errors": fitted.calibration.errors, "age": fitted.calibration.age}
        found |= vars(fitted.calibration.domain)
    return found | {"settings": {**fitted.settings, "sample": forecaster.settings.get("sample")}}


def assert_same_model(found: Forecaster, expected: Forecaster) -> None:
    states = state_of(found), state_of(expected)
    assert states[0].keys() == states[1].keys()
    for name, one in states[0].items():
        np.testing.assert_equal(one, states[1][name], err_msg=name)
