"""A model of fev, so that its tasks and benchmarks can be run with a forecaster.

>>> from memattn.forecast.adapters.fev import MemattnModel  # doctest: +SKIP
>>> task.evaluation_summary(MemattnModel().fit_predict(task), "memattn")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

import fev
import numpy as np
import pandas as pd

from memattn.forecast.adapters._rows import ID, TIME, forecasts_of_rows, panel_of_values, rows_to
from memattn.forecast.forecaster import Forecaster

WHERE = "MemattnModel"


class MemattnModel(fev.ForecastingModel):  # type: ignore[misc]  # mypy has no types of fev here
    """`memattn.forecast.Forecaster` for fev: one fit for each window of a task.

    Each target of a multivariate task is a series of its own. Dynamic and static columns of the
    task are covariates. Quantiles are the bounds of calibrated intervals. A bound that is not
    finite is replaced by the forecast, since fev accepts only finite numbers.

    Parameters
    ----------
    **options
        Options of `Forecaster`, such as ``members=10``. Default of `season`: that of the task.
    """

    model_name = "memattn"

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = options

    def _fit_predict(self, task: fev.Task) -> list[Any]:
        return [self._forecast(task, window) for window in task.iter_windows()]

    def _forecast(self, task: fev.Task, window: fev.EvaluationWindow) -> Any:
        past, future, static = fev.convert_input_data(window, "nixtla", as_univariate=True)
        known = list(task.known_dynamic_columns)
        options = {"season": task.seasonality, **self._options, "futr_exog_list": known}
        options["hist_exog_list"] = list(task.past_dynamic_columns)
        options["stat_exog_list"] = list(task.static_columns)
        # The task's horizon begins after the last row of each series, which may have no value.
        panel = panel_of_values(past, options.get("freq"))
        times = future.set_index(ID)[TIME].loc[panel.ids.tolist()]
        ahead = rows_to(WHERE, panel, pd.DatetimeIndex(times), task.horizon)
        forecaster = Forecaster(int(ahead.max()), **options)
        with self._record_training_time():
            forecaster.fit(past, static_df=static)
        with self._record_inference_time():
            found = forecasts_of_rows(
                WHERE,
                forecaster,
                forecaster.panel(past, static_df=static),
                ahead,
                quantiles=task.quantile_levels,
                X_df=pd.concat([past, future])[[ID, TIME, *known]] if known else None,
            )
        finite = np.where(np.isfinite(found.quantiles), found.quantiles, found.values[:, :, None])
        names = ["predictions", *map(str, task.quantile_levels)]
        every = np.concatenate([found.values[:, :, None], finite], axis=2)
        places = pd.Index(panel.ids).get_indexer(past[ID].drop_duplicates())  # the task's order
        return fev.combine_univariate_predictions_to_multivariate(
            [dict(zip(names, every[k].T, strict=True)) for k in places],
            target_columns=task.target_columns,
        )
