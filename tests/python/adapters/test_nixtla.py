"""Forecast tables work with utilsforecast's evaluation and HierarchicalForecast."""

from functools import partial

import numpy as np
import pandas as pd
from hierarchicalforecast.core import HierarchicalReconciliation
from hierarchicalforecast.methods import BottomUp, MinTrace
from hierarchicalforecast.utils import aggregate
from utilsforecast.evaluation import evaluate
from utilsforecast.losses import coverage, mae, mase, smape

from memattn.forecast import Forecaster

SPEC = [["country"], ["country", "city"], ["country", "city", "shop"]]


def shops() -> pd.DataFrame:
    months = pd.date_range("2015-01-01", periods=72, freq="MS")
    return pd.DataFrame(
        {
            "country": "no",
            "city": np.repeat(["oslo", "oslo", "bergen"], 72),
            "shop": np.repeat(list("abc"), 72),
            "ds": np.tile(months, 3),
            "y": np.random.default_rng(0).gamma(9, 10, 3 * 72),
        }
    )


def forecaster() -> Forecaster:
    return Forecaster(6, steps=5, prior=None)


def test_evaluate_accepts_the_tables() -> None:
    frame = shops().rename(columns={"shop": "unique_id"})[["unique_id", "ds", "y"]]
    windows = forecaster().cross_validation(frame, n_windows=2, step_size=6)
    known = frame[frame.ds < windows.ds.min()]
    found = evaluate(windows, metrics=[mae, partial(mase, seasonality=12)], train_df=known)
    errors = np.abs(windows.y - windows.memattn)
    by_window = errors.groupby([windows.unique_id, windows.cutoff]).mean()
    wanted = found[found.metric == "mae"].set_index(["unique_id", "cutoff"]).memattn
    np.testing.assert_allclose(by_window, wanted.sort_index(), rtol=1e-12)
    table = forecaster().fit(known).predict(level=[80]).merge(frame, on=["unique_id", "ds"])
    found = evaluate(table, metrics=[smape, coverage], level=[80])
    inside = table.y.between(table["memattn-lo-80"], table["memattn-hi-80"])
    wanted = inside.groupby(table.unique_id).mean()
    np.testing.assert_allclose(found[found.metric == "coverage_level80"].memattn, wanted)


def test_reconciled_forecasts_add_up() -> None:
    series, summing, tags = aggregate(shops(), SPEC)
    held_out = forecaster().cross_validation(series, n_windows=2, step_size=6)
    forecasts = forecaster().fit(series).predict()
    found = HierarchicalReconciliation([BottomUp(), MinTrace("mint_shrink")]).reconcile(
        Y_hat_df=forecasts, Y_df=held_out.drop(columns="cutoff"), S_df=summing, tags=tags
    )
    assert len(found) == len(forecasts)
    matrix = summing.set_index("unique_id")
    for column in ("memattn/BottomUp", "memattn/MinTrace_method-mint_shrink"):
        values = found.pivot(index="unique_id", columns="ds", values=column)
        bottom = values.loc[list(matrix.columns)].to_numpy()
        np.testing.assert_allclose(values.loc[matrix.index], matrix.to_numpy() @ bottom, rtol=1e-9)
    merged = found.merge(forecasts, on=["unique_id", "ds"])
    leaves = merged[merged.unique_id.isin(matrix.columns)]
    np.testing.assert_allclose(leaves["memattn/BottomUp"], leaves.memattn_x, rtol=1e-12)
