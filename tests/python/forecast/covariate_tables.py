"""Tables of series that depend on covariates."""

from typing import Any

import numpy as np
import pandas as pd

KINDS = ["rain", "sun", "wind"]
LISTS: dict[str, Any] = {
    "futr_exog_list": ["price", "weather"],
    "hist_exog_list": ["visits"],
    "stat_exog_list": ["region"],
}


def shops(rng: np.random.Generator, days: int = 120, count: int = 3) -> pd.DataFrame:
    """Returns daily sales that depend on price, weather and the previous day's visits.

    Some rows and some visits are missing.
    """
    parts = []
    for k in range(count):
        ds = pd.date_range("2024-01-01", periods=days)
        price = rng.choice([9.0, 10, 12], size=days)
        weather = rng.choice(KINDS, size=days)
        visits = rng.gamma(20, size=days)
        y = 100 - 6 * (price - 10) + 10 * (weather == "sun") + np.roll(visits, 1)
        part = pd.DataFrame({"unique_id": f"s{2 * k}", "ds": ds, "y": y.round(3)})
        part = part.assign(price=price, weather=weather, visits=visits, region="ab"[k % 2])
        part.loc[rng.random(days) < 0.05, "visits"] = np.nan
        parts.append(part[rng.random(days) > 0.03])
    return pd.concat(parts, ignore_index=True)


def hours(rng: np.random.Generator, days: int = 90, start: str = "2024-01-01") -> pd.DataFrame:
    """Returns one hourly series of both signs whose level follows a load known a day ahead."""
    ds = pd.date_range(start, periods=24 * days, freq="h")
    load = 5 * np.sin(2 * np.pi * ds.hour / 24) + rng.normal(size=days).repeat(24) * 4
    y = 2 * load + rng.normal(size=len(ds))
    return pd.DataFrame({"unique_id": "h", "ds": ds, "y": y, "load": load})
